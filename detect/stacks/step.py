"""One update of a detector of volumes: plain single-device mathematics on a global batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from detect.networks import StackDetector
from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step


def make_train_step(
    network: StackDetector, optimizer: optax.GradientTransformation
) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`: one update on the log loss."""

    def loss(params: PyTree, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        logits = logits_of({'params': params, **model_state}, batch['features'], batch['valid'])
        value = optax.sigmoid_binary_cross_entropy(logits, batch['label'].astype(jnp.float32)).mean()
        accuracy = jnp.mean((logits > 0) == (batch['label'] > 0))
        return value, (model_state, {'accuracy': accuracy})

    def logits_of(variables: Variables, features: Array, valid: Array) -> Array:
        return network.apply(variables, features, valid)[0]

    return make_supervised_step(loss, optimizer)


def make_describe(network: StackDetector) -> Callable[..., Any]:
    """Returns `describe(variables, features, valid)`: logits and weights of slices, traced."""

    def describe(variables: Variables, features: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
        return network.apply(variables, features, valid)

    return describe
