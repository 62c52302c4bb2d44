"""One update of a detector: plain single-device mathematics on a global batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from backbones.augmentation import Augmentation, vary
from detect.attacks.training import adversarial_images
from detect.degradations import Degradation, degrade
from detect.networks import Detection, Detector, choose_stages
from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step

MUTABLE = ['batch_stats']


def make_train_step(
    network: Detector,
    optimizer: optax.GradientTransformation,
    augmentation: Augmentation,
    degradation: Degradation,
    *,
    eps: float,
    attack_steps: int,
) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`.

    Args:
      network, optimizer: what is trained, and how.
      augmentation, degradation: of every image, whatever its label.
      eps: largest change by which images are made harder (adversarial training), in their units; 0 trains without.
      attack_steps: steps in which the change is looked for.
    """

    def loss(params: PyTree, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        keys = jax.random.split(key, 3)
        labels = (batch['label'] > 0).astype(jnp.float32)
        images = degrade(degradation, vary(augmentation, batch['image'], keys[0]), keys[1])

        variables = {'params': params, **model_state}

        def loss_of_images(images: Array) -> Array:
            logits = network.apply(variables, images, train=False).logits
            return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

        if eps:
            images = adversarial_images(loss_of_images, images, keys[2], eps=eps, steps=attack_steps)
        detection, moved = network.apply(variables, images, train=True, mutable=MUTABLE)
        value = optax.sigmoid_binary_cross_entropy(detection.logits, labels).mean()
        accuracy = jnp.mean((detection.logits > 0) == (labels > 0))
        return value, (moved, {'accuracy': accuracy})

    return make_supervised_step(loss, optimizer)


def make_describe(network: Detector) -> Callable[[Variables, Array], Detection]:
    """Returns `describe(variables, images)`: what the trained network says of images, traced.

    Of its maps only those are kept that anomaly scores look at, see `choose_stages`.
    """

    def describe(variables: Variables, images: Array) -> Detection:
        detection: Detection = network.apply(variables, images, train=False)
        return detection._replace(maps=(), stages=choose_stages(detection.stages))

    return describe
