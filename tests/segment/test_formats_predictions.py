"""Answers to all that is found: masks, overlays and a table, whatever cannot be read."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from foundation.files import write_file
from foundation.training.errors import UserError
from input_pipeline import DataError
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from segment.formats.predictions import TABLE_FILE, SegmentationRequest, answer_all
from tests.gan.command import read_files
from tests.input_pipeline.series import random_values, save_series
from tests.segment.sources import OPTIONS, save_nifti, save_picture
from tests.segment.thresholds import CHECKSUM, CLASSES, segment


def _order(out, mask_format='auto'):
    return SegmentationRequest(out, mask_format, True, CLASSES, CHECKSUM, {'step': None}, note_on=lambda case: '')


@pytest.fixture
def mixed(tmp_path):
    """A picture, a series, a volume, and two files that cannot be read."""
    folder = tmp_path / 'in'
    save_picture(folder / 'p' / 'a.png')
    save_series(folder / 'ct', random_values(2, 6, 8), [0.0, 1.0])
    save_nifti(folder / 'v.nii.gz')
    (folder / 'cut.png').write_bytes((folder / 'p' / 'a.png').read_bytes()[:60])
    (folder / 'x.bin').write_bytes(b'x')
    return folder


def test_all_is_answered_but_what_cannot_be_read(mixed, tmp_path):
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    found = find_incoming([mixed], OPTIONS, refusals)
    rows = answer_all(found, segment, _order(out), refusals)
    table = json.loads((out / TABLE_FILE).read_text())
    assert table['answered'] == rows
    assert set(table['refused']) == {'cut.png', 'x.bin'}
    assert (table['weights_sha256'], table['classes']) == (CHECKSUM, {'1': CLASSES[0], '2': CLASSES[1]})
    assert [row['kind'] for row in rows] == ['dicom', 'raster', 'nifti']
    assert [row['mask'].split('.', 1)[1] for row in rows] == ['dcm', 'png', 'nii.gz']
    assert rows[1]['classes'][CLASSES[0]]['ml'] is None
    for row in rows:
        for file in row['files']:
            with open(file['path'], 'rb') as content:
                assert hashlib.sha256(content.read()).hexdigest() == file['sha256']
    written = {path.relative_to(out).as_posix() for path in out.rglob('*') if path.is_file()}
    assert written == {TABLE_FILE} | {row[part] for row in rows for part in ('mask', 'overlay')}


def test_names_that_are_not_utf8_are_read_and_written(mixed, tmp_path):
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    folder = os.fsdecode(os.fsencode(mixed) + b'/B\xfccher')
    os.rename(mixed / 'p', folder)
    os.rename(mixed / 'cut.png', folder + os.fsdecode(b'/\xe4.png'))
    rows = answer_all(find_incoming([Path(folder)], OPTIONS, refusals), segment, _order(out), refusals)
    table = json.loads((out / TABLE_FILE).read_text())
    assert table['answered'] == rows
    assert (out / rows[0]['mask']).is_file()
    assert list(table['refused']) == [r'\xe4.png']


def test_a_format_that_does_not_fit_costs_only_its_own_files(mixed, tmp_path):
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    found = find_incoming([mixed / 'p', mixed / 'v.nii.gz'], OPTIONS, refusals)
    rows = answer_all(found, segment, _order(out, 'nifti'), refusals)
    assert [row['name'] for row in rows] == ['v']
    assert list(refusals.reasons) == ['p/a.png']
    assert 'cannot be written as nifti' in refusals.reasons['p/a.png']


def _without_dicom(files):
    """Every DICOM object has UIDs and a time of its own."""
    return {name: content for name, content in files.items() if not name.endswith('.dcm')}


@pytest.fixture
def stopped(mixed, tmp_path):
    """`call(segment, **changes)`, after a first call was stopped that answered the series and the picture."""

    def call(segment, **changes):
        refusals = Refusals(skip=True)
        found = find_incoming([mixed], OPTIONS, refusals)
        answer_all(found, segment, dataclasses.replace(_order(tmp_path / 'out'), **changes), refusals)
        return _without_dicom(read_files(tmp_path / 'out'))

    def stop_at_volume(case):
        if len(case.records) > 2:
            raise KeyboardInterrupt
        return segment(case)

    with pytest.raises(KeyboardInterrupt):
        call(stop_at_volume)
    assert sorted(path.name.partition('.')[0] for path in tmp_path.iterdir()) == ['in', 'incomplete']
    return call


def _segment_volumes(case):
    assert len(case.records) > 2
    return segment(case)


def test_what_was_answered_before_a_stop_is_kept_to_the_byte(stopped, tmp_path):
    in_two = stopped(_segment_volumes)
    shutil.rmtree(tmp_path / 'out')
    assert stopped(segment) == in_two
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in', 'out']


@pytest.mark.parametrize(
    'changes', [{'checksum': 'cd' * 32}, {'command': {'step': 3}}, {'overlays': False}, {'mask_format': 'png'}]
)
def test_what_another_command_answered_is_not_taken(stopped, changes, tmp_path):
    slices = []

    def count(case):
        slices.append(len(case.records))
        return segment(case)

    stopped(count, **changes)
    assert len(slices) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in', 'out']


def test_what_was_altered_since_is_answered_anew(stopped, mixed, tmp_path):
    save_picture(mixed / 'p' / 'a.png', seed=1)
    with pytest.raises(AssertionError):
        stopped(_segment_volumes)
    in_two = stopped(segment)
    shutil.rmtree(tmp_path / 'out')
    assert stopped(segment) == in_two


def test_a_series_that_was_read_in_part_is_told_again(tmp_path):
    files = save_series(tmp_path / 'in' / 'ct', random_values(3, 6, 8), [0.0, 1.0, 2.0])
    files[1].write_bytes(files[1].read_bytes()[:-40])
    save_picture(tmp_path / 'in' / 'z.png')

    def call(segment):
        refusals = Refusals(skip=True)
        found = find_incoming([tmp_path / 'in'], OPTIONS, refusals)
        answer_all(found, segment, _order(tmp_path / 'out'), refusals)
        return _without_dicom(read_files(tmp_path / 'out'))

    def stop_at_picture(case):
        if len(case.records) == 1:
            raise KeyboardInterrupt
        return segment(case)

    with pytest.raises(KeyboardInterrupt):
        call(stop_at_picture)
    in_two = call(segment)
    shutil.rmtree(tmp_path / 'out')
    assert call(segment) == in_two
    assert len(json.loads((tmp_path / 'out' / TABLE_FILE).read_text())['refused']) == 1


def test_what_the_network_refuses_costs_only_its_own_case(mixed, tmp_path):
    refusals = Refusals(skip=True)
    found = find_incoming([mixed / 'p', mixed / 'v.nii.gz'], OPTIONS, refusals)

    def choosy(case):
        if len(case.records) == 1:
            raise DataError('has the wrong channels')
        return segment(case)

    assert len(answer_all(found, choosy, _order(tmp_path / 'out'), refusals)) == 1
    assert refusals.reasons == {'p/a.png': 'has the wrong channels'}


def test_no_mask_is_written_over_that_of_another_file(tmp_path):
    """The slices of a volume become a folder of pictures, which may be that of real ones."""
    save_picture(tmp_path / 'in' / 'v' / '0001.png')
    save_nifti(tmp_path / 'in' / 'v.nii.gz')
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    rows = answer_all(find_incoming([tmp_path / 'in'], OPTIONS, refusals), segment, _order(out, 'png'), refusals)
    assert [row['name'] for row in rows] == ['v']
    assert refusals.reasons == {
        'v/0001.png': 'masks/v/0001.png holds the mask of another file already; segment this one by itself.'
    }
    assert len(list((out / 'masks' / 'v').iterdir())) == rows[0]['slices']


def test_an_interrupted_file_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr('foundation.files.os.replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / 'a.png', b'content')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(mixed, tmp_path):
    with pytest.raises(UserError, match='give --out a new folder'):
        answer_all([], segment, _order(mixed), Refusals(skip=True))
    (tmp_path / 'empty').mkdir()
    assert answer_all([], segment, _order(tmp_path / 'empty'), Refusals(skip=True)) == []
