"""A detector that sees patches of images at their own pixels: in training, at work, and in what it says."""

import dataclasses

import cv2
import numpy as np
import pytest
import scipy.special

from configs.detect import detector
from detect import prepare
from detect.calibration import score_split
from detect.data import read_batches
from detect.evaluation.explanations import PICTURE, explain
from detect.evaluation.outputs import measure
from detect.evaluation.perturbations import by_tile
from detect.judge import describe_judgement, open_judge
from detect.predictions import draw_judgement
from detect.recipe import create_recipe
from detect.train import train_and_evaluate
from foundation.training.errors import UserError
from input_pipeline.cases import create_case
from input_pipeline.dataset.items import open_splits
from tests.detect.conftest import FLAGS
from tests.detect.test_detector import _record, _stack
from tests.foundation.training.in_process import train_here

TILE = 16
CHANGES = {
    'data.name': 'native', 'resolution': TILE, 'data.patches': 8, 'data.patches_in_training': 3,
    'files.scaling': 0.3, 'files.borders': 0.3, 'files.text': 0.1, 'files.webp': 0.2, 'schedule.epochs': 1,
    'watch.epochs': 1,
}  # fmt: skip


@pytest.fixture(scope='module')
def native(detector_data):
    """Folder of data sets, in which `native` keeps the pixels of `reals`."""
    flags = (
        '--imitations',
        'upsampled_nearest',
        'blended',
        '--imitated=1',
        '--resolution=native',
        '--longest=200',
    )
    assert prepare.main(['--name=native', '--real', 'reals', *flags, f'--data_dir={detector_data}']) == 0
    return detector_data


def _configure(data_dir, **changes):
    config = detector.get_config('small').lock()
    config.update_from_flattened_dict(FLAGS | {'data.data_dir': str(data_dir)} | CHANGES | changes)
    return config


@pytest.fixture(scope='module')
def workdir(native, tmp_path_factory):
    """Of a finished detector."""
    workdir = tmp_path_factory.mktemp('patches')
    train_here(train_and_evaluate, _configure(native), workdir)
    return workdir


@pytest.fixture(scope='module')
def patch_judge(workdir):
    """The detector at work."""
    return open_judge(workdir, error_level=0.1, prevalence=0.01, batch_size=8)


@pytest.fixture(scope='module')
def reals(native):
    """Real test images, 64x64, as they were before they were made alike."""
    split = open_splits('reals', native)['test']
    return [split.read(index) for index in range(6)]


def _log_odds(judgement):
    return scipy.special.logit([one.probability for one in judgement.slices])


def test_training_sees_other_patches_each_time_and_the_same_ones_again(native):
    data = create_recipe(_configure(native)).data
    images = data.for_training(data.open('train', train=True))
    assert images.decoded(2 * TILE) is None
    shown = []
    for position in (0, 0, images.num_examples):
        batches = images.batches(2 * TILE, position, images.num_examples, process_index=0, process_count=1)
        shown.append(next(batches))
        batches.close()
    np.testing.assert_array_equal(shown[0]['image'], shown[1]['image'])
    assert shown[0]['image'].shape == (images.num_examples, 2 * TILE, 2 * TILE, 1)
    orders = [
        np.argsort(images.selection(start, images.num_examples)['index']) for start in (0, images.num_examples)
    ]
    first, second = (shown[2 * epoch]['image'][order] for epoch, order in enumerate(orders))
    assert (first != second).any(axis=(1, 2, 3)).mean() > 0.9
    np.testing.assert_array_equal(shown[0]['label'][orders[0]], shown[2]['label'][orders[1]])


def test_a_batch_is_of_its_own_position_however_batches_are_cut(native):
    data = create_recipe(_configure(native)).data
    images = data.for_training(data.open('train', train=True))
    whole = images.batches(2 * TILE, 0, 8, process_index=0, process_count=1)
    half = images.batches(2 * TILE, 0, 8, process_index=1, process_count=2)
    np.testing.assert_array_equal(next(whole)['image'][4:], next(half)['image'])
    whole.close()
    half.close()


def test_files_get_the_scores_that_their_images_got_in_the_data(patch_judge, reals):
    images = patch_judge.detector.recipe.data.open('test', train=False)
    scores = score_split(patch_judge.detector, patch_judge.detector.anomalies, images).scores
    scored = dict(zip(images.records.keys, patch_judge.detector.calibration.fuse(scores), strict=True))
    for record in reals:
        judgement = patch_judge.judge(create_case([record]))
        assert _log_odds(judgement)[0] == pytest.approx(scored[f'real/reals/{record.key}'], abs=1e-3)


def test_an_answer_tells_which_patches_were_looked_at(patch_judge, reals):
    answer = describe_judgement(patch_judge.judge(create_case([reals[0]])))
    assert answer['looked_at'].endswith('in 8 patches of 16 x 16 at their own size, and as a whole made 16 x 16.')
    (one,) = answer['slices']
    assert len(one['patches']) == 8
    assert sum(patch['weight'] for patch in one['patches']) == pytest.approx(1, abs=1e-5)
    assert all(0 <= patch[side] <= 48 for patch in one['patches'] for side in ('row', 'column'))
    assert 0 <= one['row'] < 64
    assert 0 <= one['column'] < 64


