"""Sizes of the published networks, their feature maps, and what training changes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from backbones.networks import DEPTHS, DenseNet, InceptionV3, ResNet
from backbones.networks.classifiers import SMALLEST

FLOAT = jnp.float32
SMALL = DenseNet(2, (1, 1), 4, True, 3, FLOAT)


def _shapes(network, size, channels=3):
    """Of features and variables."""
    images = jax.ShapeDtypeStruct((2, size, size, channels), FLOAT)
    return jax.eval_shape(network.init_with_output, jax.random.key(0), images)


@pytest.mark.parametrize(
    ('network', 'count', 'size', 'stages'),
    [
        (
            ResNet(18, 64, False, 1000, FLOAT), 11_689_512,
            224, [(112, 64), (56, 64), (28, 128), (14, 256), (7, 512)],
        ),
        (
            ResNet(50, 64, False, 1000, FLOAT), 25_557_032,
            224, [(112, 64), (56, 256), (28, 512), (14, 1024), (7, 2048)],
        ),
        (
            DenseNet(32, (6, 12, 24, 16), 64, False, 1000, FLOAT), 7_978_856,
            224, [(112, 64), (56, 256), (28, 512), (14, 1024), (7, 1024)],
        ),
        (
            DenseNet(12, (16, 16, 16), 24, True, 10, FLOAT), 769_162,  # 0.8 million in table 2 of the paper
            32, [(32, 216), (16, 300), (8, 342)],
        ),
        (
            InceptionV3(1008, FLOAT), 23_850_960,  # counted in PyTorch
            299, [(147, 64), (71, 192), (35, 288), (17, 768), (8, 2048)],
        ),
    ],
    ids=['resnet18', 'resnet50', 'densenet121', 'densenet-bc', 'inception'],
)  # fmt: skip
def test_networks_have_the_published_number_of_weights_and_maps(network, count, size, stages):
    """Stages come from the highest resolution down."""
    features, variables = _shapes(network, size)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == count
    assert [stage.shape for stage in features.stages] == [(2, side, side, width) for side, width in stages]
    assert (features.logits.shape, features.pooled.shape) == ((2, network.num_classes), (2, stages[-1][1]))


def test_grey_and_oblong_images_are_seen():
    images = jax.ShapeDtypeStruct((2, 33, 48, 1), FLOAT)
    network = ResNet(18, 2, True, 3, FLOAT)
    features, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    assert [stage.shape[1:3] for stage in features.stages] == [(33, 48), (17, 24), (9, 12), (5, 6)]
    assert variables['params']['stem_conv']['kernel'].shape == (3, 3, 1, 2)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r'of 34 layers; choose one of \(18, 50\)'):
        _shapes(ResNet(34, 64, False, 10, FLOAT), 32)
    assert DEPTHS == (18, 50)
    with pytest.raises(ValueError, match='too small; give 75 a side'):
        _shapes(InceptionV3(8, FLOAT), SMALLEST - 1)


@pytest.mark.parametrize('network', [SMALL, ResNet(18, 2, False, 3, FLOAT)])
def test_low_precision_keeps_weights_and_features_in_float32(network):
    features, variables = _shapes(network.clone(dtype=jnp.bfloat16), 32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(FLOAT)}
    assert {stage.dtype for stage in features.stages} == {jnp.dtype(jnp.bfloat16)}
    assert features.logits.dtype == features.pooled.dtype == FLOAT


def test_training_uses_the_batch_and_moves_the_running_statistics_by_a_tenth():
    images = 3 + 2 * jax.random.normal(jax.random.key(1), (16, 8, 8, 3))
    variables = jax.jit(SMALL.init)(jax.random.key(0), images)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def descend(params):
        features, changed = SMALL.apply({**variables, 'params': params}, images, True, mutable=['batch_stats'])
        return jnp.square(features.logits - jnp.arange(3.0)).sum(), (features, changed['batch_stats'])

    gradients, (features, changed) = descend(variables['params'])
    still = jax.jit(SMALL.apply)(variables, images)
    maps = np.asarray(still.stages[0][..., :4])  # what the first layer of the first block sees
    moved = changed['block1_layer1_norm1']
    np.testing.assert_allclose(moved['mean'], 0.1 * maps.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved['var'], 0.9 + 0.1 * maps.var((0, 1, 2)), rtol=1e-4)
    assert np.abs(features.logits - still.logits).max() > 0.01
    np.testing.assert_allclose(still.pooled, still.stages[-1].mean((1, 2)), rtol=1e-5)
    head = variables['params']['head']
    np.testing.assert_allclose(still.logits, still.pooled @ head['kernel'] + head['bias'], rtol=1e-4, atol=1e-4)
    slopes = traverse_util.flatten_dict(gradients, sep='/')
    assert [name for name, leaf in slopes.items() if not 0 < np.abs(leaf).max() < np.inf] == []
