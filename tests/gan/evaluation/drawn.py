"""Sets of images, extractors and runs that are made in a moment."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from backbones.extractors import Extracted, Extractor
from backbones.images import facts_of
from configs.gan import tiny
from foundation.training.checkpoints import Checkpoints, Position
from gan.evaluation.evaluation import GeneratorProtocol
from gan.evaluation.statistics import ImageStatistics
from gan.recipe import create_recipe

CLASSES = ('dark', 'bright', 'other')
HOSTILE = '_<b onload=x>$ \u4e2d'  # the name of a workdir that is no HTML


def draw_described(count, seed=0, class_count=3, owners=None):
    """Random images of 16 pixels a side, each with four features and the probabilities of classes."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(count, 16, 16, 1)).cumsum(1)
    return ImageStatistics(
        features=generator.normal(size=(count, 4)).astype(np.float32),
        probabilities=generator.dirichlet(np.full(3, 0.3), count).astype(np.float32)[:, :class_count],
        labels=np.arange(count, dtype=np.int32) % 3,
        owners=np.arange(count) if owners is None else owners,
        finite=np.ones(count, bool),
        pixels=np.clip(127 + 20 * noise, 0, 255).astype(np.uint8),
        pixel_rows=np.arange(count),
    )


def spoil(described, *rows):
    """The set, as if these images had not been finite."""
    return dataclasses.replace(described, finite=~np.isin(np.arange(len(described)), rows))


def _look(variables, images):
    quarters = images.reshape(len(images), 2, images.shape[1] // 2, 2, -1).mean(axis=(2, 4))
    features = quarters.reshape(len(images), -1)
    logits = features[:, :3] * variables['sharpness']
    return Extracted(features, jax.nn.softmax(logits))


def create_extractor(**fields):
    """Means of quarters as features; three classes."""
    values = {
        'name': 'quarters',
        'checksum': '0' * 64,
        'resize': 'not at all',
        'classes': CLASSES,
        'channels': (1,),
        'temperature': 1.0,
        'is_fid': False,
        'variables': {'sharpness': jnp.float32(8)},
        'extract': _look,
    }
    return Extractor(**(values | fields))


def create_config(folder: Path, **fields):
    """A conditional run on 96 small phantoms."""
    config = tiny.get_config()
    config.conditional = True
    config.data.name, config.data.data_dir = 'phantom_evaluated', str(folder / 'data')
    config.data.phantom.count = 96
    config.update_from_flattened_dict(fields)
    return config


def write_run(folder: Path, name: str, seed: int, **fields) -> Path:
    """The workdir of such a run; see `write_workdir`."""
    return write_workdir(create_config(folder, **fields), folder / name, seed)


def write_workdir(config: ConfigDict, workdir: Path, seed: int) -> Path:
    """A workdir whose best state was of step 1 and whose last is of step 2, as if it had been trained."""
    workdir.mkdir(parents=True)
    (workdir / 'config.json').write_text(config.to_json_best_effort())
    recipe = create_recipe(config)
    facts = facts_of(recipe.open_training())
    facts.write(workdir)
    shapes = recipe.abstract_state(16, recipe.image_format(len(facts.classes)))
    for place, step in [('best_checkpoints', 1), ('checkpoints', 2)]:
        generator = np.random.default_rng([seed, step])
        state = jax.tree.map(
            lambda leaf, draws=generator: jnp.asarray(draws.normal(size=leaf.shape), leaf.dtype), shapes
        )
        with contextlib.closing(Checkpoints(workdir / place, keep=1)) as checkpoints:
            checkpoints.save(state, Position(step, 96 + 8 * step, '16x16'))
    return workdir


def create_protocol(**fields) -> GeneratorProtocol:
    """Forty images of the newest state against the training split."""
    values: dict[str, Any] = {
        'count': 40,
        'seed': 0,
        'reference': 'train',
        'held_out': 'test',
        'step': None,
        'best': False,
        'batch_size': 16,
        'segmenter': None,
    }
    return GeneratorProtocol(**(values | fields))
