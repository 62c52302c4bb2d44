"""Grouped convolutions: dense kernels with zeros give the same numbers, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np

from gan.grouped import GroupedConv, grouped_conv, spread_groups


def _grouped(x, kernel):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        'SAME',
        feature_group_count=kernel.shape[3] // kernel.shape[2],
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def test_the_dense_kernel_gives_the_same_images_and_gradients():
    x, kernel = (
        jax.random.normal(jax.random.key(k), shape) for k, shape in ((0, (2, 5, 6, 12)), (1, (3, 3, 4, 12)))
    )
    np.testing.assert_allclose(grouped_conv(x, kernel), _grouped(x, kernel), atol=1e-5)
    weights = jax.random.normal(jax.random.key(2), (2, 5, 6, 12))
    gradients = [
        jax.grad(lambda x, kernel, conv=conv: (weights * conv(x, kernel)).sum(), argnums=(0, 1))(x, kernel)
        for conv in (grouped_conv, _grouped)
    ]
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_group_of_all_channels_is_a_dense_kernel():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 4, 4))
    np.testing.assert_array_equal(spread_groups(kernel), kernel)


def test_weights_are_drawn_by_what_they_see():
    """Of 9 pixels by 8 channels, whatever the other groups have."""
    layer = GroupedConv(8, 2.0, jnp.float32)
    kernel = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 256)))['params']['kernel']
    assert kernel.shape == (3, 3, 8, 256)
    np.testing.assert_allclose(kernel.std(), 2 / np.sqrt(72), rtol=0.05)
