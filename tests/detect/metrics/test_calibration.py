"""Calibration against direct forms."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from detect.metrics.calibration import brier, calibration_error, mean_gaps
from detect.metrics.samples import weigh_once
from foundation.statistics.calibration import BINS, bins_of_equal_mass, bins_of_equal_width, tabulate_reliability


@pytest.fixture(scope='module')
def drawn():
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(size=600)
    return probabilities, (generator.uniform(size=600) < probabilities**2).astype(int)


@pytest.mark.parametrize(
    ('binning', 'strategy'), [(bins_of_equal_width, 'uniform'), (bins_of_equal_mass, 'quantile')]
)
def test_reliability_is_that_of_scikit_learn(drawn, binning, strategy):
    probabilities, labels = drawn
    table = tabulate_reliability(probabilities, labels, binning(probabilities))
    shares, means = sklearn.calibration.calibration_curve(labels, probabilities, n_bins=BINS, strategy=strategy)
    np.testing.assert_allclose([row.share for row in table], shares)
    np.testing.assert_allclose([row.probability for row in table], means)
    error = sum(row.images * abs(row.share - row.probability) for row in table) / len(labels)
    weights = weigh_once(len(labels))
    assert error > 0.1
    gaps = mean_gaps(probabilities, labels, binning(probabilities), weights)
    assert calibration_error(gaps) == pytest.approx(error)


def test_brier_is_that_of_scikit_learn(drawn):
    probabilities, labels = drawn
    expected = sklearn.metrics.brier_score_loss(labels, probabilities)
    assert brier(probabilities, labels, weigh_once(len(labels))) == pytest.approx(expected)


def test_bins_of_equal_mass_hold_equally_many(drawn):
    counts = np.bincount(bins_of_equal_mass(drawn[0]), minlength=BINS)
    assert set(counts) == {600 // BINS}


def test_ties_share_a_bin_of_equal_mass():
    probabilities = np.repeat([0.1, 0.9], [40, 20])
    bins = bins_of_equal_mass(probabilities)
    assert len(set(bins[:40])) == len(set(bins[40:])) == 1
    labels = np.repeat([0, 1], [40, 20])
    assert calibration_error(mean_gaps(probabilities, labels, bins, weigh_once(60))) == pytest.approx(0.1)


@pytest.mark.parametrize('binning', [bins_of_equal_width, bins_of_equal_mass])
def test_weights_count_as_repeated_images(drawn, binning):
    probabilities, labels = drawn
    bins, counts = binning(probabilities), np.random.default_rng(1).integers(3, size=(3, len(labels)))
    weighted = mean_gaps(probabilities, labels, bins, counts.astype(np.float64))
    for gaps, times in zip(weighted, counts, strict=True):
        copies = [np.repeat(each, times) for each in (probabilities, labels, bins)]
        np.testing.assert_allclose(gaps[None], mean_gaps(*copies, weigh_once(int(times.sum()))), atol=1e-12)
