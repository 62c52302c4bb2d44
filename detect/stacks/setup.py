"""From a stack detector's config to the objects it describes."""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree
from ml_collections import ConfigDict

from backbones.setup import create_optimizer
from detect.networks import StackDetector
from foundation.training.errors import UserError
from foundation.training.fields import RUN_LOWEST, check_values
from foundation.training.state import Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, create_state, make_supervised_step

_LOWEST = {
    'seed': 0,
    'stack.width': 1,
    'stack.slices': 1,
    'optimizer.learning_rate': 0.0,
    'optimizer.weight_decay': 0.0,
    'optimizer.warmup': 0.0,
    'schedule.epochs': 1,
    'schedule.batch_size': 1,
    'watch.epochs': 1,
    **RUN_LOWEST,
}
_HIGHEST = {'seed': 2**32 - 1, 'optimizer.warmup': 1.0}


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked without data.

    Raises:
      UserError: for the first value that cannot be used.
    """
    check_values(config, choices={}, lowest=_LOWEST, highest=_HIGHEST)
    if not config.data.name:
        raise UserError('config.data.name is empty; name a data set that detect.prepare wrote.')
    if not config.slices_from:
        raise UserError('config.slices_from is empty; name the workdir of a finished detector of images.')


def create_network(config: ConfigDict) -> StackDetector:
    """The configured network."""
    return StackDetector(config.stack.width)


def create_state_of(config: ConfigDict, features: int, steps: int, key: PRNGKeyArray) -> SupervisedState:
    """A fresh state for slices of so many features."""
    shape = (1, config.stack.slices)
    variables = create_network(config).init(key, jnp.zeros((*shape, features)), jnp.ones(shape, bool))
    return create_state(variables, create_optimizer(config, steps))


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
