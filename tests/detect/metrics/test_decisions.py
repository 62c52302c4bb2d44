"""Scores of decisions against scikit-learn, and where they are undefined."""

import numpy as np
import pytest
import sklearn.metrics

from detect.metrics import decisions
from detect.metrics.samples import weigh_once

THEIRS = {
    'accuracy': sklearn.metrics.accuracy_score,
    'balanced_accuracy': sklearn.metrics.balanced_accuracy_score,
    'precision': sklearn.metrics.precision_score,
    'recall': sklearn.metrics.recall_score,
    'fake_accuracy': sklearn.metrics.recall_score,
    'real_accuracy': lambda labels, called: sklearn.metrics.recall_score(labels, called, pos_label=0),
    'f1': sklearn.metrics.f1_score,
    'matthews': sklearn.metrics.matthews_corrcoef,
}


def _decide(scores, labels, threshold=0.5):
    scores = np.asarray(scores, np.float64)
    return decisions.decide(scores, np.asarray(labels), weigh_once(len(scores)), threshold=threshold)


@pytest.mark.parametrize('name', decisions.DECISION_SCORES)
def test_scores_are_those_of_scikit_learn(name):
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=100)
    scores = generator.normal(size=100) + labels
    expected = THEIRS[name](labels, (scores >= 0.7).astype(int))
    assert decisions.DECISION_SCORES[name](_decide(scores, labels, 0.7)) == pytest.approx(expected)


def test_a_score_at_the_threshold_is_called_fake():
    made = _decide([0.5, 0.4999], [1, 1])
    assert (made.true_fakes, made.missed_fakes) == (1, 1)


def _undefined(scores, labels):
    made = _decide(scores, labels)
    values = {name: score(made)[0] for name, score in decisions.DECISION_SCORES.items()}
    return {name for name, value in values.items() if np.isnan(value)}


@pytest.mark.parametrize(
    ('scores', 'labels', 'expected'),
    [
        ([0, 0], [0, 1], {'precision', 'matthews'}),
        ([1, 1], [0, 1], {'matthews'}),
        ([0, 1], [0, 0], {'recall', 'fake_accuracy', 'balanced_accuracy', 'f1', 'matthews'}),
        ([0, 1], [1, 1], {'real_accuracy', 'balanced_accuracy', 'matthews'}),
        ([0, 1], [0, 1], set()),
    ],
)
def test_what_is_undefined_is_not_a_number(scores, labels, expected):
    assert _undefined(scores, labels) == expected


def test_f1_is_0_where_no_fake_is_found():
    assert decisions.f1(_decide([0, 0], [0, 1])) == 0


@pytest.mark.parametrize(('false_rate', 'expected'), [(0.01, 0.087), (0.001, 0.487)])
def test_rare_fakes_make_most_alarms_false(false_rate, expected):
    """The figures of the reference: 95% found, at a prevalence of 0.1%."""
    made = decisions.Decisions(*(np.array([share]) for share in (0.95, 0.05, 1 - false_rate, false_rate)))
    assert decisions.predictive_value(made, 0.001) == pytest.approx(expected, abs=5e-4)


def test_the_predictive_value_at_the_share_of_fakes_is_the_precision():
    made = _decide([0, 1, 1, 0, 1], [0, 0, 1, 1, 1])
    assert decisions.predictive_value(made, 3 / 5) == pytest.approx(decisions.precision(made))
