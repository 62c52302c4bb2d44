"""Families of more than a pair through the loop of every run: they train, go on bit for bit, and draw."""

import shutil

import numpy as np
import pytest

from foundation.report.page import Page
from foundation.training.errors import UserError
from gan.codes import encode_images
from gan.generator import TrainedGenerator, restore_state
from gan.recipe import create_recipe
from gan.reporting import sections
from gan.reporting.grids import Artists
from gan.reporting.runs import read_runs
from gan.sampler import draw_images, labels_in_turn
from gan.sources import images_of_split
from gan.train import train_and_evaluate
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.families import small

SIDE, END = 16, 8 * small.BATCH
LOGGED = {
    'infogan': {'category_information', 'continuous_information', 'codes_gradient_norm'},
    'bigan': {'encoder_loss', 'encoder_gradient_norm'},
    'aae': {'reconstruction', 'class_error', 'class_discriminator_loss'},
    'lapgan': {'discriminator_loss_8x8', 'generator_loss_16x16'},
}


def _config(architecture, data_dir, **changes):
    config = small.small_config(
        architecture,
        side=SIDE,
        data__name='phantom_families',
        data__data_dir=str(data_dir),
        data__phantom__count=48,
        data__phantom__size=SIDE,
        run__log_images=small.BATCH,
        run__sample_images=END,
        run__checkpoint_images=small.BATCH,
        run__checkpoints_to_keep=100,
        samples__rows=2,
        samples__columns=6,
        schedule__fade_images=0,
        schedule__stable_images=END // 2,
        schedule__final_images=END // 2,
        watch__images=END,
        watch__samples=16,
        **changes,
    )
    if architecture == 'aae':
        config.conditional, config.family.labelled, config.family.labelled_share = True, 6, 0.5
    return config


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp('data')


@pytest.mark.parametrize(
    'architecture', [pytest.param(name, marks=[pytest.mark.slow] * (name != 'aae')) for name in sorted(LOGGED)]
)
def test_a_family_trains_watches_and_draws(architecture, data_dir, tmp_path):
    config = _config(architecture, data_dir)
    train_here(train_and_evaluate, config, tmp_path)
    lines = logged_metrics(tmp_path)
    assert LOGGED[architecture] <= lines[0].keys()
    assert lines[0]['skipped'] == 0
    assert any('distance' in line for line in lines)
    trained = TrainedGenerator.load(tmp_path)
    labels = labels_in_turn(3, trained.image_format.num_classes, None)
    (drawn,) = draw_images(trained, labels, seed=1, batch_size=4)
    assert drawn.images.shape == (3, SIDE, SIDE, 1)
    assert np.isfinite(drawn.images).all()
    run = restore_state(tmp_path)
    opened = images_of_split(trained.recipe.open_split('train'), 'train', SIDE)
    if architecture == 'lapgan':
        with pytest.raises(UserError, match="'lapgan' has no encoder; train one of bigan, aae or infogan"):
            encode_images(run, opened, batch_size=5)
        return
    taken = []
    coded = encode_images(run, opened, batch_size=5, take=taken.append)
    assert sum(map(len, taken)) == (0 if coded.reconstructions is None else len(opened))
    assert len(coded.keys) == len(coded.labels) == len(coded.coded['codes']) == len(opened)
    assert (coded.reconstructions is None) == (architecture == 'infogan')
    assert all(np.isfinite(values).all() for values in coded.coded.values())
    if architecture == 'aae':
        _check_report(tmp_path)


def _check_report(workdir):
    """Codes of the test split stand on the page: a table, an embedding and reconstructions."""
    out = workdir / 'report'
    out.mkdir()
    report = sections._Report(Page('codes'), out)
    sections._show_codes(report, read_runs([workdir])[0], Artists(None, None, ()), '')
    report.page.write(out / 'index.html')
    page = (out / 'index.html').read_text()
    for told in ('MMD^2 of codes to the prior', 'class error', 'embedding.png', 'reconstructions.png'):
        assert told in page


@pytest.mark.slow
def test_a_run_of_three_phases_goes_on_bit_for_bit(data_dir, tmp_path):
    whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
    train_here(train_and_evaluate, _config('aae', data_dir), whole)
    first = _config('aae', data_dir)
    first.schedule.final_images = 0
    train_here(train_and_evaluate, first, stopped)
    assert restore_state(stopped).position.images_seen == END // 2
    train_here(train_and_evaluate, _config('aae', data_dir), stopped)
    one, other = (saved_state(folder / 'checkpoints', END // small.BATCH) for folder in (whole, stopped))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    shutil.rmtree(whole)


def test_a_run_with_few_labels_is_told_no_others(data_dir):
    config = _config('aae', data_dir)
    recipe = create_recipe(config)
    images = recipe.open_training()
    told = recipe.hide_labels(images)
    assert (told.labels >= 0).sum() == 6
    batches = told.batches(SIDE, 0, 8, process_index=0, process_count=1)
    seen = np.stack([next(batches)['label'] for _ in range(6)])
    assert ((seen >= 0).sum(axis=1) >= 4).all()  # half of each batch, and what comes by itself
    assert (seen < 0).any()
    assert (images.labels >= 0).all()
