"""Counting on known real images: shares and intervals against closed forms, parts, and the command."""

import json

import numpy as np
import pytest
import scipy.stats

from detect.evaluation.real_images import (
    CheckedCase,
    check_cases,
    describe_promise,
    is_above,
    list_rows,
    report_check,
    write_check,
)
from foundation.statistics.percentiles import Score
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.records import reader_options
from tests.detect import drawn
from tests.gan.command import Commands
from tests.input_pipeline.series import random_values, save_series


def _false_alarms(hits, patients):
    """What is reported of cases of which some are called synthetic."""
    cases = [
        CheckedCase(str(patient), 'CT', 'Maker A', 'synthetic' if hit else 'real', None)
        for hit, patient in zip(hits, patients, strict=True)
    ]
    return report_check(cases, error_level=0.05, refused=0)['parts']['all']['all']['shares']['synthetic']


def test_an_interval_over_patients_is_that_of_a_binomial_share():
    share = _false_alarms(np.arange(400) % 5 == 0, np.arange(400))
    exact = scipy.stats.binomtest(80, 400).proportion_ci(method='exact')
    assert (share['value'], share['low'], share['high']) == pytest.approx((0.2, *exact), abs=1e-3)


def test_cases_of_one_patient_count_as_one():
    """Each patient eight times is no more than once."""
    hits = np.arange(50) % 5 == 0
    once, often = _false_alarms(hits, np.arange(50)), _false_alarms(hits.repeat(8), np.arange(50).repeat(8))
    assert often == pytest.approx(once, abs=0.01)


def test_no_false_alarm_at_all_still_has_an_upper_end():
    share = _false_alarms(np.zeros(60, bool), np.arange(60) // 2)
    assert (share['value'], share['low']) == (0, 0)
    assert share['high'] == pytest.approx(1 - 0.025 ** (1 / 30))


def test_one_patient_has_no_interval():
    share = _false_alarms(np.zeros(6, bool), np.zeros(6, int))
    assert share == {'value': 0, 'low': None, 'high': None}


@pytest.mark.parametrize(
    ('low', 'high', 'above'), [(0.06, 0.2, True), (0.0, 0.05, False), (0.01, 0.2, None), (0.05, 0.2, None)]
)
def test_when_the_level_is_kept(low, high, above):
    assert is_above(Score(0.1, low, high), 0.05) is above


def _cases(counts):
    """Cases by (modality, scanner, answer), each of its own patient."""
    return [
        CheckedCase(f'{place}-{number}', modality, scanner, answer, 'a reason' if answer == "don't know" else None)
        for place, ((modality, scanner, answer), count) in enumerate(counts.items())
        for number in range(count)
    ]


COUNTS = {
    ('CT', 'Maker A', 'real'): 6,
    ('CT', 'Maker A', "don't know"): 2,
    ('MR', 'Maker B', 'synthetic'): 9,
    ('MR', 'not told', 'real'): 3,
}


def test_shares_by_part(tmp_path):
    report = report_check(_cases(COUNTS), error_level=0.05, refused=2)
    whole = report['parts']['all']['all']
    assert (whole['cases'], whole['patients']) == (20, 20)
    assert [whole['shares'][name]['value'] for name in ('real', "don't know", 'synthetic')] == [0.45, 0.1, 0.45]
    assert whole['above_level'] is True
    assert report['parts']['modality']['CT']['shares']['synthetic']['value'] == 0
    assert report['parts']['scanner'].keys() == {'Maker A', 'Maker B', 'not told'}
    assert report['parts']['scanner']['Maker A']['above_level'] is None  # eight patients cannot tell 5%
    assert report['reasons'] == {'a reason': 2}
    assert '2 files could not be read' in describe_promise(report)
    assert 'No: the interval lies above' in describe_promise(report)
    write_check(report, tmp_path)
    assert json.loads((tmp_path / 'report.json').read_text()) == report
    page = (tmp_path / 'report.html').read_text()
    for _, rows in list_rows(report):
        assert all(cell in page for row in rows for cell in row)


def test_cases_are_judged_as_predict_judges_them(answer, judge, tmp_path, pictures):
    folder = tmp_path / 'in'
    for number in range(3):
        drawn.save_picture(folder / f'{number}.png', pictures[0][number])
    (folder / 'bad.png').write_bytes(b'no picture')
    save_series(folder / 'series', random_values(3, 64, 66), [0.0, 2.0, 4.0])
    refusals = Refusals(skip=True)
    checked = check_cases(find_incoming([folder], reader_options(2, 2**20), refusals), judge, refusals)
    lines = [line for line in answer(folder).values() if 'error' not in line]
    assert [case.answer for case in checked] == [line['verdict'] for line in lines]
    assert [case.modality for case in checked] == [line['modality'] for line in lines]
    assert len(refusals.reasons) == 1
    assert len({case.patient for case in checked}) == 4


@pytest.mark.slow
def test_the_command(detector_workdir, tmp_path, pictures):
    for number, picture in enumerate(pictures[0][:6]):
        drawn.save_picture(tmp_path / 'in' / f'p{number // 2}_{number}.png', picture)
    commands, out = Commands(tmp_path / 'shared'), tmp_path / 'out'
    flags = (f'--workdir={detector_workdir}', f'--real={tmp_path / "in"}', '--error_level=0.1', f'--out={out}')
    done = commands.run('detect.check', *flags, r'--patient_pattern=(p\d)_')
    assert done.returncode == 0, done.stdout
    assert 'Is the level kept?' in done.stdout
    report = json.loads((out / 'report.json').read_text())
    assert (report['parts']['all']['all']['cases'], report['parts']['all']['all']['patients']) == (6, 3)
    assert (out / 'report.html').is_file()
    done = commands.run('detect.check', *flags)
    assert done.returncode == 1
    assert 'exists already; --overwrite replaces it' in done.stdout
    (tmp_path / 'in' / 'bad.png').write_bytes(b'no picture')
    done = commands.run('detect.check', *flags, '--overwrite')
    assert done.returncode == 1
    assert '1 could not be read, and are not counted' in done.stdout
    assert json.loads((out / 'report.json').read_text())['parts']['all']['all']['cases'] == 6
    done = commands.run('detect.check', flags[0], f'--real={tmp_path / "nothing"}', f'--out={tmp_path / "new"}')
    assert done.returncode == 1
    assert not (tmp_path / 'new').exists()
