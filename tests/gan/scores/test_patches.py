"""Sliced Wasserstein distance against SciPy's in one dimension; what its two variants see."""

import numpy as np
import pytest
import scipy.stats

from foundation.statistics.jackknife import Estimate, FeatureSample, Missing
from gan.scores import patches
from gan.scores.patches import VARIANTS, compare_patches, extract_patches, laplacian_pyramid, sliced_wasserstein
from tests.gan.scores.recomputing import assert_exact_replicates, sample


@pytest.fixture(autouse=True)
def _few_directions(monkeypatch):
    monkeypatch.setattr(patches, '_DIRECTIONS', 6)
    monkeypatch.setattr(patches, '_AT_ONCE', 4)
    monkeypatch.setattr(patches, '_PATCHES', 5)


def _images(count, seed, channels=1, side=16):
    values = np.random.default_rng(seed).normal(size=(count, side, side, channels))
    return sample(np.tanh(values.cumsum(1) / 4).astype(np.float32), seed)


def _by_scipy(generated, reference, variant):
    """Each direction's distance of normalised patches, from SciPy."""
    normalised = []
    for each in (generated, reference):
        scale = reference if variant == 'intensity_aware' else each
        mean, deviation = (f(scale.values, axis=(0, 1, 3), keepdims=True) for f in (np.mean, np.std))
        flat = (each.values.astype(np.float64) - mean) / deviation
        normalised.append(flat.reshape(-1, *each.values.shape[2:]))
    directions = np.concatenate(list(patches._draw_directions(generated.values.shape[2:], 3)))
    projected = [np.einsum('lcp,dcp->dl', each, directions) for each in normalised]
    return 1000 * np.mean([scipy.stats.wasserstein_distance(x, y) for x, y in zip(*projected, strict=True)])


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('variant', VARIANTS)
def test_distance_is_that_of_scipy(channels, variant):
    drawn = _images(30, 1, channels), _images(40, 2, channels)
    generated, reference = (extract_patches(each, seed=seed)[16] for seed, each in enumerate(drawn))
    score = compare_patches(generated, reference, seed=3)[variant]
    assert score.value == pytest.approx(_by_scipy(generated, reference, variant), rel=1e-5)
    assert_exact_replicates(score, lambda g, r: _by_scipy(g, r, variant), generated, reference, rel=1e-4)


def test_directions_have_length_one():
    batches = list(patches._draw_directions((2, 49), 0))
    assert [len(batch) for batch in batches] == [4, 2]
    np.testing.assert_allclose(np.square(np.concatenate(batches)).sum((1, 2)), 1, rtol=1e-6)


def test_only_one_variant_sees_a_change_of_all_intensities():
    reference = extract_patches(_images(30, 1), seed=0)[16]
    darker = FeatureSample(
        reference.values * np.float32(0.5) - np.float32(0.3), reference.groups, reference.group_count
    )
    scores = compare_patches(darker, reference, seed=0)
    assert scores['normalised'].value == pytest.approx(0, abs=0.01)
    assert scores['intensity_aware'].value > 100
    same = compare_patches(reference, reference, seed=0)
    assert [same[variant].value for variant in VARIANTS] == [0, 0]


def test_levels_and_their_mean():
    generated, reference = _images(12, 1, side=32), _images(14, 2, side=32)
    scores = sliced_wasserstein(generated, reference, seed=0)
    assert list(scores) == list(VARIANTS)
    for levels in scores.values():
        assert list(levels) == ['32', '16', 'mean']
        assert levels['mean'].value == pytest.approx((levels['32'].value + levels['16'].value) / 2, rel=1e-9)
        assert isinstance(levels['mean'], Estimate)
        assert levels['mean'].counts == {'generated': 12, 'reference': 14}


def test_stored_integers_are_their_values():
    stored = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1)).astype(np.uint8)
    for images in (stored, stored.astype(np.uint16) * np.uint16(257)):
        found = extract_patches(sample(images), seed=0)[16].values
        expected = extract_patches(sample(stored / np.float32(127.5) - 1), seed=0)[16].values
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_patches_are_pieces_of_their_own_image():
    images = np.arange(6.0)[:, None, None, None] + np.zeros((1, 16, 20, 2))
    images[..., 1] *= -1
    values = extract_patches(sample(images), seed=0)[16].values
    assert values.shape == (6, 5, 2, 49)
    np.testing.assert_array_equal(values[:, :, 0], np.broadcast_to(np.arange(6.0)[:, None, None], (6, 5, 49)))
    np.testing.assert_array_equal(values[:, :, 1], -values[:, :, 0])


def test_pyramid_has_no_detail_of_a_constant_and_all_detail_of_a_fine_wave():
    constant = laplacian_pyramid(np.full((1, 64, 64, 1), 0.7, np.float32))
    assert [level.shape[1] for level in constant] == [64, 32, 16]
    np.testing.assert_allclose(constant[0], 0, atol=1e-6)
    np.testing.assert_allclose(constant[2], 0.7, atol=1e-6)
    wave = np.broadcast_to((-1.0) ** np.arange(64)[:, None, None], (1, 64, 64, 1)).astype(np.float32)
    fine = laplacian_pyramid(wave)
    np.testing.assert_allclose(fine[0], wave, atol=1e-6)
    np.testing.assert_allclose(fine[1], 0, atol=1e-6)
    assert [level.shape[1] for level in laplacian_pyramid(wave[:, :54, :54])] == [54, 27]


def test_what_cannot_be_compared_has_a_reason():
    images = _images(12, 1)
    constant = sample(np.linspace(-1, 1, 12, dtype=np.float32)[:, None, None, None].repeat(32, 1).repeat(32, 2))
    for scores in sliced_wasserstein(constant, _images(12, 1, side=32), seed=0).values():
        fault = Missing('has generated images without any detail at one of the scales.')
        assert scores['mean'] == scores['32'] == fault  # what differs at this scale is rounding
        assert isinstance(scores['16'], Estimate)
    small = sample(np.zeros((12, 8, 16, 1)))
    expected = Missing('needs images of at least 16 pixels a side; these have 8.')
    assert sliced_wasserstein(small, small, seed=0)['normalised'] == {'mean': expected}
    broken = sample(np.full((12, 16, 16, 1), np.nan))
    assert 'not finite' in sliced_wasserstein(images, broken, seed=0)['normalised']['mean'].reason
    with pytest.raises(ValueError, match='same size and channels'):
        sliced_wasserstein(images, small, seed=0)


def test_replicates_of_the_first_directions_deviate_from_the_mean_of_all(monkeypatch):
    monkeypatch.setattr(patches, '_REPLICATED', 2)
    nan = np.nan
    distances = np.array([[1.0, 2.0, 0.5], [3.0, 3.0, 2.5], [5.0, nan, nan]])
    np.testing.assert_allclose(patches._combine(distances), [3.0, 3.5, 2.5])
    monkeypatch.setattr(patches, '_REPLICATED', 128)
    drawn = _images(30, 1), _images(40, 2)
    whole = sliced_wasserstein(*drawn, seed=0)['normalised']['mean']
    monkeypatch.setattr(patches, '_REPLICATED', 3)  # the others are sorted without their groups
    fewer = sliced_wasserstein(*drawn, seed=0)['normalised']['mean']
    assert isinstance(whole, Estimate)
    assert isinstance(fewer, Estimate)
    assert fewer.value == pytest.approx(whole.value, rel=1e-9)
    assert not np.array_equal(fewer.replicates, whole.replicates)
