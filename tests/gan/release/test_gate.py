"""The gate withholds copies, however they were disguised, and lets as many real patients pass as it says."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial

from gan.release.gate import MEASURES, GateThresholds, Tally, find_thresholds
from gan.release.nearest import Distances, NearestImages, reduce
from input_pipeline import from_unit, to_unit

SIDE, TRAINING, HELD_OUT = 32, 300, 400


def _draw_bodies(count, seed):
    """Smooth random images, no two alike."""
    draws = np.random.default_rng(seed).normal(size=(count, SIDE, SIDE, 1))
    smooth = scipy.ndimage.gaussian_filter(draws, (0, 3, 3, 0))
    return from_unit(np.tanh(smooth / smooth.std()) * 0.8, np.uint8)


def _features(stored):
    """Means of 4x4 cells: like a network's, they do not see noise, but see place."""
    return (
        to_unit(stored).reshape(len(stored), 4, SIDE // 4, 4, SIDE // 4).mean(axis=(2, 4)).reshape(len(stored), 16)
    )


@pytest.fixture(scope='module')
def training():
    return _draw_bodies(TRAINING, 0)


@pytest.fixture(scope='module')
def likeness(training):
    return NearestImages(training, _features(training))


@pytest.fixture(scope='module')
def held_out(likeness):
    images = _draw_bodies(HELD_OUT, 1)
    return likeness.measure(images, _features(images))


def _shift(images, rows, columns):
    return np.roll(images, (rows, columns), axis=(1, 2))


DISGUISES = {
    'exact': lambda images: images,
    'mirrored left to right': lambda images: images[:, :, ::-1],
    'mirrored top to bottom': lambda images: images[:, ::-1],
    'shifted': lambda images: _shift(images, 2, -2),
    'mirrored and shifted': lambda images: _shift(images[:, :, ::-1], -1, 2),
    'noisy': lambda images: from_unit(
        to_unit(images) + 0.1 * np.random.default_rng(5).normal(size=images.shape), np.uint8
    ),
    'darker and flatter': lambda images: from_unit(0.6 * to_unit(images) - 0.2, np.uint8),
}


@pytest.mark.parametrize('disguise', DISGUISES)
def test_copies_are_withheld(likeness, held_out, training, disguise):
    chosen = np.arange(0, TRAINING, 15)
    copies = DISGUISES[disguise](training[chosen])
    distances = likeness.measure(copies, _features(copies))
    thresholds = find_thresholds(held_out, np.arange(HELD_OUT), 0.02)
    np.testing.assert_array_equal(distances.nearest, chosen)
    assert Tally().add(thresholds.too_near(distances)).sum() == 0


@pytest.mark.parametrize('shift', [(2, -2), (-2, 2), (1, 2), (0, -2)])
def test_shifted_copies_are_found_among_many_that_are_alike(shift):
    """Fine detail tells patients apart; moved by two pixels, coarse descriptors alone would name another one."""
    generator = np.random.default_rng(6)
    body = scipy.ndimage.gaussian_filter(generator.normal(size=(SIDE, SIDE)), 4)
    detail = scipy.ndimage.gaussian_filter(generator.normal(size=(1000, SIDE, SIDE)), (0, 0.6, 0.6))
    images = from_unit(np.clip(2 * body / body.std() + detail / detail.std(), -4, 4)[..., None] / 4, np.uint8)
    chosen = np.arange(0, 1000, 25)
    copies = _shift(images[chosen], *shift)
    found = NearestImages(images, _features(images)).measure(copies, _features(copies))
    np.testing.assert_array_equal(found.nearest, chosen)
    assert found.pixels.max() < 0.01


def test_real_patients_pass_at_the_configured_rate(likeness, held_out):
    """Thresholds from some patients, applied to others: the share withheld is what was asked for."""
    others = _draw_bodies(1000, 2)
    distances = likeness.measure(others, _features(others))
    tally = Tally()
    passed = tally.add(find_thresholds(held_out, np.arange(HELD_OUT), 0.1).too_near(distances))
    assert (tally.candidates, tally.withheld) == (1000, 1000 - passed.sum())
    # At most 0.1, as the two measures partly agree; 0.05 is what each of them takes. Four deviations on either
    # side, of the share itself and of the threshold that 400 images give.
    assert 0.05 - 4 * 0.013 < tally.share < 0.1 + 4 * 0.018
    assert all(0 < tally.by_measure[name] < 150 for name in MEASURES)


def test_pixels_are_compared_without_brightness_or_contrast(likeness, training):
    copy = from_unit(0.5 * to_unit(training[:3]) + 0.3, np.uint16)
    again = NearestImages(from_unit(to_unit(training), np.uint16), _features(training)).measure(
        copy, _features(copy)
    )
    assert again.pixels.max() < 0.01
    assert likeness.measure(training[:3], _features(training[:3])).pixels.max() < 1e-3


def test_distance_in_pixels_is_that_of_standardised_images():
    """Too small for shifts, symmetrical against mirroring: the definition, by NumPy."""
    rows = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 1))
    images = np.rint((rows + rows[:, ::-1] + rows[:, :, ::-1] + rows[:, ::-1, ::-1]) / 4).astype(np.uint8)
    flat = to_unit(images).reshape(6, -1)
    standard = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
    expected = np.sqrt(np.square(standard[:2, None] - standard[None, 2:]).mean(-1))
    found = NearestImages(images[2:], flat[2:]).measure(images[:2], flat[:2])
    np.testing.assert_allclose(found.pixels, expected.min(1), atol=1e-4)
    np.testing.assert_array_equal(found.nearest, expected.argmin(1))


