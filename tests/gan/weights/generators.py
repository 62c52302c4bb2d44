"""Generators of all families with random weights, as they are exported."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from backbones.images import DataFacts
from configs.gan import biggan, dcgan, gran, sngan, stylegan, stylegan2, tiny
from foundation.training.checkpoints import Position
from foundation.training.state import Variables
from gan.recipe import GanRecipe, create_recipe
from gan.weights import Description, write_exported

FACTS = DataFacts('phantom_exported', 'f' * 64, 40, 20, ('healthy', 'lesion'), 'uint8', (-1000.0, 1000.0))
_CONFIGS = {
    'progressive': tiny,
    'dcgan': dcgan,
    'residual': sngan,
    'biggan': biggan,
    'gran': gran,
    'stylegan': stylegan,
    'stylegan2': stylegan2,
}
FAMILIES = tuple(_CONFIGS)
# Widths that are small in all families; each has some of them.
_SMALL = {'latent_size': 8, 'last_width': 4, 'first_width': 4, 'max_width': 8, 'fmap_base': 64, 'fmap_max': 8}


def create_config(family: str) -> ConfigDict:
    """A small config of the family; the progressive one with classes and masks."""
    config = _CONFIGS[family].get_config()
    config.data.data_dir = '/a/folder/of/this/machine'
    if family == 'progressive':
        config.conditional, config.mask_classes = True, 1
        return config
    config.resolution = 32
    for section in (config.generator, config.discriminator):
        section.update({name: width for name, width in _SMALL.items() if name in section})
    if family == 'dcgan':
        config.schedule.batch_size = {'at_32': 8}
    return config


def draw_variables(recipe: GanRecipe, stage: str) -> tuple[Variables, Position]:
    """Random weights at a stage, and a position in the middle of it."""
    stages = {each.name: each for each in recipe.stages(FACTS.num_examples)}
    state = recipe.abstract_state(stages[stage].resolution, recipe.image_format(len(FACTS.classes)))
    generator = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), state.averaged('generator')
    )
    seen = stages[stage].start + stages[stage].batch_size
    return variables, Position(step=7, images_seen=seen, phase=stage)


def write_generator(folder: Path, *, dtype: str = 'bfloat16') -> Description:
    """Exports the progressive one while 8x8 fades in."""
    recipe = create_recipe(create_config('progressive'))
    variables, position = draw_variables(recipe, '8x8')
    return write_exported(
        folder, recipe, FACTS, position, variables, dtype=dtype, beside={'sample.py': b'x'}, overwrite=False
    )
