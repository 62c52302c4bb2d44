"""Bringing batches to the devices: from decoded data kept there, or from an iterator on the host.

A feed is an iterator of calls' worth of batches: dictionaries of arrays (steps, batch, ...) cut over the devices.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from foundation.training import parallel

Batches = dict[str, jax.Array]
Select = Callable[[int, int], dict[str, np.ndarray]]
Unpack = Callable[[Mapping[str, jax.Array]], Mapping[str, jax.Array]]


def place_on_devices(arrays: Mapping[str, np.ndarray], mesh: Mesh) -> Batches:
    """Decoded examples, whole on every device."""
    return {name: parallel.from_global(array, parallel.replicated(mesh)) for name, array in arrays.items()}


def device_feed(
    arrays: Batches,
    select: Select,
    unpack: Unpack,
    mesh: Mesh,
    *,
    position: int,
    batch_size: int,
    sizes: Iterable[int],
) -> Iterator[Batches]:
    """Picks examples from decoded data that live on the devices, so that only indices travel.

    Args:
      arrays: decoded examples; every array starts with the example axis.
      select: `select(position, count)` names the examples at shuffled positions: `index` (count,), and whatever
        else `unpack` needs, each (count, ...).
      unpack: turns picked rows and the rest of the selection into the final batch; traced.
      mesh: the devices.
      position: first position to take.
      batch_size: examples of a global batch.
      sizes: steps of each call.
    """
    sharding = parallel.batch_sharded(mesh)

    @jax.jit
    def gather(arrays: Batches, selection: Batches) -> Batches:
        flags = dict(selection)
        index = flags.pop('index')
        rows = {name: jnp.take(array, index, axis=0) for name, array in arrays.items()}
        # Steps and batch stay two axes: merged, they could not be cut, and every device would pick all rows.
        return jax.lax.with_sharding_constraint(jax.vmap(unpack)(rows | flags), sharding)

    for steps in sizes:
        selection = select(position, steps * batch_size)
        position += steps * batch_size
        cut = {name: flag.reshape(steps, batch_size, *flag.shape[1:]) for name, flag in selection.items()}
        yield gather(arrays, {name: parallel.from_global(flag, sharding) for name, flag in cut.items()})


def host_feed(
    batches: Generator[Mapping[str, np.ndarray], None, None], mesh: Mesh, *, sizes: Iterable[int]
) -> Iterator[Batches]:
    """Stacks batches from a host iterator and sends them one call ahead, in a background thread.

    Args:
      batches: yields this process's rows of each global batch, in order; closed at the end.
      mesh: the devices.
      sizes: steps of each call.
    """
    sharding = parallel.batch_sharded(mesh)

    def stack(steps: int) -> Batches:
        rows = [next(batches) for _ in range(steps)]
        return {
            name: parallel.from_local_rows(np.stack([row[name] for row in rows]), sharding) for name in rows[0]
        }

    with contextlib.closing(batches), ThreadPoolExecutor(1, thread_name_prefix='feed') as executor:
        ahead = None
        for steps in sizes:
            ready, ahead = ahead, executor.submit(stack, steps)
            if ready is not None:
                yield ready.result()
        if ahead is not None:
            yield ahead.result()
