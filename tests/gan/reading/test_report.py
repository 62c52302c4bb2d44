"""The report: there when all is answered, of all that was measured, and not before."""

import json
import re

import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.reading.answers import AnswerSheet
from gan.reading.report import write_report
from gan.reading.server import read_sheets
from tests.gan.reading.made import answer_all, make_study


def _answered(folder, *rules, **changes):
    """A study in which each reader answers as a rule says of the truth of a case."""
    study = make_study(folder, readers=len(rules), **changes)
    sheets = read_sheets(study)
    for sheet, rule in zip(sheets, rules, strict=True):
        answer_all(sheet, [rule(case) for case in study.truth])
    return study, sheets


def _read(study):
    page, numbers = study.folder / 'report.html', study.folder / 'report.json'
    return re.sub('<[^>]+>', ' ', page.read_text()), json.loads(numbers.read_text())


def test_everything_is_reported(tmp_path):
    """The first is always right; the second takes a real one of class b for generated, the third guesses."""
    guess = np.random.default_rng(0)
    study, sheets = _answered(
        tmp_path / 'study',
        lambda case: 6 if case.generated else 1,
        lambda case: 6 if case.generated or (case.label == 'b' and case.number == 1) else 2,
        lambda case: int(guess.integers(1, 7)),
        labels=('a', 'b'),
        cases=40,
        repeats=8,
    )
    result = write_report(study, sheets, early=False)
    text, found = _read(study)
    assert [reader['reading']['cases'] for reader in found['readers']] == [40, 40, 40]
    first, second, _ = found['readers']
    assert first['reading']['accuracy']['value'] == 1
    assert second['reading']['specificity']['value'] == 0.95
    assert second['by_class']['a']['specificity']['value'] == 1
    assert second['by_class']['b']['specificity']['value'] == 0.9
    assert set(found['together']) == {'these readers', 'other readers'}
    assert set(found['together_by_class']) == {'a', 'b'}
    assert [pair['readers'] for pair in found['agreement']] == [[1, 2], [1, 3], [2, 3]]
    assert (found['plan']['sha256'], found['positive']) == (study.plan.checksum, 'generated')
    assert len(found['conclusions']) == 5
    for told in (*result.sentences, 'Reader 2, b', 'Readers 1 and 3, real cases', 'Reader 3, again', 'median'):
        assert told in text
    assert 'early look' not in text
    assert 'What 3 readers say of other readers is little' in text
    assert (study.folder / 'figures' / 'roc.png').is_file()


def test_who_misled_everybody_is_shown(tmp_path):
    study, sheets = _answered(tmp_path / 'study', *[lambda case: 1 + 5 * (case.number == 0)] * 2)
    write_report(study, sheets, early=False)
    text, found = _read(study)
    fooled = [case for case, truth in enumerate(study.truth) if truth.generated and truth.number]
    assert sorted(found['called_real_by_all']) == fooled
    (missed,) = found['called_generated_by_all']
    assert not study.truth[missed].generated
    assert 'Generated, and called real by all readers: 3' in text
    assert (study.folder / 'report.html').read_text().count('data:image/png') == 3


def test_a_study_that_is_not_done_tells_nothing_unless_asked(tmp_path):
    study = make_study(tmp_path / 'study')
    sheets = read_sheets(study)
    with pytest.raises(UserError, match='20 answers are still missing'):
        write_report(study, sheets, early=False)
    with pytest.raises(UserError, match='nobody has answered yet'):
        write_report(study, sheets, early=True)
    answer_all(sheets[0], [3] * 8)
    with pytest.raises(UserError, match='10 answers are still missing'):
        write_report(study, sheets, early=False)
    assert not (study.folder / 'report.html').exists()
    write_report(study, [AnswerSheet(study.folder, study.plan, reader) for reader in range(2)], early=True)
    text, found = _read(study)
    assert 'This is an early look' in text
    assert [reader['complete'] for reader in found['readers']] == [True, False]
    assert found['together'] == {}


def test_unknown_patients_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(make_study.__globals__['SOURCES'], 'patients_known', False)
    study, sheets = _answered(tmp_path / 'study', lambda case: 4)
    write_report(study, sheets, early=False)
    text, found = _read(study)
    assert 'The data do not tell patients' in text
    assert found['readers'][0]['own']['all']['kappa']['value'] is None
    assert 'none: it ' in text
