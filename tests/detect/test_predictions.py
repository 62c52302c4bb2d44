"""Where answers go: lines, the audit log, overlays; and what is not overwritten."""

import json
import os

import cv2
import nibabel as nib
import numpy as np
import pytest

from detect import predictions
from detect.predictions import PredictionRequest, answer_all, answer_one, reader_options
from foundation.training.errors import UserError
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from tests.detect import drawn
from tests.input_pipeline.series import random_values


def test_the_audit_log_grows_by_a_line_for_each_answer(answer, tmp_path, pictures):
    log = tmp_path / 'audit.jsonl'
    path = drawn.save_picture(tmp_path / 'in' / 'a.png', pictures[0][0])
    (path.parent / 'bad.png').write_bytes(b'')
    told = answer(path.parent, audit=log)['a']
    answer(path, audit=log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]['time'].endswith('+00:00')
    for line in lines:
        assert line.keys() == {
            'time', 'name', 'verdict', 'probability', 'anomaly_p', 'error_level', 'prevalence', 'files',
            'model_sha256',
        }  # fmt: skip
        assert {name: line[name] for name in line if name != 'time'} == {
            name: told[name] for name in line if name != 'time'
        }


def test_overlays_show_each_slice_with_its_heat(answer, tmp_path, pictures):
    drawn.save_picture(tmp_path / 'in' / 'a.png', pictures[1][0])
    drawn.save_picture(tmp_path / 'in' / 'small.png', pictures[1][0][:10, :10])
    nib.save(nib.Nifti1Image(random_values(64, 64, 12), np.eye(4)), tmp_path / 'in' / 'v.nii.gz')
    lines = answer(tmp_path / 'in', overlays=tmp_path / 'overlays')
    assert {name: 'overlay' in line for name, line in lines.items()} == {'a': True, 'v': True, 'small': False}
    for name, columns in {'a': 1, 'v': 8}.items():
        picture = cv2.imread(lines[name]['overlay'])
        assert picture.shape == (2 * 32, columns * 32, 3)
        plain = picture[:32]
        assert np.ptp(plain.astype(int), axis=-1).max() == 0  # grey above, heat below
        assert plain.std() > 5


def test_names_that_are_no_text(answer, tmp_path, pictures):
    folder = os.fsencode(tmp_path / 'in')
    drawn.save_picture(tmp_path / 'in' / 'a.png', pictures[0][0])
    try:
        os.rename(folder + b'/a.png', folder + b'/caf\xe9.png')
    except OSError:
        pytest.skip('this file system takes no such names')
    (line,) = answer(tmp_path / 'in').values()
    assert os.fsencode(line['name']) == b'caf\xe9'


def test_when_interrupted_nothing_is_left_and_the_same_call_does_all(judge, tmp_path, pictures, monkeypatch):
    for name in 'ab':
        drawn.save_picture(tmp_path / 'in' / f'{name}.png', pictures[0][0])
    order = PredictionRequest(tmp_path / 'out.jsonl', tmp_path / 'overlays', None)
    refusals = Refusals(skip=True)
    found = find_incoming([tmp_path / 'in'], reader_options(2, 2**20), refusals)
    answered = []

    def interrupted(*arguments):
        if answered:
            raise KeyboardInterrupt
        answered.append(answer_one(*arguments))
        return answered[0]

    with monkeypatch.context() as patch:
        patch.setattr(predictions, 'answer_one', interrupted)
        with pytest.raises(KeyboardInterrupt):
            answer_all(found, judge, order, refusals)
    assert (len(answered), [path.name for path in tmp_path.iterdir()]) == (1, ['in'])
    assert answer_all(found, judge, order, refusals) == 2
    lines = [json.loads(line) for line in order.out.read_text().splitlines()]
    assert [line['overlay'] for line in lines] == [str(tmp_path / 'overlays' / f'{name}.png') for name in 'ab']
    assert all(os.path.isfile(line['overlay']) for line in lines)


def test_what_is_there_is_not_overwritten(tmp_path):
    there = tmp_path / 'there'
    there.mkdir()
    (there / 'file').write_text('mine')
    for fields, expected in (
        ({'out': there / 'file'}, 'file exists already; give --out a new file'),
        ({'overlays': there}, 'there exists already; give --overlays a new folder'),
        ({'overlays': there / 'file'}, 'file exists already; give --overlays a new folder'),
        ({'audit': there}, 'there is a folder; give --audit a file'),
        ({'out': tmp_path / 'no' / 'file'}, 'there is no folder'),
        ({'audit': tmp_path / 'no' / 'file'}, 'there is no folder'),
    ):
        with pytest.raises(UserError, match=expected):
            PredictionRequest(**{'out': None, 'overlays': None, 'audit': None} | fields).check()
    PredictionRequest(None, tmp_path / 'new', there / 'file').check()
