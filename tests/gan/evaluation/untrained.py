"""Generators that were never trained, without the time that drawing and compiling them takes."""

import jax
import jax.numpy as jnp
import numpy as np

from backbones.images import DataFacts
from foundation.training.checkpoints import Position
from gan.generator import TrainedGenerator, Weights
from gan.layers import BATCH_STATS
from gan.recipe import create_recipe
from tests.gan.families import small

_FACTS = DataFacts('phantom', 'f' * 64, 40, 20, ('healthy', 'lesion'), 'uint8', None)


def create_trained(architecture: str, **changes) -> TrainedGenerator:
    """The generator of a small config with random weights."""
    recipe = create_recipe(small.small_config(architecture, **changes))
    network = recipe.generator_at(recipe.resolution, recipe.image_format(2))
    latents, labels = jnp.zeros((1, network.latent_size)), jnp.zeros((1,), jnp.int32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), latents, labels)
    generator = np.random.default_rng(0)

    def draw(path, leaf):
        place, values = jax.tree_util.keystr(path), generator.normal(size=leaf.shape)
        if BATCH_STATS in place:
            values = 0.5 + np.abs(values)  # a variance is positive
        return jnp.asarray(values * (30 if 'mapping' in place else 0.5), jnp.float32)

    drawn = jax.tree_util.tree_map_with_path(draw, shapes)
    return TrainedGenerator(recipe, _FACTS, network, Weights(drawn, 1.0), Position(1, 8, '8x8'))
