"""Likeness of edges, against numbers worked out by hand and NumPy's correlation."""

import jax
import jax.numpy as jnp
import numpy as np

from gan.edges import gradient_correlation


def _images(seed, count=2):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (count, 6, 5, 1)), jnp.float32)


def test_edges_are_the_same_whatever_the_level_and_the_gain():
    images = _images(0)
    for other, expected in ((0.3 * images - 0.5, 1), (-2 * images, -1)):
        np.testing.assert_allclose(gradient_correlation(images, other), expected, atol=1e-3)


def test_it_is_the_mean_correlation_of_both_directions_of_each_image():
    one, other = _images(1), _images(2)
    expected = [
        np.corrcoef(*(np.diff(np.asarray(own[number]), axis=axis).ravel() for own in (one, other)))[0, 1]
        for number in range(2)
        for axis in (0, 1)
    ]
    np.testing.assert_allclose(gradient_correlation(one, other), np.mean(expected), atol=1e-4)


def test_images_without_edges_have_no_likeness_and_a_gradient():
    flat, images = jnp.full((2, 6, 5, 1), 0.25), _images(3)
    value, gradient = jax.value_and_grad(gradient_correlation)(flat, images)
    assert float(value) == 0
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
