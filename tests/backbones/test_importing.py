"""Imported networks say what PyTorch's say with the same weights; weights of another network are refused."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from backbones.networks import DenseNet, ResNet
from backbones.preprocessing import IMAGENET, Preprocess
from backbones.weights import KINDS, import_weights, importing
from foundation.training.errors import UserError
from tests.backbones import drawn


def _create_resnet(depth):
    return lambda num_classes: ResNet(depth, 8, False, num_classes, jnp.float32)


def _create_densenet(num_classes):
    return DenseNet(8, (2, 3, 2), 16, False, num_classes, jnp.float32)


# From modules written for PyTorch 2.13, in float64: pixels, the mean of the pooled features, and eight logits.
PYTORCH = {
    'resnet18': (
        _create_resnet(18), 48, 0.7364392,
        [-0.1519394, -0.3651115, 0.03094764, -0.4513754, -0.4111959, -0.5323392, -0.8115631, -1.858839],
    ),
    'resnet50': (
        _create_resnet(50), 48, 1.612114,
        [-0.2236768, -1.36842, 0.3275021, 1.588019, 0.7977653, -0.05667166, -3.030923, -3.577387],
    ),
    'densenet121': (
        _create_densenet, 48, 0.2712336,
        [-0.8545663, -0.359754, -0.6050739, 0.6807108, -0.2273078, 0.7237148, -0.2237413, -0.5867727],
    ),
    'inception': (
        None, 107, 0.2308875,
        [-0.02084663, 0.4376624, -0.3208352, -0.3248612, -0.3173141, -0.4862067, 0.7664864, -0.2447923],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_imported_networks_are_those_of_pytorch(tmp_path, monkeypatch, kind):
    """Narrow ones, but for Inception, whose width is no field."""
    create, size, pooled, logits = PYTORCH[kind]
    recipe = importing._KINDS[kind]
    recipe = dataclasses.replace(recipe, create=create or recipe.create)
    monkeypatch.setitem(importing._KINDS, kind, recipe)
    path = _save(tmp_path, drawn.state_dict(recipe.create(8), recipe.rules))
    imported = import_weights(path, kind)
    path.unlink()  # 95 MB of Inception
    images = drawn.uniform('image', (1, size, size, 3)).astype(np.float32)
    features = jax.jit(imported.network.apply)(imported.variables, images)
    np.testing.assert_allclose(features.logits[0], logits, atol=2e-5 * np.abs(logits).max())
    np.testing.assert_allclose(features.pooled.mean(), pooled, rtol=2e-5)
    assert (imported.num_classes, imported.standard) == (8, False)
    assert imported.preprocess.size == (299 if kind == 'inception' else 224)


def test_names_of_the_deep_network_are_those_of_pytorch():
    """Its blocks have more layers than the narrow one's above, where other names would draw other weights."""
    recipe = importing._KINDS['densenet121']
    names = sorted(drawn.shapes(recipe.create(1000), recipe.rules))
    assert len(names) == 606
    assert hashlib.sha256('\n'.join(names).encode()).hexdigest().startswith('01da9529598dc5d0')


@pytest.fixture
def tiny(monkeypatch):
    """Weights of a network of a few thousand numbers, which 'resnet18' stands for meanwhile."""

    def create(num_classes):
        return ResNet(18, 1, True, num_classes, jnp.float32)

    preprocess = dataclasses.replace(IMAGENET, size=16)
    recipe = dataclasses.replace(importing._KINDS['resnet18'], create=create, preprocess=preprocess)
    monkeypatch.setitem(importing._KINDS, 'resnet18', recipe)
    return drawn.state_dict(create(5), recipe.rules)


def _save(folder, tensors, name='weights.safetensors'):
    safetensors.numpy.save_file(tensors, folder / name)
    return folder / name


