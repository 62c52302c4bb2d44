"""PGGAN's constants, shapes at every size, conditions and dropout, and growth that changes nothing at alpha 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gan.filters import smooth_upsample
from gan.layers import downsample, upsample
from gan.networks import ProgressiveDiscriminator, ProgressiveGenerator, fade_reals
from gan.networks.heads import CONDITIONS, Head
from gan.networks.progressive import feature_maps, lerp
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
    generator = ProgressiveGenerator(latent_size=512, latent_distribution='normal', pixel_norm=True, **shared)
    discriminator = ProgressiveDiscriminator(condition='projection', spectral_norm=False, stddev_group=4, **shared)
    label = jnp.zeros((1,), jnp.int32)
    inputs = {generator: jnp.zeros((1, 512)), discriminator: jnp.zeros((1, 1024, 1024, 3))}
    for network, x in inputs.items():
        variables = jax.eval_shape(network.init, jax.random.key(0), x, label)
        # The table counts the last to_image or from_image only; ours keep the one before for the fade.
        names = {'512x512_to_image', '512x512_from_image'}
        params = {name: leaves for name, leaves in variables['params'].items() if name not in names}
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        assert round(count / 1e6, 1) == 23.1


def _with_attention(resolution, chunk=0):
    attention = {'attention_resolution': resolution, 'attention_chunk': chunk}
    return {'generator': attention, 'discriminator': attention}


def _shapes(networks):
    """Of what both networks say of four examples."""
    latents, labels = jnp.zeros((4, nets.LATENTS)), jnp.zeros((4,), jnp.int32)
    images = jax.eval_shape(networks['generator'].init_with_output, jax.random.key(0), latents, labels)[0]
    verdict = jax.eval_shape(networks['discriminator'].init_with_output, jax.random.key(0), images, labels)[0]
    return images.shape, verdict.logits.shape, verdict.class_logits.shape


@pytest.mark.parametrize('resolution', [4 << power for power in range(9)])
@pytest.mark.parametrize('attention', [0, 8, 256])
def test_every_size_has_the_right_shapes(resolution, attention):
    networks = nets.create_networks(
        resolution=resolution,
        num_classes=3,
        channels=5,
        **_with_attention(attention, chunk=64 if resolution > 64 else 0),
    )
    assert _shapes(networks) == ((4, resolution, resolution, 5), (4,), (4, 0))


@pytest.mark.parametrize('resolution', [8, 32, 256])
@pytest.mark.parametrize('architecture', ['dcgan', 'residual', 'perceptron', 'r3gan'])
def test_networks_that_do_not_grow_have_the_right_shapes(architecture, resolution):
    options = _with_attention(resolution) if architecture == 'residual' else {}
    networks = nets.create_networks(
        architecture, resolution, num_classes=3, channels=5, condition='auxiliary', **options
    )
    assert _shapes(networks) == ((4, resolution, resolution, 5), (4,), (4, 3))


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_a_fade_ends_in_the_new_without_a_trace_of_the_old(dtype):
    old, new = jnp.full((3,), 100.0, dtype), jnp.asarray([0.0123, -0.7, 3.3], dtype)
    np.testing.assert_array_equal(lerp(old, new, 0.0), old)
    np.testing.assert_array_equal(lerp(old, new, 1.0), new)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('attention', 'spectral_norm', 'condition'),
    [(0, True, 'auxiliary'), (16, False, 'projection'), (16, True, 'projection')],
)
def test_growing_is_an_identity_at_alpha_0(attention, spectral_norm, condition):
    """From a trained state, so that spectral vectors, biases and running means are not at their start."""
    options = _with_attention(attention) | {'num_classes': 2, 'condition': condition}
    options['discriminator'] = options['discriminator'] | {'spectral_norm': spectral_norm}
    recipes = [nets.create_recipe(resolution=resolution, **options) for resolution in (8, 16)]
    small, large = ((recipe.generator, recipe.discriminator) for recipe in recipes)
    state, (step,) = nets.create_training(recipes[0])
    for number in range(3):
        batch = nets.create_batch(8, num_classes=2, seed=number)
        state, _ = step(state, batch, jax.random.key(number), nets.controls(alpha=0.7))
    grown = grow(state, nets.create_start(recipes[1], jax.random.key(9)))
    latents = jax.random.normal(jax.random.key(5), (8, nets.LATENTS))
    labels, images = nets.create_batch(16, num_classes=2)['label'], nets.create_batch(16)['image']
    draw_small, judge_small = (jax.jit(network.apply) for network in small)
    draw_large, judge_large = (jax.jit(network.apply) for network in large)
    for old, new in [
        (state.networks['generator'].variables, grown.networks['generator'].variables),
        (state.averaged('generator'), grown.averaged('generator')),
    ]:
        expected = upsample(draw_small(old, latents, labels, 1.0))
        np.testing.assert_allclose(draw_large(new, latents, labels, 0.0), expected, atol=5e-7)
    expected = judge_small(state.networks['discriminator'].variables, downsample(images), labels, 1.0)
    actual = judge_large(grown.networks['discriminator'].variables, images, labels, 0.0)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-7)
    assert not np.allclose(
        draw_large(grown.averaged('generator'), latents, labels, 1.0),
        upsample(draw_small(state.averaged('generator'), latents, labels, 1.0)),
        atol=1e-3,
    )


@pytest.mark.slow
def test_optimisers_start_anew_when_growing_and_augmentation_goes_on():
    state, (step,) = nets.create_training(nets.create_recipe(), probability=0.25)
    state, _ = step(state, nets.create_batch(8), jax.random.key(0), nets.controls())
    grown: GanState = grow(state, nets.create_start(nets.create_recipe(resolution=16), jax.random.key(1)))
    assert float(grown.augmentation.probability) == 0.25
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grown.networks['generator'].opt_state))


def test_grafting_refuses_another_shape():
    with pytest.raises(ValueError, match=r'conv/kernel has shape \(2, 3\), expected \(2, 4\)'):
        graft({'conv': {'kernel': jnp.zeros((2, 3))}}, {'conv': {'kernel': jnp.zeros((2, 4))}})


def test_reals_fade_from_blurred_to_sharp():
    x = jnp.asarray(nets.create_batch(8)['image'])
    np.testing.assert_allclose(fade_reals(x, 0.0), upsample(downsample(x)), atol=1e-6)
    np.testing.assert_allclose(fade_reals(x, 1.0), x, atol=1e-6)


def _init(network, *inputs):
    """Variables whose classes differ: the gains of batch normalization start alike for all."""
    variables = network.init(jax.random.key(0), *inputs)
    leaves, tree = jax.tree.flatten(variables['params'])
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return {**variables, 'params': jax.tree.unflatten(tree, moved)}


@pytest.mark.slow
@pytest.mark.parametrize('architecture', nets.PAIRS)
def test_the_class_condition_reaches_both_networks(architecture):
    generator, discriminator = nets.create_networks(architecture, num_classes=3).values()
    latents, images = jnp.ones((4, nets.LATENTS)), jnp.asarray(nets.create_batch(8, count=4)['image'])
    one, other = jnp.zeros((4,), jnp.int32), jnp.full((4,), 2, jnp.int32)
    variables = _init(generator, latents, one)
    drawn = [generator.apply(variables, latents, labels) for labels in (one, other)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-4
    variables = _init(discriminator, images, one)
    judged = [discriminator.apply(variables, images, labels).logits for labels in (one, other)]
    assert np.abs(judged[0] - judged[1]).max() > 1e-4


def test_conditions_by_hand():
    """A projection adds <embedding of the class, features> / sqrt(width); a classifier leaves the logits alone."""
    features, labels = jax.random.normal(jax.random.key(2), (5, 7)), jnp.asarray([0, 2, 1, 1, 0], jnp.int32)
    verdicts, params = {}, {}
    for condition in CONDITIONS:
        head = Head(3, condition, 'equalized')
        variables = _init(head, features, labels)
        verdicts[condition], params[condition] = head.apply(variables, features, labels), variables['params']
        kernel, bias = params[condition]['logits']['kernel'], params[condition]['logits']['bias']
        plain = (features @ kernel / np.sqrt(7) + bias)[:, 0]
        if condition == 'projection':
            embedding = params[condition]['class_embedding']['kernel']
            plain += (embedding[labels] * features).sum(axis=1) / np.sqrt(7)
        np.testing.assert_allclose(verdicts[condition].logits, plain, rtol=1e-5, atol=1e-5)
    assert verdicts['projection'].class_logits.shape == (5, 0)
    classifier = params['auxiliary']['class_logits']
    expected = features @ classifier['kernel'] / np.sqrt(7) + classifier['bias']
    np.testing.assert_allclose(verdicts['auxiliary'].class_logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('architecture', [name for name in nets.PAIRS if name != 'perceptron'])
def test_a_mask_head_leaves_the_picture_alone(architecture):
    """The picture is that of a network without masks; the head's weights reach the masks and nothing else."""
    fields = {'steps': 1} if architecture == 'gran' else {}  # later strokes see the masks of earlier ones
    joint = nets.create_networks(architecture, channels=3, generator=fields | {'mask_channels': 2})['generator']
    alone = nets.create_networks(architecture, channels=1, generator=fields)['generator']
    latents, labels = jax.random.normal(jax.random.key(2), (2, nets.LATENTS)), jnp.zeros((2,), jnp.int32)
    variables = _init(joint, latents, labels)
    own = traverse_util.flatten_dict(alone.init(jax.random.key(0), latents, labels), sep='/')
    all_ = traverse_util.flatten_dict(variables, sep='/')
    assert {name for name in all_ if 'to_mask' in name} == all_.keys() - own.keys()
    plain = traverse_util.unflatten_dict({name: all_[name] for name in own}, sep='/')
    drawn = joint.apply(variables, latents, labels)
    np.testing.assert_allclose(drawn[..., :1], alone.apply(plain, latents, labels), atol=1e-6)
    moved = {name: leaf + 0.5 if 'to_mask' in name and 'params' in name else leaf for name, leaf in all_.items()}
    other = joint.apply(traverse_util.unflatten_dict(moved, sep='/'), latents, labels)
    np.testing.assert_array_equal(other[..., :1], drawn[..., :1])
    assert all(np.abs(other[..., place] - drawn[..., place]).max() > 1e-3 for place in (1, 2))


