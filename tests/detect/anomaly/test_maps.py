"""Stages joined against direct forms, and maps enlarged and smoothed against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from detect.anomaly.maps import check_stages, join_stages, locate, spread
from foundation.training.errors import UserError
from tests.detect.enlarging import enlarge


def test_stages_are_joined_on_the_first_grid():
    random = np.random.default_rng(0)
    stages = [random.normal(size=(2, 4, 6, 3)), random.normal(size=(2, 2, 3, 5))]
    lower = np.stack([[enlarge(stages[1][n, ..., c], 4, 6) for c in range(5)] for n in range(2)])
    expected = np.concatenate([stages[0], np.moveaxis(lower, 1, -1)], axis=-1)
    chosen = np.array([1, 2, 4, 7])
    stages = [jnp.asarray(stage) for stage in stages]
    np.testing.assert_allclose(join_stages(stages, None), expected, atol=1e-6)
    np.testing.assert_allclose(join_stages(stages, chosen), expected[..., chosen], atol=1e-6)


@pytest.mark.parametrize(('height', 'width', 'sigma'), [(56, 40, 4 * 40 / 224), (224, 300, 4.0)])
def test_maps_are_enlarged_and_smoothed(height, width, sigma):
    maps = np.random.default_rng(1).normal(size=(2, 7, 5)).astype(np.float32)
    expected = [scipy.ndimage.gaussian_filter(enlarge(one, height, width), sigma) for one in maps]
    located = locate(jnp.asarray(maps), height, width)
    np.testing.assert_allclose(located.maps, expected, atol=1e-5)
    np.testing.assert_array_equal(located.scores, located.maps.max(axis=(1, 2)))


def test_maps_are_enlarged_under_jit_too():
    maps = jnp.arange(6.0).reshape(1, 2, 3)
    np.testing.assert_allclose(jax.jit(lambda x: spread(x, 8, 9))(maps), spread(maps, 8, 9), atol=1e-6)


def test_other_stages_are_refused():
    stages = [jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 2, 2, 3))]
    check_stages(stages, (4, 4), 5)
    for grid, channels in (((4, 5), 5), ((4, 4), 6)):
        with pytest.raises(UserError, match='the image size it was fitted with'):
            check_stages(stages, grid, channels)
