"""One update of a classifier: plain single-device mathematics on a global batch."""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from backbones.augmentation import Augmentation, vary
from backbones.networks import Features, Network
from training.state import NetworkState, Variables, count_skips, create_network_state, update_network

BATCH_STATS = 'batch_stats'
Metrics = dict[str, Float[Array, '']]


@flax.struct.dataclass
class ClassifierState:
    """All that training needs to go on.

    Attributes:
      network: the classifier.
      skipped: updates left out so far because a gradient was not finite.
      skipped_in_a_row: the same, counted back from the last step.
    """

    network: NetworkState
    skipped: PyTree
    skipped_in_a_row: PyTree


def create_state(
    network: Network, optimizer: optax.GradientTransformation, shape: tuple[int, ...], key: PRNGKeyArray
) -> ClassifierState:
    """A freshly drawn network for images of this shape."""
    variables = network.init(key, jnp.zeros(shape))
    zero = jnp.zeros((), jnp.int32)
    return ClassifierState(create_network_state(variables, optimizer), zero, jnp.copy(zero))


def make_train_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    augmentation: Augmentation,
    label_smoothing: float,
) -> Callable[..., tuple[ClassifierState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`."""

    def loss(params: PyTree, model_state: Variables, images: Array, labels: Array):
        variables = {'params': params, **model_state}
        features, moved = network.apply(variables, images, train=True, mutable=[BATCH_STATS])
        targets = optax.smooth_labels(jax.nn.one_hot(labels, features.logits.shape[-1]), label_smoothing)
        return optax.softmax_cross_entropy(features.logits, targets).mean(), (moved, features.logits)

    def step(state: ClassifierState, batch: dict[str, Array], key: PRNGKeyArray, controls: dict[str, Array]):
        images, labels = vary(augmentation, batch['image'], key), batch['label']
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (moved, logits)), gradients = gradient(
            state.network.params, state.network.model_state, images, labels
        )
        updated, finite = update_network(state.network, gradients, moved, optimizer)
        state = count_skips(dataclasses.replace(state, network=updated), finite)
        metrics = {
            'loss': value,
            'accuracy': (logits.argmax(axis=-1) == labels).mean(),
            'gradient_norm': optax.tree.norm(gradients),
            'skipped': state.skipped,
            'skipped_in_a_row': state.skipped_in_a_row,
        }
        return state, metrics

    return step


def make_describe(network: Network) -> Callable[[Variables, Array], Features]:
    """Returns `describe(variables, images)`: logits and features, traced."""

    def describe(variables: Variables, images: Array) -> Features:
        return network.apply(variables, images, train=False)

    return describe
