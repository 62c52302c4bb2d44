"""Frechet distance and coverage against closed forms and other implementations; random features as a detector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from gan.features import create_extractor, resized
from gan.layers import downsample
from gan.scores import coverage, frechet_distance


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


def test_coverage_counts_real_vectors_with_a_generated_one_strictly_within():
    real = np.arange(8.0)[:, None]
    # The second neighbour of an inner point is at 1, of the two ends at 2.
    assert coverage(real, real + 0.5, neighbours=2) == 1.0
    assert coverage(real, np.array([[0.0]]), neighbours=2) == pytest.approx(1 / 8)
    assert coverage(real, np.array([[2.5]]), neighbours=2) == pytest.approx(2 / 8)
    assert coverage(real, np.array([[-2.0]]), neighbours=2) == 0.0  # exactly at the end's radius: not within
    with pytest.raises(ValueError, match='2 real vectors have no neighbour number 5'):
        coverage(real[:2], real)


@pytest.mark.parametrize('score', [frechet_distance, coverage])
def test_features_that_are_not_finite_have_no_score(score):
    good = np.random.default_rng(0).normal(size=(20, 3))
    bad = good.copy()
    bad[3, 1] = np.nan
    assert np.isnan(score(good, bad))
    assert np.isfinite(score(good, good))


def test_images_are_resized_by_means_or_by_repetition():
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1))
    np.testing.assert_array_equal(resized(images, 8), downsample(downsample(images)))
    assert resized(images, 64).shape == (2, 64, 64, 1)
    np.testing.assert_array_equal(resized(images, 64)[:, ::2, ::2], images)


def test_random_features_see_blur_darkness_and_repetition():
    extract = create_extractor(32)
    draw = jax.random.normal(jax.random.key(1), (400, 8, 8, 1))
    images = np.asarray(np.tanh(jax.image.resize(draw, (400, 32, 32, 1), 'cubic')))
    real, other = images[:200], images[200:]
    blurred = np.asarray(resized(resized(jnp.asarray(other), 8), 32))

    def distance(generated):
        return frechet_distance(np.asarray(extract(real)), np.asarray(extract(generated)))

    floor = distance(other)
    assert distance(blurred) > 5 * floor
    assert distance(other - 0.3) > 5 * floor
    assert distance(np.repeat(other[:4], 50, axis=0)) > 5 * floor
    assert distance(other[:, ::-1]) < 5 * floor
