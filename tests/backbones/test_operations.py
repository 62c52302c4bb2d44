"""Operations in the form that CPUs are quick at have the numbers of the usual form, and its derivatives."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.networks.layers import PointwiseConv
from backbones.networks.pooling import max_pool


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
