"""The exported program draws what `gan.generate` draws, bit for bit, of every family that draws from latents."""

import jax
import numpy as np
import pytest
from flax import traverse_util
from jax import export

from backbones.images import DataFacts
from foundation.training import parallel
from foundation.training.checkpoints import Position
from gan.exports.program import PLATFORMS, export_programs
from gan.families import FAMILIES
from gan.generator import TrainedGenerator, Weights
from gan.sampler import Sampler
from tests.gan.families import small

FACTS = DataFacts('phantom', 'f' * 64, 40, 20, ('a', 'b', 'c'), 'uint16', (-1000.0, 1000.0))
BATCH = 5
_LONG = ('biggan', 'dcgan', 'gran', 'r3gan', 'stylegan', 'stylegan2')  # to compile


def _train_nothing(architecture: str) -> TrainedGenerator:
    """A generator with random weights; the growing ones in the middle of fading in."""
    conditional = True in FAMILIES[architecture].allows.get('conditional', (True,))
    config = small.small_config(architecture, conditional=conditional, compute_dtype='auto')
    recipe, step, state = small.start(config)
    weights = Weights(jax.tree.map(np.asarray, state.averaged('generator')), 0.25)
    return TrainedGenerator(recipe, FACTS, step.generator, weights, Position(1, 8, '8x8'))


@pytest.mark.parametrize(
    'architecture',
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in _LONG))
        for name, family in sorted(FAMILIES.items())
        if not family.translates  # they draw nothing from latents, and TrainedGenerator refuses them
    ],
)
def test_images_are_those_of_the_sampler(architecture):
    trained = _train_nothing(architecture)
    programs = {
        platform: export.deserialize(bytearray(content))
        for platform, content in export_programs(trained, BATCH).items()
    }
    assert [program.platforms for program in programs.values()] == [(platform,) for platform in PLATFORMS]
    for platform, program in programs.items():
        assert ('bf16' in program.mlir_module()) == (platform != 'cpu')
    program = programs['cpu']
    numbers = np.arange(3, 3 + BATCH, dtype=np.int32)
    labels = numbers % small.CLASSES if trained.image_format.num_classes else np.zeros_like(numbers)
    flat = traverse_util.flatten_dict(trained.weights.variables, sep='/')
    images = np.asarray(jax.jit(program.call)(flat, np.float32(0.25), np.uint32(7), numbers, labels))
    sampler = Sampler(trained.network, trained.image_format, parallel.create_mesh(), BATCH)
    drawn = sampler.draw_numbered(trained.weights, 7, numbers, labels)
    np.testing.assert_array_equal(images, drawn.images)
    assert images.std() > 0
    assert (images[0] != images[1]).any()
