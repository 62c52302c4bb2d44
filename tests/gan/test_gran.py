"""GRAN: an image is tanh of the sum of its strokes, each of which sees the one before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gan import nets


def _draw(steps):
    network = nets.create_networks('gran', num_classes=2, generator={'steps': steps})['generator']
    latents, labels = (
        jax.random.normal(jax.random.key(1), (5, nets.LATENTS)),
        jnp.asarray([0, 1, 0, 1, 0], jnp.int32),
    )
    variables = jax.jit(network.init)(jax.random.key(0), latents, labels)
    # Weights of DCGAN's size draw next to nothing; these are larger.
    variables = {**variables, 'params': jax.tree.map(lambda leaf: 5 * leaf, variables['params'])}
    return network, variables, latents, labels


@pytest.mark.slow
def test_an_image_is_the_sum_of_its_strokes_and_each_sees_the_one_before():
    network, variables, latents, labels = _draw(3)
    strokes = network.apply(variables, latents, labels, method='strokes')
    assert strokes.shape == (3, 5, 8, 8, 1)
    images = network.apply(variables, latents, labels)
    np.testing.assert_allclose(images, np.tanh(strokes[0] + strokes[1] + strokes[2]), atol=1e-6)
    # With the same weights, fewer steps draw the same first strokes.
    shorter = network.clone(steps=2).apply(variables, latents, labels, method='strokes')
    np.testing.assert_allclose(shorter, strokes[:2], atol=1e-6)
    # Without an encoding of what was drawn, all strokes are one: statistics are still alike at the start.
    params = variables['params'] | {'code_layer': jax.tree.map(jnp.zeros_like, variables['params']['code_layer'])}
    blind = network.apply({**variables, 'params': params}, latents, labels, method='strokes')
    np.testing.assert_allclose(blind[1], blind[0], atol=1e-6)
    assert np.abs(strokes[1] - strokes[0]).max() > 1e-3


def test_each_step_has_statistics_of_its_own_and_all_have_the_same_weights():
    network, variables, latents, labels = _draw(3)
    _, moved = network.apply(variables, latents, labels, update_stats=True, mutable=['batch_stats'])
    first, second = (moved['batch_stats'][f'norms_{step}_0']['mean'] for step in (0, 1))
    assert np.abs(first - second).max() > 1e-6
    shared = {name for name in variables['params'] if not name.startswith('norms')}
    assert shared == {
        'code_layer', 'decoding_0', 'embed', 'encoding_0', 'first_layer', 'latent_layer', 'to_stroke',
    }  # fmt: skip
