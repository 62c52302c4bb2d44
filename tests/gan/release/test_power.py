"""Altered copies are what they are called, against closed forms."""

import numpy as np
import pytest

from gan.release.power import COPIES, _blur, _shift, _turn, _zoom

SIDE = 32


@pytest.fixture
def images():
    return np.random.default_rng(3).uniform(-1, 1, (2, SIDE, SIDE, 2))


def _alter(kind, images):
    return COPIES[kind](images[0], images[1], np.random.default_rng(0))


@pytest.mark.parametrize('kind', COPIES)
def test_copies_keep_their_shape(kind, images):
    altered = _alter(kind, images)
    assert altered.shape == images[0].shape
    assert np.isfinite(altered).all()
    assert (kind == 'as it is') == np.array_equal(altered, images[0])


def test_turns_and_shifts_move_pixels(images):
    np.testing.assert_allclose(_alter('turned by 90 degrees', images), np.rot90(images[0]), atol=1e-12)
    np.testing.assert_array_equal(_alter('mirrored', images)[:, 0], images[0][:, -1])
    shifted = _shift(1 / 8)(images[0], images[1], np.random.default_rng(0))
    np.testing.assert_array_equal(shifted[4:, 4:], images[0][:-4, :-4])
    np.testing.assert_array_equal(shifted[0, 4:], images[0][0, :-4])


def test_a_ramp_is_zoomed_and_turned_about_its_middle(images):
    """Linear interpolation of a plane is exact: its slope changes as the map says."""
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    plane = (0.03 * rows + 0.01 * columns)[..., None]
    inner = slice(8, -8)
    zoomed = _zoom(1.2)(plane, plane, np.random.default_rng(0))
    np.testing.assert_allclose(zoomed[inner, inner], plane[inner, inner] / 1.2, atol=1e-12)
    turned = _turn(5)(plane, plane, np.random.default_rng(0))
    angle = np.deg2rad(5)
    expected = 0.03 * (np.cos(angle) * rows + np.sin(angle) * columns) + 0.01 * (
        np.cos(angle) * columns - np.sin(angle) * rows
    )
    np.testing.assert_allclose(turned[inner, inner, 0], expected[inner, inner], atol=1e-12)
    np.testing.assert_allclose(_blur(1 / 16)(plane, plane, None)[inner, inner], plane[inner, inner], atol=1e-9)


def test_mixtures_are_of_two_patients(images):
    np.testing.assert_allclose(_alter('half of another patient', images), images.mean(axis=0))
    noise = _alter('noise of 15%', images) - images[0]
    assert noise.std() == pytest.approx(0.3, rel=0.1)  # of a range of 2
