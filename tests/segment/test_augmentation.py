"""Variations: masks move with their images, ranges are kept, each image by itself."""

import dataclasses
import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segment.augmentation import SegmentationAugmentation, augment, blur_matrix, low_resolution_matrix

NONE = SegmentationAugmentation(
    scale=1.0,
    mirror=(),
    rotation=0.0,
    angle=30.0,
    scaling=0.0,
    zoom=(0.7, 1.4),
    noise=0.0,
    deviation=0.3,
    blur=0.0,
    sigma=(0.5, 1.0),
    brightness=0.0,
    brightness_range=(0.75, 1.25),
    contrast=0.0,
    contrast_range=(0.75, 1.25),
    low_resolution=0.0,
    shrink=0.5,
    gamma=0.0,
    gamma_range=(0.7, 1.5),
)
INTENSITIES = ('noise', 'blur', 'brightness', 'contrast', 'low_resolution', 'gamma')
MOVES = {
    'mirror': {'mirror': ('horizontal', 'vertical')},
    'rotation': {'rotation': 1.0},
    'scaling': {'scaling': 1.0},
    'all': {'mirror': ('horizontal', 'vertical'), 'rotation': 1.0, 'scaling': 1.0},
}
COUNT, SIDE, CLASSES = 32, 24, 3


@functools.partial(jax.jit, static_argnums=0)
def _compiled(augmentation, images, ids, key):
    return augment(augmentation, images, ids, CLASSES, key)


def _augment(images, ids, seed=0, **changes):
    varied = _compiled(
        dataclasses.replace(NONE, **changes), jnp.asarray(images), jnp.asarray(ids), jax.random.key(seed)
    )
    return tuple(map(np.asarray, varied))


