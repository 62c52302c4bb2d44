"""StyleGAN's and StyleGAN2's mathematics: modulation, AdaIN, mixing, truncation, noise, filters, path lengths."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training import parallel
from gan import filters
from gan.generator import Weights
from gan.latents import draw_numbered
from gan.networks.stylegan import AdaptiveNorm
from gan.networks.stylegan2 import ModulatedConv
from gan.networks.styles import STYLES, draw_crossings, image_keys, mix
from gan.recipe import ImageFormat
from gan.sampler import Sampler
from gan.updates import Turn, make_step
from tests.gan import nets

_KINDS = ('stylegan', 'stylegan2')


@functools.cache
def _drawn(kind, resolution=8, num_classes=2):
    """A generator whose parameters have all left their start, and whose classes have different mean styles."""
    network = nets.create_networks(kind, resolution, num_classes=num_classes)['generator']
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, nets.LATENTS)), jnp.zeros((1,), jnp.int32))
    generator = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: leaf + jnp.float32(0.3 * generator.normal(size=leaf.shape)), variables)
    return network, variables


def _latents(count, seed=1):
    return jax.random.normal(jax.random.key(seed), (count, nets.LATENTS))


def _kernel_of_each_image(params, style, *, demodulated):
    """w s / |w s| in double precision (equations 1 and 3), of the layer's equalized weights."""
    kernel, dense = (
        np.asarray(params[name]['kernel'] if name else params['kernel'], float) for name in ('', 'scales')
    )
    kernel /= np.prod(kernel.shape[:-1]) ** 0.5
    scales = 1 + np.asarray(style, float) @ dense / dense.shape[0] ** 0.5 + np.asarray(params['scales']['bias'])
    kernels = kernel * scales[:, None, None, :, None]
    if demodulated:
        kernels /= np.sqrt(np.square(kernels).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    return kernels


def _correlate(image, kernel):
    """Of one image with zeros around it, place by place."""
    size = kernel.shape[0]
    padded = np.pad(image, [(size // 2, size // 2)] * 2 + [(0, 0)])
    places = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
    return np.einsum('hwcij,ijco->hwo', places, kernel)


@pytest.mark.parametrize(('size', 'demodulated'), [(3, True), (1, False)])
def test_scaling_what_goes_in_and_out_is_a_kernel_for_each_image(size, demodulated):
    layer = ModulatedConv(5, gain=1.0, kernel_size=size, demodulated=demodulated)
    x, style = jax.random.normal(jax.random.key(0), (3, 6, 6, 4)), 2 * jax.random.normal(jax.random.key(1), (3, 7))
    variables = layer.init(jax.random.key(2), x, style)
    kernels = _kernel_of_each_image(variables['params'], style, demodulated=demodulated)
    expected = [_correlate(np.asarray(image, float), kernel) for image, kernel in zip(x, kernels, strict=True)]
    np.testing.assert_allclose(layer.apply(variables, x, style), expected, rtol=1e-5, atol=1e-5)


def test_a_doubling_layer_spreads_convolves_and_smooths():
    """Zeros between the pixels, each image's kernel, then [1, 3, 3, 1] on both sides; the edges included."""
    layer = ModulatedConv(2, gain=1.0, doubles=True)
    x, style = jax.random.normal(jax.random.key(0), (2, 4, 4, 3)), jax.random.normal(jax.random.key(1), (2, 5))
    variables = layer.init(jax.random.key(2), x, style)
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    for image, kernel, drawn in zip(
        x,
        _kernel_of_each_image(variables['params'], style, demodulated=True),
        layer.apply(variables, x, style),
        strict=True,
    ):
        spread = np.zeros((9, 9, 2))  # all that one pixel reaches: 2 (4 - 1) + 3
        for row in range(4):
            for column in range(4):
                stroke = np.einsum('c,ijco->ijo', np.asarray(image[row, column], float), kernel)
                spread[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += stroke
        padded = np.pad(spread, [(1, 1), (1, 1), (0, 0)])
        expected = [
            [np.einsum('ij,ijo->o', taps, padded[row : row + 4, column : column + 4]) for column in range(8)]
            for row in range(8)
        ]
        np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-5)


def test_adaptive_normalization_gives_each_map_what_its_style_asks_for():
    norm = AdaptiveNorm()
    x, style = (
        3 + 2 * jax.random.normal(jax.random.key(0), (2, 8, 8, 4)),
        jax.random.normal(jax.random.key(1), (2, 6)),
    )
    variables = norm.init(jax.random.key(2), x, style)
    dense = variables['params']['style']
    scale, bias = np.split(style @ dense['kernel'] / np.sqrt(6) + dense['bias'], 2, axis=-1)
    y = norm.apply(variables, x, style)
    np.testing.assert_allclose(y.mean(axis=(1, 2)), bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(1, 2)), np.abs(1 + scale), rtol=1e-4)


def test_filters_keep_what_is_even_and_average_what_is_next():
    flat = jnp.ones((1, 8, 8, 1))
    for result in (
        filters.smooth(flat, filters.BINOMIAL, 1, 1),
        filters.smooth_upsample(flat),
        filters.smooth_downsample(flat),
    ):
        np.testing.assert_allclose(result[:, 2:-2, 2:-2], 1, rtol=1e-6)
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 1))
    doubled = filters.smooth_upsample(ramp)[0, 2:-2, 8, 0]
    np.testing.assert_allclose(doubled, np.arange(2, 14) / 2 - 0.25, rtol=1e-6)
    np.testing.assert_allclose(filters.smooth_downsample(ramp)[0, 1:-1, 2, 0], [2.5, 4.5], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('kind', _KINDS)
def test_no_image_depends_on_noise_at_the_start_or_on_its_batch_ever(kind):
    network, variables = _drawn(kind)
    draw = jax.jit(network.apply)
    latents, labels = _latents(6), jnp.asarray([0, 1, 0, 1, 1, 0], jnp.int32)
    images = draw(variables, latents, labels)
    for rows in (slice(2, 4), slice(4, 6)):
        np.testing.assert_allclose(draw(variables, latents[rows], labels[rows]), images[rows], atol=2e-5)
    fresh = jax.jit(network.init)(jax.random.key(3), latents, labels)['params']
    strengths = [leaf for path, leaf in jax.tree.leaves_with_path(fresh) if 'strength' in str(path[-1])]
    assert len(strengths) == (4 if kind == 'stylegan' else 3)
    assert not any(leaf.any() for leaf in strengths)


@pytest.mark.parametrize('kind', _KINDS)
def test_images_in_training_have_noise_of_their_own_and_move_the_mean_style(kind):
    network, variables = _drawn(kind)
    plain = network.clone(mixing=0.0)
    latents, labels = jnp.repeat(_latents(2), 2, axis=0), jnp.asarray([1, 1, 1, 1], jnp.int32)
    images, moved = plain.apply(variables, latents, labels, update_stats=True, mutable=[STYLES])
    assert np.abs(images[0] - images[1]).max() == 0  # noise follows from the latent
    assert np.abs(images - plain.apply(variables, latents, labels)).max() > 1e-3
    old = variables[STYLES]['mean']
    styles = plain.apply(variables, latents, labels, method='spread')[:, 0]
    np.testing.assert_allclose(moved[STYLES]['mean'][0], old[0])
    expected = 0.995 * old[1] + 0.005 * styles.mean(axis=0)
    np.testing.assert_allclose(moved[STYLES]['mean'][1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('kind', _KINDS)
def test_mixing_changes_what_later_layers_draw_alone(kind):
    """At 16x16 of six layers; up to the crossing, the image is blurred alike."""
    network, variables = _drawn(kind)
    labels = jnp.zeros((1,), jnp.int32)
    first, second = (network.apply(variables, _latents(1, seed), labels, method='spread') for seed in (1, 2))
    for crossing in (1, 3, 4):
        mixed = mix(first, second, jnp.asarray([crossing], jnp.int32))
        np.testing.assert_array_equal(mixed[:, :crossing], first[:, :crossing])
        np.testing.assert_array_equal(mixed[:, crossing:], second[:, crossing:])
    crossings = np.asarray(draw_crossings(image_keys(_latents(4000))[2], 0.9, 6))
    counts = np.bincount(crossings, minlength=7) / 4000
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], [0.18] * 5 + [0.1], atol=0.03)


@pytest.mark.parametrize('kind', _KINDS)
def test_truncation_goes_straight_to_the_mean_style_of_the_class(kind):
    network, variables = _drawn(kind)
    latents, labels = _latents(4), jnp.asarray([0, 0, 1, 1], jnp.int32)
    own, half, none = (
        network.apply(variables, latents, labels, truncation=share, method='spread') for share in (1.0, 0.5, 0.0)
    )
    np.testing.assert_allclose(half, (own + none) / 2, atol=1e-5)
    np.testing.assert_allclose(none[:, 0], variables[STYLES]['mean'][labels], atol=1e-6)
    images = network.apply(variables, latents, labels, truncation=0.0)
    np.testing.assert_allclose(images[0], images[1], atol=1e-5)
    assert np.abs(images[1] - images[2]).max() > 1e-3


@pytest.mark.slow
def test_stylegan_grows_without_a_change():
    """At alpha 0 the larger network draws what the smaller one drew, doubled; styles, means and noise are kept."""
    small, variables = _drawn('stylegan')
    large, grown = _drawn('stylegan', 16)
    grown = {
        'params': {**grown['params'], 'mapping': variables['params']['mapping']},
        STYLES: variables[STYLES],
    }
    grown['params']['synthesis'] = grown['params']['synthesis'] | variables['params']['synthesis']
    latents, labels = _latents(3), jnp.zeros((3,), jnp.int32)
    expected = jnp.repeat(jnp.repeat(small.apply(variables, latents, labels), 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(large.apply(grown, latents, labels, 0.0), expected, atol=2e-5)


@pytest.mark.slow
def test_paths_are_penalised_by_their_distance_from_the_running_mean():
    """Once every two steps here, in an update of its own, which moves that mean by its share."""
    options = {'path_weight': 2.0, 'path_every': 2, 'path_decay': 0.25}
    recipe = nets.create_recipe('stylegan2', objective=nets.create_objective('hinge', 'none'), options=options)
    updates = recipe.create_updates(recipe)
    assert [[update.turn(number).due for update in updates] for number in (0, 1)] == [
        [True, False, True],
        [True, True, True],
    ]
    step = jax.jit(make_step(updates, recipe.optimizers, [Turn(due, False) for due in (False, True, False)]))
    state = nets.create_start(recipe, jax.random.key(0))
    after, metrics = step(state, nets.create_batch(8), jax.random.key(1), nets.controls())
    length = after.networks['generator'].model_state[STYLES]['path_length']
    np.testing.assert_allclose(length, 0.25 * metrics['path_length'], rtol=1e-6)
    # E[(l - a)^2] is at least (E[l] - a)^2.
    assert float(metrics['path_penalty']) >= float((0.75 * metrics['path_length']) ** 2) > 0
    assert int(after.skipped) == 0


def test_images_by_number_are_truncated_by_their_styles():
    """The latents stay whole; the same numbers give the same images, whatever is drawn with them."""
    network, variables = _drawn('stylegan2')
    weights, labels = Weights(variables, 1.0), np.asarray([0, 1, 1], np.int32)
    mesh, form = parallel.create_mesh(), ImageFormat(1, 0, 2)
    drawn = Sampler(network, form, mesh, 4, truncation=0.25).draw_numbered(weights, 7, np.arange(3), labels)
    latents = draw_numbered(jax.random.key(7), jnp.arange(3), nets.LATENTS, 'normal')
    expected = network.apply(variables, latents, jnp.asarray(labels), truncation=0.25)
    np.testing.assert_allclose(drawn.images, np.clip(expected, -1, 1), atol=1e-5)
    assert np.abs(drawn.images).min() < 1
