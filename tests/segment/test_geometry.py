"""Volumes of 1 x 1 x 5 mm cut along another axis: round things are round, and masks lie where images do."""

import dataclasses
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from backbones.images import DataFacts
from configs.segment import unet
from foundation.training import workdir as workdirs
from foundation.training.checkpoints import Position
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import ReaderOptions
from segment.data import open_stored
from segment.ensemble import SegmenterEnsemble
from segment.fingerprint import take_fingerprint
from segment.recipe import create_recipe
from segment.segmenter import TrainedSegmenter
from segment.suggestions import resolve
from tests.foundation.training.runs import saved_state
from tests.input_pipeline.items import make_item, write
from tests.segment.conftest import FLAGS, SPLITS, draw, train

SIZES = (40, 44, 12)  # voxels; 40 x 44 x 60 mm
SPACING = (1.0, 1.0, 5.0)
MIDDLE, RADIUS = (21.0, 20.0, 32.0), 14.0


def _ball():
    """Which voxels of the grid have their middle in a ball, in millimetres."""
    axes = [(np.arange(size) + 0.5) * step for size, step in zip(SIZES, SPACING, strict=True)]
    distances = [(axis - middle) ** 2 for axis, middle in zip(axes, MIDDLE, strict=True)]
    return distances[0][:, None, None] + distances[1][:, None] + distances[2] < RADIUS**2


def _stand_in(variables, images):
    """Foreground where an image is bright in its window: what a perfect network would say of a bright ball."""
    shown = images[..., :1]
    return np.concatenate([(1 - shown) / 2, (1 + shown) / 2], axis=-1)


def _segmenter(changes):
    config = unet.get_config('small').lock()
    fields = {'resolution': 64, 'patch': 64, 'mask_classes': 1, 'network.depth': 4, 'data.window': 'auto'}
    config.update_from_flattened_dict(fields | {'schedule.batch_size': 2} | changes)
    facts = DataFacts('balls', 'ab', 2, 2, (), 'uint16', None)
    return TrainedSegmenter(create_recipe(config), facts, {}, Position(1, 1, 'segmenter'), _stand_in)


@pytest.mark.parametrize('signs', [(1, 1, 1), (-1, 1, -1)])
@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize(
    'changes',
    [
        {'data.fit': 'pad'},
        {'data.fit': 'pad', 'data.pixels': 'resampled', 'data.pixel_size': 1.25},
        {'data.fit': 'pad', 'data.pixels': 'resampled', 'data.pixel_size': 0.8},  # larger than in training
        {'data.fit': 'native'},
        {'data.fit': 'resize'},
    ],
)
def test_masks_are_written_on_the_grid_of_the_volume(tmp_path, signs, axis, changes):
    truth = _ball()
    affine = np.diag([sign * step for sign, step in zip(signs, SPACING, strict=True)] + [1.0])
    affine[:3, 3] = -20, 30, 7
    nib.save(nib.Nifti1Image((100 + 900 * truth).astype(np.int16), affine), tmp_path / 'ball.nii.gz')
    options = ReaderOptions(
        modality='', percentiles=(0.0, 100.0), pixel_limit=2**20, axis=axis, patient_pattern=''
    )
    (incoming,) = find_incoming([tmp_path / 'ball.nii.gz'], options, Refusals(skip=True))
    segmenter = SegmenterEnsemble((_segmenter(changes),))
    mask = incoming.grid.restore(segmenter.segment(incoming.load()).ids)
    assert mask.shape == SIZES
    inside, found = truth, mask > 0
    assert 2 * (inside & found).sum() / (inside.sum() + found.sum()) > 0.94
    middles = [np.argwhere(own).mean(0) * SPACING for own in (inside, found)]
    np.testing.assert_allclose(*middles, atol=0.35)


