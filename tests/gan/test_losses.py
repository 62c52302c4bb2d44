"""Losses against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan import losses

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
    ],
)
def test_losses_by_hand(name, discriminator, generator):
    np.testing.assert_allclose(losses.DISCRIMINATOR_LOSSES[name](REAL, FAKE), discriminator, rtol=1e-6)
    np.testing.assert_allclose(losses.GENERATOR_LOSSES[name](FAKE), generator, rtol=1e-6)


@pytest.mark.parametrize('name', sorted(losses.DISCRIMINATOR_LOSSES))
@pytest.mark.parametrize('extreme', [1e4, -1e4])
def test_gradients_are_finite_at_extremes(name, extreme):
    logits = jnp.full((4,), extreme)
    for gradient in jax.grad(losses.DISCRIMINATOR_LOSSES[name], argnums=(0, 1))(logits, logits):
        assert bool(jnp.isfinite(gradient).all())
    assert bool(jnp.isfinite(jax.grad(losses.GENERATOR_LOSSES[name])(logits)).all())


def test_drift():
    np.testing.assert_allclose(losses.drift(REAL), 2.5, rtol=1e-6)


def _linear(slope):
    return lambda images: slope * images.sum(axis=(1, 2, 3))


@pytest.mark.parametrize('target', [1.0, 750.0])
def test_gradient_penalty_of_a_linear_critic(target):
    """|grad| = 3 sqrt(16) = 12 wherever the mix lies."""
    real, fake = jnp.ones((5, 4, 4, 1)), -jnp.ones((5, 4, 4, 1))
    penalty = losses.gradient_penalty(_linear(3.0), real, fake, jax.random.key(0), target)
    np.testing.assert_allclose(penalty, (12 - target) ** 2 / target**2, rtol=1e-5)


def test_gradient_penalty_mixes_each_pair_evenly_between_its_ends():
    """D(x) = |x|^2 / 2 has the gradient x, of norm 2t at the mix t of 0 and 1; the mean of (2t - 1)^2 is 1/3."""
    real, fake = jnp.ones((20_000, 2, 2, 1)), jnp.zeros((20_000, 2, 2, 1))
    penalty = losses.gradient_penalty(
        lambda x: jnp.square(x).sum(axis=(1, 2, 3)) / 2, real, fake, jax.random.key(0), 1.0
    )
    np.testing.assert_allclose(penalty, 1 / 3, atol=0.01)


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient():
    real = jnp.ones((2, 4, 4, 1))

    def penalty(slope):
        return losses.gradient_penalty(_linear(slope), real, -real, jax.random.key(0), 1.0)

    assert bool(jnp.isfinite(jax.grad(penalty)(0.0)))
    np.testing.assert_allclose(penalty(0.0), 1.0, rtol=1e-5)


def test_zero_centred_penalty_by_hand():
    """D(x) = sum x^2 has the gradient 2x, so half the squared norm is 2 sum x^2."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 1)), jnp.float32)
    penalty = losses.zero_centred_penalty(lambda x: jnp.square(x).sum(axis=(1, 2, 3)), images)
    np.testing.assert_allclose(penalty, 2 * np.square(images).sum(axis=(1, 2, 3)).mean(), rtol=1e-5)
