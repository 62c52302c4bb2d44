"""Layers against closed forms: scales, pixel norm, minibatch deviation, spectral norm, batch norm, resampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan import layers


def _draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(('gain', 'expected'), [(layers.HE_GAIN, np.sqrt(2 / 45)), (1.0, np.sqrt(1 / 45))])
def test_convolutions_scale_unit_weights_at_run_time(gain, expected):
    conv = layers.Conv(7, gain=gain)
    x = _draw(2, 6, 6, 5)
    variables = conv.init(jax.random.key(0), x)
    kernel = variables['params']['kernel']
    assert kernel.shape == (3, 3, 5, 7)
    assert abs(float(kernel.std()) - 1) < 0.15
    assert not variables['params']['bias'].any()
    dimensions = ('NHWC', 'HWIO', 'NHWC')
    plain = jax.lax.conv_general_dilated(x, kernel * expected, (1, 1), 'SAME', dimension_numbers=dimensions)
    np.testing.assert_allclose(conv.apply(variables, x), plain, rtol=1e-5, atol=1e-5)


def test_a_mask_head_by_hand():
    """3x3, leaky rectifier, 1x1, behind a picture that stays as it is; without channels no weights."""
    picture, x = _draw(2, 6, 6, 1), _draw(2, 6, 6, 5, seed=1)
    head = layers.MaskHead(2, 'plain')
    params = head.init(jax.random.key(0), picture, x)['params']
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # biases begin at 0
    kernel, last = np.asarray(params['conv']['kernel']), np.asarray(params['to_mask']['kernel'])[0, 0]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    hidden = np.einsum('bhwckl,klcf->bhwf', windows, kernel) + params['conv']['bias']
    masks = np.where(hidden > 0, hidden, 0.2 * hidden) @ last + params['to_mask']['bias']
    drawn = head.apply({'params': params}, picture, x)
    np.testing.assert_array_equal(drawn[..., :1], picture)
    np.testing.assert_allclose(drawn[..., 1:], masks, rtol=1e-4, atol=1e-5)
    drawn, variables = layers.MaskHead(0).init_with_output(jax.random.key(0), picture, x)
    np.testing.assert_array_equal(drawn, picture)
    assert not jax.tree.leaves(variables)


def test_pixel_norm_gives_unit_mean_square():
    x = 30 * _draw(2, 3, 3, 16)
    normal = layers.pixel_norm(x)
    np.testing.assert_allclose(np.mean(np.square(normal), -1), 1, rtol=1e-5)
    np.testing.assert_allclose(normal, x / np.sqrt(np.mean(np.square(x), -1, keepdims=True)), rtol=1e-5)


def test_minibatch_stddev_is_the_mean_deviation_of_contiguous_groups():
    x = _draw(8, 4, 4, 3)
    extended = layers.minibatch_stddev(x, 4)
    assert extended.shape == (8, 4, 4, 4)
    np.testing.assert_array_equal(extended[..., :3], x)
    for group in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(extended[group, ..., 3], x[group].std(axis=0).mean(), rtol=1e-5)


def test_minibatch_stddev_refuses_broken_groups():
    with pytest.raises(ValueError, match='groups of 4'):
        layers.minibatch_stddev(jnp.zeros((6, 4, 4, 1)), 4)


def test_minibatch_stddev_of_equal_images_has_a_finite_gradient():
    gradient = jax.grad(lambda x: layers.minibatch_stddev(x, 4).sum())(jnp.ones((4, 4, 4, 2)))
    assert bool(jnp.isfinite(gradient).all())


def test_spectral_norm_is_the_largest_singular_value():
    conv = layers.Conv(12, scaling='spectral', use_bias=False)
    x = _draw(1, 8, 8, 5)
    variables = dict(conv.init(jax.random.key(1), x))
    for _ in range(60):
        _, moved = conv.apply(variables, x, True, mutable=[layers.SPECTRAL])
        variables |= moved
    kernel = np.asarray(variables['params']['kernel'])
    sigma = np.linalg.svd(kernel.reshape(-1, 12), compute_uv=False)[0]
    dimensions = ('NHWC', 'HWIO', 'NHWC')
    plain = jax.lax.conv_general_dilated(x, kernel / sigma, (1, 1), 'SAME', dimension_numbers=dimensions)
    np.testing.assert_allclose(conv.apply(variables, x), plain, rtol=1e-4, atol=1e-5)


def test_power_iteration_moves_only_when_asked():
    dense = layers.Dense(6, scaling='spectral')
    x = _draw(3, 9)
    variables = dense.init(jax.random.key(0), x)
    _, still = dense.apply(variables, x, False, mutable=[layers.SPECTRAL])
    _, moved = dense.apply(variables, x, True, mutable=[layers.SPECTRAL])
    before = variables[layers.SPECTRAL]['u']
    np.testing.assert_array_equal(still[layers.SPECTRAL]['u'], before)
    expected = layers.power_iteration(variables['params']['kernel'], before)
    np.testing.assert_allclose(moved[layers.SPECTRAL]['u'], expected, rtol=1e-6)
    assert np.abs(moved[layers.SPECTRAL]['u'] - before).max() > 1e-6


def test_the_vectors_of_the_spectral_norm_are_constants_to_its_gradient():
    """d (C . W / sigma) / dW = C / sigma - (C . W) v u' / sigma^2, far from where the iteration ends, too."""
    dense, generator = layers.Dense(6, scaling='spectral', use_bias=False), np.random.default_rng(0)
    kernel, weights = generator.normal(size=(2, 9, 6))
    start = generator.normal(size=6)
    start /= np.linalg.norm(start)

    def total(kernel):
        variables = {'params': {'kernel': kernel}, layers.SPECTRAL: {'u': jnp.asarray(start, jnp.float32)}}
        result, _ = dense.apply(variables, jnp.eye(9), True, mutable=[layers.SPECTRAL])
        return (jnp.asarray(weights, jnp.float32) * result).sum()

    u = kernel.T @ kernel @ start  # one step of the power method
    u /= np.linalg.norm(u)
    v = kernel @ u / np.linalg.norm(kernel @ u)
    sigma = v @ kernel @ u
    expected = weights / sigma - (weights * kernel).sum() / sigma**2 * np.outer(v, u)
    gradient = jax.grad(total)(jnp.asarray(kernel, jnp.float32))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_resampling_doubles_and_averages():
    x = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1)
    down = layers.downsample(jnp.asarray(x))
    np.testing.assert_array_equal(down[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    up = np.asarray(layers.upsample(down))
    np.testing.assert_array_equal(up[0, :, :, 0], np.kron(np.asarray(down)[0, :, :, 0], np.ones((2, 2))))


def test_biases_sum_their_gradients_in_float32():
    """A sum over all pixels of a batch loses its small terms in bfloat16, which some accelerators would use."""
    x = jnp.ones((4, 64, 64, 1), jnp.bfloat16)
    conv = layers.Conv(1, kernel_size=1, dtype=jnp.bfloat16)
    variables = conv.init(jax.random.key(0), x)
    sums = jax.make_jaxpr(jax.grad(lambda v: conv.apply(v, x).astype(jnp.float32).sum()))(variables).jaxpr
    reductions = [equation for equation in sums.eqns if equation.primitive.name == 'reduce_sum']
    assert reductions
    assert all(equation.invars[0].aval.dtype == jnp.float32 for equation in reductions)


@pytest.mark.parametrize(('scaling', 'expected'), [('plain', 3 / np.sqrt(500)), ('spectral', 1 / np.sqrt(500))])
def test_weights_that_are_not_scaled_at_run_time_are_drawn_small(scaling, expected):
    dense = layers.Dense(60, gain=3.0, scaling=scaling)
    x = _draw(4, 500)
    variables = dense.init(jax.random.key(0), x)
    kernel = np.asarray(variables['params']['kernel'])
    np.testing.assert_allclose(kernel.std(), expected, rtol=0.03)
    if scaling == 'plain':
        np.testing.assert_allclose(dense.apply(variables, x), x @ kernel, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('num_classes', [0, 3])
def test_batch_norm_by_hand(num_classes):
    """In training by the batch's own statistics, which enter the running ones; later by those."""
    norm, x = layers.ConditionalBatchNorm(num_classes=num_classes), 3 + 2 * _draw(6, 4, 4, 5)
    labels = jnp.asarray([0, 1, 2, 2, 1, 0], jnp.int32)
    variables = dict(norm.init(jax.random.key(0), x, labels, False))
    scale, bias = _draw(max(num_classes, 1), 5, seed=1), _draw(max(num_classes, 1), 5, seed=2)
    variables['params'] = {'scale': scale, 'bias': bias}
    gain, offset = (p[labels % max(num_classes, 1)][:, None, None] for p in (scale, bias))

    trained, moved = norm.apply(variables, x, labels, True, mutable=[layers.BATCH_STATS])
    mean, variance = np.mean(x, (0, 1, 2)), np.var(x, (0, 1, 2))
    expected = (x - mean) / np.sqrt(variance + 1e-5) * gain + offset
    np.testing.assert_allclose(trained, expected, rtol=1e-4, atol=1e-4)
    stats = moved[layers.BATCH_STATS]
    share = float(stats['mean'][0] / mean[0])
    assert 0 < share < 0.2
    np.testing.assert_allclose(stats['mean'], share * mean, rtol=1e-4)
    np.testing.assert_allclose(stats['variance'], 1 - share + share * variance, rtol=1e-4)

    later = norm.apply(variables | moved, x, labels, False)
    expected = (x - stats['mean']) / np.sqrt(stats['variance'] + 1e-5) * gain + offset
    np.testing.assert_allclose(later, expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_that_keeps_no_statistics_always_takes_the_batchs():
    norm, x, labels = (
        layers.ConditionalBatchNorm(tracked=False),
        3 + 2 * _draw(6, 4, 4, 5),
        jnp.zeros((6,), jnp.int32),
    )
    variables = norm.init(jax.random.key(0), x, labels, False)
    assert set(variables) == {'params'}
    for update_stats in (False, True):
        normal = np.asarray(norm.apply(variables, x, labels, update_stats))
        np.testing.assert_allclose(normal.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(normal.std((0, 1, 2)), 1, rtol=1e-4)
