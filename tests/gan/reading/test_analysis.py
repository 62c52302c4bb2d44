"""What answers say: readers whose accuracy is known, by hand and in simulation."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from gan.reading import analysis
from gan.reading.analysis import Reading, ReadShare, StudyAnswers, conclude
from gan.reading.answers import AnswerSheet
from tests.gan.reading.made import answer_all, make_study

GENERATED = np.arange(40) >= 20


def _answers(*confidences, labels=('',), again=()):
    confidence = np.array(confidences)
    return StudyAnswers(
        GENERATED,
        np.array([labels[case % len(labels)] for case in range(40)]),
        confidence,
        np.where(confidence > 0, 2.0, np.nan),
        [*again, *(np.empty((0, 2), int) for _ in confidences[len(again) :])],
        [True] * len(confidences),
    )


def test_one_reader_by_hand():
    """15 of 20 generated and 18 of 20 real ones are called rightly."""
    confidence = np.where(GENERATED, 5, 2)
    confidence[[20, 21, 22, 23, 24]] = 3
    confidence[[0, 1]] = 4
    reading = analysis.read_alone(_answers(confidence), 0, np.ones(40, bool), 0.05)
    assert (reading.accuracy.value, reading.sensitivity.value, reading.specificity.value) == (33 / 40, 0.75, 0.9)
    for share, hits, count in (
        (reading.accuracy, 33, 40),
        (reading.sensitivity, 15, 20),
        (reading.specificity, 18, 20),
    ):
        assert share.interval == pytest.approx(tuple(scipy.stats.binomtest(hits, count).proportion_ci()))
    assert reading.equivalence == pytest.approx(tuple(scipy.stats.binomtest(33, 40).proportion_ci(0.9)))
    assert reading.area.value == pytest.approx(sklearn.metrics.roc_auc_score(GENERATED, confidence))
    low, high = reading.area.interval
    assert 0.5 < low < reading.area.value < high < 1


def test_only_the_first_answer_to_a_case_counts(tmp_path):
    study = make_study(tmp_path / 'study')
    sheet = AnswerSheet(study.folder, study.plan, 0)
    seen: set[int] = set()
    while not sheet.is_complete:
        case = sheet.order[len(sheet.answers)]
        right = 6 if study.truth[case].generated else 1
        sheet.add(7 - right if case in seen else right, 1.0)
        seen.add(case)
    answers = analysis.collect_answers(study.truth, [sheet])
    result = analysis.judge_reader(answers, 0, study.plan)
    assert result.reading.accuracy.value == 1
    assert result.own['all'].same.value == 0
    assert (result.own['all'].cases, result.own['real'].cases, result.complete) == (2, 1, True)
    assert result.seconds['all'] == (1.0, 1.0, 1.0)


def test_a_reader_who_has_not_finished_is_judged_by_what_there_is(tmp_path):
    study = make_study(tmp_path / 'study')
    sheets = [AnswerSheet(study.folder, study.plan, reader) for reader in range(2)]
    for _ in range(3):
        sheets[0].add(4, 1.0)
    answer_all(sheets[1], [6 if case.generated else 1 for case in study.truth])
    answers = analysis.collect_answers(study.truth, sheets)
    unfinished, done = (analysis.judge_reader(answers, reader, study.plan) for reader in range(2))
    assert (unfinished.reading.cases, unfinished.complete, done.reading.cases, done.complete) == (
        3,
        False,
        8,
        True,
    )
    assert answers.common.sum() == 3


def test_nobody_and_nothing_gives_no_numbers():
    reading = analysis.read_alone(_answers(np.zeros(40, int)), 0, np.zeros(40, bool), 0.05)
    assert (reading.accuracy.value, reading.area.value, reading.equivalence) == (None, None, None)
    assert 'nothing can be said' in conclude('Reader 1', reading, 0.1, 0.05)


def test_means_over_readers():
    one, two = np.where(GENERATED, 6, 1), np.where(GENERATED, 5, 2)
    one[:10], two[5:15] = 6, 4
    answers = _answers(one, two)
    fixed, others = (
        analysis.read_together(answers, np.ones(40, bool), 0.05, other_readers=other) for other in (False, True)
    )
    assert (fixed.accuracy.value, fixed.sensitivity.value, fixed.specificity.value) == (0.75, 1.0, 0.5)
    assert fixed.accuracy.interval[0] >= others.accuracy.interval[0]
    agreement = analysis.agree_between(answers, 0, 1, 0.05)
    calls = [confidence >= 4 for confidence in (one, two)]
    assert agreement['all'].kappa.value == pytest.approx(sklearn.metrics.cohen_kappa_score(*calls))
    assert agreement['real'].same.value == 0.5
    assert 'not defined' in agreement['generated'].reason


def test_classes_are_told_apart(tmp_path):
    confidence = np.where(GENERATED, 6, 1)
    confidence[::2] = 7 - confidence[::2]  # those of the first class are taken for each other
    plan = make_study(tmp_path / 'study').plan
    result = analysis.judge_reader(_answers(confidence, labels=('CT', 'MR')), 0, plan)
    assert {name: each.accuracy.value for name, each in result.by_class.items()} == {'CT': 0, 'MR': 1}


def test_who_misled_everybody():
    one, two = np.where(GENERATED, 6, 1), np.where(GENERATED, 6, 1)
    one[[20, 21, 0]], two[[20, 21, 0, 1]] = [3, 1, 5], [3, 1, 6, 6]
    assert analysis.find_worst(_answers(one, two)) == ([21, 20], [0])


def test_roc_points_enclose_the_area():
    confidence = np.random.default_rng(0).integers(1, 7, 40) + GENERATED
    points = analysis.roc_points(np.minimum(confidence, 6), GENERATED)
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    expected = sklearn.metrics.roc_auc_score(GENERATED, np.minimum(confidence, 6))
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(expected)


def _reading(accuracy, interval, equivalence, area=(0.5, (0.4, 0.6))):
    share = ReadShare(accuracy, interval)
    return Reading(100, share, share, share, ReadShare(*area), equivalence)


@pytest.mark.parametrize(
    ('reading', 'says', 'not_says'),
    [
        (_reading(0.8, (0.7, 0.9), (0.72, 0.88)), 'better than chance.', 'equivalent'),
        (_reading(0.2, (0.1, 0.3), (0.12, 0.28)), 'worse than chance: kinds are seen', 'equivalent'),
        (_reading(0.51, (0.43, 0.59), (0.45, 0.57)), 'equivalent to chance', 'better'),
        (
            _reading(0.55, (0.51, 0.59), (0.52, 0.58)),
            'better than chance, but by less than the margin',
            'Undecided',
        ),
        (_reading(0.5, (0.3, 0.7), (0.35, 0.65)), 'Undecided', 'equivalent to chance'),
        (_reading(0.5, (0.45, 0.55), (0.39, 0.55)), 'Undecided', 'equivalent to chance'),
        (_reading(0.5, (0.43, 0.57), (0.45, 0.55), (0.9, (0.8, 0.95))), 'ranks the two kinds apart', 'better'),
    ],
)
def test_sentences_follow_from_the_intervals(reading, says, not_says):
    told = conclude('Reader 1', reading, 0.1, 0.05)
    assert says in told
    assert not_says not in told
