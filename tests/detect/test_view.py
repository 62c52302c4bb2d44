"""What is looked at: nothing of blank pictures, and of stacks only the slices that hold something."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest

from detect.view import create_view, find_blank
from input_pipeline.cases import create_case
from tests.detect import drawn
from tests.detect.test_detector import _record, _with
from tests.input_pipeline.series import save_series


def _ask_nobody(images):
    raise AssertionError('a network was asked')


def _blank(kind: str) -> np.ndarray:
    picture = np.full((64, 64), 40, np.uint8)
    if kind == 'noise':
        picture = picture + np.random.default_rng(0).integers(0, 4, (64, 64)).astype(np.uint8)
    elif kind == 'dots':
        picture[3:6, 7:9] = 255
    return picture


@pytest.mark.parametrize('kind', ['even', 'noise', 'dots'])
def test_a_blank_picture_is_shown_to_no_network(judge, kind):
    blind = _with(judge, describe=_ask_nobody)
    judgement = blind.judge(create_case([dataclasses.replace(_record(_blank(kind)), window=(0.0, 255.0))]))
    assert (judgement.answer, judgement.evidence, judgement.slices) == ("don't know", None, ())
    assert judgement.reason == 'It is blank, or almost: fewer than 1% of the pixels differ from the rest.'


def test_a_stack_of_blank_slices_is_shown_to_no_network(judge):
    blind = _with(judge, describe=_ask_nobody)
    case = create_case([dataclasses.replace(_record(_blank('noise')), window=(0.0, 255.0))] * 4)
    assert blind.judge(case).reason.startswith('Its 4 slices are blank, or almost')


def test_a_picture_with_something_in_it_is_looked_at(judge):
    picture = _blank('even')
    picture[10:20, 10:20] = 90
    assert judge.judge(create_case([_record(picture)])).slices


@pytest.mark.parametrize('blank', [0, 1, 30])
def test_what_is_blank_does_not_depend_on_how_much_is(blank):
    random = np.random.default_rng(0)
    full = random.integers(0, 1000, (64, 64, 1))
    faint = np.pad(random.integers(0, 1000, (12, 12, 1)), ((0, 52), (0, 52), (0, 0)))  # 3.5% of the pixels
    air = random.integers(0, 20, (64, 64, 1))
    slices = [air.astype(np.uint16)] * blank + [full.astype(np.uint16), faint.astype(np.uint16)]
    told = find_blank(list(map(_record, slices)))
    assert told.tolist() == [True] * blank + [False, False]


def _draw_volume(slices: int) -> np.ndarray:
    """Phantoms as (rows, columns, slices) of 16 bits."""
    pictures = drawn.draw_pictures(1, 'test')[:slices]
    return np.stack(pictures, axis=-1).astype(np.int16) * 4


def _wrap(volume: np.ndarray, kind: str) -> np.ndarray:
    """With five slices before, and nine behind, in which nothing is, or next to nothing."""
    random = np.random.default_rng(0)
    before, after = (np.zeros((*volume.shape[:2], count), np.int16) for count in (5, 9))
    if kind == 'almost':
        before += random.integers(0, 8, before.shape).astype(np.int16)
        after += random.integers(0, 8, after.shape).astype(np.int16)
    return np.concatenate([before, volume, after], axis=-1)


@pytest.mark.parametrize('kind', ['empty', 'almost'])
@pytest.mark.parametrize('slices', [1, 7])
def test_empty_slices_at_the_ends_of_a_stack_change_nothing(answer, judge, tmp_path, kind, slices):
    volume = _draw_volume(slices)
    for name, values in {'plain': volume, 'wrapped': _wrap(volume, kind)}.items():
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f'{name}.nii.gz')
    lines = answer(*tmp_path.glob('*.nii.gz'))
    plain, wrapped = lines['plain'], lines['wrapped']
    assert wrapped['blank'] == [*range(5), *range(5 + slices, 14 + slices)]
    assert plain['blank'] == []
    assert wrapped['deciding'] == [place + 5 for place in plain['deciding']]
    shifted = [one | {'index': one['index'] - 5} for one in wrapped['slices']]
    assert shifted == plain['slices']  # to the bit
    same = ('verdict', 'reason', 'probability', 'evidence')
    assert {name: plain[name] for name in same} == {name: wrapped[name] for name in same}
    assert '14 of them, blank or almost, were left out.' in wrapped['looked_at']


def test_empty_slices_of_a_series_change_nothing(answer, tmp_path):
    volume = _draw_volume(6)
    for name, values in {'plain': volume, 'wrapped': _wrap(volume, 'empty')}.items():
        slices = np.moveaxis(values, -1, 0)
        save_series(tmp_path / 'in' / name, slices, [float(place) for place in range(len(slices))])
    lines = answer(tmp_path / 'in').values()
    plain, wrapped = sorted(lines, key=lambda line: len(line['files']))
    assert plain['slices'] == [one | {'index': one['index'] - 5} for one in wrapped['slices']]
    assert plain['evidence'] == wrapped['evidence']


def test_the_view_names_the_slices_by_their_places(judge):
    records = [_record(picture) for picture in drawn.draw_pictures(1, 'test')[:3]]
    empty = _record(np.zeros((64, 64), np.uint8))
    view = create_view(create_case([empty, records[0], empty, *records[1:]]), judge.detector)
    assert view.places == (1, 3, 4)
    assert view.shown.shape == (3, 32, 32, 1)
