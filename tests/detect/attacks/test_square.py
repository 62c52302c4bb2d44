"""The square attack: it changes squares to the ends of what is allowed, and finds less than there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from detect.attacks.evasion import side_of_square, square
from detect.attacks.threat import Threat
from tests.detect.attacks.models import (
    BENT,
    IMAGES,
    KEY,
    LABELS,
    LINEAR,
    logits,
    steps_from,
    worst_logits,
)

SIGNS = np.where(np.asarray(LABELS) == 1, 1, -1)


def _attack(logits_of, images, eps, *, queries, levels=None, key=KEY):
    return np.asarray(square(logits_of, images, LABELS, key, threat=Threat(eps, levels), queries=queries))


@pytest.mark.parametrize('eps', [0.05, 0.5])
def test_it_comes_near_the_worst_case_of_a_linear_detector_and_never_beyond(eps):
    clean, exact = SIGNS * logits(IMAGES), SIGNS * worst_logits(IMAGES, LABELS, eps)
    found = SIGNS * logits(_attack(LINEAR, IMAGES, eps, queries=300))
    assert (found >= exact - 1e-5).all()
    assert ((clean - found) > 0.8 * (clean - exact)).all()


def test_more_queries_find_more():
    gains = [(SIGNS * logits(_attack(LINEAR, IMAGES, 0.2, queries=queries))).mean() for queries in (1, 20, 300)]
    assert gains[0] > gains[1] > gains[2]


@pytest.mark.parametrize('levels', [None, 256])
def test_values_are_moved_to_the_ends(levels):
    images = jnp.round((IMAGES + 1) * 127.5) / 127.5 - 1
    eps = 8 / 127.5
    attacked = _attack(BENT, images, eps, queries=30, levels=levels)
    ends = [np.clip(images + change, -1, 1) for change in (-eps, eps)]
    assert (np.min([np.abs(attacked - end) for end in ends], axis=0) < 1e-6).all()
    assert np.abs(attacked).max() <= 1
    if levels is not None:
        np.testing.assert_allclose(steps_from(attacked, 256), np.round(steps_from(attacked, 256)), atol=1e-3)


def test_a_square_always_changes_something():
    """Of a pixel with two ends, the second query tries the other one."""
    pixels, labels = jnp.zeros((32, 1, 1, 1)), jnp.ones(32, int)
    attacked = square(lambda shown: shown[:, 0, 0, 0], pixels, labels, KEY, threat=Threat(0.1, None), queries=2)
    np.testing.assert_allclose(attacked, pixels - 0.1, rtol=1e-6)


def test_eps_0_changes_nothing():
    np.testing.assert_array_equal(_attack(BENT, IMAGES, 0.0, queries=5), IMAGES)


def test_the_clean_image_is_kept_where_nothing_is_worse():
    """Stripes of a detector of means, at its minimum."""
    images, labels = jnp.full((2, 4, 4, 1), -1.0), jnp.array([1, 1])
    threat = Threat(0.1, None)
    attacked = square(lambda shown: shown.mean(axis=(1, 2, 3)), images, labels, KEY, threat=threat, queries=4)
    np.testing.assert_array_equal(attacked, images)


def test_the_key_decides():
    first, again, other = (_attack(BENT, IMAGES, 0.3, queries=4, key=jax.random.key(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize('queries', [10_000, 5_000])
def test_squares_shrink_as_in_autoattack(queries):
    """p from 0.8, halved after 10, 50, 200, ... of 10,000 queries."""
    shares = {5: 0.8, 30: 0.4, 120: 0.2, 9000: 0.8 / 512}
    for query, share in shares.items():
        side = side_of_square((200, 200), query * queries // 10_000, queries)
        assert side == round((share * 200 * 200) ** 0.5)
    assert side_of_square((4, 6), queries - 1, queries) == 1
    assert side_of_square((4, 60), 1, queries) == 3