def test_a_mask_head_grows_with_its_network():
    """At alpha 0 the larger network draws what the smaller one does with the weights in common, masks too."""
    small, large = (
        nets.create_networks(resolution=side, channels=2, generator={'mask_channels': 1})['generator']
        for side in (8, 16)
    )
    latents, labels = jax.random.normal(jax.random.key(2), (2, nets.LATENTS)), jnp.zeros((2,), jnp.int32)
    variables = _init(large, latents, labels)
    known = small.init(jax.random.key(0), latents, labels)['params']
    assert {'8x8_to_mask', '4x4_to_mask'} <= known.keys()
    params = {name: variables['params'].get(name, leaves) for name, leaves in known.items()}
    drawn = large.apply(variables, latents, labels, 0.0)
    np.testing.assert_allclose(drawn, upsample(small.apply({'params': params}, latents, labels, 1.0)), atol=1e-6)
    assert np.abs(large.apply(variables, latents, labels, 1.0) - drawn)[..., 1].max() > 1e-3


def test_dropout_differs_by_key_and_is_off_without_one():
    discriminator = nets.create_networks('dcgan', discriminator={'dropout': 0.5})['discriminator']
    without = nets.create_networks('dcgan', discriminator={'dropout': 0.0})['discriminator']
    batch = nets.create_batch(8, count=4)
    variables = discriminator.init(jax.random.key(0), batch['image'], batch['label'])

    def judge(network, **options):
        return network.apply(variables, batch['image'], batch['label'], **options).logits

    first, again, other = (judge(discriminator, rngs={'dropout': jax.random.key(k)}) for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-5
    np.testing.assert_array_equal(judge(discriminator), judge(without))
    assert np.abs(first - judge(discriminator)).max() > 1e-5


@pytest.mark.parametrize('architecture', nets.PAIRS)
def test_bfloat16_computation_keeps_float32_parameters_images_and_logits(architecture):
    generator, discriminator = (
        network.clone(dtype=jnp.dtype(jnp.bfloat16)) for network in nets.create_networks(architecture).values()
    )
    latents, labels = jnp.ones((2, nets.LATENTS)), jnp.zeros((2,), jnp.int32)

    def draw_and_judge(key):
        images, artist = generator.init_with_output(key, latents, labels)
        verdict, critic = discriminator.init_with_output(key, images, labels)
        return images, verdict, artist, critic

    leaves = jax.tree.leaves(jax.eval_shape(draw_and_judge, jax.random.key(0)))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype('float32')}


