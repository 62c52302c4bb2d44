"""Where answers go: lines, the audit log, overlays; and what is not overwritten."""

import dataclasses
import json
import os
import shutil

import cv2
import nibabel as nib
import numpy as np
import pytest

from detect import predictions
from detect.predictions import PredictionRequest, answer_all, answer_one
from foundation.training.errors import UserError
from input_pipeline import atomic
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import reader_options
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


@pytest.fixture
def stopped(judge, tmp_path, pictures, monkeypatch):
    """A request whose first call was stopped at the fourth of four files; `again` makes another call."""
    for number, name in enumerate('abc'):
        drawn.save_picture(tmp_path / 'in' / f'{name}.png', pictures[0][number])
    (tmp_path / 'in' / 'aa.png').write_bytes(b'')
    order = PredictionRequest(tmp_path / 'out.jsonl', tmp_path / 'overlays', tmp_path / 'audit', {'axis': 2})
    calls = []

    def counted(incoming, *arguments):
        calls.append(incoming.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return answer_one(incoming, *arguments)

    def run(order=order):
        refusals = Refusals(skip=True)
        return answer_all(
            find_incoming([tmp_path / 'in'], reader_options(2, 2**20), refusals), judge, order, refusals
        )

    def again(order=order):
        calls[:] = 4 * ['']
        return run(order), calls[4:]

    monkeypatch.setattr(predictions, 'answer_one', counted)
    with pytest.raises(KeyboardInterrupt):
        run()
    return order, again


def _written(order):
    pictures = {path.name: path.read_bytes() for path in sorted(order.overlays.iterdir())}
    return order.out.read_bytes(), pictures


def test_what_was_answered_before_a_stop_is_kept(stopped, tmp_path):
    order, again = stopped
    assert not order.out.exists()
    assert not order.overlays.exists()
    assert again() == (3, ['aa', 'c'])  # what was refused is read again
    assert sorted(path.name for path in tmp_path.iterdir()) == ['audit', 'in', 'out.jsonl', 'overlays']
    in_two, audited = _written(order), len(order.audit.read_text().splitlines())
    order.out.unlink()
    shutil.rmtree(order.overlays)
    assert again() == (3, ['a', 'aa', 'b', 'c'])
    assert (_written(order), audited) == (in_two, 3)
    lines = [json.loads(line) for line in order.out.read_text().splitlines()]
    assert [line['name'] for line in lines] == ['a', 'aa.png', 'b', 'c']
    assert [line['overlay'] for line in lines if 'overlay' in line] == [
        str(tmp_path / f'overlays/{name}.png') for name in 'abc'
    ]


def test_pictures_get_their_name_after_a_kill_between_the_two(stopped, tmp_path, monkeypatch):
    order, again = stopped
    with monkeypatch.context() as patched:
        put = atomic._put_in_place

        def put_file_only(partial, final, overwrite):
            if final == order.overlays:
                raise SystemExit  # the file is in place
            put(partial, final, overwrite)

        patched.setattr(atomic, '_put_in_place', put_file_only)
        with pytest.raises(SystemExit):
            again()
    assert order.out.exists()
    assert not order.overlays.exists()
    order.check()
    text = order.out.read_text()
    order.out.write_text(text + '{}\n')
    with pytest.raises(UserError, match=r'out\.jsonl exists already'):
        again()
    order.out.write_text(text)
    with pytest.raises(UserError, match=r'out\.jsonl exists already'):
        again(dataclasses.replace(order, command={'axis': 1}))
    assert again() == (3, [])
    assert sorted(path.name for path in order.overlays.iterdir()) == ['a.png', 'b.png', 'c.png']
    assert not list(tmp_path.glob('incomplete.*'))
    with pytest.raises(UserError, match=r'out\.jsonl exists already'):
        order.check()


def test_what_another_command_answered_is_not_taken(stopped):
    order, again = stopped
    assert again(dataclasses.replace(order, command={'axis': 1})) == (3, ['a', 'aa', 'b', 'c'])


def test_a_picture_of_another_folder_or_content_is_answered_anew(stopped, tmp_path, pictures):
    _, again = stopped
    drawn.save_picture(tmp_path / 'in' / 'b.png', pictures[1][1])
    (picture,) = tmp_path.glob('incomplete.*/new/a.png')
    picture.write_bytes(picture.read_bytes()[:-1])
    assert again() == (3, ['a', 'aa', 'b', 'c'])
    assert not list(tmp_path.glob('incomplete.*'))


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
            PredictionRequest(**{'out': None, 'overlays': None, 'audit': None, 'command': {}} | fields).check()
    PredictionRequest(None, tmp_path / 'new', there / 'file', {}).check()