def test_layouts_precision_and_names_of_training_programs(tmp_path, tiny):
    """Double precision, counters of batches, and the prefix that data parallelism leaves."""
    wide = {f'module.{name}': tensor.astype(np.float64) for name, tensor in tiny.items()}
    wide['module.bn1.num_batches_tracked'] = np.array(3)
    path = _save(tmp_path, wide)
    imported = import_weights(path, 'resnet18')
    params, stats = imported.variables['params'], imported.variables['batch_stats']
    kernel = params['stage2_block0_conv1']['kernel']
    assert (kernel.shape, kernel.dtype) == ((3, 3, 1, 2), jnp.float32)
    np.testing.assert_array_equal(kernel[2, 1, 0], tiny['layer2.0.conv1.weight'][:, 0, 2, 1])
    np.testing.assert_array_equal(params['head']['kernel'], tiny['fc.weight'].T)
    np.testing.assert_array_equal(
        stats['stage2_block0_shortcut_norm']['var'], tiny['layer2.0.downsample.1.running_var']
    )
    assert imported.num_classes == 5
    assert imported.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert isinstance(imported.preprocess, Preprocess)


def test_the_standard_file_is_known_by_its_checksum(tmp_path, tiny, monkeypatch):
    path = _save(tmp_path, tiny)
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    recipe = dataclasses.replace(importing._KINDS['resnet18'], file=f'resnet18-{prefix}.pth')
    monkeypatch.setitem(importing._KINDS, 'resnet18', recipe)
    assert import_weights(path, 'resnet18').standard


def test_old_names_of_dense_layers():
    names = ['features.denseblock1.denselayer12.norm.1.weight', 'features.denseblock1.denselayer12.conv.2.weight']
    now = importing.naming.normalise_names(dict.fromkeys(names))
    assert list(now) == [name.replace('.1.', '1.').replace('.2.', '2.') for name in names]


def _without(tensors, *names):
    return {name: tensor for name, tensor in tensors.items() if name not in names}


FAULTS = {
    'missing': (lambda t: _without(t, 'bn1.bias', 'fc.bias'), "it lacks 'bn1.bias' and 1 more"),
    'no head': (lambda t: _without(t, 'fc.weight'), "it lacks 'fc.weight'"),
    'unexpected': (lambda t: t | {'AuxLogits.fc.bias': t['bn1.bias']}, "it also holds 'AuxLogits.fc.bias'"),
    'shape': (lambda t: t | {'bn1.bias': np.zeros(2, np.float32)}, r"wrong shape of 'bn1.bias': \(2,\)"),
    'axes': (lambda t: t | {'fc.weight': np.zeros(5, np.float32)}, "wrong shape of 'fc.(weight|bias)'"),
    'transposed': (lambda t: t | {'fc.weight': t['fc.weight'].T.copy()}, "wrong shape of 'fc.(weight|bias)'"),
    'type': (lambda t: t | {'bn1.bias': np.zeros(1, np.int64)}, "whole numbers in 'bn1.bias': int64"),
    'nan': (
        lambda t: t | {'bn1.bias': np.full(1, np.nan, np.float32)},
        'NaN, infinite or negative .* in bn1.bias',
    ),
    'overflow': (lambda t: t | {'bn1.bias': np.full(1, 1e300)}, 'NaN, infinite or negative .* in bn1.bias'),
    'variance': (lambda t: t | {'bn1.running_var': np.full(1, -1.0)}, 'negative .* in bn1.running_var'),
}


@pytest.mark.parametrize(('change', 'message'), FAULTS.values(), ids=list(FAULTS))
def test_weights_of_another_network_are_refused(tmp_path, tiny, change, message):
    with pytest.raises(UserError, match=message):
        import_weights(_save(tmp_path, change(tiny)), 'resnet18')


def test_unknown_kinds_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no network 'vgg16' .* choose one of \['densenet121', 'inception'"):
        import_weights(tmp_path / 'none.pth', 'vgg16')
