"""Data parallelism over every device of every host: the only module that knows there is more than one.

The state is replicated and the batch is cut over a one-dimensional device mesh; `jax.jit` turns the plain
single-device step into the parallel one. This is what `jax.pmap` did, in the form JAX now recommends. The
global batch decides the mathematics, not the number of devices.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from foundation.training.errors import UserError

AXIS = 'data'


def create_mesh() -> Mesh:
    """All devices of all processes in one row, so that each process holds contiguous rows of a batch."""
    return Mesh(np.asarray(jax.devices()), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """(steps, batch, ...) cut along the batch."""
    return NamedSharding(mesh, PartitionSpec(None, AXIS))


def row_sharded(mesh: Mesh) -> NamedSharding:
    """(batch, ...) cut along the batch."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def check_batch_size(mesh: Mesh, batch_size: int, name: str) -> None:
    """Raises UserError unless the batch can be cut evenly over the devices."""
    if batch_size % mesh.size:
        raise UserError(
            f'{name} is {batch_size}, which {mesh.size} devices cannot share evenly; '
            f'make it a multiple of {mesh.size} or use fewer devices.'
        )


def from_global(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """A device array from a host array that every process holds whole."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def from_local_rows(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """A global (steps, batch, ...) array from this process's contiguous rows of each batch."""
    return jax.make_array_from_process_local_data(sharding, array)


def abstract(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Shapes and types of `tree`, all under one sharding."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def sum_rows(
    function: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]], mesh: Mesh | None
) -> Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]:
    """`function(shared, rows) -> (sums, own)` on each device's rows: sums are added up, own stay with their rows.

    For gradients of single rows inside a compiled step. The compiler cannot cut a convolution whose kernels differ
    from row to row, as those gradients have it: under JAX 0.10 to 0.12 they all come out wrong, in silence.

    Args:
      function: what it differentiates is within a row; rows and own have the batch in front.
      mesh: the devices; None, or one of one device, leaves the function as it is.
    """
    if mesh is None or mesh.size == 1:
        return function

    def on_device(shared: PyTree, rows: PyTree) -> tuple[PyTree, PyTree]:
        sums, own = function(shared, rows)
        return jax.lax.psum(sums, AXIS), own

    cut = PartitionSpec(AXIS)
    # With check_vma, gradients in what is shared would be added over devices once more.
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=(PartitionSpec(), cut), out_specs=(PartitionSpec(), cut), check_vma=False
    )


def is_first_process() -> bool:
    """Whether this process writes logs and pictures."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether the flag is set on any process; all processes must call this together."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


def agree(number: int) -> int:
    """The first process's number, of at most 64 bits, on all processes; all must call this together."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    parts = np.array([number >> 32, number & 0xFFFFFFFF], np.uint32)
    high, low = multihost_utils.broadcast_one_to_all(parts).tolist()
    return high << 32 | low
