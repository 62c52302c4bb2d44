"""Applying a function to any number of rows, always so many at a time, cut over all devices."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree, Shaped

from foundation.training import parallel

Rows = Shaped[np.ndarray, 'count *_']


def create_mapper(
    function: Callable[..., PyTree], mesh: Mesh, batch_size: int
) -> Callable[..., PyTree[np.ndarray]]:
    """Returns `mapped(variables, *rows)`: the results of `function(variables, *batch)`, one a row, on the host.

    Every batch has the same size, so that one program serves all; the last is filled with rows from the start,
    which are dropped again. Several processes call it together, each with all rows.

    `mapped` raises ValueError where there is no row, or where arrays have different numbers of rows.

    Args:
      function: traced; its results have the batch as first axis, and depend on one row each.
      mesh: the devices.
      batch_size: rows at a time, rounded up to what the devices can share.
    """
    size = -(-batch_size // mesh.size) * mesh.size
    compiled = jax.jit(function, out_shardings=parallel.replicated(mesh))
    sharding = parallel.row_sharded(mesh)

    def mapped(variables: Any, *rows: Rows) -> PyTree[np.ndarray]:
        count, parts = len(rows[0]), []
        if not count or any(len(array) != count for array in rows):
            raise ValueError(f'Needed are as many rows of each array, one at least, not {[*map(len, rows)]}.')
        for start in range(0, count, size):
            wanted = np.arange(start, start + size) % count
            batch = [parallel.from_global(np.asarray(array)[wanted], sharding) for array in rows]
            results = compiled(variables, *batch)
            parts.append(jax.tree.map(lambda leaf, start=start: np.asarray(leaf)[: count - start], results))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    return mapped
