"""Convolutions over groups of pixels have the numbers of strided ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan.strided import StridedConv, TransposedConv, strided_conv, transposed_conv

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def _draw(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def _reference(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), 'SAME', dimension_numbers=LAYOUT)


@pytest.mark.parametrize('size', [2, 3, 4, 5, 6])
def test_halving_is_a_convolution_with_stride_two(size):
    x, kernel = _draw(2, 8, 12, 3), _draw(size, size, 3, 5, seed=1)
    halved = strided_conv(x, kernel)
    assert halved.shape == (2, 4, 6, 5)
    np.testing.assert_allclose(halved, _reference(x, kernel), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [2, 3, 4, 5, 6])
def test_doubling_is_the_transpose_of_halving(size):
    x, kernel = _draw(2, 4, 6, 5), _draw(size, size, 5, 3, seed=1)
    doubled = transposed_conv(x, kernel)
    backwards = kernel.swapaxes(2, 3)
    large = jax.ShapeDtypeStruct((2, 8, 12, 3), jnp.float32)
    (expected,) = jax.linear_transpose(lambda y: _reference(y, backwards), large)(x)
    np.testing.assert_allclose(doubled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('layer', 'size'), [(StridedConv, 4), (TransposedConv, 16)])
def test_layers_keep_float32_weights_of_the_usual_layout(layer, size):
    module = layer(6, 5, jnp.bfloat16)
    variables = module.init(jax.random.key(0), _draw(1, 8, 8, 3))
    assert jax.tree.map(jnp.shape, variables['params']) == {'kernel': (5, 5, 3, 6), 'bias': (6,)}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert abs(float(variables['params']['kernel'].std()) - 0.02) < 0.002
    y = module.apply(variables, _draw(1, 8, 8, 3))
    assert (y.shape, y.dtype) == ((1, size, size, 6), jnp.bfloat16)
