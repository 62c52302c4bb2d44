"""Frechet distance against closed forms and another implementation; its replicates and the batches it streams."""

import numpy as np
import pytest
import scipy.linalg

from foundation.statistics.jackknife import Estimate, Missing
from gan.scores.gaussian import Moments, collect_moments, frechet_distance, frechet_score
from tests.gan.scores.recomputing import GROUPS, assert_exact_replicates, sample


def _standardised(count, features, seed=0):
    """Draws with mean 0 and covariance 1, exactly."""
    draws = np.random.default_rng(seed).normal(size=(count, features))
    draws -= draws.mean(0)
    return draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws, rowvar=False))).T


def test_frechet_distance_has_its_closed_form():
    unit = _standardised(200, 3)
    scales, shift = np.array([1.0, 2.0, 0.5]), np.array([0.3, -1.0, 2.0])
    expected = np.square(shift).sum() + np.square(1 - scales).sum()
    assert frechet_distance(unit, unit * scales + shift) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(unit, unit) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(unit[:, :1], 3 * unit[:, :1] + 1) == pytest.approx(1 + 4, rel=1e-9)


def test_frechet_distance_of_covariances_that_do_not_commute():
    generator = np.random.default_rng(0)
    first, second = (generator.normal(size=(500, 4)) @ generator.normal(size=(4, 4)) for _ in range(2))
    covariances = [np.cov(x, rowvar=False) for x in (first, second)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_fewer_vectors_than_features():
    few = np.random.default_rng(0).normal(size=(5, 20))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(few, few + 1) == pytest.approx(20, rel=1e-6)


def _score(generated, reference):
    return frechet_score(*(collect_moments(x.values, x.groups, x.group_count) for x in (generated, reference)))


def test_replicates_are_distances_without_a_group():
    generator = np.random.default_rng(0)
    generated = sample(1000 + generator.normal(size=(80, 3)), seed=1)  # far from 0, which costs precision
    reference = sample(1000 + 2 * generator.normal(size=(90, 3)), seed=2)
    score = _score(generated, reference)
    assert score.value == pytest.approx(frechet_distance(generated.values, reference.values), rel=1e-9)
    assert score.counts == {'generated': 80, 'reference': 90}
    assert_exact_replicates(
        score, lambda x, y: frechet_distance(x.values, y.values), generated, reference, rel=1e-8
    )


def test_moments_do_not_depend_on_batches(monkeypatch):
    monkeypatch.setattr('gan.scores.gaussian._WAITING_BYTES', 1000)
    generator = np.random.default_rng(0)
    reference = sample(generator.normal(size=(300, 4)).astype(np.float32) + 5)
    other = collect_moments(reference.values[:200] + np.float32(1), reference.groups[:200], GROUPS)
    moments = Moments(4, GROUPS)
    for start in range(0, 300, 7):
        moments.add(reference.values[start : start + 7], reference.groups[start : start + 7])
    whole = collect_moments(reference.values, reference.groups, GROUPS)
    scores = [frechet_score(other, each) for each in (moments, whole)]
    assert scores[0].value == pytest.approx(scores[1].value, rel=1e-9)
    np.testing.assert_allclose(scores[0].replicates, scores[1].replicates, rtol=1e-9)


def test_a_set_has_no_distance_to_itself():
    reference = sample(np.random.default_rng(0).normal(size=(60, 4)))
    score = _score(reference, reference)
    assert isinstance(score, Estimate)
    np.testing.assert_allclose([score.value, *score.replicates], 0, atol=1e-9)


def test_a_constant_set_has_the_spread_of_the_other():
    constant = sample(np.full((60, 2), 3.0))
    other = sample(_standardised(60, 2))
    assert _score(constant, other).value == pytest.approx(2 * 9 + 2, rel=1e-9)
    assert _score(other, constant).value == pytest.approx(2 * 9 + 2, rel=1e-9)


def test_too_few_or_not_finite_vectors_have_a_reason():
    values = np.random.default_rng(0).normal(size=(60, 4))
    few = sample(values[:8])
    left = 8 - few.sizes.max()
    assert _score(sample(values), few) == Missing(
        f'needs at least 6 reference images without the largest group; there are {left}, and 8 with it.'
    )
    values[3:5, 1] = np.nan
    assert _score(sample(values), few) == Missing('2 of 60 generated images are not finite.')


def test_frechet_distance_of_a_vector_that_is_not_finite_is_nan():
    good = np.random.default_rng(0).normal(size=(20, 3))
    bad = good.copy()
    bad[3, 1] = np.nan
    assert np.isnan(frechet_distance(good, bad))
    assert np.isfinite(frechet_distance(good, good))


def test_moments_refuse_what_does_not_fit():
    moments = Moments(3, GROUPS)
    with pytest.raises(ValueError, match='4 features, not 3'):
        moments.add(np.zeros((2, 4)), np.zeros(2, int))
    with pytest.raises(ValueError, match='not 0 to 4'):
        moments.add(np.zeros((2, 3)), np.array([0, 5]))
    with pytest.raises(ValueError, match='two groups'):
        Moments(3, 1)
    with pytest.raises(ValueError, match='same numbers of features'):
        frechet_score(moments, Moments(4, GROUPS))
