"""Certificates against the closed form for a linear detector, whose radius is |w x + b| / |w|_2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from detect.evaluation.robustness import Certificate, certify, lower_bound
from tests.detect.attacks.models import BIAS, KEY, LINEAR, SHAPE, WEIGHTS

SIGMA, ALPHA = 0.5, 0.001


def _image(distance):
    """An image at a distance from the border, on the side of fakes where it is positive."""
    norm = np.linalg.norm(WEIGHTS)
    return jnp.asarray(WEIGHTS * (distance / norm - BIAS / norm**2))


def _certify(logits_of, image, *, key=KEY, threshold=0.0, draws=4000, alpha=ALPHA):
    settings = {'sigma': SIGMA, 'selection': 100, 'batch': 300}
    return certify(logits_of, image, key, threshold=threshold, draws=draws, alpha=alpha, **settings)


@pytest.mark.parametrize('distance', [0.7, 0.3, -0.3, -0.7])
def test_the_radius_of_a_linear_detector(distance):
    certificate = _certify(LINEAR, _image(distance))
    assert certificate.fake == (distance > 0)
    assert 0.85 * abs(distance) < certificate.radius < abs(distance)


def test_the_threshold_moves_the_border():
    threshold = float(0.4 * np.linalg.norm(WEIGHTS))
    certificate = _certify(LINEAR, _image(0.1), threshold=threshold)
    assert not certificate.fake
    assert 0.8 * 0.3 < certificate.radius < 0.3


def test_it_abstains_at_the_border():
    assert _certify(LINEAR, _image(0.0)) == Certificate(None, 0.0)


def test_certificates_are_wrong_no_more_often_than_alpha():
    """At the border every certificate is wrong; noise that chose the answer must not certify it, too."""
    alpha, repeats = 0.2, 400
    keys = jax.random.split(jax.random.key(1), repeats)
    made = sum(_certify(LINEAR, _image(0.0), key=key, draws=100, alpha=alpha).fake is not None for key in keys)
    assert made / repeats < alpha + 2.5 * np.sqrt(alpha * (1 - alpha) / repeats)


@pytest.mark.parametrize('draws', [1, 299, 300, 1001])
def test_all_draws_count_once(draws):
    """With one answer throughout, the bound is alpha^(1/draws)."""
    certificate = _certify(lambda images: images.sum(axis=(1, 2, 3)) * 0 + 1, jnp.zeros(SHAPE), draws=draws)
    bound = ALPHA ** (1 / draws)
    assert certificate.radius == pytest.approx(SIGMA * stats.norm.ppf(bound) if bound > 0.5 else 0)
    assert certificate.fake is (True if bound > 0.5 else None)


@pytest.mark.parametrize('successes', [0, 1, 57, 99, 100])
def test_the_bound_of_clopper_and_pearson(successes):
    interval = stats.binomtest(successes, 100).proportion_ci(1 - 2 * ALPHA, method='exact')
    assert lower_bound(successes, 100, ALPHA) == pytest.approx(interval.low)


def test_the_key_decides():
    first, again, other = (_certify(LINEAR, _image(0.3), key=jax.random.key(seed)) for seed in (0, 0, 1))
    assert first == again != other
