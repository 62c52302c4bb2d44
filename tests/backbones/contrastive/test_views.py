"""Views: what is asked for happens, each within its bounds, and what is not asked for does not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from backbones.contrastive import views
from backbones.contrastive.views import ViewPlan, draw_views

NOTHING = ViewPlan(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, mirror_horizontal=False, mirror_vertical=False)
KEY = jax.random.key(0)


def _plan(**changes):
    return dataclasses.replace(NOTHING, **changes)


def _images(count=8, side=16, channels=1):
    rows = np.random.default_rng(0).uniform(-0.8, 0.8, (count, side, side, channels))
    return jnp.asarray(rows, jnp.float32)


@pytest.mark.parametrize('channels', [1, 3])
def test_nothing_changes_where_nothing_is_asked_for(channels):
    images = _images(channels=channels)
    np.testing.assert_allclose(draw_views(NOTHING, images, KEY), images, atol=1e-6)


def test_mirrors_are_drawn_where_anatomy_allows_them_alone():
    images = _images(64)
    for axis, name in ((2, 'mirror_horizontal'), (1, 'mirror_vertical')):
        drawn = np.asarray(draw_views(_plan(**{name: True}), images, KEY))
        same, mirrored = (
            np.abs(drawn - other).max(axis=(1, 2, 3)) < 1e-5 for other in (images, np.flip(images, axis))
        )
        assert (same ^ mirrored).all()
        assert 16 < mirrored.sum() < 48


def test_parts_lie_within_the_image_and_are_as_large_as_asked():
    """Of a picture whose values are its own coordinates, a view tells where it was taken from."""
    side = 33
    places = np.linspace(-1, 1, side, dtype=np.float32)
    across = jnp.asarray(np.tile(places[None, None, :, None], (256, side, 1, 1)))
    down = jnp.asarray(np.tile(places[None, :, None, None], (256, 1, side, 1)))
    plan = _plan(part=0.25, stretch=2.0)
    x, y = (np.asarray(draw_views(plan, each, KEY)) for each in (across, down))
    widths, heights = x[:, 0, -1, 0] - x[:, 0, 0, 0], y[:, -1, 0, 0] - y[:, 0, 0, 0]
    areas = widths * heights / 4
    assert np.abs(x).max() <= 1
    # A part that would stick out is cut to the image's own width or height.
    assert areas.min() > 0.25 / 2 - 1e-3
    assert areas.max() <= 1
    assert 0.45 < (areas < 0.6).mean() < 0.8
    assert np.ptp(x[:, 0, 0, 0]) > 0.5
    ratios = widths / heights
    assert 0.49 < ratios.min() < 1.5 < ratios.max() < 2.01


def test_intensities_change_as_told():
    images = _images(64)
    lighter = draw_views(_plan(brightness=0.1), images, KEY) - images
    np.testing.assert_allclose(np.ptp(np.asarray(lighter), axis=(1, 2, 3)), 0, atol=1e-6)
    assert 0.05 < np.abs(lighter).max() <= 0.1 + 1e-6
    centred = images - images.mean(axis=(1, 2, 3), keepdims=True)
    factors = (draw_views(_plan(contrast=0.2), images, KEY) - images)[:, 3, 4, 0] / centred[:, 3, 4, 0]
    assert 0.1 < np.abs(factors).max() <= 0.2 + 1e-4
    exponents = np.log((draw_views(_plan(gamma=0.3), images, KEY) + 1) / 2) / np.log((images + 1) / 2)
    spread = np.log(np.asarray(exponents))
    np.testing.assert_allclose(np.ptp(spread, axis=(1, 2, 3)), 0, atol=1e-3)
    assert 0.15 < np.abs(spread).max() <= 0.3 + 1e-3


def test_a_blur_is_gaussian(monkeypatch):
    """Against SciPy, whose kernel reaches further, at the deviation that was drawn."""
    monkeypatch.setattr(views.jax.random, 'uniform', lambda key, shape, **_: jnp.ones(shape))
    blurred = views._blur(0.05, _images(4, 32, 2), KEY)
    wanted = scipy.ndimage.gaussian_filter(
        np.asarray(_images(4, 32, 2)), (0, 1.6, 1.6, 0), mode='nearest', radius=4
    )
    np.testing.assert_allclose(blurred, wanted, atol=1e-5)


def test_noise_has_the_deviation_that_was_asked_for():
    noise = np.asarray(draw_views(_plan(noise=0.2), jnp.zeros((256, 16, 16, 1)), KEY))
    deviations = noise.std(axis=(1, 2, 3))
    assert deviations.min() < 0.02
    assert deviations.max() < 0.23
    assert deviations.mean() == pytest.approx(0.1, abs=0.015)


def test_views_are_in_range_and_each_has_its_own_draws():
    plan = ViewPlan(0.3, 1.33, 0.4, 0.3, 0.3, 0.05, 0.1, mirror_horizontal=True, mirror_vertical=False)
    drawn = np.asarray(draw_views(plan, jnp.repeat(_images(2), 4, axis=0), KEY))
    assert np.abs(drawn).max() <= 1
    differences = [np.abs(a - b).max() for i, a in enumerate(drawn[:4]) for b in drawn[:i]]
    assert min(differences) > 0.01