@pytest.mark.parametrize('pixels', ['square', 'resampled'])
def test_a_network_sees_a_ball_as_wide_as_high(tmp_path, pixels):
    nib.save(nib.Nifti1Image((100 + 900 * _ball()).astype(np.int16), np.diag([*SPACING, 1.0])), tmp_path / 'a.nii')
    options = ReaderOptions(modality='', percentiles=(0, 100), pixel_limit=2**20, axis=0, patient_pattern='')
    (incoming,) = find_incoming([tmp_path / 'a.nii'], options, Refusals(skip=True))
    seen = []
    size = {'data.pixel_size': 1.0} if pixels == 'resampled' else {}
    segmenter = dataclasses.replace(
        _segmenter({'data.fit': 'pad', 'data.pixels': pixels} | size),
        predict=lambda variables, images: seen.append(images) or _stand_in(variables, images),
    )
    list(segmenter.probabilities(incoming.load()))
    step = 60 / 64 if pixels == 'square' else 1.0
    through = np.concatenate(seen)[round(MIDDLE[0])][..., 0] > 0
    truth = _ball()[round(MIDDLE[0])]
    width, height = truth.any(1).sum() * SPACING[1], truth.any(0).sum() * SPACING[2]
    assert abs(width - height) < 5
    found = through.any(0).sum() * step, through.any(1).sum() * step
    assert found == pytest.approx((width, height), abs=step)


@pytest.fixture(scope='module')
def oblong(tmp_path_factory):
    """A data set of volumes whose pixels are 2 x 0.5 mm."""
    folder, items = tmp_path_factory.mktemp('oblong'), []
    for number, split in enumerate(split for split, count in SPLITS.items() for _ in range(count)):
        images, masks = zip(*[draw(10 * number + place) for place in range(3)], strict=True)
        key = f'{split}{number:02d}'
        items.append(
            make_item(key, images, masks=masks, patient=key, split=split, modality='MR', spacing=(2.0, 0.5, 1.0))
        )
    write(items, folder / 'data', 'oblong')
    return folder


@pytest.mark.slow
def test_an_old_run_goes_on_as_it_began(oblong, tmp_path, caplog):
    """Its config has no data.pixels: it means `as_stored`, whatever new configs say, bit for bit."""

    def config(pixels):
        made = unet.get_config('small').lock()
        own = {
            'data.data_dir': str(oblong / 'data'),
            'data.name': 'oblong',
            'data.fit': 'pad',
            'schedule.steps': 4,
        }
        made.update_from_flattened_dict(FLAGS | own | {'data.pixels': pixels})
        return made

    whole, old = tmp_path / 'whole', tmp_path / 'old'
    train(config('as_stored'), whole)
    shutil.copytree(whole, old)
    for step in (3, 4):
        shutil.rmtree(old / 'checkpoints' / f'{step:09d}')
    fields = json.loads((old / 'config.json').read_text())
    assert [fields['data'].pop(name) for name in ('pixels', 'pixel_size')] == ['as_stored', 0.0]
    (old / 'config.json').write_text(json.dumps(fields))
    with caplog.at_level('INFO', logger='configs.schema'):
        train(config('square'), old)
    assert "older than config.data.pixels; it goes on as 'as_stored'" in caplog.text
    states = [saved_state(folder / 'checkpoints', 4) for folder in (old, whole)]
    assert not [name for name in states[1] if not np.array_equal(states[0][name], states[1][name])]
    assert 'pixels' not in workdirs.read_config(old).data
    segmenter = TrainedSegmenter.load(old, None, best=True, mirror=False)
    assert segmenter.recipe.images.preprocessing.pixels == 'as_stored'


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, (64, 'pad')),
        ({'data.pixels': 'as_stored'}, (32, 'native')),
        ({'data.fit': 'native'}, (32, 'native')),
        ({'data.pixels': 'resampled', 'data.pixel_size': 0.05}, (576, 'pad')),
    ],
)
def test_what_is_suggested_counts_the_pixels_that_are_wanted(oblong, changes, expected):
    """14 x 16 pixels of 2 x 0.5 mm are 56 x 16 when they are square, and cannot stay as they are."""
    config = unet.get_config().lock()
    config.update_from_flattened_dict({'data.data_dir': str(oblong / 'data'), 'data.name': 'oblong'} | changes)
    resolve(config, lambda request: take_fingerprint(open_stored(request)))
    assert (config.resolution, config.data.fit) == expected
