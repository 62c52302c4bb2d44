"""The checks of maps against cases whose answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from detect.explanation import curve_areas, deletion_curves, pointing_game, rank_correlations, shuffle_parameters


def one_pixel(row, column):
    maps = np.zeros((1, 8, 8))
    maps[0, row, column] = 1
    return maps


@pytest.mark.parametrize(
    ('row', 'column', 'tolerance', 'hit'),
    [(2, 3, 0, 1), (2, 4, 0, 0), (2, 5, 0, 0), (2, 5, 1, 0), (2, 5, 2, 1), (0, 1, 2, 1), (5, 6, 2, 0)],
)
def test_the_hottest_pixel_hits_or_misses(row, column, tolerance, hit):
    mask = one_pixel(2, 3) > 0
    assert pointing_game(one_pixel(row, column), mask, tolerance).tolist() == [hit]


def test_a_constant_map_gets_what_chance_gets():
    mask = np.zeros((3, 8, 8), bool)
    mask[:2, :4, :4] = True
    maps = np.zeros((3, 8, 8))
    maps[1, 0, 0] = np.nan
    np.testing.assert_array_equal(pointing_game(maps, mask, 0), [0.25, np.nan, np.nan])


def brightness(images):
    return images.mean(axis=(1, 2, 3))


def test_curves_are_those_of_the_pixels_in_their_order():
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (3, 4, 5, 1)).astype(np.float32)
    maps = random.normal(size=(3, 4, 5))
    curves = deletion_curves(brightness, images, maps, steps=10, fill=-1.0)
    for image, heat, curve in zip(images, maps, curves, strict=True):
        kept = image[..., 0].ravel()[np.argsort(-heat.ravel())].astype(np.float64)
        expected = [np.concatenate([np.full(2 * step, -1), kept[2 * step :]]).mean() for step in range(11)]
        np.testing.assert_allclose(curve, expected, atol=1e-6)


def test_deletion_is_quickest_along_what_matters():
    images = np.random.default_rng(1).uniform(-1, 1, (6, 8, 8, 1)).astype(np.float32)
    true = images[..., 0]
    areas = [
        curve_areas(deletion_curves(brightness, images, maps, steps=16, fill=-1.0))
        for maps in (true, np.random.default_rng(2).normal(size=true.shape), -true)
    ]
    assert (areas[0] < areas[1]).all()
    assert (areas[1] < areas[2]).all()


def test_area_is_that_of_the_trapezia():
    curves = np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(curve_areas(curves), [1, 0.5, 0.25])


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_correlation_is_that_of_scipy(dtype):
    random = np.random.default_rng(3)
    before = random.normal(size=(4, 5, 6)).round(1).astype(dtype)  # with ties
    after = before + random.normal(size=before.shape).round(1).astype(dtype)
    after[3] = 7
    wide = [maps.astype(np.float64) for maps in (before, after)]
    expected = [scipy.stats.spearmanr(wide[0][n].ravel(), wide[1][n].ravel()).statistic for n in range(3)]
    np.testing.assert_allclose(rank_correlations(before, after), [*expected, np.nan], rtol=1e-12)
    np.testing.assert_allclose(rank_correlations(before, 3 * np.exp(before)), 1)


def test_shuffled_parameters_are_the_same_numbers():
    params = {'dense': {'kernel': jnp.arange(60.0).reshape(3, 20), 'bias': jnp.zeros(2)}}
    shuffled, again, other = (shuffle_parameters(params, seed) for seed in (0, 0, 1))
    kernel = shuffled['dense']['kernel']
    assert kernel.shape == (3, 20)
    assert sorted(kernel.ravel().tolist()) == list(range(60))
    assert (kernel != np.arange(60).reshape(3, 20)).mean() > 0.8
    assert (kernel == again['dense']['kernel']).all()
    assert (kernel != other['dense']['kernel']).any()
