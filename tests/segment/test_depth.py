"""Segmenters meet images of another depth than those of training: what they see, and what is said of it."""

import cv2
import nibabel as nib
import numpy as np
import pytest

from backbones.images import DataFacts
from configs.segment import unet
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from input_pipeline.depth import NOTE
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import ReaderOptions
from segment.ensemble import SegmenterEnsemble
from segment.formats.predictions import SegmentationRequest, answer_all
from segment.recipe import create_recipe
from segment.segmenter import TrainedSegmenter
from tests.input_pipeline.series import save_series

OPTIONS = ReaderOptions(modality='', percentiles=(0.0, 100.0), pixel_limit=2**20, axis=2, patient_pattern='')
TISSUE = np.random.default_rng(0).integers(0, 256, (32, 32))
TISSUE[0, :2] = 0, 255
UNKNOWN = DataFacts('old', 'ab', 2, 2, (), 'uint8', None)
PICTURES = DataFacts('pictures', 'ab', 2, 2, (), 'uint8', (0.0, 255.0), 'uint8')
DEEP = DataFacts('deep', 'ab', 2, 2, (), 'uint16', None, 'uint16')


def _save(folder, kind):
    """The same picture: 8 bits, 12 bits in 16, 16 bits, a DICOM file, or Hounsfield units as CT has them."""
    path = folder / f'{kind}.png'
    if kind == 'dicom':
        return save_series(folder / 'series', 16 * TISSUE[None].astype(np.uint16), [0.0])[0]
    if kind == 'units':
        values = (np.rint(-1000 + TISSUE * 1400 / 255)).astype(np.int16)[..., None]
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / 'units.nii.gz')
        return folder / 'units.nii.gz'
    factor = {'8': 1, '12': 16, '16': 257}[kind]
    cv2.imwrite(str(path), (factor * TISSUE).astype(np.uint8 if kind == '8' else np.uint16))
    return path


def _segmenter(facts, window, seen):
    config = unet.get_config('small').lock()
    name = 'physical' if isinstance(window, tuple) else window
    ends = window if isinstance(window, tuple) else (0.0, 0.0)
    fields = {'data.window': name, 'data.window_range': ends, 'mask_classes': 1, 'resolution': 32, 'patch': 32}
    config.update_from_flattened_dict(fields | {'data.pixels': 'as_stored', 'network.depth': 3})

    def predict(variables, images):
        seen.append(images)
        return np.concatenate([-images, images], axis=-1)

    return TrainedSegmenter(create_recipe(config), facts, {}, Position(1, 1, 'segmenter'), predict)


OWN = 'it is shown in its own percentiles.'


@pytest.mark.parametrize(
    ('facts', 'window', 'kind', 'told'),
    [
        (PICTURES, 'auto', '8', ''),
        *[(PICTURES, 'auto', kind, OWN) for kind in ('12', '16', 'dicom', 'units')],
        (PICTURES, 'stored', '12', OWN),
        (PICTURES, 'dataset', '8', ''),
        (PICTURES, 'dataset', '12', OWN),
        (UNKNOWN, 'auto', 'dicom', OWN),
        (DEEP, 'auto', '8', OWN),
        *[(DEEP, 'auto', kind, '') for kind in ('12', '16', 'dicom', 'units')],
        (DEEP, 'stored', '8', OWN),
        (DEEP, 'stored', '16', ''),
        (DEEP, (-1000.0, 400.0), 'units', ''),
        *[(DEEP, (-1000.0, 400.0), kind, OWN) for kind in ('8', '12', '16')],
        (DEEP, (3000.0, 4000.0), 'units', OWN),
        (DEEP, (0.0, 4080.0), '12', ''),
    ],
)
def test_the_same_picture_is_seen_alike_whatever_its_depth(tmp_path, facts, window, kind, told):
    path, seen = _save(tmp_path, kind), []
    segmenter = _segmenter(facts, window, seen)
    (incoming,) = find_incoming([path], OPTIONS, Refusals(skip=True))
    case = incoming.load()
    ids = SegmenterEnsemble((segmenter,)).segment(case).ids[0]
    expected = TISSUE / 127.5 - 1
    shown = seen[0][0, ..., 0]
    if kind == 'units':  # axial slices lie turned
        shown, ids = shown[::-1, ::-1].T, ids[::-1, ::-1].T
    np.testing.assert_allclose(shown, expected, atol=1 / 255)
    np.testing.assert_array_equal(ids[TISSUE != 127], (TISSUE > 127)[TISSUE != 127])
    note = segmenter.note_on(case)
    assert note.endswith(told)
    assert bool(note) == bool(told)


def test_a_run_says_it_once_and_each_row_for_itself(tmp_path):
    paths = [_save(tmp_path, kind) for kind in ('8', '12', '16')]
    segmenter = _segmenter(PICTURES, 'auto', [])
    refusals = Refusals(skip=True)
    found = find_incoming(paths, OPTIONS, refusals)
    order = SegmentationRequest(tmp_path / 'out', 'auto', False, ('a',), 'ab' * 32, {}, segmenter.note_on)
    rows = answer_all(found, SegmenterEnsemble((segmenter,)).segment, order, refusals)
    assert refusals.notes == [NOTE]
    assert [bool(row['note']) for row in rows] == [True, True, False]  # 12, 16 and 8 bits, by name
    assert rows[0]['note'] == f'It has more than 8 bits a pixel, the training images 8 bits; {OWN}'


def test_where_no_window_can_be_known_it_is_refused(tmp_path):
    """Brightness falls with the value in some of the training images: no window was kept."""
    (incoming,) = find_incoming([_save(tmp_path, '16')], OPTIONS, Refusals(skip=True))
    with pytest.raises(UserError, match=r'have no common window.*train with --config\.data\.window=volume'):
        SegmenterEnsemble((_segmenter(DEEP, 'dataset', []),)).segment(incoming.load())
