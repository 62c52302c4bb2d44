"""Degradations against Pillow and scipy; each image has its own strength."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from detect.degradations import (
    Degradation,
    degrade,
    enlarge,
    gaussian_blur,
    gaussian_noise,
    jpeg,
    quantisation_steps,
    resample,
    turn,
)

NONE = Degradation(
    turning=0.0,
    cutting=0.0,
    part=(0.6, 0.9),
    resampling=0.0,
    factor=(0.3, 0.8),
    blur=0.0,
    sigma=(0.5, 3.0),
    noise=0.0,
    deviation=(0.02, 0.1),
    compression=0.0,
    quality=(30, 100),
)
OPERATIONS = ('cutting', 'resampling', 'blur', 'noise', 'compression')
QUALITIES = [1, 10, 30, 49, 50, 75, 95, 100]
KEY = jax.random.key(0)
_jpeg, _blur, _resample, _enlarge = (jax.jit(each) for each in (jpeg, gaussian_blur, resample, enlarge))


@functools.partial(jax.jit, static_argnums=0)
def _degrade(degradation, images, key):
    return degrade(degradation, images, key)


@pytest.fixture(scope='module')
def smooth():
    """8-bit pictures with structure, one for each quality, whose sides are no multiples of 8."""
    steps = np.random.default_rng(0).normal(size=(len(QUALITIES), 50, 43))
    return np.clip(np.cumsum(np.cumsum(steps, axis=1), axis=2) * 3 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope='module')
def images(smooth):
    """In [-1, 1]; the second channel shows what the first does upside down."""
    return jnp.asarray(np.stack([smooth, smooth[:, ::-1]], axis=-1) / 127.5 - 1, jnp.float32)


def _encoded(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'JPEG', quality=quality)
    return Image.open(file)


def test_jpeg_is_that_of_pillow(smooth, images):
    """libjpeg's integer transform falls on the other side of some ties of rounding, by one step of a frequency."""
    ours = (np.asarray(_jpeg(images, jnp.array(QUALITIES))) + 1) * 127.5
    np.testing.assert_allclose(ours, np.round(ours), atol=1e-3)
    for pictures, upright in ((ours[..., 0], smooth), (ours[..., 1], smooth[:, ::-1])):
        for picture, source, quality in zip(pictures, upright, QUALITIES, strict=True):
            theirs = np.asarray(_encoded(source, quality), np.float64)
            assert np.abs(picture - theirs).max() < 10
            assert np.abs(picture - theirs).mean() < 0.4
            assert np.abs(picture - theirs).mean() < 0.5 * np.abs(source - theirs).mean() or quality > 95


def test_jpeg_has_8_bits(images):
    between = images * 0.9 + 0.0005
    rounded = jnp.round((between + 1) * 127.5) / 127.5 - 1
    qualities = jnp.array(QUALITIES)
    np.testing.assert_array_equal(_jpeg(between, qualities), _jpeg(rounded, qualities))


def test_tables_are_those_of_libjpeg(smooth):
    steps = np.asarray(quantisation_steps(jnp.array(QUALITIES)))
    for table, quality in zip(steps, QUALITIES, strict=True):
        np.testing.assert_array_equal(table.ravel(), _encoded(smooth[0], quality).quantization[0])


def test_quality_100_only_rounds(images):
    np.testing.assert_allclose(_jpeg(images, jnp.full(len(images), 100)), images, atol=2.1 / 127.5)


def test_blur_is_that_of_scipy_away_from_the_edges(images):
    sigmas = np.linspace(0.3, 3, len(images))
    blurred = _blur(images, jnp.asarray(sigmas, jnp.float32))
    for image, result, sigma in zip(np.asarray(images, np.float64), blurred, sigmas, strict=True):
        expected = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=6)
        np.testing.assert_allclose(result[18:-18, 18:-18], expected[18:-18, 18:-18], atol=1e-4)


@pytest.mark.parametrize('factor', [0.25, 0.5, 0.73, 1.0])
def test_resampling_is_that_of_pillow(images, factor):
    count, height, width, _ = images.shape
    factors = jnp.full(count, 1.0).at[1].set(factor)
    resampled = _resample(images, factors)
    np.testing.assert_array_equal(resampled[0], images[0])
    size = round(width * factor), round(height * factor)
    for channel in range(2):
        picture = Image.fromarray(np.asarray(images[1, ..., channel]))
        small = picture.resize(size, Image.Resampling.BILINEAR)
        np.testing.assert_allclose(
            resampled[1, ..., channel], small.resize((width, height), Image.Resampling.BILINEAR), atol=1e-4
        )


