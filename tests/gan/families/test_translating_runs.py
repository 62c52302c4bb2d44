"""Runs that translate images, through the loop of every run, with the smallest networks."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from foundation.training.errors import UserError
from gan.domains import read_domains
from gan.families import FAMILIES
from gan.generator import TrainedGenerator
from gan.train import train_and_evaluate
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.families import small, translators

SIDE, END = 8, 6 * small.BATCH


def _create(sections, shared):
    judge = translators.TinyJudge(1, sections['discriminator']['pool'], SIDE)
    return {
        name: translators.TinyTranslator(SIDE) if side == 'generator' else judge.clone()
        for name, side in FAMILIES['cyclegan'].sides.items()
    }


def _config(architecture, data_dir):
    config = small.small_config(
        architecture,
        side=SIDE,
        data__name='phantom_domains',
        data__data_dir=str(data_dir),
        data__modalities=('CT',),
        data__window='dataset',
        target__modalities=('MR',),
        target__window='physical',
        target__window_range=(0.0, 1500.0),
        run__log_images=small.BATCH,
        run__sample_images=END,
        run__checkpoint_images=small.BATCH,
        run__checkpoints_to_keep=100,
        samples__rows=3,
        samples__columns=6,
        schedule__fade_images=0,
        schedule__stable_images=END,
        watch__images=END,
        watch__samples=16,
        anneal__images=END,
        anneal__shape='linear',
        anneal__constant=0.5,
        anneal__learning_rate=0.0,
    )
    config.data.phantom.update({'count': 48, 'size': SIDE, 'modalities': ('CT', 'MR')})
    return config


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The folder of a run of CycleGAN of CT to MR that was never stopped, and of one that was, and went on."""
    folder, patch = tmp_path_factory.mktemp('runs'), pytest.MonkeyPatch()
    patch.setitem(FAMILIES, 'cyclegan', dataclasses.replace(FAMILIES['cyclegan'], create=_create))
    config = _config('cyclegan', folder / 'data')
    with patch.context():
        train_here(train_and_evaluate, config, folder / 'whole')
        train_here(train_and_evaluate, config, folder / 'stopped')
        for step in (folder / 'stopped' / 'checkpoints').iterdir():
            if int(step.name) > END // 2 // small.BATCH:
                shutil.rmtree(step)
        train_here(train_and_evaluate, config, folder / 'stopped')
        yield folder
    patch.undo()


def test_a_run_with_a_pool_goes_on_bit_for_bit(runs):
    one, other = (saved_state(runs / name / 'checkpoints', END // small.BATCH) for name in ('whole', 'stopped'))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    pools = [name for name in one if 'pool' in name and 'images' in name]
    assert len(pools) == 2
    assert all(np.abs(one[name]).max(axis=(1, 2, 3)).min() > 0 for name in pools)  # full: no image is empty


def test_a_translating_run_watches_shows_its_images_and_draws_none(runs):
    lines = logged_metrics(runs / 'whole')
    assert {'cycle_loss', 'identity_loss', 'inverse_generator_loss'} <= lines[0].keys()
    assert any('distance' in line for line in lines)
    (grid,) = (runs / 'whole' / 'samples').glob('*.png')
    with Image.open(grid) as picture:
        assert picture.size == (6 * 64, 3 * 64)
    source, target = read_domains(runs / 'whole')
    assert target.intensity == (0.0, 1500.0) != source.intensity
    with pytest.raises(UserError, match='a run of cyclegan, whose generator translates images and draws none'):
        TrainedGenerator.load(runs / 'whole')


def test_pairs_that_are_none_are_refused(runs, tmp_path):
    with pytest.raises(input_pipeline.DataError, match='has its counterpart in'):
        train_here(train_and_evaluate, _config('pix2pix', runs / 'data'), tmp_path / 'run')
