"""Small runs of every family, for tests."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs.gan import dcgan
from configs.gan.schema import GAN, SECTIONS
from configs.schema import create
from gan.families import FAMILIES
from gan.recipe import GanRecipe, create_recipe
from gan.state import GanState
from gan.step import StepRecipe
from gan.updates import Turn, make_step

SIDE, BATCH, CLASSES = 8, 4, 3
_NARROW = ('last_width', 'max_width', 'first_width', 'fmap_max', 'width', 'dense_width', 'joint_width')


def small_config(architecture: str, side: int = SIDE, **changes: Any) -> ConfigDict:
    """The smallest config of a family; `changes` are fields by dotted name, with __ for the dots."""
    config = dcgan.train_like_dcgan(create(GAN, architecture=architecture))
    config.resolution, config.channels, config.compute_dtype = side, 1, 'float32'
    config.schedule.initial_resolution = side
    config.schedule.batch_size = {f'at_{side}': BATCH}
    for name in SECTIONS:
        for field in config.get(name, ()):
            if field in _NARROW:
                config[name][field] = 8
            elif field in ('latent_size', 'layers', 'coarsest', 'blocks', 'pool'):
                layers = 1 if FAMILIES[architecture].translates else 2
                small = {'latent_size': 8, 'layers': layers, 'coarsest': 4, 'blocks': 1, 'pool': 5}
                config[name][field] = small[field]
    for place, values in FAMILIES[architecture].allows.items():
        *sections, field = place.split('.')
        section = functools.reduce(lambda part, name: part[name], sections, config)
        if section[field] not in values:
            section[field] = values[0]
    config.update_from_flattened_dict({name.replace('__', '.'): value for name, value in changes.items()})
    return config


def start(config: ConfigDict) -> tuple[GanRecipe, StepRecipe, GanState]:
    """Its recipe, the recipe of its step, and a fresh state."""
    gan = create_recipe(config)
    step = gan.step_at(gan.resolution, gan.image_format(CLASSES))
    return gan, step, jax.jit(functools.partial(gan.create_state, step))(jax.random.key(0))


def make_updates(step: StepRecipe) -> list[Any]:
    """A step for each update, in which nothing else is made."""
    updates = step.create_updates(step)
    turns = [[Turn(number == own, False) for number in range(len(updates))] for own in range(len(updates))]
    return [jax.jit(make_step(updates, step.optimizers, due)) for due in turns]


def create_batch(side: int = SIDE, count: int = BATCH) -> dict[str, jax.Array]:
    """Random images, classes in turn."""
    images = np.random.default_rng(0).uniform(-1, 1, (count, side, side, 1))
    return {'image': jnp.asarray(images, jnp.float32), 'label': jnp.arange(count, dtype=jnp.int32) % CLASSES}


def controls() -> dict[str, jax.Array]:
    """Of a first step."""
    return {'alpha': jnp.float32(1), 'images_seen': jnp.float32(0)}
