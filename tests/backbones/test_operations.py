"""Operations in the form that CPUs are quick at have the numbers of the usual form, and its derivatives."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.networks.layers import PointwiseConv, max_pool
from backbones.networks.normalization import BATCH_STATS, BatchNorm, GroupNorm


def _draw(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def _generic(x, padding):
    return nn.max_pool(x, (3, 3), (2, 2), [(padding, padding)] * 2)


@pytest.mark.parametrize('padding', [0, 1])
@pytest.mark.parametrize(('height', 'width'), [(8, 8), (9, 7), (3, 10)])
@pytest.mark.parametrize('tied', [False, True])
def test_maxima_and_where_their_gradients_go(height, width, padding, tied):
    """Ties are what a rectifier leaves: many zeros, and here also few different values above."""
    x = _draw(2, height, width, 5)
    x = jnp.maximum(jnp.round(2 * x), 0) if tied else x
    y, expected = max_pool(x, padding), _generic(x, padding)
    np.testing.assert_array_equal(y, expected)
    towards = jnp.round(8 * _draw(*y.shape, seed=1))  # whole numbers, whose sums are exact in any order
    (gradient,) = jax.vjp(lambda x: max_pool(x, padding), x)[1](towards)
    (wanted,) = jax.vjp(lambda x: _generic(x, padding), x)[1](towards)
    np.testing.assert_array_equal(gradient, wanted)


@pytest.mark.parametrize('place', [(0, 0), (1, 2), (2, 1), (4, 4)])
def test_maxima_pass_on_what_is_not_a_number(place):
    x = _draw(1, 5, 5, 1).at[0, *place, 0].set(jnp.nan)
    np.testing.assert_array_equal(max_pool(x, 1), _generic(x, 1))


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_pointwise_convolution_has_the_weights_and_numbers_of_the_usual_one(dtype):
    x, draw = _draw(2, 5, 4, 6), nn.initializers.he_normal()
    usual, own = nn.Conv(3, (1, 1), use_bias=False, dtype=dtype, kernel_init=draw), PointwiseConv(3, dtype)
    variables = usual.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, own.init(jax.random.key(1), x), variables)
    y, expected = own.apply(variables, x), usual.apply(variables, x)
    assert (y.dtype, y.shape) == (dtype, expected.shape)
    np.testing.assert_allclose(
        y.astype(np.float32), expected.astype(np.float32), rtol=2**-7 if dtype == jnp.bfloat16 else 1e-6, atol=1e-6
    )

    def slopes(layer):
        return jax.grad(lambda v, x: jnp.sum(jnp.sin(layer.apply(v, x).astype(jnp.float32))), (0, 1))(variables, x)

    if dtype == jnp.float32:
        for gradient, wanted in zip(jax.tree.leaves(slopes(own)), jax.tree.leaves(slopes(usual)), strict=True):
            np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-6)


def _normalized(x, axes):
    """In float64."""
    wide = np.asarray(x, np.float64)
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)


def _assert_same_slopes(own, usual, variables, x):
    """Gradients in parameters and images of one nonlinear sum of the outputs."""
    rate = _draw(*x.shape, seed=7)

    def slopes(layer):
        return jax.grad(
            lambda params, x: jnp.sum(jnp.sin(layer({**variables, 'params': params}, x)) * rate), (0, 1)
        )

    wanted = jax.tree.leaves(slopes(usual)(variables['params'], x))
    for gradient, expected in zip(jax.tree.leaves(slopes(own)(variables['params'], x)), wanted, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=2e-6 * np.abs(expected).max())


def _drawn_like(variables):
    """Scales and biases other than 1 and 0."""
    params = {name: 1 + 0.5 * _draw(*leaf.shape, seed=len(name)) for name, leaf in variables['params'].items()}
    return {**variables, 'params': params}


@pytest.mark.parametrize('groups', [1, 3, 6])
@pytest.mark.parametrize(('height', 'width'), [(8, 8), (5, 7), (1, 1)])
def test_group_normalization(groups, height, width):
    x = 3 + 2 * _draw(4, height, width, 6)
    own, usual = GroupNorm(1e-5, jnp.float32, groups), nn.GroupNorm(groups, epsilon=1e-5)
    variables = usual.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, own.init(jax.random.key(0), x), variables)
    if height > 1 or groups < 6:
        wanted = _normalized(x.reshape(4, height, width, groups, -1), (1, 2, 4)).reshape(x.shape)
        np.testing.assert_allclose(own.apply(variables, x), wanted, rtol=1e-5, atol=1e-5)
    variables = _drawn_like(variables)
    np.testing.assert_allclose(own.apply(variables, x), usual.apply(variables, x), rtol=1e-6, atol=3e-6)
    if height > 1:
        _assert_same_slopes(own.apply, usual.apply, variables, x)


@pytest.mark.parametrize('train', [False, True])
def test_batch_normalization(train):
    x = 3 + 2 * _draw(4, 5, 7, 6)
    own, usual = BatchNorm(1e-5, jnp.float32, 0.9), nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5)
    variables = usual.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, own.init(jax.random.key(0), x, train), variables)
    if train:
        y, moved = own.apply(variables, x, train, mutable=[BATCH_STATS])
        np.testing.assert_allclose(y, _normalized(x, (0, 1, 2)), rtol=1e-5, atol=1e-5)
        expected = usual.apply(variables, x, mutable=[BATCH_STATS])[1]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moved, expected)
    variables = _drawn_like(variables)

    def first(layer, *options):
        return lambda variables, x: layer.apply(variables, x, *options, mutable=[BATCH_STATS])[0]

    np.testing.assert_allclose(first(own, train)(variables, x), first(usual)(variables, x), rtol=1e-6, atol=3e-6)
    _assert_same_slopes(first(own, train), first(usual), variables, x)


def test_normalization_in_low_precision_takes_statistics_in_float32():
    layer = GroupNorm(1e-5, jnp.bfloat16, 3)
    x = (3 + _draw(2, 32, 32, 6)).astype(jnp.bfloat16)
    y = layer.apply(layer.init(jax.random.key(0), x), x)
    assert y.dtype == jnp.bfloat16
    wanted = _normalized(x.astype(jnp.float32).reshape(2, 32, 32, 3, 2), (1, 2, 4)).reshape(x.shape)
    np.testing.assert_allclose(y.astype(np.float32), wanted, atol=0.02)
