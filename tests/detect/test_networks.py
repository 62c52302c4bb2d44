"""What branches see, against numpy; what detectors of images and of stacks promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backbones.networks import ResNet
from configs.detect import detector
from detect.networks import INPUTS, DetectorNetwork, MultiHeadAttention, StackDetector, sample_slices
from detect.recipe import create_recipe

LEVELS = 64


def _images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize('shape', [(2, 8, 8, 1), (1, 7, 6, 3)])
def test_the_residual_is_what_halving_by_nearest_pixel_loses(shape):
    images = _images(*shape)
    found = np.asarray(INPUTS['residual'](jnp.asarray(images)))
    rows, columns = np.indices(shape[1:3]) // 2 * 2
    np.testing.assert_allclose(found, images - images[:, rows, columns], atol=1e-7)
    assert not found[:, ::2, ::2].any()


def test_a_doubled_image_has_no_residual():
    small = _images(1, 4, 4, 1)
    doubled = jnp.asarray(small.repeat(2, axis=1).repeat(2, axis=2))
    assert not np.asarray(INPUTS['residual'](doubled)).any()


def test_the_spectrum_is_the_logarithm_of_the_fourier_transform():
    images = _images(2, 8, 6, 3)
    logs = np.log(np.abs(np.fft.fft2(images.astype(np.float64), axes=(1, 2))) + 1e-3)
    logs = np.fft.fftshift(logs, axes=(1, 2))
    low, high = np.percentile(logs, (5, 95), axis=(1, 2), keepdims=True)
    found = np.asarray(INPUTS['spectrum'](jnp.asarray(images)))
    np.testing.assert_allclose(found, 2 * (logs - low) / (high - low) - 1, atol=1e-3)
    ends = np.percentile(found, (5, 95), axis=(1, 2))
    np.testing.assert_allclose(ends, np.broadcast_to([[[-1]], [[1]]], ends.shape), atol=1e-3)


def test_the_spectrum_of_one_grey_level_is_finite():
    assert np.isfinite(np.asarray(INPUTS['spectrum'](jnp.zeros((1, 8, 8, 1))))).all()


def test_cooccurrence_counts_neighbours():
    """On the 64 levels themselves every pixel counts for one of them."""
    levels = np.random.default_rng(0).integers(0, LEVELS, (2, 6, 5, 2))
    images = (levels * (2 / (LEVELS - 1)) - 1).astype(np.float32)
    counts = np.zeros((2, LEVELS, LEVELS, 2))
    for image, row, column, channel in np.ndindex(2, 6, 4, 2):
        left, right = levels[image, row, column : column + 2, channel]
        counts[image, left, right, channel] += 1
    found = np.asarray(INPUTS['cooccurrence'](jnp.asarray(images)))
    np.testing.assert_allclose(found, 2 * np.log1p(counts) / np.log1p(6 * 4) - 1, atol=1e-4)


def test_cooccurrence_between_levels_is_shared_in_proportion():
    image = jnp.full((1, 1, 2, 1), 2 * 10.25 / (LEVELS - 1) - 1)
    counts = np.expm1((np.asarray(INPUTS['cooccurrence'](image))[0, ..., 0] + 1) / 2 * np.log1p(1))
    np.testing.assert_allclose(counts[10:12, 10:12], np.outer((0.75, 0.25), (0.75, 0.25)), atol=1e-4)
    assert counts.sum() == pytest.approx(1, abs=1e-4)


def test_pixels_are_pixels():
    images = jnp.asarray(_images(1, 4, 4, 1))
    assert INPUTS['pixels'](images) is images


def test_the_default_has_the_published_number_of_parameters():
    """1.44 million: ResNet-50 cut after its second stage (Tan et al. 2024)."""
    config = detector.get_config()
    config.data.name = 'mixed'
    network = create_recipe(config).network
    for channels in (1, 3):
        images = jax.ShapeDtypeStruct((1, 256, 256, channels), jnp.float32)
        params = jax.eval_shape(network.init, jax.random.key(0), images)['params']
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == pytest.approx(1.44e6, rel=0.01)


def _twice(images):
    return 2 * images


@pytest.fixture(scope='module')
def detected():
    """A detector of two branches with attention: itself, its variables, images, and what it says of them."""
    encoder = ResNet(depth=18, width=2, small_stem=True, num_classes=1, dtype=jnp.float32, num_stages=2)
    encoders = (encoder, encoder.clone())
    network = DetectorNetwork(('residual', 'pixels'), encoders, _twice, attention_heads=2)
    images = jnp.asarray(_images(3, 8, 8, 1))
    variables = jax.jit(network.init)(jax.random.key(0), images)
    return network, variables, images, jax.jit(network.apply)(variables, images)


@pytest.mark.slow
def test_a_detector_says_what_it_promises(detected):
    *_, detection = detected
    assert (detection.logits.shape, detection.logits.dtype) == ((3,), jnp.float32)
    assert [own.shape for own in detection.maps] == [(3, 4, 4, 4)] * 2
    assert [own.shape for own in detection.stages] == [(3, 8, 8, 2), (3, 4, 4, 4)]
    means = np.concatenate([np.asarray(own).mean(axis=(1, 2)) for own in detection.maps], axis=-1)
    np.testing.assert_allclose(detection.pooled, means, atol=1e-6)
    assert np.ptp(np.asarray(detection.logits)) > 1e-4


def test_the_logit_follows_from_the_last_maps(detected):
    network, variables, _, detection = detected
    decided = network.apply(variables, detection.maps, method='decide')
    np.testing.assert_allclose(decided, detection.logits, atol=1e-6)
    kernel, bias = (np.asarray(variables['params']['head'][name]) for name in ('kernel', 'bias'))
    np.testing.assert_allclose(decided, (np.asarray(detection.pooled) @ kernel + bias)[:, 0], atol=1e-6)


def test_branches_see_their_own_input(detected):
    """The residual of an image and of the image made brighter are the same; the pixels are not."""
    network, variables, images, detection = detected
    brighter = jax.jit(network.apply)(variables, images + 0.25)
    np.testing.assert_allclose(brighter.maps[0], detection.maps[0], atol=1e-4)
    assert np.abs(np.asarray(brighter.maps[1]) - np.asarray(detection.maps[1])).max() > 1e-2


def test_pixels_are_prepared_before_any_branch_sees_them(detected):
    network, variables, images, detection = detected
    plain = network.clone(prepare=lambda images: images)
    np.testing.assert_allclose(jax.jit(plain.apply)(variables, 2 * images).logits, detection.logits, atol=1e-6)


def test_self_attention_begins_as_identity_and_then_looks_everywhere():
    module, maps = MultiHeadAttention(2), jnp.asarray(_images(1, 3, 3, 4))
    variables = module.init(jax.random.key(0), maps)
    apply = jax.jit(module.apply)
    np.testing.assert_array_equal(apply(variables, maps), maps)
    params = variables['params'] | {'weight': jnp.ones(())}
    moved = maps.at[0, 0, 0, 0].add(2.0)
    changed = np.asarray(apply({'params': params}, moved) - apply({'params': params}, maps))
    assert np.abs(changed[0, 2, 2]).max() > 1e-4


@pytest.fixture(scope='module')
def stacked():
    """Returns `judge(features, valid)` of a network for stacks."""
    network = StackDetector(width=4)
    variables = network.init(jax.random.key(0), jnp.zeros((1, 6, 3)), jnp.ones((1, 6), bool))
    apply = jax.jit(network.apply)
    return lambda features, valid: tuple(map(np.asarray, apply(variables, features, valid)))


@pytest.mark.parametrize('slices', [1, 4, 6])
def test_a_stack_is_judged_without_its_padding(stacked, slices):
    features, valid = _images(2, 6, 3), np.arange(6) < slices
    valid = np.stack([valid, np.ones(6, bool)])
    logits, weights = stacked(jnp.asarray(features), jnp.asarray(valid))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights >= 0).all()
    assert not weights[~valid].any()
    other = features.copy()
    other[~valid] = 1e3
    np.testing.assert_array_equal(stacked(jnp.asarray(other), jnp.asarray(valid))[0], logits)
    other[0, 0, 0] += 1
    assert stacked(jnp.asarray(other), jnp.asarray(valid))[0][0] != logits[0]


def test_one_odd_slice_moves_a_stack_whatever_its_place(stacked):
    valid = jnp.ones((6, 6), bool)
    features = np.zeros((6, 6, 3), np.float32)
    features[np.arange(6), np.arange(6)] = (3.0, -3.0, 0.0)
    logits, _ = stacked(jnp.asarray(features), valid)
    plain, _ = stacked(jnp.zeros((6, 6, 3)), valid)
    assert (np.abs(logits - plain) > 1e-4).all()


@pytest.mark.parametrize(('count', 'wanted'), [(1, 5), (5, 5), (6, 5), (300, 20), (7, 2), (9, 1), (1000, 333)])
def test_slices_are_sampled_evenly(count, wanted):
    chosen = sample_slices(count, wanted)
    assert len(chosen) == min(count, wanted)
    assert chosen == sorted(set(chosen))
    if wanted == 1:
        assert chosen == [count // 2]
    elif count > wanted:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        np.testing.assert_allclose(chosen, np.linspace(0, count - 1, wanted), atol=0.5)
    else:
        assert chosen == list(range(count))
