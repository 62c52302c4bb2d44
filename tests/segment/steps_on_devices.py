"""Two steps on volumes, on one device and on eight: their number, how far apart they end, how far they moved."""

import jax
import numpy as np
from jax.sharding import Mesh

from foundation.training import parallel
from segment.recipe import create_recipe
from segment.step import make_train_step
from tests.segment.volume_recipes import create_volume_config

_BATCH = 8


def train(count: int) -> list[np.ndarray]:
    """All parameters before and after two steps on so many devices."""
    mesh = Mesh(np.asarray(jax.devices()[:count]), (parallel.AXIS,))
    # Turned masks are left out: where two classes have the same share of a voxel, rounding decides.
    recipe = create_recipe(
        create_volume_config({'optimizer.name': 'sgd', 'augment.rotation': 0.0, 'augment.scaling': 0.0})
    )
    run = jax.jit(make_train_step(recipe), out_shardings=parallel.replicated(mesh))
    state = start = recipe.create_state(jax.random.key(0))
    rng = np.random.default_rng(0)
    for number in range(2):
        batch = {
            'image': rng.uniform(-1, 1, (_BATCH, 4, 8, 8, 1)).astype(np.float32),
            'ids': rng.integers(0, 3, (_BATCH, 4, 8, 8)).astype(np.uint8),
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