def test_distances_of_features_are_in_units_of_their_deviation(training):
    """Over the training images, with ddof 0; a feature that never varies keeps its unit."""
    generator = np.random.default_rng(4)
    features, queries = generator.normal(size=(2, 20, 4)).astype(np.float32) * [0.01, 1, 100, 0] + [5, 0, -3, 1]
    queries[:, 3] += 0.5
    found = NearestImages(training[:20], features.astype(np.float32)).measure(
        training[:20], queries.astype(np.float32)
    )
    units = np.append(features[:, :3].std(axis=0), 1)
    expected = scipy.spatial.distance.cdist(queries / units, features / units).min(axis=1)
    np.testing.assert_allclose(found.features, expected, rtol=1e-3)


def test_constant_images_are_like_none(likeness):
    blank = np.full((2, SIDE, SIDE, 1), 90, np.uint8)
    found = likeness.measure(blank, _features(blank))
    np.testing.assert_allclose(found.pixels, np.sqrt(2), rtol=1e-5)


def test_large_images_are_reduced_by_means():
    images = np.random.default_rng(0).integers(0, 2**16, (2, 128, 128, 3)).astype(np.uint16)
    expected = images.reshape(2, 64, 2, 64, 2, 3).astype(float).mean((2, 4))
    small = reduce(images)
    assert small.dtype == np.uint16
    assert np.abs(small - expected).max() <= 0.5
    np.testing.assert_array_equal(reduce(small), small)


@pytest.mark.parametrize(
    ('count', 'quantile', 'place'), [(10, 0.01, 1), (1000, 0.02, 10), (1000, 0.0199, 10), (1000, 0.021, 11)]
)
def test_thresholds_are_the_smallest_distances(count, quantile, place):
    values = np.random.default_rng(0).permutation(count) + 1.0
    distances = Distances(values, 2 * values, np.zeros(count, int))
    thresholds = find_thresholds(distances, np.arange(count), quantile)
    assert (thresholds.pixels, thresholds.features) == (place, 2 * place)


def test_patients_count_alike_however_many_images_they_have():
    """One of 20 patients has 981 of 1,000 images, all very near: as one patient, that is a twentieth."""
    values = np.concatenate([np.linspace(1, 2, 981), np.arange(10.0, 29.0)])
    owners = np.concatenate([np.zeros(981, int), np.arange(1, 20)])
    order = np.random.default_rng(0).permutation(1000)
    distances = Distances(values[order], values[order], np.zeros(1000, int))
    found = [find_thresholds(distances, owners[order], quantile) for quantile in (0.05, 0.1, 0.2, 0.21)]
    # Half of the quantile for each measure: half of that patient, the whole one, then one more with each 5%.
    assert [each.pixels for each in found] == pytest.approx([1.5, 2.0, 10.0, 11.0], abs=2e-3)
    assert (found[0].held_out, found[0].patients) == (1000, 20)


def test_held_out_copies_of_training_images_are_told(likeness, training):
    images = np.concatenate([training[:40], _draw_bodies(60, 3)])
    distances = likeness.measure(images, _features(images))
    owners = np.arange(100)
    assert find_thresholds(distances, owners, 0.1).are_of_copies
    others = Distances(distances.pixels[40:], distances.features[40:], distances.nearest[40:])
    assert not find_thresholds(others, owners[40:], 0.1).are_of_copies


def test_what_has_no_distance_does_not_pass():
    distances = Distances(np.array([5.0, np.nan, 5.0]), np.array([5.0, 5.0, np.nan]), np.zeros(3, int))
    passed = Tally().add(GateThresholds(1.0, 1.0, 0.01, 10, 10).too_near(distances))
    assert passed.tolist() == [True, False, False]


def test_a_distance_at_the_threshold_is_too_near():
    """In either measure; whoever sets the threshold by a real image must withhold what lies as near as that."""
    distances = Distances(np.array([1.0, 1.01, 1.01, 9.0]), np.array([9.0, 9.0, 2.0, 2.01]), np.zeros(4, int))
    tally = Tally()
    passed = tally.add(GateThresholds(1.0, 2.0, 0.01, 10, 10).too_near(distances))
    assert passed.tolist() == [False, True, False, True]
    assert (tally.candidates, tally.withheld, tally.by_measure) == (4, 2, {'pixels': 1, 'features': 1})


def test_a_quantile_must_be_a_share():
    distances = Distances(np.ones(3), np.ones(3), np.zeros(3, int))
    with pytest.raises(ValueError, match='not above 0 and below 1'):
        find_thresholds(distances, np.arange(3), 0.0)
