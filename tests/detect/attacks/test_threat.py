"""What may be changed: units, the grid of stored values, the box."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from detect.attacks.threat import (
    Threat,
    Worst,
    create_box,
    differentiate,
    eps_of_grey_steps,
    eps_of_hounsfield,
    find_logits,
    hounsfield_levels,
    keep_worst,
    margins_of,
    store,
)
from tests.detect.attacks.models import BIAS, IMAGES, LINEAR, WEIGHTS, logits, steps_from


@pytest.mark.parametrize(('width', 'units'), [(1500, 47.06), (80, 2.51)])
def test_eight_grey_steps_in_hounsfield_units(width, units):
    assert eps_of_grey_steps(8, 256) == pytest.approx(eps_of_hounsfield(units, width), rel=1e-3)


@pytest.mark.parametrize(
    ('eps', 'levels', 'steps'),
    [(8 / 127.5, 256, 8), (8.9 / 127.5, 256, 8), (0.9 / 127.5, 256, 0), (eps_of_hounsfield(2.5, 80), 81, 2)],
)
def test_reach_is_what_survives_rounding(eps, levels, steps):
    assert Threat(eps, levels).reach * (levels - 1) / 2 == pytest.approx(steps)
    assert Threat(eps, None).reach == eps


@pytest.mark.parametrize('levels', [2, 81, 256, hounsfield_levels(1500), 65536])
def test_stored_images_are_on_the_grid_and_stay(levels):
    stored = store(IMAGES, levels)
    steps = steps_from(stored, levels)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-2)
    np.testing.assert_allclose(stored, IMAGES, atol=1 / (levels - 1) + 1e-6)
    np.testing.assert_array_equal(store(stored, levels), stored)


def test_hounsfield_units_survive_as_integers():
    """A window of 80 around 40, written as int16 and read again."""
    stored = np.asarray(store(IMAGES, hounsfield_levels(80)))
    written = np.round((stored + 1) * 40).astype(np.int16)
    np.testing.assert_allclose(written / np.float32(40) - 1, stored, atol=1e-6)


@pytest.mark.parametrize('levels', [None, 81])
def test_the_box_has_ends_that_can_be_stored(levels):
    threat = Threat(0.11, levels)
    box = create_box(threat, IMAGES)
    for part, change in zip(box, (0, -threat.reach, threat.reach), strict=True):
        np.testing.assert_array_equal(store(part, levels), part)
        np.testing.assert_allclose(part, np.clip(store(IMAGES, levels) + change, -1, 1), atol=1e-6)


def test_logits_and_gradients():
    found, gradients = differentiate(LINEAR, IMAGES)
    np.testing.assert_allclose(found, logits(IMAGES), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(find_logits(LINEAR, IMAGES), found, rtol=1e-5)
    np.testing.assert_allclose(gradients, np.broadcast_to(WEIGHTS, IMAGES.shape), rtol=1e-6)


def test_other_parameters_need_no_new_compilation():
    traces = []

    def scaled(factor, images):
        traces.append(images.shape)
        return factor * images.mean(axis=(1, 2, 3)) + BIAS

    for factor in (1.0, 2.0):
        found = find_logits(Partial(scaled, jnp.float32(factor)), IMAGES)
        np.testing.assert_allclose(found, factor * np.mean(IMAGES, axis=(1, 2, 3)) + BIAS, rtol=1e-4)
    plain = jax.jit(lambda images: scaled(3.0, images))
    for _ in range(2):
        find_logits(plain, IMAGES)
    assert len(traces) == 2


@pytest.mark.parametrize('kind', [bool, int])
def test_margins_are_positive_where_the_detector_is_right(kind):
    labels = jnp.asarray(np.array([1, 1, 0, 0], kind))
    np.testing.assert_array_equal(margins_of(jnp.array([2.0, -3.0, 4.0, -5.0]), labels), [2, -3, -4, 5])


def test_the_worst_is_kept_for_each_image():
    first, second = jnp.zeros((3, 1, 1, 1)), jnp.ones((3, 1, 1, 1))
    worst = keep_worst(Worst(first, jnp.array([1.0, 2.0, 3.0])), second, jnp.array([0.0, 2.0, 4.0]))
    np.testing.assert_array_equal(worst.images.ravel(), [1, 0, 0])
    np.testing.assert_array_equal(worst.margins, [0, 2, 3])
