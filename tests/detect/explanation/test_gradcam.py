"""Grad-CAM against finite differences, and its scale."""

import jax.numpy as jnp
import numpy as np
import pytest

from detect.explanation import fit_scale, grad_cam, scale_maps
from foundation.training.errors import UserError
from tests.detect.enlarging import enlarge

_RANDOM = np.random.default_rng(0)
MAPS = _RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
LINEAR, SQUARE = (_RANDOM.normal(size=(3, 4, 5)).astype(np.float32) for _ in range(2))


def decide(maps):
    """Quadratic, so that central differences are its derivative."""
    return (LINEAR * maps + SQUARE * maps**2).sum(axis=(1, 2, 3))


def test_map_is_made_of_finite_differences():
    slopes = np.empty(MAPS.shape)
    for place in np.ndindex(MAPS.shape[1:]):
        step = np.zeros(MAPS.shape[1:])
        step[place] = 0.5
        slopes[:, *place] = decide(MAPS.astype(np.float64) + step) - decide(MAPS.astype(np.float64) - step)
    evidence = np.maximum((slopes.mean(axis=(1, 2), keepdims=True) * MAPS).sum(axis=-1), 0)
    assert 0 < (evidence == 0).mean() < 1
    expected = np.stack([enlarge(one, 9, 8) for one in evidence])
    np.testing.assert_allclose(grad_cam(decide, jnp.asarray(MAPS), 9, 8), expected, atol=1e-5)


def test_what_speaks_for_real_is_not_shown():
    maps = jnp.asarray(np.abs(MAPS))
    for sign in (1, -1):
        shown = grad_cam(lambda points, sign=sign: sign * points.sum(axis=(1, 2, 3)), maps, 6, 8)
        assert (np.asarray(shown) > 0).all() == (sign == 1)
        assert (np.asarray(shown) == 0).all() == (sign == -1)


def test_evidence_is_seen_where_it_is():
    maps = np.zeros((1, 4, 4, 2), np.float32)
    maps[0, 3, 0, 1] = 2
    shown = np.asarray(grad_cam(lambda points: points.sum(axis=(1, 2, 3)), jnp.asarray(maps), 16, 16))
    assert shown[0, 14, 1] == shown.max() > 0
    assert not shown[0, :8].any()
    assert not shown[0, :, 8:].any()


def test_one_scale_serves_all():
    maps = np.linspace(0, 1, 101).reshape(1, 1, 101) * np.array([1.0, 4.0]).reshape(2, 1, 1)
    scale = fit_scale(maps, 0.75)
    assert scale == pytest.approx(np.quantile(maps.ravel(), 0.75))
    scaled = scale_maps(maps, scale)
    assert scaled[0].max() == pytest.approx(1 / scale)  # the cooler image stays the cooler one
    assert scaled[1].max() == 1


@pytest.mark.parametrize('maps', [np.zeros((2, 3, 3)), np.full((2, 3, 3), np.nan), np.eye(9).reshape(1, 9, 9)])
def test_maps_without_a_scale_are_refused(maps):
    with pytest.raises(UserError, match='no scale'):
        fit_scale(maps, 0.5)
