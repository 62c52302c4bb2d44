"""Answers: on the disk when they are given, whatever happens next; and nothing but answers is read."""

import json
import signal
import subprocess
import sys

import pytest

from foundation.training.errors import UserError
from gan.reading.answers import AnswerSheet
from gan.reading.plan import ANSWERS
from tests.gan.command import ROOT
from tests.gan.reading.made import answer_all, make_study


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / 'study')


def _file(study):
    return study.folder / ANSWERS / 'reader_1.jsonl'


def test_what_was_answered_is_there_when_the_study_goes_on(study):
    sheet = AnswerSheet(study.folder, study.plan, 0)
    for confidence in (1, 6, 3):
        sheet.add(confidence, 2.25)
    again = AnswerSheet(study.folder, study.plan, 0)
    assert again.answers == sheet.answers
    assert [(answer.case, answer.confidence) for answer in again.answers] == list(
        zip(study.plan.orders[0][:3], (1, 6, 3), strict=True)
    )
    answer_all(again, [4] * 8)
    assert AnswerSheet(study.folder, study.plan, 0).is_complete
    assert AnswerSheet(study.folder, study.plan, 1).answers == []


@pytest.mark.parametrize('cut', [1, 2, 40])
def test_a_line_that_was_cut_short_costs_that_answer_alone(study, cut):
    sheet = AnswerSheet(study.folder, study.plan, 0)
    sheet.add(1, 1.0)
    sheet.add(2, 1.0)
    _file(study).write_bytes(_file(study).read_bytes()[:-cut])
    again = AnswerSheet(study.folder, study.plan, 0)
    assert again.answers == sheet.answers[:1]
    again.add(5, 3.0)
    assert [answer.confidence for answer in AnswerSheet(study.folder, study.plan, 0).answers] == [1, 5]


def test_a_process_that_is_killed_at_once_has_kept_its_answers(study):
    program = (
        'import os, pathlib, signal, sys\n'
        'from gan.reading.answers import AnswerSheet\n'
        'from gan.reading.plan import read_study\n'
        'study = read_study(pathlib.Path(sys.argv[1]))\n'
        'sheet = AnswerSheet(study.folder, study.plan, 0)\n'
        'sheet.add(1, 1.0)\n'
        'sheet.add(6, 1.0)\n'
        'os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    killed = subprocess.run([sys.executable, '-c', program, study.folder], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [answer.confidence for answer in AnswerSheet(study.folder, study.plan, 0).answers] == [1, 6]


@pytest.mark.parametrize(
    ('confidence', 'seconds'),
    [
        (0, 1.0),
        (7, 1.0),
        (None, 1.0),
        (3, '1'),
        (True, 1.0),
        (3.0, 1.0),
        (3, -1.0),
        (3, float('nan')),
        (3, float('inf')),
        (3, 1e6),
    ],
)
def test_what_is_no_answer_is_not_kept(study, confidence, seconds):
    sheet = AnswerSheet(study.folder, study.plan, 0)
    with pytest.raises(ValueError, match=' from '):
        sheet.add(confidence, seconds)
    assert not _file(study).exists()


def test_no_more_answers_than_cases(study):
    sheet = AnswerSheet(study.folder, study.plan, 0)
    answer_all(sheet, [1] * 8)
    with pytest.raises(ValueError, match='All cases'):
        sheet.add(1, 1.0)


@pytest.mark.parametrize(
    'change',
    [
        lambda lines: [b'{}', *lines[1:]],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [lines[0], b'no answer', *lines[1:]],
        lambda lines: [lines[0], b'[]', *lines[1:]],
        lambda lines: [lines[0], lines[1].replace(b'"confidence": 1', b'"confidence": 9')],
    ],
)
def test_other_lines_are_refused_with_the_place(study, change):
    sheet = AnswerSheet(study.folder, study.plan, 0)
    for _ in range(2):
        sheet.add(1, 1.0)
    lines = _file(study).read_bytes().splitlines()
    _file(study).write_bytes(b'\n'.join(change(lines)) + b'\n')
    with pytest.raises(UserError, match=r'reader_1\.jsonl, line \d: is no answer'):
        AnswerSheet(study.folder, study.plan, 0)


def test_answers_belong_to_one_plan(study, tmp_path):
    AnswerSheet(study.folder, study.plan, 0).add(1, 1.0)
    other = make_study(tmp_path / 'other', seed=9)
    (other.folder / ANSWERS / 'reader_1.jsonl').write_bytes(_file(study).read_bytes())
    with pytest.raises(UserError, match='line 1'):
        AnswerSheet(other.folder, other.plan, 0)
    assert json.loads(_file(study).read_text().splitlines()[0])['plan'] == study.plan.checksum