def test_one_pixel_is_left_of_the_smallest_size(images):
    smallest = _resample(images, jnp.full(len(images), 1e-3))
    np.testing.assert_allclose(smallest.std(axis=(1, 2)), 0, atol=1e-5)


def test_noise_has_its_deviation_and_stays_in_range():
    grey, sigmas = jnp.zeros((3, 64, 64, 1)), jnp.array([0.0, 0.1, 0.2])
    noisy = gaussian_noise(grey, sigmas, KEY)
    np.testing.assert_allclose(noisy.std(axis=(1, 2, 3)), sigmas, rtol=0.05)
    assert np.abs(noisy.mean(axis=(1, 2, 3))).max() < 0.01
    assert np.corrcoef(noisy[1].ravel(), noisy[2].ravel())[0, 1] < 0.1
    assert np.abs(gaussian_noise(grey + 1, sigmas + 1, KEY)).max() <= 1


def test_blur_of_0_is_the_image(images):
    np.testing.assert_array_equal(_blur(images, jnp.zeros(len(images))), images)


def test_nothing_happens_at_probability_0(images):
    np.testing.assert_array_equal(_degrade(NONE, images, KEY), images)


@pytest.mark.parametrize('operation', OPERATIONS)
def test_operations_happen_to_their_share_of_the_images(operation):
    images = jax.random.uniform(KEY, (400, 8, 8, 1), minval=-0.9, maxval=0.9)
    degraded = _degrade(_with(**{operation: 0.3}), images, jax.random.key(1))
    changed = (degraded != images).any(axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.08)
    assert np.abs(degraded).max() <= 1


@pytest.mark.parametrize('operation', OPERATIONS)
def test_each_image_has_its_own_strength(operation, images):
    same = jnp.broadcast_to(images[:1], images.shape)
    first, again, other = (_degrade(_with(**{operation: 1.0}), same, jax.random.key(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(np.unique(np.asarray(jnp.abs(first - same).mean(axis=(1, 2, 3))))) > len(same) // 2


def test_qualities_include_both_ends(images):
    """Of only two qualities both are drawn, and no other."""
    same = jnp.broadcast_to(images[:1], (8, *images.shape[1:]))
    degraded = _degrade(_with(compression=1.0, quality=(30, 31)), same, KEY)
    expected = _jpeg(same, jnp.array([30, 31] * 4))
    seen = [[bool((image == one).all()) for one in expected[:2]] for image in degraded]
    assert np.sum(seen, axis=1).tolist() == [1] * 8
    assert np.any(seen, axis=0).all()


def _with(**changes):
    return Degradation(**{**vars(NONE), **changes})


def test_images_are_turned_by_quarters_and_no_pixel_changes(images):
    square = images[:4, :40, :40]
    turned = turn(square, jnp.arange(4))
    for number in range(4):
        np.testing.assert_array_equal(turned[number], np.rot90(square[number], number))


def test_turns_happen_as_often_as_they_should_each_by_one_to_three_quarters(images):
    same = jnp.broadcast_to(images[:1, :16, :16], (400, 16, 16, 2))
    turned = np.asarray(_degrade(_with(turning=0.6), same, KEY))
    expected = [np.rot90(same[0], number) for number in range(4)]
    seen = [sum((image == one).all() for image in turned) for one in expected]
    assert sum(seen) == 400
    assert 130 < seen[0] < 190
    assert min(seen[1:]) > 50


def test_a_part_that_is_the_whole_changes_nothing(images):
    whole = _enlarge(images, jnp.ones(len(images)), jnp.full((len(images), 2), 0.3))
    np.testing.assert_allclose(whole, images, atol=1e-6)


def test_a_half_is_enlarged_as_scipy_does(images):
    """Pixel centres of the quarter at the bottom left, cut at its outer edges."""
    (height, width), count = images.shape[1:3], len(images)
    found = _enlarge(images, jnp.full(count, 0.5), jnp.tile(jnp.array([1.0, 0.0]), (count, 1)))
    rows = height / 2 + (np.arange(height) + 0.5) / 2 - 0.5
    columns = (np.arange(width) + 0.5) / 2 - 0.5
    places = np.meshgrid(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1), indexing='ij')
    for image, one in zip(images, found, strict=True):
        expected = [
            ndimage.map_coordinates(np.asarray(image[..., channel]), places, order=1) for channel in (0, 1)
        ]
        np.testing.assert_allclose(one, np.stack(expected, axis=-1), atol=1e-5)
