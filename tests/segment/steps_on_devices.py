"""Two steps on volumes, on one device and on eight: their number, how far apart they end, how far they moved."""

import numpy as np

from segment.recipe import create_recipe
from segment.step import make_train_step
from tests.foundation.training.steps_on_devices import compare
from tests.segment.volume_recipes import create_volume_config

_BATCH = 8


def _draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        'image': rng.uniform(-1, 1, (_BATCH, 4, 8, 8, 1)).astype(np.float32),
        'ids': rng.integers(0, 3, (_BATCH, 4, 8, 8)).astype(np.uint8),
    }


if __name__ == '__main__':
    # Turned masks are left out: where two classes have the same share of a voxel, rounding decides.
    changes = {'optimizer.name': 'sgd', 'augment.rotation': 0.0, 'augment.scaling': 0.0}
    recipe = create_recipe(create_volume_config(changes))
    compare(make_train_step(recipe), recipe.create_state, _draw)
