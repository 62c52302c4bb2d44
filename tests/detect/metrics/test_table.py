"""The table of scores against brute force over the same draws, and what it says of little data."""

import dataclasses
import json
import math

import numpy as np
import pytest
import sklearn.metrics

from detect.metrics.samples import Judged
from detect.metrics.table import LOWER_IS_BETTER, draw_weights, score_table
from detect.metrics.thresholds import DecisionThresholds
from foundation.statistics.percentiles import Score
from foundation.statistics.proportions import auroc_interval, share_interval

THRESHOLDS = DecisionThresholds(0.5, 0.4, 1.5, None)
BRUTE_FORCE = {
    'average_precision': lambda labels, scores, called: sklearn.metrics.average_precision_score(labels, scores),
    'youden/f1': lambda labels, scores, called: sklearn.metrics.f1_score(labels, called),
    'youden/matthews': lambda labels, scores, called: sklearn.metrics.matthews_corrcoef(labels, called),
    'youden/precision': lambda labels, scores, called: sklearn.metrics.precision_score(labels, called),
    'share_of_fakes': lambda labels, scores, called: labels.mean(),
}


def _judge(count: int, *, shift: float, patients: int) -> Judged:
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=count)
    scores = (generator.normal(size=count) + shift * labels).astype(np.float32)
    owners = generator.integers(patients, size=count) + patients * labels
    return Judged(scores, 1 / (1 + np.exp(-scores)), labels, owners)


def _tabulate(judged: Judged, resamples: int = 200) -> dict[str, Score]:
    return score_table(judged, THRESHOLDS, prevalence=0.01, resamples=resamples, seed=0)


@pytest.fixture(scope='module')
def judged() -> Judged:
    return _judge(150, shift=1.0, patients=20)


@pytest.fixture(scope='module')
def table(judged) -> dict[str, Score]:
    return _tabulate(judged)


@pytest.mark.parametrize('name', BRUTE_FORCE)
def test_scores_are_those_of_a_loop_over_the_same_draws(judged, table, name):
    weights = np.concatenate(list(draw_weights(judged.patients, judged.fake, resamples=200, seed=0))).astype(int)

    def evaluate(times):
        labels, scores = np.repeat(judged.labels, times), np.repeat(judged.scores, times)
        return BRUTE_FORCE[name](labels, scores, scores >= THRESHOLDS.youden)

    low, high = np.quantile([evaluate(times) for times in weights], [0.025, 0.975])
    assert table[name].value == pytest.approx(evaluate(1))
    assert (table[name].low, table[name].high) == pytest.approx((low, high))


def test_areas_and_shares_need_no_draws(judged, table):
    found = auroc_interval(judged.scores, judged.fake, judged.patients)
    assert (table['auroc'].low, table['auroc'].high) == found
    assert table['auroc'].value == pytest.approx(sklearn.metrics.roc_auc_score(judged.labels, judged.scores))
    called = judged.scores >= THRESHOLDS.youden
    for names, chosen, right in (
        (('recall', 'fake_accuracy'), judged.fake, called),
        (('real_accuracy',), ~judged.fake, ~called),
    ):
        found = share_interval(right[chosen], judged.patients[chosen])
        for name in names:
            score = table[f'youden/{name}']
            assert (score.value, score.low, score.high) == (pytest.approx(right[chosen].mean()), *found)


def test_all_scores_are_there_and_go_through_json(table):
    assert len(table) == 6 + 4 * 9 + 3
    assert set(LOWER_IS_BETTER) < set(table)
    stored = json.dumps({name: dataclasses.asdict(score) for name, score in table.items()}, allow_nan=False)
    assert {name: Score(**score) for name, score in json.loads(stored).items()} == table
    defined = [score for score in table.values() if score.low is not None]
    assert len(defined) > 30
    assert all(score.low < score.high for score in defined)
    assert all(
        score.low <= score.value <= score.high
        for name, score in table.items()
        if score.low is not None and not name.startswith('calibration')
    )


def test_what_cannot_be_told_has_no_number(table):
    missing = {name for name, score in table.items() if score.value is None}
    assert 'tpr_at_fpr_1_percent' in missing  # fewer than 100 reals
    assert {name for name in table if name.startswith('fpr_0_1_percent/')} < missing  # no such threshold
    assert not {'auroc', 'fpr_1_percent/accuracy'} & missing


def test_without_probabilities_there_is_no_calibration(judged):
    table = _tabulate(dataclasses.replace(judged, probabilities=None))
    assert len(table) == 6 + 4 * 9
    assert 'brier' not in table


def test_the_seed_decides(judged, table):
    assert _tabulate(judged) == table
    other = score_table(judged, THRESHOLDS, prevalence=0.01, resamples=200, seed=1)
    assert other['average_precision'].value == table['average_precision'].value
    assert other['average_precision'].low != table['average_precision'].low


def test_a_faultless_detector_of_few_patients_has_wide_intervals():
    labels = np.repeat([0, 1], [30, 20])
    judged = Judged(np.where(labels, 2.0, -2.0), None, labels, np.arange(50) // 2)  # 15 and 10 patients
    table = _tabulate(judged)
    for name, patients in (('auroc', 10), ('youden/recall', 10), ('youden/real_accuracy', 15), ('youden/f1', 10)):
        assert dataclasses.astuple(table[name]) == pytest.approx((1, 0.025 ** (1 / patients), 1))
    assert dataclasses.astuple(table['equal_error_rate']) == pytest.approx((0, 0, 1 - 0.025**0.1))
    alarms = 1 - 0.025 ** (1 / 15)
    expected = 0.01 / (0.01 + 0.99 * alarms)
    assert dataclasses.astuple(table['youden/predictive_value']) == pytest.approx((1, expected, 1))


@pytest.mark.parametrize('label', [0, 1])
def test_one_class_alone_has_a_few_values_and_no_intervals(label):
    judged = _judge(40, shift=0.0, patients=10)
    table = _tabulate(judged[judged.labels == label])
    assert table['auroc'] == Score(None, None, None)
    assert table['youden/accuracy'].value is not None
    assert all(score.low is None and score.high is None for score in table.values())


def test_one_patient_of_a_class_has_no_interval():
    judged = _judge(60, shift=1.0, patients=10)
    table = _tabulate(dataclasses.replace(judged, patients=np.where(judged.fake, 99, judged.patients)))
    assert table['auroc'].value is not None
    assert table['auroc'].low is None


@pytest.mark.parametrize('prevalence', [0.0, 1.0, math.nan])
def test_a_prevalence_lies_between_0_and_1(judged, prevalence):
    with pytest.raises(ValueError, match='prevalence'):
        score_table(judged, THRESHOLDS, prevalence=prevalence, resamples=10, seed=0)


@pytest.mark.parametrize('probability', [-0.1, 1.1, math.nan])
def test_bad_probabilities_are_refused(probability):
    with pytest.raises(ValueError, match='Probabilities'):
        Judged(np.zeros(2), np.array([0.5, probability]), np.array([0, 1]), np.arange(2))
