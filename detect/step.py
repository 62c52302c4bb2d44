"""One update of a detector: plain single-device mathematics on a global batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from backbones.augmentation import ImageAugmentation, vary
from detect.degradations import Degradation, degrade
from detect.networks import Detection, DetectorNetwork, choose_stages
from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step

Images = Float[Array, 'batch height width channel']


def adversarial_images(
    loss_of_images: Callable[[Images], Float[Array, '']],
    images: Images,
    key: PRNGKeyArray,
    *,
    eps: float,
    steps: int,
) -> Images:
    """Images within eps of those given, from a random start, with a larger loss; no gradient passes through them.

    Few steps are taken, unrolled. A step is 2.5 eps / steps, but at most 1.25 eps, as larger single steps overfit
    to themselves (Wong et al. 2020, arXiv:2001.03994).

    Args:
      loss_of_images: mean loss of a batch, with the parameters and labels of the training step.
      images: in [-1, 1].
      key: decides the start.
      eps: largest change of a value, in units of the images.
      steps: gradients of the loss; each costs as much as that of the training step.
    """
    low, high = jnp.clip(images - eps, -1, 1), jnp.clip(images + eps, -1, 1)
    size = min(2.5 / steps, 1.25) * eps
    adversarial = low + (high - low) * jax.random.uniform(key, images.shape)
    for _ in range(steps):
        gradients = jax.grad(loss_of_images)(adversarial)
        adversarial = jnp.clip(adversarial + size * jnp.sign(gradients), low, high)
    return jax.lax.stop_gradient(adversarial)


MUTABLE = ['batch_stats']


def make_train_step(
    network: DetectorNetwork,
    optimizer: optax.GradientTransformation,
    augmentation: ImageAugmentation,
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


def make_describe(network: DetectorNetwork) -> Callable[[Variables, Array], Detection]:
    """Returns `describe(variables, images)`: what the trained network says of images, traced.

    Of its maps only those are kept that anomaly scores look at, see `choose_stages`.
    """

    def describe(variables: Variables, images: Array) -> Detection:
        detection: Detection = network.apply(variables, images, train=False)
        lines = network.count_lines(images)
        return detection._replace(maps=(), stages=choose_stages(detection.stages, lines))

    return describe
