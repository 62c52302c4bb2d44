"""Convolutions that halve and double have the numbers and the derivatives of XLA's."""

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


@pytest.mark.parametrize('height', [2, 8, 10])
@pytest.mark.parametrize('size', [2, 3, 4, 5, 6])
def test_halving_is_a_convolution_with_stride_two(size, height):
    x, kernel = _draw(2, height, 12, 3), _draw(size, size, 3, 5, seed=1)
    halved = strided_conv(x, kernel)
    assert halved.shape == (2, height // 2, 6, 5)
    np.testing.assert_allclose(halved, _reference(x, kernel), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [2, 3, 4, 5, 6])
def test_doubling_is_the_transpose_of_halving(size):
    x, kernel = _draw(2, 4, 6, 5), _draw(size, size, 5, 3, seed=1)
    doubled = transposed_conv(x, kernel)
    backwards = kernel.swapaxes(2, 3)
    large = jax.ShapeDtypeStruct((2, 8, 12, 3), jnp.float32)
    (expected,) = jax.linear_transpose(lambda y: _reference(y, backwards), large)(x)
    np.testing.assert_allclose(doubled, expected, rtol=1e-5, atol=1e-5)


def _transposed_reference(x, kernel):
    batch, height, width, _ = x.shape
    large = jax.ShapeDtypeStruct((batch, 2 * height, 2 * width, kernel.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda y: _reference(y, kernel.swapaxes(2, 3)), large)(x)[0]


@pytest.mark.parametrize('size', [2, 3, 4, 5])
@pytest.mark.parametrize(
    ('own', 'reference', 'side'),
    [
        (strided_conv, _reference, 6),
        (strided_conv, _reference, 10),
        (transposed_conv, _transposed_reference, 3),
        (transposed_conv, _transposed_reference, 5),
    ],
    ids=['halving', 'halving larger maps', 'doubling', 'doubling larger maps'],
)
def test_derivatives_of_both_orders_are_those_of_the_generic_operation(own, reference, side, size):
    """In float64. The second is that of a gradient penalty: of the squared first derivatives."""

    def first(conv):
        return jax.grad(lambda x, kernel: jnp.sum(jnp.tanh(conv(x, kernel)) * rate), (0, 1))

    def second(conv):
        return jax.grad(lambda x, kernel: sum(jnp.sum(part**2) for part in first(conv)(x, kernel)), (0, 1))

    with jax.enable_x64(True):
        x, kernel = _draw(2, side, 2 * side, 3), _draw(size, size, 3, 5, seed=1)
        rate = _draw(5, seed=2)
        assert x.dtype == jnp.float64
        for order in (first, second):
            for gradient, expected in zip(order(own)(x, kernel), order(reference)(x, kernel), strict=True):
                np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(('layer', 'size'), [(StridedConv, 4), (TransposedConv, 16)])
def test_layers_keep_float32_weights_of_the_usual_layout(layer, size):
    module = layer(6, 5, jnp.bfloat16)
    variables = module.init(jax.random.key(0), _draw(1, 8, 8, 3))
    assert jax.tree.map(jnp.shape, variables['params']) == {'kernel': (5, 5, 3, 6), 'bias': (6,)}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    assert abs(float(variables['params']['kernel'].std()) - 0.02) < 0.002
    y = module.apply(variables, _draw(1, 8, 8, 3))
    assert (y.shape, y.dtype) == ((1, size, size, 6), jnp.bfloat16)
