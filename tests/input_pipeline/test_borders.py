"""Borders of one value are cut, of whatever value, depth and side; what is not even stays."""

import numpy as np
import pytest

from input_pipeline.borders import find_content


def _noise(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 255, (*shape, 1)).astype(dtype)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize('value', [0, 255, 90])
@pytest.mark.parametrize('spare', [(3, 0, 0, 5), (0, 0, 7, 7), (2, 9, 0, 0), (1, 1, 1, 1), (0, 0, 0, 0)])
def test_what_was_padded_is_found(dtype, value, spare):
    top, bottom, left, right = spare
    padding = [(top, bottom), (left, right), (0, 0)]
    padded = np.pad(_noise((12, 10), dtype), padding, constant_values=value)
    rows, columns = find_content(padded, (1, 1))
    assert (rows, columns) == (slice(top, top + 12), slice(left, left + 10))


def test_each_side_may_have_its_own_value_and_waves_of_jpeg():
    image = np.pad(_noise((12, 10)), [(0, 0), (3, 2), (0, 0)], constant_values=7)
    waves = np.random.default_rng(1).integers(199, 202, (4, 15, 1)).astype(np.uint8)
    assert find_content(np.concatenate([waves, image]), (1, 1)) == (slice(4, 16), slice(3, 13))


def test_a_bright_border_around_dark_values_takes_nothing_of_them():
    dark = _noise((12, 10), np.uint16)
    dark[-1] = dark[-1] % 30  # nearly even beside the border, not among its own
    padded = np.pad(dark * 4, [(3, 0), (0, 2), (0, 0)], constant_values=65535)
    assert find_content(padded, (1, 1)) == (slice(3, 15), slice(0, 10))


@pytest.mark.parametrize('value', [0, 255])
def test_an_even_image_is_kept_whole_and_so_are_two_halves(value):
    even = np.full((6, 9, 1), value, np.uint8)
    assert find_content(even, (1, 1)) == (slice(0, 6), slice(0, 9))
    halves = even.copy()
    halves[:3] = 100
    assert find_content(halves, (1, 1)) == (slice(0, 6), slice(0, 9))


def test_so_many_pixels_are_left():
    image = np.pad(_noise((4, 4)), [(0, 20), (10, 10), (0, 0)])
    assert find_content(image, (8, 8)) == (slice(0, 8), slice(8, 16))
    assert find_content(image[:6], (8, 8)) == (slice(0, 6), slice(8, 16))
    assert find_content(image, (4, 50)) == (slice(0, 4), slice(0, 24))


def test_numbers_that_are_not_finite_are_a_border_of_zeros():
    image = np.pad(_noise((5, 5), np.float32) + 1, [(2, 2), (2, 2), (0, 0)], constant_values=np.nan)
    assert find_content(image, (1, 1)) == (slice(2, 7), slice(2, 7))


def test_one_hot_pixel_does_not_make_all_others_a_border():
    image = np.random.default_rng(0).integers(0, 600, (64, 64, 1)).astype(np.uint16)
    image[40, 20] = 65535
    assert find_content(image, (8, 8)) == (slice(0, 64), slice(0, 64))
    image[:10] = 300
    assert find_content(image, (8, 8)) == (slice(10, 64), slice(0, 64))
