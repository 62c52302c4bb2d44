"""PGGAN's constants, shapes at every size, and growth that changes nothing at alpha 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan.layers import downsample, upsample
from gan.networks import Discriminator, Generator, fade_reals, feature_maps, lerp
from gan.state import GanState, graft, grow
from tests.gan import nets

PGGAN = {'fmap_base': 8192, 'fmap_max': 512, 'attention_resolution': 0, 'attention_chunk': 0}


def test_feature_maps_of_the_paper():
    """Table 2 of the paper."""
    expected = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
    assert {r: feature_maps(r, 8192, 512) for r in expected} == expected


def test_pggan_at_1024_has_the_papers_parameter_count():
    """23.1 million each (table 2)."""
    shared = PGGAN | {'resolution': 1024, 'channels': 3, 'num_classes': 0, 'dtype': jnp.float32}
    generator = Generator(latent_size=512, pixel_norm=True, **shared)
    discriminator = Discriminator(spectral_norm=False, stddev_group=4, **shared)
    label = jnp.zeros((1,), jnp.int32)
    inputs = {generator: jnp.zeros((1, 512)), discriminator: jnp.zeros((1, 1024, 1024, 3))}
    for network, x in inputs.items():
        variables = jax.eval_shape(network.init, jax.random.key(0), x, label)
        # The table counts the last to_image or from_image only; ours keep the one before for the fade.
        names = {'512x512_to_image', '512x512_from_image'}
        params = {name: leaves for name, leaves in variables['params'].items() if name not in names}
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        assert round(count / 1e6, 1) == 23.1


@pytest.mark.parametrize('resolution', [4 << power for power in range(9)])
@pytest.mark.parametrize('attention', [0, 8, 256])
def test_every_size_has_the_right_shapes(resolution, attention):
    networks = nets.create_networks(
        resolution, attention=attention, num_classes=3, channels=5, chunk=64 if resolution > 64 else 0
    )
    latents, labels = jnp.zeros((4, nets.LATENTS)), jnp.zeros((4,), jnp.int32)
    images = jax.eval_shape(networks[0].init_with_output, jax.random.key(0), latents, labels)[0]
    assert images.shape == (4, resolution, resolution, 5)
    logits = jax.eval_shape(networks[1].init_with_output, jax.random.key(0), images, labels)[0]
    assert logits.shape == (4,)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_a_fade_ends_in_the_new_without_a_trace_of_the_old(dtype):
    old, new = jnp.full((3,), 100.0, dtype), jnp.asarray([0.0123, -0.7, 3.3], dtype)
    np.testing.assert_array_equal(lerp(old, new, 0.0), old)
    np.testing.assert_array_equal(lerp(old, new, 1.0), new)


@pytest.mark.parametrize('attention', [0, 16])
@pytest.mark.parametrize('spectral_norm', [False, True])
def test_growing_is_an_identity_at_alpha_0(attention, spectral_norm):
    """From a trained state, so that spectral vectors, biases and running means are not at their start."""
    options = {'attention': attention, 'spectral_norm': spectral_norm, 'num_classes': 2}
    small, large = nets.create_networks(8, **options), nets.create_networks(16, **options)
    state, (step,) = nets.create_training(small)
    for number in range(3):
        batch = nets.create_batch(8, num_classes=2, seed=number)
        state, _ = step(state, batch, jax.random.key(number), nets.controls(alpha=0.7))
    grown = grow(state, nets.create_training(large, seed=9)[0])
    latents = jax.random.normal(jax.random.key(5), (8, nets.LATENTS))
    labels, images = nets.create_batch(16, num_classes=2)['label'], nets.create_batch(16)['image']
    for old, new in [
        (state.generator.variables, grown.generator.variables),
        (state.ema_variables, grown.ema_variables),
    ]:
        expected = upsample(small[0].apply(old, latents, labels, 1.0))
        np.testing.assert_allclose(large[0].apply(new, latents, labels, 0.0), expected, atol=5e-7)
    expected = small[1].apply(state.discriminator.variables, downsample(images), labels, 1.0)
    actual = large[1].apply(grown.discriminator.variables, images, labels, 0.0)
    np.testing.assert_allclose(actual, expected, atol=5e-7)
    assert not np.allclose(
        large[0].apply(grown.ema_variables, latents, labels, 1.0),
        upsample(small[0].apply(state.ema_variables, latents, labels, 1.0)),
        atol=1e-3,
    )


def test_optimisers_start_anew_when_growing():
    state, (step,) = nets.create_training(nets.create_networks(8))
    state, _ = step(state, nets.create_batch(8), jax.random.key(0), nets.controls())
    grown: GanState = grow(state, nets.create_training(nets.create_networks(16))[0])
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grown.generator.opt_state))


def test_grafting_refuses_another_shape():
    with pytest.raises(ValueError, match=r'conv/kernel has shape \(2, 3\), expected \(2, 4\)'):
        graft({'conv': {'kernel': jnp.zeros((2, 3))}}, {'conv': {'kernel': jnp.zeros((2, 4))}})


def test_reals_fade_from_blurred_to_sharp():
    x = jnp.asarray(nets.create_batch(8)['image'])
    np.testing.assert_allclose(fade_reals(x, 0.0), upsample(downsample(x)), atol=1e-6)
    np.testing.assert_allclose(fade_reals(x, 1.0), x, atol=1e-6)


def test_the_class_condition_reaches_both_networks():
    generator, discriminator = nets.create_networks(8, num_classes=3)
    latents, images = jnp.ones((4, nets.LATENTS)), jnp.asarray(nets.create_batch(8, count=4)['image'])
    one, other = jnp.zeros((4,), jnp.int32), jnp.full((4,), 2, jnp.int32)
    for network, x in [(generator, latents), (discriminator, images)]:
        variables = network.init(jax.random.key(0), x, one)
        assert np.abs(network.apply(variables, x, one) - network.apply(variables, x, other)).max() > 1e-4


def test_bfloat16_computation_keeps_float32_parameters_and_images():
    generator, _ = nets.create_networks(8)
    generator = generator.clone(dtype=jnp.dtype(jnp.bfloat16))
    latents, labels = jnp.ones((2, nets.LATENTS)), jnp.zeros((2,), jnp.int32)
    images, variables = generator.init_with_output(jax.random.key(0), latents, labels)
    assert images.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables['params'])} == {jnp.dtype('float32')}