def test_a_border_changes_the_places_and_nothing_else(patch_judge):
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 12), np.uint8), (50, 40))
    own, bordered = (
        patch_judge.judge(create_case([_record(one)])) for one in (picture, np.pad(picture, ((20, 30), (7, 0))))
    )
    np.testing.assert_array_equal(own.shown, bordered.shown)
    assert own.probability == bordered.probability
    (before,), (after,) = own.slices, bordered.slices
    moved = [(one.row + 20, one.column + 7) for one in before.patches]
    assert moved == [(one.row, one.column) for one in after.patches]
    assert (before.row + 20, before.column + 7) == (after.row, after.column)
    assert bordered.looked_at.startswith(
        'Rows 20 to 59 and columns 7 to 56 of 90 x 57 pixels, counted from 0, in 8'
    )


def test_a_picture_that_is_too_long_is_told_to_have_been_shrunk(patch_judge):
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (20, 40), np.uint8), (400, 200))
    judgement = patch_judge.judge(create_case([_record(picture)]))
    assert 'at 50% of their size' in judgement.looked_at
    (one,) = judgement.slices
    assert max(patch.column for patch in one.patches) > 200  # on the grid of the file
    assert judgement.shown.shape == (1, 200, 200, 1)


def test_a_picture_with_too_few_pixels_for_a_patch_is_not_judged(patch_judge):
    picture = np.random.default_rng(0).integers(0, 256, (15, 90), np.uint8)
    judgement = patch_judge.judge(create_case([_record(picture)]))
    assert judgement.reason == 'It has 15 pixels along its shorter side, and the detector needs 32.'


def test_heat_and_frames_lie_on_what_is_shown(patch_judge, reals):
    judgement = patch_judge.judge(_stack(reals[:3]))
    height = judgement.shown.shape[1]
    assert 48 < height <= 64
    assert judgement.heat.shape == (3, height, height)
    assert judgement.shown.shape == (3, height, height, 1)
    drawn = draw_judgement(judgement)
    assert drawn.shape == (2 * height, 3 * height, 3)
    top, left, side = judgement.frames[0][np.argmax([one.weight for one in judgement.slices[0].patches])]
    framed = drawn[height:, :height]
    assert (framed[top, left : left + side] == 255).all()
    assert (framed[top : top + side, left] == 255).all()


def test_kinds_of_pictures_are_told_by_the_overview(patch_judge):
    side = patch_judge.detector.recipe.resolution
    images = patch_judge.detector.recipe.data.open('test', train=False)
    batch = next(read_batches(images, side, 4, None))
    assert patch_judge.detector.recipe.overview(batch).shape == (4, TILE, TILE, 1)


def test_a_detector_of_whole_images_learns_from_the_same_set(native):
    """Shrunk as they are read."""
    config = _configure(native, **{'data.patches': 0, 'data.patches_in_training': 0, 'resolution': 32} | {
        f'files.{name}': 0.0 for name in ('scaling', 'borders', 'text', 'webp')
    })  # fmt: skip
    batch = next(read_batches(create_recipe(config).data.open('test', train=False), 32, 4, None))
    assert batch.shape == (4, 32, 32, 1)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'data.name': 'mixed'}, 'images of mixed do not have their own pixels any more; prepare them with'),
        (
            {'resolution': 80},
            r'an image of native has \d\d pixels along a side, and none is enlarged; use --config',
        ),
    ],
)
def test_sets_that_have_no_patches_of_this_size(native, changes, expected):
    data = create_recipe(_configure(native, **changes)).data
    with pytest.raises(UserError, match=expected):
        data.open('train', train=True)


def test_masks_of_sheets_mark_what_was_altered(native):
    data = create_recipe(_configure(native)).data
    images = dataclasses.replace(data, sources=('blended',)).open('test', train=False, mask_classes=1)
    batches = images.in_order(3 * TILE, 100)
    (batch,) = batches
    altered = (batch['image'][..., 1] > 0).mean(axis=(1, 2))
    assert (altered[batch['label'] == 0] == 0).all()
    assert 0.02 < altered[batch['label'] == 1].mean() < 0.8


def test_a_small_picture_in_a_wide_border_is_judged_with_some_of_it(patch_judge):
    picture = np.random.default_rng(0).integers(0, 256, (20, 40), np.uint8)
    judgement = patch_judge.judge(create_case([_record(np.pad(picture, 30))]))
    assert judgement.looked_at.startswith('Rows 24 to 55 and columns 30 to 69 of 80 x 100 pixels')


def _mirror(images, places):
    return (images[:, ::-1] * places[:, None, None, None]).astype(np.float32)


def test_changes_of_images_are_of_each_tile_by_itself(patch_judge):
    sheet = np.random.default_rng(0).uniform(-1, 1, (2, 48, 48, 1)).astype(np.float32)
    change = by_tile(patch_judge.detector, _mirror)
    changed = change(sheet, np.array([1, 2]))
    for number in range(2):
        first = sheet[number, :16, 16:32][::-1] * (number + 1)
        np.testing.assert_array_equal(changed[number, :16, 16:32], first)


def test_maps_of_sheets_are_drawn_and_scored(patch_judge, tmp_path):
    images = patch_judge.detector.recipe.data.open('test', train=False)
    report = explain(patch_judge.detector, measure(patch_judge.detector, images), tmp_path, images=2, seed=0)
    assert {'grad_cam', 'anomaly', 'random'} == set(report['maps'])
    assert (tmp_path / PICTURE).is_file()
