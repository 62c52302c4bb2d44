"""Adversarial images within a compiled step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from detect.step import adversarial_images
from tests.detect.attacks.models import BENT, IMAGES, KEY, LABELS, LINEAR, logits, worst_logits


def _loss(logits_of, images):
    signs = jnp.where(LABELS == 1, 1, -1)
    return jax.nn.softplus(-signs * logits_of(images)).mean()


@functools.partial(jax.jit, static_argnames=('eps', 'steps'))
def _perturb(logits_of, images, key, eps, steps):
    return adversarial_images(functools.partial(_loss, logits_of), images, key, eps=eps, steps=steps)


@pytest.mark.parametrize('steps', [2, 4])
def test_the_exact_worst_case_of_a_linear_detector(steps):
    attacked = _perturb(LINEAR, IMAGES, KEY, 0.1, steps)
    np.testing.assert_allclose(logits(attacked), worst_logits(IMAGES, LABELS, 0.1), rtol=1e-4, atol=1e-5)


def test_one_step_is_of_a_quarter_more_than_eps():
    """From a start uniform in the box, a step of 1.25 eps ends at the corner for 5 of 8 values."""
    images = IMAGES * 0.5
    attacked = np.asarray(_perturb(LINEAR, images, KEY, 0.1, 1))
    changes = np.abs(attacked - images)
    assert changes.max() <= 0.1 + 1e-6
    assert (changes > 0.1 - 1e-6).mean() == pytest.approx(5 / 8, abs=0.1)


def test_the_loss_rises_within_reach():
    attacked = _perturb(BENT, IMAGES, KEY, 0.2, 3)
    assert _loss(BENT, attacked) > _loss(BENT, IMAGES) + 0.1
    assert np.abs(attacked).max() <= 1
    assert np.abs(attacked - IMAGES).max() <= 0.2 + 1e-6


def test_eps_0_changes_nothing():
    np.testing.assert_array_equal(_perturb(BENT, IMAGES, KEY, 0.0, 2), IMAGES)


def test_the_key_decides():
    first, again, other = (_perturb(BENT, IMAGES, jax.random.key(seed), 0.2, 1) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_no_gradient_passes():
    def total(images):
        return _perturb(LINEAR, images, KEY, 0.1, 2).sum()

    np.testing.assert_array_equal(jax.grad(total)(IMAGES), np.zeros_like(IMAGES))
