"""One update of a classifier: plain single-device mathematics on a global batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from backbones.augmentation import ImageAugmentation, vary
from backbones.networks import Features, Network
from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step

BATCH_STATS = 'batch_stats'


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    augmentation: ImageAugmentation,
    label_smoothing: float,
) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`."""

    def loss(params: PyTree, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        variables, images = {'params': params, **model_state}, vary(augmentation, batch['image'], key)
        features, moved = network.apply(variables, images, train=True, mutable=[BATCH_STATS])
        logits, labels = features.logits, batch['label']
        targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
        accuracy = jnp.mean(logits.argmax(axis=-1) == labels)
        return optax.softmax_cross_entropy(logits, targets).mean(), (moved, {'accuracy': accuracy})

    return make_supervised_step(loss, optimizer)


def make_describe(network: Network) -> Callable[[Variables, Array], Features]:
    """Returns `describe(variables, images)`: logits and features, traced."""

    def describe(variables: Variables, images: Array) -> Features:
        return network.apply(variables, images, train=False)

    return describe
