"""Scores of ranking against scikit-learn and hand-made tables."""

import numpy as np
import pytest
import sklearn.metrics

from detect.metrics.ranking import auroc, average_precision, equal_error_rate, trace_roc, true_rate_at
from detect.metrics.samples import weigh_once

SCORES = [auroc, average_precision, equal_error_rate]


def _trace(scores, labels, weights=None):
    scores, labels = np.asarray(scores, np.float32), np.asarray(labels)
    return trace_roc(scores, labels, weigh_once(len(scores)) if weights is None else weights)


def _draw(seed: int, *, steps: float):
    """Scores on a grid, so that coarse steps make ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=200)
    return np.round((generator.normal(size=200) + labels) / steps) * steps, labels


@pytest.mark.parametrize('steps', [1e-4, 0.5, 2.0])
@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [(auroc, sklearn.metrics.roc_auc_score), (average_precision, sklearn.metrics.average_precision_score)],
)
def test_areas_are_those_of_scikit_learn(ours, theirs, steps):
    scores, labels = _draw(0, steps=steps)
    assert ours(_trace(scores, labels)) == pytest.approx(theirs(labels, scores), abs=1e-12)


@pytest.mark.parametrize('rate', [0.01, 0.02, 0.1])
def test_true_rates_are_those_of_scikit_learn(rate):
    scores, labels = _draw(1, steps=0.1)
    labels[:100] = 0  # more than 100 reals
    scores += 2 * labels
    false_rate, true_rate, _ = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    expected = true_rate[false_rate <= rate].max()
    assert 0 < expected < 1
    assert true_rate_at(_trace(scores, labels), rate) == pytest.approx(expected)


def test_equal_error_rate_is_that_of_a_root_of_the_interpolated_curve():
    scores, labels = _draw(2, steps=0.3)
    false_rate, true_rate, _ = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 100_001)
    expected = grid[np.abs(1 - np.interp(grid, false_rate, true_rate) - grid).argmin()]
    assert equal_error_rate(_trace(scores, labels)) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ('scores', 'labels', 'expected'),
    [
        ([4, 3, 2, 1], [1, 1, 0, 0], 0.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [1, 0, 1, 0], 0.5),
        ([1, 1, 1, 1], [1, 0, 1, 0], 0.5),
        ([3, 2, 2, 2, 1], [1, 1, 0, 0, 0], 2 / 7),  # the line from (0, 1/2) to (2/3, 1) meets 1 - x at 2/7
        ([3, 2, 1], [1, 0, 1], 0.5),
    ],
)
def test_equal_error_rate_lies_between_points(scores, labels, expected):
    assert equal_error_rate(_trace(scores, labels)) == pytest.approx(expected)


def test_equal_scores_rank_nothing():
    roc = _trace([2.0] * 5, [1, 0, 0, 0, 1])
    assert auroc(roc) == 0.5
    assert average_precision(roc) == pytest.approx(0.4)


@pytest.mark.parametrize('label', [0, 1])
@pytest.mark.parametrize('score', [*SCORES, lambda roc: true_rate_at(roc, 0.5)])
def test_one_class_alone_has_no_score(score, label):
    assert np.isnan(score(_trace([1, 2, 3], [label] * 3))).all()


@pytest.mark.parametrize(('reals', 'found'), [(99, np.nan), (100, 1.0)])
def test_few_reals_do_not_tell_a_small_rate(reals, found):
    roc = _trace([*range(reals), 1000], [*([0] * reals), 1])
    assert true_rate_at(roc, 0.01) == pytest.approx(found, nan_ok=True)


def test_a_tie_across_the_rate_is_left_out():
    scores = [*np.zeros(98), 5, 5, 5, 9]  # the level 5 holds two of 100 reals and a fake
    labels = [*np.zeros(98, int), 0, 0, 1, 1]
    assert true_rate_at(_trace(scores, labels), 0.01) == pytest.approx(0.5)
    assert true_rate_at(_trace(scores, labels), 0.02) == pytest.approx(1.0)


@pytest.mark.parametrize('score', [*SCORES, lambda roc: true_rate_at(roc, 0.05)])
def test_weights_count_as_repeated_images(score):
    scores, labels = _draw(3, steps=0.3)
    counts = np.random.default_rng(4).integers(3, size=(4, len(scores)))
    weighted = score(_trace(scores, labels, counts.astype(np.float64)))
    repeated = [score(_trace(np.repeat(scores, times), np.repeat(labels, times)))[0] for times in counts]
    np.testing.assert_allclose(weighted, repeated, atol=1e-12)
    assert len(set(repeated)) == 4
