"""Networks of volumes: their layers, their loss, their variations, and prediction by windows, slab by slab."""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from scipy import ndimage

from foundation.training import parallel
from foundation.training.errors import UserError
from input_pipeline import OUTSIDE, PatchShape
from segment.augmentation import augment, augment_volumes
from segment.losses import (
    LossWeights,
    beside_boundary,
    cross_entropy,
    dice_loss,
    segmentation_loss,
    supervise_deeply,
)
from segment.networks import UNet, convolve_slices, convolve_volumes, downsample, square_levels, upsample
from segment.recipe import create_recipe
from segment.step import make_train_step
from segment.suggestions import VolumeGrid, plan_levels, suggest_volume_patch
from segment.volumes import create_volume_predictor, read_in_order
from tests.gan.command import Commands
from tests.segment.volume_recipes import create_volume_config

FIELDS = {
    'num_classes': 3,
    'width': 4,
    'max_width': 8,
    'residual': True,
    'normalization': 'batch',
    'deep_supervision': True,
    'encoder': None,
    'prepare': None,
    'dtype': jnp.float32,
}
STRIDES, KERNELS = ((1, 2, 2), (2, 2, 2)), ((1, 3, 3), (3, 3, 3), (3, 3, 3))
BOTH = LossWeights(dice=1.0, cross_entropy=1.0, focal_gamma=0.0, boundary=0.0)
EVERYTHING = LossWeights(dice=0.7, cross_entropy=1.3, focal_gamma=2.0, boundary=3.0)


def _uniform(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


def _ids(*shape, highest=2, seed=1):
    return jnp.asarray(np.random.default_rng(seed).integers(0, highest + 1, shape), jnp.int32)


@pytest.mark.parametrize('kernel', [(1, 3, 3), (3, 3, 3)])
@pytest.mark.parametrize('convolve', [convolve_slices, convolve_volumes])
def test_convolutions_equal_their_definition(kernel, convolve):
    x, weights = _uniform(2, 5, 6, 4, 2), _uniform(*kernel, 2, 3, seed=1)
    found = np.asarray(convolve(x, weights))
    for sample, feature in np.ndindex(2, 3):
        expected = sum(
            ndimage.correlate(
                np.asarray(x[sample, ..., own], np.float64),
                np.asarray(weights[..., own, feature]),
                mode='constant',
            )
            for own in range(2)
        )
        np.testing.assert_allclose(found[sample, ..., feature], expected, atol=1e-5)


def test_a_network_of_kernels_and_strides_of_1_is_that_of_images_on_every_slice():
    """The same parameters, by the same names, but for an axis more of the kernels."""
    strides, kernels = square_levels(2)
    plain = UNet(**FIELDS, strides=strides, kernels=kernels)
    deep = UNet(**FIELDS, strides=((1, 2, 2),) * 2, kernels=((1, 3, 3),) * 3)
    volumes = _uniform(2, 3, 12, 10, 1)
    variables = jax.jit(plain.init)(jax.random.key(0), volumes[0])
    shapes = jax.eval_shape(deep.init, jax.random.key(0), volumes)
    assert jax.tree.map(lambda leaf: leaf.size, dict(variables)) == jax.tree.map(
        lambda leaf: leaf.size, dict(shapes)
    )
    own = jax.tree.map(lambda leaf, like: leaf.reshape(like.shape), dict(variables), dict(shapes))
    for train in (False, True):
        apply = functools.partial(plain.apply, train=train, mutable=['batch_stats'])
        expected, moved = jax.jit(apply)(variables, volumes.reshape(6, 12, 10, 1))
        apply = functools.partial(deep.apply, train=train, mutable=['batch_stats'])
        found, moved_too = jax.jit(apply)(own, volumes)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other.reshape(one.shape), atol=1e-5)
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), dict(moved), dict(moved_too))


