"""Doubling and halving with [1, 3, 3, 1] against sums of the filter at each place."""

import jax
import numpy as np
import pytest

from gan.filters import smooth_downsample, smooth_upsample

FILTER = np.asarray([1, 3, 3, 1], np.float64) / 8


def _filter(x, before, after):
    """Along both axes, with so many zeros at their ends."""
    for axis in (1, 2):
        ends = [(before, after) if each == axis else (0, 0) for each in range(4)]
        x = np.apply_along_axis(np.convolve, axis, np.pad(x, ends), FILTER, mode='valid')
    return x


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(0), (2, 6, 8, 3))


def test_halving_is_the_filter_at_every_second_place(images):
    """Output i is centred between pixels 2i and 2i + 1."""
    expected = _filter(np.asarray(images, np.float64), 1, 1)[:, ::2, ::2]
    np.testing.assert_allclose(smooth_downsample(images), expected, atol=1e-6)


def test_doubling_is_the_filter_between_zeros(images):
    spread = np.zeros((2, 12, 16, 3))
    spread[:, ::2, ::2] = images
    np.testing.assert_allclose(smooth_upsample(images), 4 * _filter(spread, 2, 1), atol=1e-6)


def test_each_is_the_transpose_of_the_other(images):
    (transposed,) = jax.linear_transpose(smooth_upsample, images[:, :3, :4])(images)
    np.testing.assert_allclose(transposed, 4 * smooth_downsample(images), atol=1e-5)
