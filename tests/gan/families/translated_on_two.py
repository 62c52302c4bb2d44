"""A few steps of the family that is named, on one device and on two; prints the largest difference."""

import functools
import sys

import jax
import numpy as np
from jax.sharding import Mesh

from foundation.training import parallel
from gan.families import FAMILIES
from gan.step import create_cycle
from tests.gan.families import small, translators


def train(architecture: str, count: int) -> list[np.ndarray]:
    """All arrays after a few steps on so many devices, and before them."""
    mesh = Mesh(np.asarray(jax.devices()[:count]), (parallel.AXIS,))
    recipe = translators.create_recipe(architecture)
    (step,) = create_cycle(recipe)
    state = start = translators.create_start(recipe, FAMILIES[architecture].inputs)
    run = jax.jit(step, out_shardings=parallel.replicated(mesh))
    for number in range(3):
        batch = {
            name: jax.device_put(rows, parallel.row_sharded(mesh))
            for name, rows in small.create_batch(translators.SIDE, 8).items()
        }
        state, _ = run(
            jax.device_put(state, parallel.replicated(mesh)), batch, jax.random.key(number), small.controls()
        )
    return [np.asarray(leaf) for leaf in jax.tree.leaves((start, state))]


if __name__ == '__main__':
    one, two = (train(sys.argv[1], count) for count in (1, 2))
    size = functools.reduce(max, (float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True)))
    half = len(one) // 2
    moved = functools.reduce(
        max, (float(np.abs(a - b).max()) for a, b in zip(one[:half], one[half:], strict=True))
    )
    print(jax.device_count(), size, moved)
