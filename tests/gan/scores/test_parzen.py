"""Parzen log-likelihood against closed forms, SciPy's mixture, and the reason why it misleads."""

import math

import numpy as np
import pytest
import scipy.stats

from foundation.statistics.jackknife import FeatureSample, Missing
from gan.scores.parzen import BANDWIDTHS, choose_bandwidth, parzen_score
from tests.gan.scores.recomputing import assert_exact_replicates, sample


def _mixture(generated, real, bandwidth):
    """By SciPy: the log of the mean density of a Gaussian at each generated vector."""
    densities = np.stack(
        [scipy.stats.norm.logpdf(real.values, mean, bandwidth).sum(axis=1) for mean in generated.values]
    )
    return float(np.log(np.exp(densities).mean(axis=0)).mean())


def test_one_vector_has_the_density_of_a_gaussian():
    generated, real = (FeatureSample(np.full((2, 3), value), np.arange(2), 2) for value in (0.0, 0.5))
    score = parzen_score(generated, real, 0.5)
    assert score.value == pytest.approx(-1.5 * math.log(2 * math.pi * 0.25) - 3 * 0.25 / (2 * 0.25), rel=1e-12)
    assert score.counts == {'generated': 2, 'real': 2}


def test_many_vectors_have_the_likelihood_of_scipys_mixture():
    draw = np.random.default_rng(0).normal
    generated, real = sample(draw(size=(30, 4)), 1), sample(draw(size=(25, 4)), 2)
    score = parzen_score(generated, real, 0.7)
    assert score.value == pytest.approx(_mixture(generated, real, 0.7), rel=1e-9)
    assert_exact_replicates(score, lambda *samples: _mixture(*samples, 0.7), generated, real)


def test_far_vectors_underflow_no_density():
    generated, real = (FeatureSample(np.full((2, 100), value), np.arange(2), 2) for value in (0.0, 1.0))
    assert parzen_score(generated, real, 0.01).value == pytest.approx(
        -100 * math.log(0.01 * math.sqrt(2 * math.pi)) - 100 / (2 * 0.01**2), rel=1e-12
    )


def test_the_bandwidth_is_near_the_deviation_from_one_vector():
    draws = np.random.default_rng(0).normal(0.5, 0.1, (500, 20))
    assert choose_bandwidth(np.full((1, 20), 0.5), draws) == pytest.approx(0.1, rel=0.15)
    assert choose_bandwidth(np.zeros((1, 2)), np.zeros((3, 2))) == BANDWIDTHS[0]


def test_a_blurred_mean_beats_real_images():
    """Why it misleads: means of clusters, which no one would take for samples, score above samples themselves."""
    generator = np.random.default_rng(0)

    def draw(count):
        return generator.normal(0.5, 0.1, (count, 200))

    real, validation, perfect = draw(100), draw(100), draw(100)
    scores = {}
    for name, values in (('perfect', perfect), ('mean', np.full_like(perfect, 0.5))):
        width = choose_bandwidth(values, validation)
        scores[name] = parzen_score(
            *(FeatureSample(each, np.arange(100) % 5, 5) for each in (values, real)), width
        )
    assert scores['mean'].value > scores['perfect'].value + 20


def test_images_that_are_not_finite_have_none():
    generated, real = (FeatureSample(np.zeros((4, 2)), np.arange(4) % 2, 2) for _ in range(2))
    generated.values[0, 0] = np.nan
    assert isinstance(parzen_score(generated, real, 1.0), Missing)
