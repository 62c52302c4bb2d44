"""torchvision's residual network with our parameters says and learns what ours does."""

import copy

import jax
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='peers are tested in their own environment: the extra `peers`')
pytest.importorskip('torchvision', reason='peers are tested in their own environment: the extra `peers`')

from benchmarks.peers import classifiers  # noqa: E402
from benchmarks.peers.copying import convert_resnet  # noqa: E402

SIDE, BATCH = 64, 2


@pytest.fixture(params=[18, 50])
def networks(request):
    network, variables = classifiers.create_network(request.param, SIDE, 'float32')
    return network, variables, classifiers.create_torchvision(request.param, variables)


@pytest.fixture
def images():
    return classifiers.draw_images(SIDE, BATCH)


def _to_torch(images):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def test_logits_are_the_same(networks, images):
    network, variables, theirs = networks
    ours = jax.jit(lambda images: network.apply(variables, images, train=False).logits)(images)
    with torch.no_grad():
        found = theirs.eval()(_to_torch(images))
    assert np.std(ours) > 0.01
    np.testing.assert_allclose(found, ours, atol=1e-4 * float(np.abs(ours).max()))


def test_gradients_are_the_same_but_for_rounding(networks, images):
    """So many layers amplify rounding: ours may be off by as much as PyTorch itself is, beside float64."""
    network, variables, theirs = networks
    (loss, _), gradients = jax.jit(classifiers.make_gradient(network))(variables, images)
    exact = _gradient(copy.deepcopy(theirs).double(), _to_torch(images).double())
    found = _gradient(theirs, _to_torch(images))
    np.testing.assert_allclose(exact.pop('loss'), loss, rtol=1e-4)
    ours = convert_resnet({'params': gradients})
    for name, gradient in exact.items():
        scale = torch.linalg.vector_norm(gradient)
        errors = [torch.linalg.vector_norm(each[name] - gradient) / scale for each in (ours, found)]
        assert errors[0] < 5 * errors[1] + 1e-4, name


def _gradient(network, images):
    loss = classifiers.torch_loss(network.train(), images)
    loss.backward()
    return {'loss': loss.item()} | {name: parameter.grad for name, parameter in network.named_parameters()}
