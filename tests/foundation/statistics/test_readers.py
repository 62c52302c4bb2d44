"""Means over readers: closed forms, one reader alone, and their level in simulated studies."""

import numpy as np
import pytest
import scipy.stats

from benchmarks.readers import measure_coverage
from foundation.statistics import readers
from foundation.statistics.proportions import auroc_interval, exact_intervals


@pytest.mark.parametrize(('hits', 'count'), [(0, 9), (3, 20), (20, 20)])
@pytest.mark.parametrize('tail', [0.025, 0.05])
def test_exact_intervals_are_those_of_scipy(hits, count, tail):
    exact = scipy.stats.binomtest(hits, count).proportion_ci(1 - 2 * tail, method='exact')
    found = exact_intervals(np.array(hits), np.array(count - hits), tail)
    assert found == pytest.approx((exact.low, exact.high))


def test_the_variance_for_these_readers_is_that_of_the_mean_over_cases():
    """Readers are fixed, so that their mean of each case is a number like any other."""
    generator = np.random.default_rng(0)
    right, classes = generator.random((3, 40)) < 0.7, np.repeat([0, 1], 20)
    mean = readers.average_share(right, classes)
    by_case = right.mean(axis=0)
    expected = sum(by_case[classes == each].var(ddof=1) / 20 for each in (0, 1)) / 4
    assert mean.of_cases.variance == pytest.approx(expected)
    assert mean.value == pytest.approx(right.mean())
    assert mean.of_both.variance >= mean.of_cases.variance


def test_of_readers_who_never_differ_each_case_counts_once():
    generator = np.random.default_rng(0)
    one, classes = generator.random((1, 60)) < 0.6, np.repeat([0, 1], 30)
    alone, together = (readers.average_share(np.repeat(one, count, axis=0), classes) for count in (1, 4))
    assert alone.of_both is None
    assert together.of_cases.variance == pytest.approx(alone.of_cases.variance)
    assert together.of_both.variance == pytest.approx(alone.of_cases.variance)


def test_the_variance_of_obuchowski_and_rockette_by_hand():
    """Two readers, one class: values 0.75 and 0.25, whose covariance over four cases is 1/48."""
    right = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    mean = readers.average_share(right, np.zeros(4, int))
    between = 0.125 + 2 * (1 / 12) / 4
    assert mean.of_both.variance == pytest.approx(between / 2)
    assert mean.of_both.freedom == pytest.approx((between / 0.125) ** 2)


def test_the_area_of_one_reader_is_delongs():
    generator = np.random.default_rng(1)
    positive = np.arange(60) < 25
    scores = np.round(generator.normal(size=60) + positive)
    mean = readers.average_area(scores[None], positive)
    expected = auroc_interval(scores, positive, np.arange(60))
    assert readers.area_ends(mean, mean.of_cases, 0.025) == pytest.approx(expected)


def test_where_all_are_right_an_interval_is_left():
    mean = readers.average_share(np.ones((3, 50), bool), np.repeat([0, 1], 25))
    low, high = readers.share_ends(mean, mean.of_both, 0.025)
    assert (low, high) == pytest.approx((0.025 ** (1 / 50), 1))
    area = readers.average_area(np.repeat(np.arange(50.0)[None], 3, axis=0), np.arange(50) > 20)
    assert readers.area_ends(area, area.of_both, 0.025) is None


@pytest.mark.parametrize(('number', 'accuracy', 'spread'), [(2, 0.5, 0.0), (5, 0.7, 0.0), (5, 0.6, 0.4)])
def test_intervals_hold_the_truth(number, accuracy, spread):
    for held, _ in measure_coverage(number, 100, accuracy, spread, studies=300):
        assert held >= 0.92
