"""Two steps on one device and on eight: prints their number, the largest difference, and how far they moved."""

from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from backbones.contrastive.recipe import create_contrastive_recipe
from backbones.contrastive.train import make_contrastive_step
from foundation.training import parallel
from tests.backbones.contrastive.encoders import BATCH, create_config


def train(count: int) -> list[np.ndarray]:
    """All parameters before and after two steps on so many devices."""
    mesh = Mesh(np.asarray(jax.devices()[:count]), (parallel.AXIS,))
    recipe = create_contrastive_recipe(create_config(Path(), views__blur=0.05, views__noise=0.1))
    run = jax.jit(make_contrastive_step(recipe), out_shardings=parallel.replicated(mesh))
    state = start = recipe.create_state(jax.random.key(0))
    rng = np.random.default_rng(0)
    for number in range(2):
        batch = {
            'image': rng.uniform(-1, 1, (BATCH, 16, 16, 1)).astype(np.float32),
            'label': np.arange(BATCH, dtype=np.int32) // 2,  # patients of two images lie on one device
        }
        batch = {name: jax.device_put(rows, parallel.row_sharded(mesh)) for name, rows in batch.items()}
        state, _ = run(jax.device_put(state, parallel.replicated(mesh)), batch, jax.random.key(number), {})
    return [np.asarray(leaf) for leaf in jax.tree.leaves((start.network.params, state.network.params))]


if __name__ == '__main__':
    one, eight = train(1), train(8)
    half = len(one) // 2
    apart = max(float(np.abs(a - b).max()) for a, b in zip(one, eight, strict=True))
    moved = max(float(np.abs(a - b).max()) for a, b in zip(one[:half], one[half:], strict=True))
    print(jax.device_count(), apart, moved)
