"""Measures of masks on drawn shapes, whose values are known."""

import numpy as np
import pytest

from foundation.statistics.jackknife import FeatureSample, Missing
from gan.scores.masks import MEASURES, measure_masks, score_masks

SIDE = 64
ROWS, COLUMNS = np.indices((SIDE, SIDE)) + 0.5


def _measure(shown, image=None):
    image = np.zeros((SIDE, SIDE)) if image is None else image
    (row,) = measure_masks(image[None, ..., None].astype(np.float32), shown[None, ..., None].astype(np.uint8))
    return dict(zip(MEASURES, row, strict=True))


def _disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 < radius**2


def test_a_disc_is_where_it_was_drawn():
    found = _measure(_disc(20, 40, 10))
    assert found['present'] == 100
    assert found['area'] == pytest.approx(100 * np.pi * 100 / SIDE**2, rel=0.02)
    assert (found['row'], found['column']) == pytest.approx((100 * 20 / SIDE, 100 * 40 / SIDE), abs=1e-6)
    assert found['parts'] == 1
    assert found['compactness'] == pytest.approx(1, abs=0.08)


def test_a_stripe_is_less_compact_and_two_discs_are_two_parts():
    stripe = (ROWS > 10) & (ROWS < 14) & (COLUMNS > 4) & (COLUMNS < 60)
    # By Crofton's two directions: pi / 4 of twice 4 + 56 edges.
    assert _measure(stripe)['compactness'] == pytest.approx(4 * np.pi * 4 * 56 / (np.pi / 4 * 120) ** 2)
    assert _measure(_disc(15, 15, 8) | _disc(45, 45, 6))['parts'] == 2


def test_an_outline_in_the_picture_is_rough_at_the_contour_alone():
    shown = _disc(32, 32, 10)
    ring = np.abs(np.hypot(ROWS - 32, COLUMNS - 32) - 10) < 0.7
    plain, outlined = _measure(shown, 0.001 * ROWS), _measure(shown, 0.001 * ROWS + 0.5 * ring)
    assert plain['contour'] == pytest.approx(0, abs=1e-3)  # a ramp has no Laplacian
    assert outlined['contour'] > 50
    assert outlined['contour'] > 3 * outlined['beside']


def test_the_laplacian_is_in_grey_levels():
    image = np.zeros((SIDE, SIDE))
    image[32, 31:34] = 2 / 255  # three pixels, one grey level brighter
    shown = np.zeros((SIDE, SIDE), bool)
    shown[32, 32] = True
    # At the pixel and at its neighbours along the line; above and below it.
    assert _measure(shown, image)['contour'] == pytest.approx((2 + 3 + 3 + 1 + 1) / 5, rel=1e-4)


def test_means_are_of_images_with_a_mask_and_vary_with_patients():
    values = np.full((40, len(MEASURES)), np.nan)
    values[:, 0] = 0
    with_mask = np.arange(0, 40, 2)
    values[with_mask, 0], values[with_mask, 1] = 100, np.arange(20.0)
    found = score_masks(FeatureSample(values, np.arange(40) % 10, 10))
    assert found['present'].value == 50
    assert found['area'].value == pytest.approx(9.5)
    assert found['area'].counts == {'images': 20}
    low, high = found['area'].interval()
    assert low < 9.5 < high
    assert isinstance(found['parts'], Missing)


def test_no_interval_leaves_what_a_measure_can_be():
    values = np.ones((200, len(MEASURES)))
    values[:, 0] = 100
    values[0] = [0] + [np.nan] * (len(MEASURES) - 1)  # one image in 200 has no mask
    low, high = score_masks(FeatureSample(values, np.arange(200) % 20, 20))['present'].interval()
    assert low < 99.5
    assert high == 100


def test_one_patient_with_masks_is_not_enough():
    values = np.full((10, len(MEASURES)), np.nan)
    values[0] = 1
    assert isinstance(score_masks(FeatureSample(values, np.arange(10), 10))['area'], Missing)
