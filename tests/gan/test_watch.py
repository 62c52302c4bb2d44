"""Watching and transfer through the commands: the best is kept and drawn from, layers come from another run."""

import dataclasses
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from configs.gan import tiny
from foundation.training.errors import UserError
from gan.generator import restore_state
from gan.recipe import ImageFormat, WatchPlan, create_recipe
from gan.samples import TrainingSamples
from gan.transfer import copy_matching
from gan.watch import Looker, open_extractor
from input_pipeline import ImageData
from tests.gan.command import SMALL
from tests.gan.evaluation.drawn import create_extractor

WATCHED = ('--config.watch.images=64', '--config.watch.samples=16')
ONE_STAGE = ('--config.schedule.initial_resolution=8', '--config.schedule.stable_images=16')


@pytest.fixture(scope='module')
def watched(commands, tmp_path_factory):
    """A finished run with looks at 64, 128, ... 256 images; the last stage begins at 64."""
    workdir = tmp_path_factory.mktemp('watched')
    done = commands.train(workdir, *WATCHED)
    assert done.returncode == 0, done.stdout
    return workdir, done.stdout


def test_looks_are_logged_and_the_best_is_kept_apart(watched):
    workdir, output = watched
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    looks = {line['images_seen']: line['distance'] for line in lines if 'distance' in line}
    assert sorted(looks) == [64, 128, 192, 256]
    assert all('coverage' in line for line in lines if 'distance' in line)
    best = min((seen for seen in looks if seen > 64), key=looks.get)
    assert f'Best: distance {looks[best]:.4g} at {best} images' in output
    assert restore_state(workdir, best=True).position.images_seen == best
    assert restore_state(workdir).position.images_seen == 256


def test_images_are_drawn_from_the_best(commands, watched, tmp_path):
    workdir, _ = watched
    best = restore_state(workdir, best=True).position
    shutil.rmtree(workdir / 'checkpoints', ignore_errors=True)
    unchecked = ('--num=2', '--nogate', '--release_anyway', '--best')
    done = commands.run('gan.generate', f'--workdir={workdir}', f'--out={tmp_path}/o', *unchecked)
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / 'o' / 'manifest.json').read_text())['model']['step'] == best.step
    both = commands.run('gan.generate', f'--workdir={workdir}', f'--out={tmp_path}/p', *unchecked, '--step=1')
    assert both.returncode == 1
    assert '--best and --step' in both.stdout


class _Noise(ImageData, TrainingSamples):
    """Sixteen images of noise, as training images and as samples."""

    def __init__(self):
        self.num_examples = 16

    def batches(self, resolution, position, count, *, process_index, process_count):
        yield {'image': self.draw(None, None, 0, np.zeros(count)), 'label': np.zeros(count, np.int32)}

    def draw(self, state, phase, images_seen, labels):
        rng = np.random.default_rng(images_seen)
        return rng.uniform(-1.5, 1.5, (len(labels), 16, 16, 2)).astype(np.float32)


def test_a_look_is_in_the_features_that_are_named():
    """Of the image, not of its masks, and in its range."""
    form = ImageFormat(channels=1, mask_classes=1, num_classes=0)
    plan = WatchPlan(images=8, extractor='named', samples=16, on_collapse='go_on', collapse_ratio=4.0)
    recipe, noise = dataclasses.replace(create_recipe(tiny.get_config()), watch=plan), _Noise()
    looker = Looker(recipe, noise, form, noise, create_extractor())
    for seed, features in ((0, looker._real), (1, looker._features(noise.draw(None, None, 1, np.zeros(16))))):
        shown = np.clip(noise.draw(None, None, seed, np.zeros(16))[..., :1], -1, 1)
        quarters = shown.reshape(16, 2, 8, 2, 8).mean(axis=(2, 4)).reshape(16, 4)
        np.testing.assert_allclose(features, quarters, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('extractor', 'message'),
    [
        ('runs/nowhere', 'config.watch.extractor=runs/nowhere is no extractor'),
        ('radiomics', 'The watch needs the features of a network'),
    ],
)
def test_an_extractor_that_cannot_be_is_refused(extractor, message):
    plan = WatchPlan(images=8, extractor=extractor, samples=16, on_collapse='go_on', collapse_ratio=4.0)
    form = ImageFormat(channels=1, mask_classes=0, num_classes=0)
    with pytest.raises(UserError, match=message):
        open_extractor(plan, form)
    assert open_extractor(dataclasses.replace(plan, images=0), form) is None
    assert open_extractor(dataclasses.replace(plan, extractor=''), form).name == 'random features'


@pytest.mark.slow
def test_layers_are_taken_from_another_run_and_the_rest_is_told(commands, tmp_path):
    assert commands.train(tmp_path / 'source', *ONE_STAGE).returncode == 0
    flags = (
        *ONE_STAGE,
        f'--config.start_from.workdir={tmp_path}/source',
        '--config.start_from.discriminator=false',
        '--config.conditional=true',
        '--config.optimizer.generator_learning_rate=0.0',
    )
    done = commands.train(tmp_path / 'target', *flags)
    assert done.returncode == 0, done.stdout
    # The condition enters the dense layer alone.
    assert 'of the generator copied' in done.stdout
    assert 'Drawn afresh, as the other run has none of that name and shape: 4x4_dense/kernel.' in done.stdout
    assert 'of the discriminator' not in done.stdout
    source, target = (restore_state(tmp_path / name).state for name in ('source', 'target'))
    averaged, started = source.averages['generator']['params'], target.networks['generator'].params
    np.testing.assert_array_equal(started['8x8_conv0']['kernel'], averaged['8x8_conv0']['kernel'])
    assert started['4x4_dense']['kernel'].shape != averaged['4x4_dense']['kernel'].shape
    # Going on does not copy again, nor need the source any more.
    shutil.rmtree(tmp_path / 'source')
    again = commands.train(tmp_path / 'target', *flags, '--config.schedule.final_images=16')
    assert again.returncode == 0, again.stdout
    assert 'Transfer' not in again.stdout


@pytest.mark.parametrize(
    ('folder', 'message'), [('target', '--workdir itself'), ('nowhere', 'holds no checkpoints')]
)
def test_a_source_that_cannot_be_is_refused(commands, tmp_path, folder, message):
    done = commands.train(tmp_path / 'target', f'--config.start_from.workdir={tmp_path}/{folder}')
    assert done.returncode == 1
    assert message in done.stdout
    assert 'Traceback' not in done.stdout
    assert SMALL[0] in done.args


def test_matching_leaves_are_copied_but_for_those_already_known():
    source = {'a': {'kernel': jnp.ones(2)}, 'b': {'kernel': jnp.ones(3)}, 'd': {'kernel': jnp.ones(1)}}
    target = {'a': {'kernel': jnp.zeros(2)}, 'b': {'kernel': jnp.zeros(4)}, 'c': {'bias': jnp.zeros(1)}}
    copied, missing = copy_matching(source, target, {})
    assert missing == ['b/kernel', 'c/bias']
    assert (copied['a']['kernel'].sum(), copied['b']['kernel'].sum()) == (2, 0)
    copied, missing = copy_matching(source, target, {'a': {'kernel': jnp.zeros(2)}, 'b': {'kernel': jnp.zeros(4)}})
    assert missing == ['c/bias']
    assert copied['a']['kernel'].sum() == 0
