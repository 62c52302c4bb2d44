"""Losses against closed forms, at their ends, and at every resolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, special

from segment.losses import (
    LossWeights,
    beside_boundary,
    cross_entropy,
    dice_loss,
    segmentation_loss,
    supervise_deeply,
)

BOTH = LossWeights(dice=1.0, cross_entropy=1.0, focal_gamma=0.0, boundary=0.0)
EVERYTHING = LossWeights(dice=0.7, cross_entropy=1.3, focal_gamma=2.0, boundary=3.0)

HALVED = ((2, 2),) * 4


def _logits(count=3, height=6, width=5, classes=3, seed=0):
    drawn = np.random.default_rng(seed).normal(0, 2, (count, height, width, classes))
    return jnp.asarray(drawn, jnp.float32)


def _ids(count=3, height=6, width=5, classes=3, seed=1):
    return jnp.asarray(np.random.default_rng(seed).integers(0, classes, (count, height, width)), jnp.int32)


def test_dice_loss_equals_its_closed_form():
    logits, ids = _logits(), _ids()
    chances = special.softmax(np.asarray(logits, np.float64), axis=-1)
    expected = []
    for chance, own in zip(chances, np.asarray(ids), strict=True):
        scores = [
            (2 * chance[..., class_id][own == class_id].sum() + 2)
            / (chance[..., class_id].sum() + (own == class_id).sum() + 2)
            for class_id in (1, 2)  # the background does not count
        ]
        expected.append(1 - np.mean(scores))
    np.testing.assert_allclose(dice_loss(logits, ids), expected, rtol=1e-5)


def test_dice_loss_at_its_ends():
    ids = _ids()
    right = 50 * jax.nn.one_hot(ids, 3)
    np.testing.assert_allclose(dice_loss(right, ids), 0, atol=1e-5)
    wrong = 50 * jax.nn.one_hot((ids + 1) % 3, 3)
    assert float(dice_loss(wrong, ids).min()) > 0.9
    empty = jnp.zeros((1, 6, 5), jnp.int32)
    np.testing.assert_allclose(dice_loss(50 * jax.nn.one_hot(empty, 3), empty), 0, atol=1e-5)
    flooded = 50 * jax.nn.one_hot(jnp.ones_like(empty), 3)
    np.testing.assert_allclose(dice_loss(flooded, empty), (1 - 2 / 32) / 2, rtol=1e-5)


@pytest.mark.parametrize('gamma', [0.0, 1.0, 2.0, 2.5])
def test_focal_loss_equals_its_closed_form(gamma):
    logits, ids = _logits(), _ids()
    chances = special.softmax(np.asarray(logits, np.float64), axis=-1)
    own = np.take_along_axis(chances, np.asarray(ids)[..., None], axis=-1)[..., 0]
    expected = (-((1 - own) ** gamma) * np.log(own)).mean((1, 2))
    np.testing.assert_allclose(cross_entropy(logits, ids, gamma, 0.0), expected, rtol=1e-5)


def test_a_focus_of_0_is_approached_from_above():
    logits, ids = _logits(), _ids()
    np.testing.assert_allclose(
        cross_entropy(logits, ids, 1e-6, 0.0), cross_entropy(logits, ids, 0.0, 0.0), rtol=1e-4
    )


@pytest.mark.parametrize('size', [(6, 5), (1, 7), (1, 1), (16, 16)])
def test_pixels_beside_another_class_are_those_of_a_filter(size):
    ids = _ids(count=4, height=size[0], width=size[1])
    square = np.ones((3, 3), bool)
    for own, found in zip(np.asarray(ids), beside_boundary(ids, ids >= 0), strict=True):
        highest = ndimage.maximum_filter(own, footprint=square, mode='nearest')
        lowest = ndimage.minimum_filter(own, footprint=square, mode='nearest')
        np.testing.assert_array_equal(found, highest != lowest)


def test_a_single_pixel_has_a_boundary_of_nine():
    ids = jnp.zeros((1, 7, 7), jnp.int32).at[0, 3, 3].set(2)
    expected = np.zeros((7, 7))
    expected[2:5, 2:5] = 1
    np.testing.assert_array_equal(beside_boundary(ids, ids >= 0)[0], expected)


def test_boundaries_weigh_more_and_weights_are_normalized():
    logits, ids = _logits(), jnp.zeros((3, 6, 5), jnp.int32).at[:, 2:4, 2:4].set(1)
    losses = -np.take_along_axis(
        special.log_softmax(np.asarray(logits, np.float64), axis=-1), np.asarray(ids)[..., None], axis=-1
    )
    counts = 1 + 4 * np.asarray(beside_boundary(ids, ids >= 0))
    expected = [np.average(loss[..., 0], weights=count) for loss, count in zip(losses, counts, strict=True)]
    np.testing.assert_allclose(cross_entropy(logits, ids, 0.0, 4.0), expected, rtol=1e-5)
    uniform = jnp.zeros_like(logits)
    np.testing.assert_allclose(cross_entropy(uniform, ids, 0.0, 4.0), np.log(3), rtol=1e-5)


@pytest.fixture(scope='module')
def gradient():
    """Compiled value and gradient of a loss by its weights."""

    @functools.partial(jax.jit, static_argnums=0)
    def compute(weights, logits, ids):
        return jax.value_and_grad(lambda own: segmentation_loss(weights, own, ids))(logits)

    return compute


MASKS = {
    'empty': jnp.zeros((2, 4, 4), jnp.int32),
    'all foreground': jnp.ones((2, 4, 4), jnp.int32),
    'mixed': _ids(2, 4, 4),
}


@pytest.mark.parametrize('weights', [BOTH, EVERYTHING, LossWeights(0.0, 1.0, 0.5, 0.0)])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('scale', [0.0, 1.0, 1e3, 1e6])
def test_gradients_are_finite(gradient, weights, mask, scale):
    """Also where the network is sure, whether it is right or wrong."""
    ids = MASKS[mask]
    for logits in (scale * _logits(2, 4, 4), scale * jax.nn.one_hot(ids, 3), -scale * jax.nn.one_hot(ids, 3)):
        value, slope = gradient(weights, logits, ids)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
        if scale == 0:
            assert np.abs(slope).max() > 0


@pytest.mark.parametrize('weights', [BOTH, EVERYTHING])
def test_the_loss_of_a_batch_is_the_mean_over_its_images(weights):
    logits, ids = _logits(4, 4, 4), _ids(4, 4, 4).at[1].set(0)
    single = [segmentation_loss(weights, logits[i : i + 1], ids[i : i + 1]) for i in range(4)]
    np.testing.assert_allclose(segmentation_loss(weights, logits, ids), np.mean(single), rtol=1e-5)
    twice = segmentation_loss(weights, jnp.concatenate([logits] * 2), jnp.concatenate([ids] * 2))
    np.testing.assert_allclose(twice, np.mean(single), rtol=1e-5)


def test_the_weights_are_those_of_the_parts():
    logits, ids = _logits(), _ids()
    expected = 0.7 * dice_loss(logits, ids).mean() + 1.3 * cross_entropy(logits, ids, 2.0, 3.0).mean()
    np.testing.assert_allclose(segmentation_loss(EVERYTHING, logits, ids), expected, rtol=1e-6)


def _shrunk(ids, level):
    """The pixel below and right of the middle of each square of 2^level pixels."""
    return ids[:, (1 << level) // 2 :: 1 << level, (1 << level) // 2 :: 1 << level]


def test_each_halving_counts_half():
    ids = _ids(2, 8, 8)
    levels = [_logits(2, 8 >> level, 8 >> level, seed=level) for level in range(3)]
    losses = [segmentation_loss(BOTH, own, _shrunk(ids, level)) for level, own in enumerate(levels)]
    expected = np.dot([4 / 7, 2 / 7, 1 / 7], losses)
    np.testing.assert_allclose(supervise_deeply(BOTH, tuple(levels), ids, HALVED), expected, rtol=1e-5)
    np.testing.assert_allclose(supervise_deeply(BOTH, (levels[0],), ids, HALVED), losses[0], rtol=1e-6)


@pytest.mark.parametrize('size', [(13, 9), (3, 9), (1, 1)])
def test_lower_resolutions_see_the_mask_padded_like_the_image(size):
    """Logits below the first are those of an image padded to a multiple of 8, however small it was."""
    ids = _ids(1, *size)
    padded = np.pad(np.asarray(ids), [(0, 0), (0, -size[0] % 8), (0, -size[1] % 8)])
    right = [_shrunk(padded, level) for level in range(3)]
    logits = [30 * jax.nn.one_hot(jnp.asarray(own), 3) for own in right]
    logits[0] = logits[0][:, : size[0], : size[1]]
    assert float(supervise_deeply(BOTH, tuple(logits), ids, HALVED)) < 1e-4
