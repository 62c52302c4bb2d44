"""Penalties against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan.penalties import (
    difference_slopes,
    exact_slopes,
    gradient_penalty,
    keep_weights_within,
    orthogonal_penalty,
    path_lengths,
    zero_centred_penalty,
)


def _linear(slope):
    return lambda images: slope * images.sum(axis=(1, 2, 3))


@pytest.mark.parametrize('target', [1.0, 750.0])
def test_gradient_penalty_of_a_linear_critic(target):
    """|grad| = 3 sqrt(16) = 12 wherever the mix lies."""
    real, fake = jnp.ones((5, 4, 4, 1)), -jnp.ones((5, 4, 4, 1))
    penalty = gradient_penalty(_linear(3.0), real, fake, jax.random.key(0), target)
    np.testing.assert_allclose(penalty, (12 - target) ** 2 / target**2, rtol=1e-5)


def test_gradient_penalty_mixes_each_pair_evenly_between_its_ends():
    """D(x) = |x|^2 / 2 has the gradient x, of norm 2t at the mix t of 0 and 1; the mean of (2t - 1)^2 is 1/3."""
    real, fake = jnp.ones((20_000, 2, 2, 1)), jnp.zeros((20_000, 2, 2, 1))
    penalty = gradient_penalty(lambda x: jnp.square(x).sum(axis=(1, 2, 3)) / 2, real, fake, jax.random.key(0), 1.0)
    np.testing.assert_allclose(penalty, 1 / 3, atol=0.01)


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient():
    real = jnp.ones((2, 4, 4, 1))

    def penalty(slope):
        return gradient_penalty(_linear(slope), real, -real, jax.random.key(0), 1.0)

    assert bool(jnp.isfinite(jax.grad(penalty)(0.0)))
    np.testing.assert_allclose(penalty(0.0), 1.0, rtol=1e-5)


def test_zero_centred_penalty_by_hand():
    """D(x) = sum x^2 has the gradient 2x, so half the squared norm is 2 sum x^2."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 1)), jnp.float32)
    penalty = zero_centred_penalty(
        exact_slopes, lambda x: jnp.square(x).sum(axis=(1, 2, 3)), images, jax.random.key(0)
    )
    np.testing.assert_allclose(penalty, 2 * np.square(images).sum(axis=(1, 2, 3)).mean(), rtol=1e-5)


def test_differences_estimate_the_squared_gradient():
    """Of a linear critic, (slope <1, n>)^2 over normal n has the mean slope^2 times the pixels, here 9 x 16."""
    squared = difference_slopes(_linear(3.0), jnp.zeros((40_000, 4, 4, 1)), jax.random.key(0), None)
    np.testing.assert_allclose(squared.mean(), 9 * 16, rtol=0.02)
    np.testing.assert_allclose(squared.var(), 2 * (9 * 16) ** 2, rtol=0.06)  # chi squared of one degree


def test_differences_of_a_curved_critic_are_near_its_gradient():
    """D(x) = |x|^2 / 2: the mean over n of <x, n>^2 is |x|^2; the curvature's part is below a thousandth."""
    images = jnp.broadcast_to(jnp.linspace(0.5, 1.5, 16).reshape(1, 4, 4, 1), (40_000, 4, 4, 1))
    squared = difference_slopes(lambda x: jnp.square(x).sum(axis=(1, 2, 3)) / 2, images, jax.random.key(1), None)
    np.testing.assert_allclose(squared.mean(), jnp.square(images[0]).sum(), rtol=0.02)


@pytest.mark.parametrize('slopes', [exact_slopes, difference_slopes])
def test_slopes_are_of_single_images(slopes):
    """A critic that is steep at the second image alone."""
    images, factors = jnp.ones((3, 4, 4, 1)), jnp.asarray([0.0, 2.0, 0.0])
    squared = slopes(lambda x: factors * x.sum(axis=(1, 2, 3)), images, jax.random.key(0), None)
    assert squared[1] > 0
    np.testing.assert_array_equal(squared[::2], 0)


def test_orthogonal_penalty_by_hand():
    """Columns (1, 0), (1, 1) and (0, 2): products 1, 0 and 2 off the diagonal, each twice; only kernels count."""
    kernel = jnp.asarray([[1.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    tree = {'dense': {'kernel': kernel, 'bias': jnp.ones(3)}, 'conv': {'kernel': kernel.reshape(1, 2, 1, 3)}}
    tree['class_embedding'] = {'embedding': jnp.ones((3, 3))}
    np.testing.assert_allclose(orthogonal_penalty(tree), 2 * 2 * (1 + 0 + 4), rtol=1e-6)
    np.testing.assert_allclose(orthogonal_penalty({'kernel': 5 * jnp.eye(3)}), 0, atol=1e-6)


@pytest.mark.parametrize('layers', [(), (2,)])
def test_path_lengths_of_a_linear_generator(layers):
    """g(w) = 3 w on every pixel: J^T y has variance 9; an idle second layer's style halves the mean."""

    def draw(styles):
        first = styles.reshape(len(styles), -1)[:, :1]
        return 3.0 * jnp.broadcast_to(first[:, None, None], (len(styles), 4, 8, 1))

    lengths = path_lengths(draw, jnp.ones((40_000, *layers, 1)), jax.random.key(0))
    np.testing.assert_allclose(jnp.square(lengths).mean(), 9 / max(len(layers) * 2, 1), rtol=0.03)


def test_clipped_weights_stay_within_their_limit():
    """RMSProp's first step is the learning rate over sqrt(1 - decay), against the sign of the gradient: here 1."""
    optimizer = optax.chain(optax.rmsprop(0.1, decay=0.99, eps=1e-12), keep_weights_within(0.5))
    params = {'a': jnp.asarray([0.2, -0.2, 0.4]), 'b': jnp.asarray([0.0])}
    gradients = {'a': jnp.asarray([-1.0, 1.0, 1.0]), 'b': jnp.asarray([0.0])}
    steps, _ = optimizer.update(gradients, optimizer.init(params), params)
    moved = optax.apply_updates(params, steps)
    np.testing.assert_allclose(moved['a'], [0.5, -0.5, -0.5], rtol=1e-6)
    np.testing.assert_allclose(moved['b'], [0.0])


def test_known_logits_are_not_computed_again():
    calls = []

    def critic(images):
        calls.append(len(images))
        return jnp.square(images).sum(axis=(1, 2, 3))

    images, key = jax.random.normal(jax.random.key(0), (5, 4, 4, 1)), jax.random.key(1)
    known = difference_slopes(critic, images, key, jnp.square(images).sum(axis=(1, 2, 3)))
    assert len(calls) == 1
    np.testing.assert_allclose(known, difference_slopes(critic, images, key, None), rtol=1e-5)
    assert len(calls) == 3
