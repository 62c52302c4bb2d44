"""Variations of training images: none where none is asked for, and never further than allowed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.augmentation import ImageAugmentation, vary

COUNT = 64
SHAPE = (COUNT, 9, 9, 1)


def _vary(images, shift=0, contrast=0.0, brightness=0.0):
    return np.asarray(vary(ImageAugmentation(shift, contrast, brightness), jnp.asarray(images), jax.random.key(0)))


def test_nothing_changes_nothing():
    images = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)
    np.testing.assert_array_equal(_vary(images), images)


def test_a_landmark_moves_by_at_most_so_many_pixels_each_way():
    images = np.full(SHAPE, -1, np.float32)
    images[:, 4, 4] = 1
    moved = _vary(images, shift=2)
    np.testing.assert_array_equal((moved > 0).sum(axis=(1, 2, 3)), 1)
    np.testing.assert_array_equal(moved.sum(axis=(1, 2, 3)), images.sum(axis=(1, 2, 3)))
    places = np.argwhere(moved > 0)[:, 1:3] - 4
    # All ways, in both directions, and of each image its own.
    assert {*places[:, 0]} == {*places[:, 1]} == {-2, -1, 0, 1, 2}
    assert len({tuple(place) for place in places}) > 15


def test_what_comes_in_from_outside_is_black():
    images = np.ones(SHAPE, np.float32)
    moved = _vary(images, shift=3)
    assert set(np.unique(moved)) == {-1.0, 1.0}
    assert (moved[:, 3:6, 3:6] == 1).all()


def test_contrast_keeps_the_mean_and_scales_what_is_around_it():
    images = np.random.default_rng(0).uniform(-0.5, 0.5, SHAPE).astype(np.float32)
    varied = _vary(images, contrast=0.3)
    np.testing.assert_allclose(varied.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=1e-6)
    factors = varied.std(axis=(1, 2, 3)) / images.std(axis=(1, 2, 3))
    assert 0.7 <= factors.min() < 0.75
    assert 1.25 < factors.max() <= 1.3 + 1e-5
    assert len(np.unique(factors)) > COUNT // 2


@pytest.mark.parametrize('level', [0.0, 0.95])
def test_brightness_is_added_and_ends_at_white(level):
    added = _vary(np.full(SHAPE, level, np.float32), brightness=0.1) - np.float32(level)
    assert np.ptp(added, axis=(1, 2, 3)).max() == 0
    assert -0.1 - 1e-6 <= added.min() < -0.08
    assert added.max() <= min(0.1, 1 - level) + 1e-6
    assert added.max() > min(0.08, 0.99 - level)
