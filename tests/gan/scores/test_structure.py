"""MS-SSIM against scikit-image and Gaussian filters of SciPy; pairs and their replicates."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.metrics

from foundation.statistics.jackknife import Missing
from gan.scores.structure import (
    WEIGHTS,
    count_scales,
    draw_pairs,
    mean_similarity,
    ms_ssim,
    pair_similarities,
)
from tests.gan.scores.recomputing import sample


def _two_images(side, seed=0):
    """Two images that are alike at some scales."""
    generator = np.random.default_rng(seed)
    first = scipy.ndimage.gaussian_filter(generator.normal(size=(side, side)), 3) * 3
    second = first + 0.2 * generator.normal(size=(side, side)) + 0.1
    return first.astype(np.float32), second.astype(np.float32)


def _by_filters(first, second):
    """MS-SSIM from the maps of scikit-image and their contrast from filters of SciPy."""
    product, (first, second) = 1.0, ((first + 1) / 2, (second + 1) / 2)
    for scale, weight in enumerate(WEIGHTS):
        options = {'gaussian_weights': True, 'sigma': 1.5, 'use_sample_covariance': False, 'data_range': 1}
        _, whole = skimage.metrics.structural_similarity(first, second, full=True, **options)
        means = [scipy.ndimage.gaussian_filter(each, 1.5, truncate=3.5) for each in (first, second)]
        luminance = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
        factor = (whole if scale == len(WEIGHTS) - 1 else whole / luminance)[5:-5, 5:-5].mean()
        product *= max(factor, 0) ** weight
        first, second = (
            each.reshape(len(each) // 2, 2, len(each) // 2, 2).mean((1, 3)) if scale < 4 else each
            for each in (first, second)
        )
    return product


def test_similarity_is_that_of_scikit_image():
    first, second = (each.astype(np.float64) for each in _two_images(176))  # the window fits at all five scales
    expected = _by_filters(first, second)
    assert 0.1 < expected < 0.95
    stacked = np.stack([first, second])[..., None].astype(np.float32)
    assert pair_similarities(stacked, np.array([[0, 1]]))[0] == pytest.approx(expected, rel=1e-4)


def test_one_scale_of_a_small_image_by_hand():
    """Seven pixels: one scale, and a window of the size of the image, so one place."""
    first, second = (each.astype(np.float64) for each in _two_images(7))
    stacked = np.stack([first, second])[..., None].astype(np.float32)
    first, second = (first + 1) / 2, (second + 1) / 2
    weights = np.exp(-0.5 * (np.arange(-3, 4) / (1.5 * 7 / 11)) ** 2)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    means = (weights * first).sum(), (weights * second).sum()
    variances = (weights * (first - means[0]) ** 2).sum() + (weights * (second - means[1]) ** 2).sum()
    covariance = (weights * (first - means[0]) * (second - means[1])).sum()
    expected = (2 * means[0] * means[1] + 0.0001) / (means[0] ** 2 + means[1] ** 2 + 0.0001)
    expected *= (2 * covariance + 0.0009) / (variances + 0.0009)
    assert pair_similarities(stacked, np.array([[0, 1]]))[0] == pytest.approx(max(expected, 0), rel=1e-4)


@pytest.mark.parametrize('stored', [(51, 204), (0, 255), (0, 51), (128, 128)])
@pytest.mark.parametrize('side', [4, 64])
def test_even_images_differ_by_their_brightness_alone(stored, side):
    """Grey of 0.2 and 0.8 have luminance 2 ab / (a^2 + b^2) = 0.32 / 0.68 in brightness, and equal structure."""
    images = np.full((2, side, side, 1), np.reshape(stored, (2, 1, 1, 1)), np.uint8)
    a, b = (value / 255 for value in stored)
    luminance = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    weight = 1 if side == 4 else WEIGHTS[-1]
    assert pair_similarities(images, np.array([[0, 1]]))[0] == pytest.approx(luminance**weight, rel=5e-4)


def test_scales_are_as_many_as_fit():
    assert [count_scales(side, 256) for side in (4, 7, 8, 16, 31, 32, 63, 64, 512)] == [1, 1, 2, 3, 3, 4, 4, 5, 5]


@pytest.fixture(scope='module')
def images():
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (15, 8, 8, 1)).astype(np.uint8)


def test_equal_images_are_alike_and_batches_make_no_difference(images, monkeypatch):
    unit = images / np.float32(127.5) - 1
    np.testing.assert_allclose(ms_ssim(jnp.asarray(unit), jnp.asarray(unit)), 1, rtol=1e-5)
    pairs = draw_pairs(15, 33, seed=0)
    whole = pair_similarities(images, pairs)
    monkeypatch.setattr('gan.scores.structure._BATCH_BYTES', 4 * 64 * 15)
    np.testing.assert_allclose(pair_similarities(unit, pairs), whole, rtol=1e-4, atol=1e-5)
    assert (whole < 0.9).all()


def test_pairs_are_of_different_images():
    pairs = draw_pairs(5, 2000, seed=0)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    seen = np.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25).reshape(5, 5)
    assert (seen[~np.eye(5, dtype=bool)] > 50).all()
    with pytest.raises(ValueError, match='1 images make no pair'):
        draw_pairs(1, 10, seed=0)


def test_replicates_leave_out_pairs_that_touch_a_group(images):
    each = sample(images)
    pairs = draw_pairs(15, 100, seed=1)
    score = mean_similarity(each, 'generated', pairs)
    values = pair_similarities(images, pairs)
    assert score.value == pytest.approx(values.mean(), rel=1e-9)
    for group in range(each.group_count):
        left = (each.groups[pairs] != group).all(axis=1)
        assert score.replicates[group] == pytest.approx(values[left].mean(), rel=1e-9)
    assert score.counts == {'generated': 15, 'pairs': 100}


def test_pairs_that_all_touch_a_group_make_no_score(images):
    each = sample(images)
    touching = np.flatnonzero(each.groups == each.groups[0])[0]
    pairs = np.array([[touching, (touching + 1) % 15]] * 33)
    assert mean_similarity(each, 'generated', pairs) == Missing(
        'needs more than 33 pairs of generated images: all of them touch one group.'
    )
    broken = sample(np.full((15, 8, 8, 1), np.nan))
    assert mean_similarity(broken, 'generated', pairs) == Missing('15 of 15 generated images are not finite.')
