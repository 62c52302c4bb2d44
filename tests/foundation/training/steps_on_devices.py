"""Two steps of a training on one device and on eight, for tests that start a process with so many."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from foundation.training import parallel

Draw = Callable[[np.random.Generator], dict[str, np.ndarray]]


def compare(step: Callable, create_state: Callable[[jax.Array], Any], draw: Draw) -> None:
    """Prints how many devices there are, how far the two trainings end apart, and how far they moved.

    Args:
      step: of a training.
      create_state: gives its first state, of a key.
      draw: a batch.
    """
    one, eight = _train(step, create_state, draw, 1), _train(step, create_state, draw, 8)
    half = len(one) // 2
    apart = max(float(np.abs(a - b).max()) for a, b in zip(one, eight, strict=True))
    moved = max(float(np.abs(a - b).max()) for a, b in zip(one[:half], one[half:], strict=True))
    print(jax.device_count(), apart, moved)


def _train(step: Callable, create_state: Callable[[jax.Array], Any], draw: Draw, count: int) -> list[np.ndarray]:
    """All parameters before and after two steps on so many devices."""
    mesh = Mesh(np.asarray(jax.devices()[:count]), (parallel.AXIS,))
    run = jax.jit(step, out_shardings=parallel.replicated(mesh))
    state = start = create_state(jax.random.key(0))
    rng = np.random.default_rng(0)
    for number in range(2):
        batch = {name: jax.device_put(rows, parallel.row_sharded(mesh)) for name, rows in draw(rng).items()}
        state, _ = run(jax.device_put(state, parallel.replicated(mesh)), batch, jax.random.key(number), {})
    return [np.asarray(leaf) for leaf in jax.tree.leaves((start.network.params, state.network.params))]
