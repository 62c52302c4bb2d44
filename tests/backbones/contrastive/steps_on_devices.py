"""Two steps on one device and on eight: prints their number, the largest difference, and how far they moved."""

from pathlib import Path

import numpy as np

from backbones.contrastive.recipe import create_contrastive_recipe
from backbones.contrastive.train import make_contrastive_step
from tests.backbones.contrastive.encoders import BATCH, create_config
from tests.foundation.training.steps_on_devices import compare


def _draw(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        'image': rng.uniform(-1, 1, (BATCH, 16, 16, 1)).astype(np.float32),
        'label': np.arange(BATCH, dtype=np.int32) // 2,  # patients of two images lie on one device
    }


if __name__ == '__main__':
    recipe = create_contrastive_recipe(create_config(Path(), views__blur=0.05, views__noise=0.1))
    compare(make_contrastive_step(recipe), recipe.create_state, _draw)
