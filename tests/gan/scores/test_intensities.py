"""Distances of histograms against SciPy's and of spectra against known noise and waves."""

import numpy as np
import pytest
import scipy.stats

from foundation.statistics.jackknife import FeatureSample, Missing
from gan.scores.intensities import Histograms, Spectra, intensity_distance, spectrum_distance
from tests.gan.scores.recomputing import GROUPS, assert_exact_replicates, sample


def _histograms(images, batch=7):
    collected = Histograms(images.group_count, images.values.shape[-1])
    for start in range(0, len(images), batch):
        collected.add(images.values[start : start + batch], images.groups[start : start + batch])
    return collected


def _spectra(images, batch=7):
    collected = Spectra(images.group_count, *images.values.shape[1:3])
    for start in range(0, len(images), batch):
        collected.add(images.values[start : start + batch], images.groups[start : start + batch])
    return collected


def _distance(first, second):
    return intensity_distance(_histograms(first), _histograms(second))


def _spectral(first, second):
    return spectrum_distance(_spectra(first), _spectra(second))


def _stored(count, low, high, seed):
    return sample(np.random.default_rng(seed).integers(low, high, (count, 6, 8, 2)).astype(np.uint8), seed)


def test_intensities_have_the_distance_of_scipy():
    def by_scipy(first, second):
        channels = ((x.values[..., c].ravel() / 255 for x in (first, second)) for c in range(2))
        return np.mean([scipy.stats.wasserstein_distance(*pair) for pair in channels])

    generated, reference = _stored(20, 0, 200, 1), _stored(25, 50, 256, 2)
    score = _distance(generated, reference)
    assert score.value == pytest.approx(by_scipy(generated, reference), rel=1e-9)
    assert_exact_replicates(score, by_scipy, generated, reference)
    assert score.counts == {'generated': 20, 'reference': 25}


def test_intensities_are_compared_in_units_of_their_range():
    black, grey = (sample(np.full((10, 4, 4, 1), value, np.uint8)) for value in (0, 51))
    assert _distance(grey, black).value == pytest.approx(0.2, rel=1e-9)
    white = sample(np.full((10, 4, 4, 1), 3.0))  # floats outside the range are clipped
    assert _distance(white, black).value == pytest.approx(1, rel=1e-9)


def test_all_number_formats_have_the_same_intensities():
    stored = _stored(20, 0, 256, 1)
    for values in (stored.values.astype(np.uint16) * np.uint16(257), stored.values / np.float32(127.5) - 1):
        other = FeatureSample(values, stored.groups, stored.group_count)
        np.testing.assert_array_equal(_histograms(other).counts, _histograms(stored, batch=20).counts)
        assert _spectral(other, stored).value == pytest.approx(0, abs=1e-4)
    assert _distance(stored, stored).value == 0


def test_halved_noise_is_six_decibels_less():
    noise = sample(np.random.default_rng(0).normal(scale=0.2, size=(40, 16, 16, 1)))
    half = FeatureSample(noise.values / 2, noise.groups, noise.group_count)
    score = _spectral(half, noise)
    np.testing.assert_allclose([score.value, *score.replicates], 20 * np.log10(2), rtol=1e-6)
    assert _spectral(noise, noise).value == 0


def test_white_noise_has_its_variance_at_every_frequency():
    noise = sample(np.random.default_rng(0).normal(scale=0.1, size=(600, 16, 12, 1)))
    assert _spectra(noise).decibels().shape == (GROUPS + 1, 6)
    # The mean of an image that is subtracted is missing at the lowest frequencies.
    np.testing.assert_allclose(_spectra(noise).decibels()[0, 2:], -20, atol=0.3)


@pytest.mark.parametrize('frequency', [2, 5])
def test_a_wave_has_its_power_at_its_frequency(frequency):
    wave = np.cos(2 * np.pi * frequency * np.arange(16) / 16)
    decibels = _spectra(sample(np.broadcast_to(wave[:, None, None], (5, 16, 16, 1)) / 2)).decibels()
    assert (decibels.argmax(axis=1) == frequency - 1).all()


def test_replicates_are_spectra_without_a_group():
    generator = np.random.default_rng(0)
    generated = sample(generator.normal(size=(20, 8, 8, 1)).cumsum(1) / 9, 1)
    reference = sample(generator.normal(size=(30, 8, 8, 1)) / 9, 2)
    assert_exact_replicates(_spectral(generated, reference), _spectral, generated, reference)


def test_constant_images_have_a_finite_spectrum():
    constant = sample(np.full((20, 8, 8, 1), 0.3))
    noise = sample(np.random.default_rng(0).normal(size=(20, 8, 8, 1)) / 9)
    assert 60 < _spectral(constant, noise).value < 120


def test_bad_images_have_a_reason():
    values = np.zeros((20, 8, 8, 1))
    values[3:5, 0] = np.nan
    broken, good = sample(values), sample(np.zeros((20, 8, 8, 1)))
    expected = Missing('2 of 20 generated images are not finite.')
    assert _distance(broken, good) == _spectral(broken, good) == expected
    assert isinstance(intensity_distance(Histograms(3, 1), Histograms(3, 1)), Missing)
    with pytest.raises(ValueError, match='two groups'):
        Histograms(1, 1)
    with pytest.raises(ValueError, match='groups and channels'):
        intensity_distance(Histograms(3, 1), Histograms(3, 2))
    with pytest.raises(ValueError, match='size and number of groups'):
        spectrum_distance(Spectra(3, 8, 16), Spectra(3, 8, 8))
