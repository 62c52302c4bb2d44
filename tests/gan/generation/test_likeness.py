"""What is noise is told, what is like the training images is not; without these, an early end is told."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from backbones.images import facts_of
from configs.gan import tiny
from foundation.export.manifest import NOT_CHECKED
from foundation.training.checkpoints import Position
from gan.generation.likeness import Likeness
from gan.generator import TrainedGenerator, Weights
from gan.recipe import create_recipe
from gan.reporting.runs import ReportedRun
from gan.sampler import Drawn, draw_images, labels_in_turn

SIZE = 16


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A generator before training, which says that it is at the end; and its training images."""
    config = tiny.get_config()
    config.data.name, config.data.data_dir = 'phantom_likeness', str(tmp_path_factory.mktemp('data'))
    config.data.phantom.count = 300
    config.data.phantom.images_per_patient = 1
    recipe = create_recipe(config)
    images = recipe.open_training()
    facts = facts_of(images)
    network = recipe.generator_at(SIZE, recipe.image_format(len(facts.classes)))
    latents = np.zeros((1, network.latent_size), np.float32)
    variables = jax.jit(network.init)(jax.random.key(0), latents, np.zeros(1, np.int32))
    end = recipe.stages(facts.num_examples)[-1].end
    generator = TrainedGenerator(recipe, facts, network, Weights(variables, 1.0), Position(0, end, 'stage'))
    return generator, np.concatenate([row['image'] for row in images.in_order(SIZE, 64)])


def _note(generator, batches, seen=1.0):
    recipe, facts = generator.recipe, generator.facts
    stages = recipe.stages(facts.num_examples)
    run = ReportedRun('run', Path(), recipe, facts, stages, (), {})
    position = dataclasses.replace(generator.position, images_seen=int(seen * stages[-1].end))
    likeness = Likeness(dataclasses.replace(generator, position=position), run)
    passed = list(likeness.look(batches))
    assert [id(batch) for batch in passed] == [id(batch) for batch in batches]
    release = likeness.remark(NOT_CHECKED)
    assert (release.verdict, release.figures) == (NOT_CHECKED.verdict, NOT_CHECKED.figures)
    return release.note


def _batches(images):
    zeros = np.zeros(len(images), np.int32)
    whole = Drawn(images, np.zeros((*images.shape[:3], 1), np.uint8), zeros, zeros)
    return [whole.keep(part) for part in np.array_split(np.arange(len(images)), 3)]


@pytest.mark.slow
def test_an_untrained_generator_is_told(trained):
    generator, _ = trained
    labels = labels_in_turn(40, generator.image_format.num_classes, None)
    note = _note(generator, list(draw_images(generator, labels, seed=0, batch_size=32)))
    assert note.startswith('What is drawn is far from the training images: 0% of the images lie among them, of')
    assert 'schedule' not in note
    early = _note(generator, list(draw_images(generator, labels, seed=0, batch_size=32)), seen=0.01)
    assert '(the generator has seen 0.62% of the images of its schedule); look at them' in early


@pytest.mark.parametrize('kind', ['noise', 'constant'])
def test_noise_and_nothing_are_told_whoever_draws_them(trained, kind):
    generator, real = trained
    drawn = np.random.default_rng(0).uniform(-1, 1, (64, *real.shape[1:])) if kind == 'noise' else real[:64] * 0
    assert _note(generator, _batches(drawn.astype(np.float32))).startswith(
        'What is drawn is far from the training'
    )


@pytest.mark.parametrize('seen', [0.01, 1.0])
def test_images_like_those_of_training_are_not(trained, seen):
    generator, real = trained
    blurred = 0.9 * real[::4] + 0.1 * real[1::4]
    assert _note(generator, _batches(blurred), seen) == ''


@pytest.mark.parametrize('seen', [0.01, 0.5])
def test_where_nothing_can_be_compared_an_early_end_is_told(trained, seen, tmp_path):
    """Too few images, other data, or none: which are not drawn anew to compare with."""
    generator, real = trained
    elsewhere = dataclasses.replace(generator.recipe.images, data_dir=str(tmp_path / 'data'))
    other = dataclasses.replace(generator.facts, fingerprint='other')
    early = 'The generator has seen 0.62% of the images of its schedule, so it may draw little but noise; '
    expected = f'{early}look at them.'
    for changed, count in (
        (generator, 15),
        (dataclasses.replace(generator, facts=other), 64),
        (dataclasses.replace(generator, recipe=dataclasses.replace(generator.recipe, images=elsewhere)), 64),
    ):
        assert _note(changed, _batches(0 * real[:count]), seen) == (expected if seen < 0.1 else '')
    assert not (tmp_path / 'data').exists()
