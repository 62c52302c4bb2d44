"""An imported network as an extractor: grey or colour, what it says, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from backbones.extractors import import_extractor
from backbones.networks import ResNet
from backbones.preprocessing import IMAGENET
from backbones.weights import importing
from foundation.training.errors import UserError
from tests.backbones import drawn


@pytest.fixture(scope='module')
def imported(tmp_path_factory):
    """A network of a few thousand numbers, which 'resnet18' stands for meanwhile, and its extractor."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'

    def create(num_classes):
        return ResNet(18, 1, True, num_classes, jnp.float32)

    with pytest.MonkeyPatch.context() as patched:
        preprocess = dataclasses.replace(IMAGENET, size=16)
        recipe = dataclasses.replace(importing._KINDS['resnet18'], create=create, preprocess=preprocess)
        patched.setitem(importing._KINDS, 'resnet18', recipe)
        safetensors.numpy.save_file(drawn.state_dict(create(5), recipe.rules), path)
        yield create(5), import_extractor(path, 'resnet18')


@pytest.fixture(scope='module')
def extract(imported):
    """The compiled extractor."""
    _, extractor = imported
    compiled = jax.jit(extractor.extract)
    return lambda images: compiled(extractor.variables, jnp.asarray(images))


GREY = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 1)).astype(np.float32)


def test_it_says_what_the_network_says(imported, extract):
    network, extractor = imported
    prepared = (np.repeat(GREY, 3, axis=3) / 2 + 0.5 - IMAGENET.mean) / IMAGENET.std
    features = jax.jit(network.apply)(extractor.variables, prepared.astype(np.float32))
    extracted = extract(GREY)
    np.testing.assert_allclose(extracted.features, features.pooled, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(extracted.probabilities, jax.nn.softmax(features.logits), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(extracted.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_grey_is_three_equal_channels(extract):
    grey, colour = extract(GREY), extract(np.repeat(GREY, 3, axis=3))
    np.testing.assert_allclose(grey.features, colour.features, rtol=1e-5)
    assert np.ptp(grey.features, axis=0).max() > 0.01


def test_other_channels_are_refused(imported, extract):
    _, extractor = imported
    with pytest.raises(UserError, match='takes images of 1 or 3 channels, but these have 2'):
        extractor.check_channels(2)
    with pytest.raises(UserError, match='Images have 2 channels'):
        extract(np.zeros((1, 16, 16, 2), np.float32))


def test_what_reports_need(imported):
    _, extractor = imported
    assert extractor.name == 'resnet18 tiny.safetensors'
    assert extractor.classes == tuple(f'class {number}' for number in range(5))
    assert '16x16' in extractor.resize
    assert len(extractor.checksum) == 64
