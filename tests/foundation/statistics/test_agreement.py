"""Cohen's kappa: by hand, against scikit-learn; its interval against Fleiss's variance and in simulation."""

import numpy as np
import pytest
import sklearn.metrics

from foundation.statistics.agreement import cohen_kappa
from foundation.statistics.jackknife import Missing


def test_by_hand():
    """20 yes and yes, 5 and 10 apart, 15 no and no: observed 0.7, expected 0.5."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first, second, 2).value == pytest.approx(0.4)


def test_it_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 6, (2, 80))
    second = np.where(generator.random(80) < 0.5, first, second)
    expected = sklearn.metrics.cohen_kappa_score(first, second)
    assert cohen_kappa(first, second, 6).value == pytest.approx(expected)


def _fleiss_error(table):
    """The asymptotic standard error of Fleiss, Cohen and Everitt (1969), equation 13."""
    shares = table / table.sum()
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = np.trace(shares), rows @ columns
    diagonal = (np.diag(shares) * ((1 - expected) - (rows + columns) * (1 - observed)) ** 2).sum()
    off = shares * (columns[:, None] + rows[None]) ** 2
    off = (1 - observed) ** 2 * (off.sum() - np.trace(off))
    last = (observed * expected - 2 * expected + observed) ** 2
    return np.sqrt((diagonal + off - last) / table.sum()) / (1 - expected) ** 2


def test_the_standard_error_is_that_of_fleiss():
    table = np.array([[200, 50], [90, 160]])
    first, second = np.repeat([0, 0, 1, 1], table.ravel()), np.repeat([0, 1, 0, 1], table.ravel())
    assert cohen_kappa(first, second, 2).standard_error == pytest.approx(_fleiss_error(table), rel=0.01)


def test_the_interval_holds_the_truth():
    """Two readers of 60 cases, of which 70% are the same for both by nature: kappa is 0.4."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(400):
        first = generator.integers(0, 2, 60)
        second = np.where(generator.random(60) < 0.7, first, 1 - first)
        low, high = cohen_kappa(first, second, 2).interval()
        held += low <= 0.4 <= high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize('answers', [([0, 0, 0, 0], [0, 0, 0, 0]), ([1, 1, 1, 0], [1, 1, 1, 0]), ([0, 1], [1, 1])])
def test_what_is_not_defined_has_a_reason(answers):
    first, second = map(np.array, answers)
    assert isinstance(cohen_kappa(first, second, 2), Missing)