def _batch(seed=0, count=COUNT, channels=2):
    """Images in [-0.9, 0.9], and the classes of blocks of 3x3 pixels."""
    generator = np.random.default_rng(seed)
    images = generator.uniform(-0.9, 0.9, (count, SIDE, SIDE, channels)).astype(np.float32)
    blocks = generator.integers(0, CLASSES, (count, SIDE // 3, SIDE // 3)).astype(np.int32)
    return images, blocks.repeat(3, axis=1).repeat(3, axis=2)


@pytest.mark.parametrize('move', MOVES)
def test_a_landmark_moves_with_its_mask(move):
    """A bright square of 3x3 pixels, at another place in each image."""
    places = np.random.default_rng(0).integers(7, SIDE - 7, (COUNT, 2))
    ids = np.zeros((COUNT, SIDE, SIDE), np.int32)
    for mask, (row, column) in zip(ids, places, strict=True):
        mask[row - 1 : row + 2, column - 1 : column + 2] = 2
    images = np.where(ids, 1.0, -1.0).astype(np.float32)[..., None]
    apart = []
    for seed in range(3):
        moved, masks = _augment(images, ids, seed, **MOVES[move])
        assert (masks != ids).any()
        assert set(np.unique(masks)) == {0, 2}
        centres = [[ndimage.center_of_mass(shown) for shown in rows] for rows in (moved[..., 0] + 1, masks)]
        apart.append(np.subtract(*centres))
    assert np.abs(apart).max() < 0.5  # a mask has whole pixels
    np.testing.assert_allclose(np.mean(apart, axis=(0, 1)), 0, atol=0.05)


@pytest.mark.parametrize('move', MOVES)
def test_masks_are_resampled_like_their_images(move):
    """The class of a pixel is the one that an image of it shows brightest there."""
    _, ids = _batch()
    images = 2 * np.eye(CLASSES, dtype=np.float32)[ids] - 1  # a channel for each class
    for seed in range(3):
        moved, masks = _augment(images, ids, seed, **MOVES[move])
        first, second = np.sort(moved, axis=-1)[..., ::-1][..., :2].transpose(3, 0, 1, 2)
        clear = first - second > 1e-4
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(moved.argmax(axis=-1)[clear], masks[clear])


def _polar(images):
    """Distance of the landmark from the middle, and its direction."""
    centres = np.array([ndimage.center_of_mass(image[..., 0] + 1) for image in images]) - (SIDE - 1) / 2
    return np.hypot(*centres.T), np.degrees(np.arctan2(*centres.T))


def test_angles_and_factors_keep_their_ranges():
    ids = np.zeros((COUNT, SIDE, SIDE), np.int32)
    ids[:, 4:7, 10:13] = 1
    images = np.where(ids, 1.0, -1.0).astype(np.float32)[..., None]
    distance, direction = (values[0] for values in _polar(images))
    turned, _ = _augment(images, ids, rotation=1.0)
    distances, directions = _polar(turned)
    np.testing.assert_allclose(distances, distance, atol=0.2)
    angles = directions - direction
    assert np.abs(angles).max() < 31
    assert angles.min() < -15
    assert angles.max() > 15
    zoomed, _ = _augment(images, ids, scaling=1.0)
    distances, directions = _polar(zoomed)
    np.testing.assert_allclose(directions, direction, atol=2)
    factors = distances / distance
    assert 0.68 < factors.min() < 0.85
    assert 1.25 < factors.max() < 1.42


@pytest.mark.parametrize('mirror', [(), ('horizontal',), ('vertical',), ('horizontal', 'vertical')])
def test_mirrored_images_are_exact(mirror):
    images, ids = _batch()
    moved, masks = _augment(images, ids, mirror=mirror)
    seen = set()
    for image, own, result, mask in zip(images, ids, moved, masks, strict=True):
        flips = [axes for axes in ((), (0,), (1,), (0, 1)) if np.array_equal(np.flip(own, axes), mask)]
        assert len(flips) == 1
        np.testing.assert_allclose(result, np.flip(image, flips[0]), atol=1e-6)
        seen.add(flips[0])
    axes = {'vertical': 0, 'horizontal': 1}
    allowed = {axes[name] for name in mirror}
    assert seen == {flip for flip in ((), (0,), (1,), (0, 1)) if set(flip) <= allowed}


def test_without_any_probability_nothing_happens_bit_for_bit():
    images, ids = _batch()
    always = dict.fromkeys(('rotation', 'scaling', *INTENSITIES), 1.0) | {'mirror': ('horizontal', 'vertical')}
    same, masks = _augment(images, ids, scale=0.0, **always)
    np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(masks, ids)
    same, masks = _augment(images, ids)
    np.testing.assert_allclose(same, images, atol=1e-6)
    np.testing.assert_array_equal(masks, ids)


@pytest.mark.parametrize('operation', INTENSITIES)
def test_intensities_change_and_masks_stay(operation):
    images, ids = _batch()
    changed, masks = _augment(images, ids, **{operation: 1.0})
    np.testing.assert_array_equal(masks, ids)
    assert (np.abs(changed - images).max(axis=(1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize('operation', ['rotation', 'scaling', *INTENSITIES])
def test_each_image_has_its_own_chance_and_its_own_strength(operation):
    images, ids = (array.repeat(COUNT, axis=0) for array in _batch(count=1))
    results, _ = _augment(images, ids, **{operation: 0.5})
    changed = np.abs(results - images).max(axis=(1, 2, 3)) > 1e-5
    assert 6 <= changed.sum() <= 26  # of 32; beyond this once in a few thousand draws
    assert len(np.unique(results[changed].round(5), axis=0)) == changed.sum()
    halved, _ = _augment(images, ids, **{operation: 1.0}, scale=0.5)
    np.testing.assert_array_equal(halved, results)


def test_an_image_does_not_depend_on_the_others():
    everything = dict.fromkeys(('rotation', 'scaling', *INTENSITIES), 0.5) | {'mirror': ('horizontal',)}
    images, ids = _batch()
    others, other_ids = _batch(seed=1)
    others[7], other_ids[7] = images[7], ids[7]
    for own, foreign in zip(
        _augment(images, ids, **everything), _augment(others, other_ids, **everything), strict=True
    ):
        np.testing.assert_array_equal(own[7], foreign[7])
        assert (own[8] != foreign[8]).any()


def _unit(images):
    return (np.asarray(images, np.float64) + 1) / 2


def test_noise_is_a_share_of_the_deviation():
    images, ids = _batch()
    noise = _unit(_augment(images, ids, noise=1.0)[0]) - _unit(images)
    shares = noise.std(axis=(1, 2, 3)) / _unit(images).std(axis=(1, 2, 3))
    assert shares.max() < 0.3 * 1.1
    assert shares.max() > 0.25
    assert shares.min() < 0.05
    standardized = noise / noise.std(axis=(1, 2, 3), keepdims=True)
    assert abs(standardized.mean()) < 0.03
    assert abs((np.abs(standardized) < 1).mean() - 0.683) < 0.02


def test_brightness_is_a_factor():
    images, ids = _batch()
    factors = _unit(_augment(images, ids, brightness=1.0)[0]) / _unit(images)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1, :1], factors.shape), rtol=1e-3)
    assert 0.749 < factors.min() < 0.8
    assert 1.2 < factors.max() < 1.251


def test_contrast_is_about_the_mean_and_stays_in_the_range():
    images, ids = _batch()
    unit, changed = _unit(images), _unit(_augment(images, ids, contrast=1.0)[0])
    factors = []
    for before, after in zip(unit, changed, strict=True):
        mean = before.mean()
        inside = (after > before.min() + 1e-4) & (after < before.max() - 1e-4) & (abs(before - mean) > 0.1)
        own = (after - mean)[inside] / (before - mean)[inside]
        np.testing.assert_allclose(own, own[0], atol=1e-3)
        factors.append(own[0])
        assert after.min() >= before.min() - 1e-6
        assert after.max() <= before.max() + 1e-6
    assert 0.749 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.251


def test_gamma_is_a_power_between_the_ends():
    images, ids = _batch()
    unit, changed = _unit(images), _unit(_augment(images, ids, gamma=1.0)[0])
    exponents = []
    for before, after in zip(unit, changed, strict=True):
        low, high = before.min(), before.max()
        np.testing.assert_allclose([after.min(), after.max()], [low, high], atol=1e-6)
        share = (before - low) / (high - low)
        inside = (share > 0.1) & (share < 0.9)
        own = np.log((after[inside] - low) / (high - low)) / np.log(share[inside])
        np.testing.assert_allclose(own, own[0], rtol=1e-2)
        exponents.append(own[0])
    assert 0.69 < min(exponents) < 0.8
    assert 1.4 < max(exponents) < 1.51


def test_blur_equals_a_normalized_gaussian_filter():
    images, ids = _batch()
    images, ids = images[:, :15], ids[:, :15]  # rows and columns are not mixed up
    blurred = _unit(_augment(images, ids, blur=1.0, sigma=(0.8, 0.8))[0])
    filtered = functools.partial(ndimage.gaussian_filter, sigma=(0, 0.8, 0.8, 0), mode='constant', truncate=40)
    expected = filtered(_unit(images)) / filtered(np.ones(images.shape))
    np.testing.assert_allclose(blurred, expected, atol=1e-5)


def test_halved_resolution_equals_opencv():
    images, ids = _batch()
    shrunk = _unit(_augment(images, ids, low_resolution=1.0, shrink=0.9999999)[0])
    np.testing.assert_allclose(shrunk, _unit(images), atol=1e-4)  # hardly coarser: the same
    matrix = np.asarray(low_resolution_matrix(jnp.array([0.5]), SIDE))[0]
    image = images[0, ..., 0]
    small = cv2.resize(image, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_NEAREST)
    expected = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=1e-5)


@pytest.mark.parametrize('size', [1, 2, 7, 24])
def test_matrices_are_weighted_means(size):
    factors = np.array([0.5, 0.61, 0.73, 0.987], np.float32)
    lowered = np.asarray(low_resolution_matrix(jnp.asarray(factors), size))
    blurred = np.asarray(blur_matrix(jnp.asarray(factors), size))
    for matrices in (lowered, blurred):
        assert matrices.min() >= 0
        np.testing.assert_allclose(matrices.sum(axis=-1), 1, rtol=1e-5)
    line = np.random.default_rng(0).uniform(size=size)
    for factor, matrix in zip(factors.astype(np.float64), lowered, strict=True):
        coarse = np.arange(max(round(size * factor), 1))
        nearest = np.clip(np.rint((coarse + 0.5) / factor - 0.5), 0, size - 1).astype(int)
        expected = np.interp((np.arange(size) + 0.5) * factor - 0.5, coarse, line[nearest])
        np.testing.assert_allclose(matrix @ line, expected, atol=1e-5)
