"""The U-Net: sizes, places, blocks against an independent implementation, normalizations, encoders, types."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from scipy import ndimage

from backbones.networks import DenseNet, ResNet
from segment.networks import UNet, pad_to_multiple, square_levels

FIELDS = {
    'num_classes': 3,
    'width': 4,
    'max_width': 8,
    'residual': False,
    'normalization': 'instance',
    'deep_supervision': True,
    'encoder': None,
    'prepare': None,
    'dtype': jnp.float32,
}
RESNET = functools.partial(ResNet, 18, 4, num_classes=1, dtype=jnp.float32)
DENSENET = functools.partial(DenseNet, 4, (1, 1), 4, num_classes=1, dtype=jnp.float32)


def _network(depth=2, **changes):
    strides, kernels = square_levels(depth)
    return UNet(**FIELDS | {'strides': strides, 'kernels': kernels} | changes)


def _images(height, width, count=1, channels=1):
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (count, height, width, channels)), jnp.float32)


def _init(network, images):
    """Variables whose biases and scales are random too, so that all of them matter."""
    variables = jax.jit(network.init)(jax.random.key(0), images)
    leaves, tree = jax.tree.flatten(variables['params'])
    generator = np.random.default_rng(1)
    moved = [leaf + 0.1 * jnp.asarray(generator.normal(size=leaf.shape), jnp.float32) for leaf in leaves]
    return variables | {'params': jax.tree.unflatten(tree, moved)}


def _shapes(network, images):
    """Shapes and types of the logits and of the variables, without computing anything."""
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    return jax.eval_shape(network.apply, variables, images), variables


@pytest.mark.parametrize('size', [(16, 16), (17, 23), (5, 40), (3, 2), (1, 1)])
@pytest.mark.parametrize('channels', [1, 3])
def test_logits_have_the_size_of_the_images(size, channels):
    logits, _ = _shapes(_network(), _images(*size, channels=channels))
    assert logits[0].shape == (1, *size, 3)


def test_deep_supervision_halves_and_leaves_the_two_lowest_out():
    logits, variables = _shapes(_network(depth=4), _images(20, 32))
    assert [own.shape[1:3] for own in logits] == [(20, 32), (16, 16), (8, 8)]
    assert {name for name in variables['params'] if name.startswith('head')} == {'head0', 'head1', 'head2'}
    logits, variables = _shapes(_network(depth=4, deep_supervision=False), _images(20, 32))
    assert len(logits) == 1
    assert {name for name in variables['params'] if name.startswith('head')} == {'head0'}


def test_layers_are_named_by_place_and_widths_double_up_to_the_largest():
    _, variables = _shapes(_network(depth=3, max_width=10), _images(16, 16))
    params = variables['params']
    features = [params[f'encoder{level}_conv1']['kernel'].shape[-1] for level in range(4)]
    assert features == [4, 8, 10, 10]
    kinds = {'encoder': range(4), 'decoder': range(3), 'down': range(1, 4), 'up': range(3), 'head': range(2)}
    layers = [f'{kind}{level}' for kind, levels in kinds.items() for level in levels]
    assert {name.split('_')[0] for name in params} == set(layers)


@pytest.fixture(scope='module')
def shallow():
    """A network of one halving, compiled for images of 41x41 pixels."""
    network = _network(depth=1)
    return _init(network, _images(41, 41)), jax.jit(lambda variables, images: network.apply(variables, images)[0])


def test_a_shift_by_the_stride_shifts_the_logits(shallow):
    """The odd size is padded on the way, which must not move anything."""
    variables, apply = shallow
    dots = [jnp.full((1, 41, 41, 1), -1.0).at[0, row, column, 0].set(1.0) for row, column in ((16, 18), (20, 20))]
    first, second = (np.asarray(apply(variables, dot))[0] for dot in dots)
    near, moved = np.s_[11:22, 13:24], np.s_[15:26, 15:26]
    np.testing.assert_allclose(second[moved], first[near], atol=1e-4)
    assert np.abs(second[near] - first[near]).max() > 0.1


def test_padding_is_dark_and_cut_off_again(shallow):
    variables, apply = shallow
    images = _images(41, 41)
    padded = np.pad(np.asarray(images), [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=-1)
    np.testing.assert_array_equal(pad_to_multiple(images, (2, 2)), padded)
    whole = apply(variables, jnp.asarray(padded))
    np.testing.assert_allclose(apply(variables, images), whole[:, :41, :41], atol=1e-5)


def _block(params, name, x):
    """Two convolutions, instance normalization and leaky rectifiers, of an image (height, width, channel)."""
    straight = x
    for place in (1, 2):
        kernel = np.asarray(params[f'{name}_conv{place}']['kernel'], np.float64)
        straight = np.stack([
            sum(
                ndimage.correlate(straight[..., own], kernel[:, :, own, feature], mode='constant')
                for own in range(straight.shape[-1])
            )
            for feature in range(kernel.shape[-1])
        ], axis=-1)  # fmt: skip
        norm = params[f'{name}_norm{place}']
        straight = (straight - straight.mean((0, 1))) / np.sqrt(straight.var((0, 1)) + 1e-5)
        straight = straight * np.asarray(norm['scale']) + np.asarray(norm['bias'])
        if place == 1:
            straight = np.where(straight > 0, straight, 0.01 * straight)
    if f'{name}_shortcut' in params:
        x = x @ np.asarray(params[f'{name}_shortcut']['kernel'])
    return straight, x


def _reference(params, image, residual):
    """The network of one halving, in NumPy."""

    def block(name, x):
        straight, x = _block(params, name, x)
        total = straight + x if residual else straight
        return np.where(total > 0, total, 0.01 * total)

    skip = block('encoder0', image)
    kernel = np.asarray(params['down1']['kernel']).reshape(2, 2, skip.shape[-1], -1)
    low = sum(skip[row::2, column::2] @ kernel[row, column] for row in (0, 1) for column in (0, 1))
    low = block('encoder1', low)
    kernel = np.asarray(params['up0']['kernel']).reshape(low.shape[-1], 2, 2, -1)
    high = np.zeros(skip.shape)
    for row, column in np.ndindex(2, 2):
        high[row::2, column::2] = low @ kernel[:, row, column]
    last = block('decoder0', np.concatenate([skip, high], axis=-1))
    return last @ np.asarray(params['head0']['kernel'])[0, 0] + np.asarray(params['head0']['bias'])


@pytest.mark.parametrize('residual', [False, True])
def test_it_equals_an_independent_implementation(residual):
    network, images = _network(depth=1, residual=residual), _images(6, 8, channels=2)
    variables = _init(network, images)
    logits = jax.jit(network.apply)(variables, images)[0]
    expected = _reference(variables['params'], np.asarray(images[0], np.float64), residual)
    np.testing.assert_allclose(logits[0], expected, atol=2e-4)


@pytest.mark.parametrize('normalization', ['instance', 'group', 'batch'])
def test_what_is_normalized_has_mean_0_and_deviation_1(normalization):
    network, images = _network(depth=1, width=16, normalization=normalization), 3 * _images(8, 8, count=2)
    variables = jax.jit(network.init)(jax.random.key(0), images)
    apply = functools.partial(network.apply, train=True, capture_intermediates=True, mutable=True)
    captured = jax.jit(apply)(variables, images)[1]['intermediates']['encoder0_norm1']['__call__'][0]
    grouped = np.asarray(captured).reshape(2, 8, 8, 8, 2)  # eight groups of two features
    axes = {'instance': (1, 2), 'group': (1, 2, 4), 'batch': (0, 1, 2)}[normalization]
    np.testing.assert_allclose(grouped.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.std(axes), 1, atol=1e-2)
    if normalization != 'instance':  # so the statistics are not simply those of every image and feature
        assert np.abs(grouped.mean((1, 2))).max() > 1e-3


def test_groups_are_as_many_as_divide_the_features():
    network = _network(depth=1, width=6, normalization='group')
    images = _images(8, 8)
    variables = jax.jit(network.init)(jax.random.key(0), images)
    apply = functools.partial(network.apply, capture_intermediates=True, mutable=True)
    captured = jax.jit(apply)(variables, images)[1]['intermediates']['encoder0_norm1']['__call__'][0]
    np.testing.assert_allclose(np.asarray(captured).mean((1, 2)), 0, atol=1e-5)  # six groups of one


ENCODERS = [
    (RESNET, True, 3, 1),
    (RESNET, False, 5, 2),
    (DENSENET, True, 1, 1),
    (DENSENET, False, 3, 2),
]


@pytest.mark.parametrize(('create', 'small_stem', 'halvings', 'stride'), ENCODERS)
@pytest.mark.parametrize('size', [(32, 32), (33, 45), (2, 3)])
def test_encoders_give_logits_of_any_size(create, small_stem, halvings, stride, size):
    """Where the encoder begins at half of the resolution, the full one has a block of its own."""
    network = _network(encoder=create(small_stem=small_stem), depth=halvings)
    logits, variables = _shapes(network, _images(*size, channels=3))
    assert logits[0].shape == (1, *size, 3)
    assert ('encoder0_conv1' in variables['params']) == (stride == 2)
    assert not [name for name in variables['params'] if name.startswith(('encoder1', 'down'))]
    alone = jax.eval_shape(create(small_stem=small_stem).init, jax.random.key(0), _images(32, 32, channels=3))
    own = {kind: variables[kind]['encoder'] for kind in ('params', 'batch_stats')}
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, dict(alone))


def test_only_training_moves_the_statistics_and_uses_those_of_the_batch():
    network = _network(encoder=DENSENET(small_stem=True), depth=1, normalization='batch')
    images = _images(8, 8, count=2)
    variables = _init(network, images)
    train = jax.jit(functools.partial(network.apply, train=True, mutable=['batch_stats']))
    predict = jax.jit(network.apply)
    (trained, *_), moved = train(variables, images)
    for part in ('encoder', 'decoder0_norm1'):
        pair = (traverse_util.flatten_dict(tree['batch_stats'][part]) for tree in (variables, moved))
        before, after = pair
        assert before.keys() == after.keys()
        assert all(np.abs(np.asarray(before[name] - after[name])).max() > 0 for name in before)
    before, after = (np.asarray(predict(tree, images)[0]) for tree in (variables, variables | dict(moved)))
    assert np.abs(before - after).max() > 1e-3
    assert np.abs(np.asarray(trained) - before).max() > 1e-3
    single = np.asarray(predict(variables, images[:1])[0])
    np.testing.assert_allclose(before[:1], single, atol=1e-5)


def test_what_the_encoder_sees_is_prepared_and_the_rest_is_not():
    encoder = RESNET(small_stem=False)
    network = _network(encoder=encoder, depth=5, prepare=lambda images: jnp.repeat(images, 3, axis=-1))
    _, variables = _shapes(network, _images(32, 32))
    assert variables['params']['encoder']['stem_conv']['kernel'].shape[2] == 3
    assert variables['params']['encoder0_conv1']['kernel'].shape[2] == 1


@pytest.mark.parametrize('encoder', [None, DenseNet(4, (1, 1), 4, True, 1, jnp.bfloat16)])
def test_weights_and_logits_are_float32_in_a_computation_of_bfloat16(encoder):
    network = _network(dtype=jnp.bfloat16, encoder=encoder, depth=1)
    logits, variables = _shapes(network, _images(8, 8))
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, variables))} == {jnp.dtype('float32')}
    shape = jax.eval_shape(
        functools.partial(network.apply, capture_intermediates=True, mutable=True), variables, _images(8, 8)
    )[1]
    assert shape['intermediates']['decoder0_conv1']['__call__'][0].dtype == jnp.bfloat16