def test_blocks_of_r3gan_begin_as_identities():
    """So at the start its image is the basis, scaled and widened, whatever its blocks hold."""
    generator = nets.create_networks('r3gan', generator={'blocks': 2})['generator']
    latents, labels = jax.random.normal(jax.random.key(0), (3, nets.LATENTS)), jnp.zeros((3,), jnp.int32)
    variables = generator.init(jax.random.key(1), latents, labels)
    other = generator.init(jax.random.key(2), latents, labels)['params']
    params = {name: other[name] if 'block' in name else layer for name, layer in variables['params'].items()}
    assert sum('block' in name for name in params) == 4
    expected = generator.apply(variables, latents, labels)
    np.testing.assert_allclose(generator.apply({'params': params}, latents, labels), expected, atol=1e-6)
    basis, kernel = params['basis'], params['latent']['kernel']
    small = basis * (latents @ kernel)[:, None, None]
    np.testing.assert_allclose(expected, smooth_upsample(small @ params['to_image']['kernel'][0, 0]), atol=1e-5)


def test_maxout_takes_the_largest_of_its_pieces():
    """One layer of two pieces: max(x w0 + b0, x w1 + b1), then a logit."""
    discriminator = nets.create_networks('perceptron', channels=1)['discriminator']
    images, labels = nets.create_batch(8, count=4)['image'], jnp.zeros((4,), jnp.int32)
    variables = _init(discriminator, images, labels)
    layer, head = variables['params']['hidden0'], variables['params']['head']['logits']
    pieces = images.reshape(4, -1) @ layer['kernel'] + layer['bias']
    expected = np.maximum(pieces[:, :8], pieces[:, 8:]) @ head['kernel'][:, 0] + head['bias']
    np.testing.assert_allclose(
        discriminator.apply(variables, images, labels).logits, expected, rtol=1e-4, atol=1e-5
    )
