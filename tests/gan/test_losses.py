"""Losses against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan.losses import LOSSES, drift

REAL, FAKE = jnp.asarray([2.0, -1.0]), jnp.asarray([0.5, -3.0])


def _softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ('name', 'discriminator', 'generator'),
    [
        ('wasserstein', -1.25 - 0.5, 1.25),
        ('hinge', (0 + 2) / 2 + (1.5 + 0) / 2, 1.25),
        (
            'non_saturating',
            (_softplus(-2) + _softplus(1)) / 2 + (_softplus(0.5) + _softplus(-3)) / 2,
            (_softplus(-0.5) + _softplus(3)) / 2,
        ),
        (
            'minimax',
            (_softplus(-2) + _softplus(1)) / 2 + (_softplus(0.5) + _softplus(-3)) / 2,
            (np.log(1 - 1 / (1 + np.exp(-0.5))) + np.log(1 - 1 / (1 + np.exp(3)))) / 2,
        ),
        ('least_squares', (1 + 4) / 2 + (0.25 + 9) / 2, (0.25 + 16) / 2),
        ('relativistic', (_softplus(-1.5) + _softplus(-2)) / 2, (_softplus(1.5) + _softplus(2)) / 2),
    ],
)
def test_losses_by_hand(name, discriminator, generator):
    np.testing.assert_allclose(LOSSES[name].discriminator(REAL, FAKE), discriminator, rtol=1e-6)
    np.testing.assert_allclose(LOSSES[name].generator(REAL, FAKE), generator, rtol=1e-6)


@pytest.mark.parametrize('name', sorted(LOSSES))
@pytest.mark.parametrize('extreme', [1e4, -1e4])
def test_gradients_are_finite_at_extremes(name, extreme):
    logits = jnp.full((4,), extreme)
    for loss in (LOSSES[name].discriminator, LOSSES[name].generator):
        for gradient in jax.grad(loss, argnums=(0, 1))(logits, -logits):
            assert bool(jnp.isfinite(gradient).all())


def test_drift():
    np.testing.assert_allclose(drift(REAL), 2.5, rtol=1e-6)


@pytest.mark.parametrize('name', [name for name, loss in LOSSES.items() if loss.middle is not None])
def test_an_exchanged_label_asks_what_the_opposite_one_asks(name):
    """Both batches exchanged whole are the two batches in each other's place."""
    loss, everything = LOSSES[name], jnp.ones((2,), bool)
    exchanged = loss.discriminator(loss.exchange(REAL, everything), loss.exchange(FAKE, everything))
    np.testing.assert_allclose(exchanged, loss.discriminator(FAKE, REAL), rtol=1e-6)
    np.testing.assert_array_equal(loss.exchange(REAL, jnp.asarray([True, False]))[1], REAL[1])


@pytest.mark.parametrize('name', [name for name, loss in LOSSES.items() if loss.has_signs])
def test_the_middle_is_where_real_and_generated_are_equally_likely(name):
    """Of one image that is real as often as not, the loss is least there."""
    loss = LOSSES[name]
    slope = jax.grad(lambda logit: loss.discriminator(logit, logit))(jnp.full((1,), loss.middle))
    np.testing.assert_allclose(slope, 0, atol=1e-6)
