"""Classifiers: our residual networks and torchvision's, the parameters copied: prediction and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from jaxtyping import Array, Float32, PyTree
from torch import nn

from backbones.networks import ResNet
from benchmarks.peers.copying import convert_resnet, load
from benchmarks.peers.forms import Form
from benchmarks.peers.gans import count_parameters
from benchmarks.peers.timing import PeerRun
from foundation.training import compute
from foundation.training.state import Variables

CLASSES = 1000
_LABEL = 7  # of all images; which one does not change the time


def draw_images(resolution: int, batch: int) -> Float32[np.ndarray, 'batch resolution resolution 3']:
    """Noise of about the spread of normalised photographs."""
    return np.random.default_rng(0).standard_normal((batch, resolution, resolution, 3)).astype(np.float32)


def create_network(depth: int, resolution: int, dtype: str) -> tuple[ResNet, Variables]:
    """The standard network of this depth with fresh parameters."""
    network = ResNet(depth, 64, False, CLASSES, compute.compute_dtype(dtype))
    return network, jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, resolution, resolution, 3)))


def create_torchvision(depth: int, variables: Variables) -> nn.Module:
    """torchvision's network with the same parameters."""
    # Here, so that other pairs need no torchvision.
    from torchvision.models import resnet18, resnet50

    return load({18: resnet18, 50: resnet50}[depth](num_classes=CLASSES), convert_resnet(variables))


def create_ours_prediction(depth: int, resolution: int, batch: int, dtype: str) -> PeerRun:
    """Logits."""
    network, variables = create_network(depth, resolution, dtype)
    predict = jax.jit(lambda variables, images: network.apply(variables, images, train=False).logits)
    images = jnp.asarray(draw_images(resolution, batch))

    def run() -> None:
        jax.block_until_ready(predict(variables, images))

    return PeerRun(run, 'jit', count_parameters(variables['params']))


def make_gradient(network: ResNet):
    """Returns `gradient(variables, images) -> ((loss, statistics), gradients)`: of cross-entropy, in training."""

    def loss(params: PyTree, variables: Variables, images: Array) -> tuple[Array, Variables]:
        variables = {**variables, 'params': params}
        features, moved = network.apply(variables, images, train=True, mutable=['batch_stats'])
        labels = jnp.full(len(images), _LABEL)
        return optax.softmax_cross_entropy_with_integer_labels(features.logits, labels).mean(), moved

    def gradient(variables: Variables, images: Array):
        return jax.value_and_grad(loss, has_aux=True)(variables['params'], variables, images)

    return gradient


def create_ours_gradient(depth: int, resolution: int, batch: int, dtype: str) -> PeerRun:
    """Gradient of the cross-entropy in all parameters, in training."""
    network, variables = create_network(depth, resolution, dtype)
    gradient = jax.jit(make_gradient(network))
    images = jnp.asarray(draw_images(resolution, batch))

    def run() -> None:
        jax.block_until_ready(gradient(variables, images))

    return PeerRun(run, 'jit', count_parameters(variables['params']))


def create_peer_prediction(depth: int, resolution: int, batch: int, form: Form) -> PeerRun:
    """Logits by torchvision's network."""
    network = form.place(create_torchvision(depth, create_network(depth, resolution, form.dtype)[1])).eval()
    predict, images = form.build(network), _place(resolution, batch, form)

    def run() -> None:
        with torch.inference_mode():
            predict(images)
        form.finish()

    return PeerRun(run, str(form), sum(parameter.numel() for parameter in network.parameters()))


def torch_loss(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a batch."""
    return F.cross_entropy(network(images), torch.full((len(images),), _LABEL, device=images.device))


def create_peer_gradient(depth: int, resolution: int, batch: int, form: Form) -> PeerRun:
    """Gradient of torchvision's network."""
    network = form.place(create_torchvision(depth, create_network(depth, resolution, form.dtype)[1])).train()
    loss, images = form.build(lambda images: torch_loss(network, images)), _place(resolution, batch, form)

    def run() -> None:
        network.zero_grad(set_to_none=True)
        loss(images).backward()
        form.finish()

    return PeerRun(run, str(form), sum(parameter.numel() for parameter in network.parameters()))


def _place(resolution: int, batch: int, form: Form) -> torch.Tensor:
    return form.place(torch.from_numpy(draw_images(resolution, batch).transpose(0, 3, 1, 2).copy()))