@pytest.mark.parametrize('size', [(4, 8, 8), (5, 9, 11), (1, 3, 2)])
def test_logits_have_the_size_of_the_volumes_and_shrink_by_the_strides(size):
    network = UNet(
        **FIELDS | {'normalization': 'instance'}, strides=(*STRIDES, (2, 2, 2)), kernels=(*KERNELS, (3, 3, 3))
    )
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *size, 1)))
    logits = jax.eval_shape(network.apply, variables, jnp.zeros((1, *size, 1)))
    assert network.multiples == (4, 8, 8)
    padded = [-(-own // multiple) * multiple for own, multiple in zip(size, network.multiples, strict=True)]
    assert [own.shape for own in logits] == [(1, *size, 3), (1, padded[0], padded[1] // 2, padded[2] // 2, 3)]
    kernels = {
        name[0]: own.shape[:3]
        for name, own in traverse_util.flatten_dict(variables['params']).items()
        if 'conv' in name[0]
    }
    assert kernels['encoder0_conv1'] == kernels['decoder0_conv2'] == (1, 3, 3)
    assert kernels['encoder1_conv1'] == kernels['encoder3_conv2'] == (3, 3, 3)


class _Resampling(nn.Module):
    """What a network of images is resampled by."""

    @nn.compact
    def __call__(self, x):
        return downsample('down', x, 5, (2, 2), jnp.float32), upsample('up', x, 5, (2, 2), jnp.float32)


def test_images_are_resampled_as_before_there_were_volumes_bit_for_bit():
    x = _uniform(2, 6, 4, 3)
    (down, up), variables = _Resampling().init_with_output(jax.random.key(0), x)
    params = variables['params']
    groups = x.reshape(2, 3, 2, 2, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 3, 2, 12)
    np.testing.assert_array_equal(down, groups @ params['down']['kernel'])
    groups = (x @ params['up']['kernel']).reshape(2, 6, 4, 2, 2, 5).transpose(0, 1, 3, 2, 4, 5)
    np.testing.assert_array_equal(up, groups.reshape(2, 12, 8, 5))


@pytest.mark.parametrize('weights', [BOTH, EVERYTHING])
def test_the_loss_of_one_slice_is_that_of_the_image(weights):
    logits, ids = 2 * _uniform(3, 6, 5, 3), _ids(3, 6, 5)
    expected = segmentation_loss(weights, logits, ids)
    np.testing.assert_allclose(segmentation_loss(weights, logits[:, None], ids[:, None]), expected, rtol=1e-5)


@pytest.mark.parametrize('weights', [BOTH, EVERYTHING])
def test_padding_counts_nowhere(weights):
    """The loss is that of the volume without it, whatever is predicted there, and it has no gradient."""
    logits, ids = 2 * _uniform(2, 4, 6, 5, 3), _ids(2, 4, 6, 5)
    expected = segmentation_loss(weights, logits, ids)
    spare = [(0, 0), (0, 2), (1, 0), (0, 3)]
    padded_ids = jnp.pad(ids, spare, constant_values=3)
    padded = jnp.pad(logits, [*spare, (0, 0)], constant_values=7.0)
    loss, gradient = jax.value_and_grad(lambda own: segmentation_loss(weights, own, padded_ids))(padded)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    outside = np.asarray(padded_ids) == 3
    assert not np.asarray(gradient)[outside].any()
    assert (np.abs(np.asarray(gradient)[~outside]).max(axis=-1) > 0).all()
    nothing = jnp.full_like(ids, 3)
    np.testing.assert_array_equal(cross_entropy(logits, nothing, 0.0, 0.0), 0.0)
    assert np.isfinite(dice_loss(logits, nothing)).all()


def test_the_dice_loss_equals_its_closed_form():
    logits, ids = 2 * _uniform(2, 3, 4, 5, 3), _ids(2, 3, 4, 5)
    chances, truth = np.asarray(jax.nn.softmax(logits)), np.asarray(ids)
    for own, expected in zip(dice_loss(logits, ids), range(2), strict=True):
        shares = []
        for class_id in (1, 2):
            p, t = chances[expected, ..., class_id], truth[expected] == class_id
            shares.append((2 * (p * t).sum() + 2) / (p.sum() + t.sum() + 2))
        assert float(own) == pytest.approx(1 - np.mean(shares), rel=1e-5)


def test_neighbours_are_those_of_three_axes_and_padding_is_none():
    ids = np.zeros((1, 3, 4, 4), np.int32)
    ids[0, 1, 1, 1] = 1
    found = np.asarray(beside_boundary(jnp.asarray(ids), jnp.ones_like(ids, bool)))
    expected = np.zeros(ids.shape)
    expected[0, :, :3, :3] = 1
    np.testing.assert_array_equal(found, expected)
    inside = np.ones(ids.shape, bool)
    inside[0, 1, 1, 1] = False
    assert not np.asarray(beside_boundary(jnp.asarray(ids), jnp.asarray(inside)))[inside].any()


def test_lower_resolutions_see_the_middle_voxels():
    ids = _ids(1, 4, 8, 8)
    logits = [jax.nn.one_hot(ids, 3) * 40, jax.nn.one_hot(ids[:, :, 1::2, 1::2], 3) * 40]
    logits.append(jax.nn.one_hot(ids[:, 1::2, 2::4, 2::4], 3) * 40)
    assert float(supervise_deeply(BOTH, tuple(logits), ids, STRIDES)) < 1e-4
    cut = ids[:, :3, :7, :5]  # padded to what the logits are of, where nothing counts
    spoilt = [own.at[:, 3:].set(0).at[:, :, 7:].set(0).at[:, :, :, 5:].set(0) for own in logits[:1]]
    spoilt = [spoilt[0][:, :3, :7, :5], logits[1].at[:, 3:].set(0).at[:, :, :, 3:].set(0)]
    assert float(supervise_deeply(BOTH, tuple(spoilt), cut, STRIDES)) < 1e-4


def test_a_volume_of_one_slice_is_varied_as_an_image():
    recipe = create_recipe(create_volume_config({'volume.mirror': False, 'augment.scale': 3.0}))
    images, ids = _uniform(6, 8, 8, 1), _ids(6, 8, 8)
    key = jax.random.key(3)
    expected = augment(recipe.augmentation, images, ids, 4, key)
    found = augment_volumes(recipe.augmentation, images[:, None], ids[:, None], 4, key)
    np.testing.assert_array_equal(found[0][:, 0], expected[0])
    np.testing.assert_array_equal(found[1][:, 0], expected[1])
    assert not np.array_equal(expected[0], images)


def test_slices_are_varied_alike_and_mirrored_along_the_depth():
    """Only mirroring is left: each volume is one of the eight mirrored ones, its mask with it, and all come."""
    silent = {
        f'augment.{name}': 0.0
        for name in ('rotation', 'scaling', 'noise', 'blur', 'brightness', 'contrast', 'low_resolution', 'gamma')
    }
    recipe = create_recipe(create_volume_config(silent))
    assert recipe.augmentation.mirror == ('horizontal', 'vertical', 'depth')
    ids = _ids(64, 3, 4, 5, highest=3)
    volumes = 2.0 * jax.nn.one_hot(ids, 4) - 1
    moved, masks = augment_volumes(recipe.augmentation, volumes, ids, 4, jax.random.key(0))
    ways = [axes for count in range(4) for axes in itertools.combinations((0, 1, 2), count)]
    found = set()
    for before, image, mask in zip(np.asarray(ids), np.asarray(moved), np.asarray(masks), strict=True):
        own = [axes for axes in ways if np.array_equal(np.flip(before, axes), mask)]
        assert len(own) == 1
        np.testing.assert_allclose(image, 2.0 * np.eye(4)[mask] - 1, atol=1e-5)
        found |= set(own)
    assert found == set(ways)
    assert (
        augment_volumes(dataclasses.replace(recipe.augmentation, scale=0.0), volumes, ids, 4, jax.random.key(0))[0]
        is volumes
    )


@pytest.mark.parametrize(
    ('ratio', 'slices', 'strides', 'kernels'),
    [
        (1.0, 64, (2, 2, 2, 2), (3, 3, 3, 3, 3)),
        (1.9, 64, (2, 2, 2, 2), (3, 3, 3, 3, 3)),
        (2.0, 64, (1, 2, 2, 2), (1, 3, 3, 3, 3)),
        (5.0, 20, (1, 1, 2, 2), (1, 1, 3, 3, 3)),
        (100.0, 20, (1, 1, 1, 1), (1, 1, 1, 1, 3)),
        (1.0, 12, (2, 1, 1, 1), (3, 3, 3, 3, 3)),
        (0.5, 40, (2, 2, 2, 1), (3, 3, 3, 3, 3)),
    ],
)
def test_the_depth_is_halved_once_slices_are_as_near_as_pixels(ratio, slices, strides, kernels):
    assert plan_levels(ratio, slices, 4) == (strides, kernels)


@pytest.mark.parametrize(
    ('grid', 'resolution', 'expected'),
    [
        (VolumeGrid(36, 1.0), 64, (64, 40)),  # whole, rounded up to what three halvings need
        (VolumeGrid(20, 5.0), 256, (112, 20)),  # thick slices stay, the plane is cut
        (VolumeGrid(1000, 1.0), 512, (64, 64)),
        (VolumeGrid(1, 1.0), 512, (512, 1)),
        (VolumeGrid(1000, 1.0), 32, (32, 256)),
    ],
)
def test_patches_are_as_cubic_as_their_size_allows(grid, resolution, expected):
    side, slices = (suggestion.value for suggestion in suggest_volume_patch(grid, resolution, 2**18))
    assert side**2 * slices <= 2**18 * 1.1
    assert (side, slices) == expected


def _refuse(changes, expected):
    with pytest.raises(UserError, match=expected):
        create_recipe(create_volume_config(changes))


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'network.encoder': 'resnet50=x'}, r'config.network.encoder is resnet50=x, a network of images'),
        ({'context': 1}, 'config.context is for config.dimensions=2'),
        (
            {'volume.strides': (1, 2, 2)},
            r'volume.strides is \(1, 2, 2\); with config.network.depth=2 give 2 numbers',
        ),
        ({'volume.kernels': (1, 3, 5)}, r'volume.kernels is \(1, 3, 5\); .* give 3 numbers, each 1 or 3'),
        ({'volume.slices': 1}, r'config.volume.slices is 1, but config.volume.strides make one of 2'),
        ({'dimensions': 2}, r'config.volume.\w+ is for volumes; add --config.dimensions=3'),
        ({'dimensions': 4}, r'config.dimensions is 4; choose one of \[2, 3\]'),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_sentence(changes, expected):
    _refuse(changes, expected)


@pytest.mark.slow
def test_padding_of_a_batch_has_no_share_in_the_step():
    """The loss is that of the other voxels, where nothing is varied."""
    config = create_volume_config({'augment.scale': 0.0, 'network.deep_supervision': False})
    recipe = create_recipe(config)
    step, state = jax.jit(make_train_step(recipe)), recipe.create_state(jax.random.key(0))
    image, ids = _uniform(2, 4, 8, 8, 1), np.array(_ids(2, 4, 8, 8), np.uint8)
    ids[:, 3:] = OUTSIDE
    _, metrics = step(state, {'image': image, 'ids': jnp.asarray(ids)}, jax.random.key(0), {})
    logits = recipe.network.apply(state.network.variables, image, train=True, mutable=['batch_stats'])[0]
    expected = segmentation_loss(recipe.loss, logits[0][:, :3], jnp.asarray(ids[:, :3], jnp.int32))
    assert float(metrics['loss']) == pytest.approx(float(expected), rel=1e-5)
    assert float(metrics['gradient_norm']) > 0


@pytest.fixture(scope='module')
def network():
    """Batch normalization, so that a voxel does not depend on all others; and its variables."""
    own = UNet(**FIELDS | {'deep_supervision': False}, strides=((2, 2, 2),), kernels=((3, 3, 3),) * 2)
    return own, jax.jit(own.init)(jax.random.key(0), jnp.zeros((1, 4, 8, 8, 1)))


def _predictor(network, slices, side, mirror=()):
    predict = create_volume_predictor(
        network[0], parallel.create_mesh(), shape=PatchShape(slices, side), batch_size=2, mirror=mirror
    )
    return lambda volume: np.stack(list(predict(network[1], iter(volume), len(volume))))


def _whole(network, volume):
    return np.asarray(jax.nn.softmax(network[0].apply(network[1], jnp.asarray(volume)[None])[0][0]))


@pytest.mark.parametrize('slices', [8, 5])
def test_one_window_is_the_prediction_of_the_whole(network, slices):
    """Of fewer slices than the window, what follows is dark and is cut off again."""
    volume = np.asarray(_uniform(slices, 8, 8, 1))
    padded = np.pad(volume, [(0, 8 - slices), (0, 0), (0, 0), (0, 0)], constant_values=-1)
    np.testing.assert_allclose(_predictor(network, 8, 8)(volume), _whole(network, padded)[:slices], atol=1e-6)


def test_windows_agree_with_the_whole_and_sum_to_1(network):
    """In the middle of a large volume windows agree with the whole, and everywhere they are chances."""
    volume = np.asarray(_uniform(22, 20, 18, 1))
    found = _predictor(network, 8, 16)(volume)
    assert found.shape == (22, 20, 18, 3)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    assert np.abs(found - _whole(network, volume)).mean() < 0.02


def test_joined_slabs_are_the_weighted_mean_by_its_definition(network):
    """Against windows laid one by one on whole accumulators, with weights that are products of three lines."""
    volume = np.asarray(_uniform(11, 12, 10, 1))
    shape = (4, 8, 8)
    places = [(0, 2, 4, 5, 7), (0, 4), (0, 2)]
    lines = [np.exp(-0.5 * ((np.arange(own) - (own - 1) / 2) / (own / 8)) ** 2) for own in shape]
    weights = np.einsum('i,j,k->ijk', *lines)[..., None]
    total, weight = np.zeros((11, 12, 10, 3)), np.zeros((11, 12, 10, 1))
    for corner in itertools.product(*places):
        part = tuple(slice(start, start + size) for start, size in zip(corner, shape, strict=True))
        total[part] += weights * _whole(network, volume[part])
        weight[part] += weights
    np.testing.assert_allclose(_predictor(network, 4, 8)(volume), total / weight, atol=2e-5)


def test_mirrored_copies_are_averaged_along_three_axes(network):
    volume = np.asarray(_uniform(8, 8, 8, 1))
    ways = [axes for count in range(4) for axes in itertools.combinations((0, 1, 2), count)]
    expected = np.mean([np.flip(_whole(network, np.flip(volume, axes)), axes) for axes in ways], axis=0)
    found = _predictor(network, 8, 8, ('horizontal', 'vertical', 'depth'))(volume)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_few_slices_are_held_whatever_the_depth(network):
    """They are asked for in order, each once, and no sooner than the window that needs them."""
    asked = []

    def slices():
        for place in range(60):
            asked.append(place)
            yield np.full((8, 8, 1), place / 60, np.float32)

    shape = PatchShape(8, 8)
    predict = create_volume_predictor(network[0], parallel.create_mesh(), shape=shape, batch_size=1, mirror=())
    for place, own in enumerate(predict(network[1], slices(), 60)):
        assert own.shape == (8, 8, 3)
        assert len(asked) <= place + 2 * shape.slices
    assert asked == list(range(60))


def test_slices_that_nobody_asks_for_are_passed_over():
    read = read_in_order(np.full((2, 2, 1), number, np.float32) for number in range(5))
    assert [int(read(number)[0, 0, 0]) for number in (0, 2, 3)] == [0, 2, 3]


@pytest.mark.slow
def test_devices_do_not_change_the_mathematics(tmp_path):
    process = Commands(tmp_path).start('tests.segment.steps_on_devices', devices=8)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    devices, apart, moved = output.split()[-3:]
    assert int(devices) == 8
    assert float(apart) < 1e-5 < 1e-4 < float(moved)
