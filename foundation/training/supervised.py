"""Training one network on one loss: the state, the update, and the weights that come of it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from foundation.training.checkpoints import Position, restore_state
from foundation.training.state import (
    NetworkState,
    Params,
    Variables,
    count_skips,
    create_network_state,
    update_network,
)

Batch = dict[str, Array]
Metrics = dict[str, Float[Array, '']]
# `loss(params, model_state, batch, key) -> (value, (model_state, metrics))`
Loss = Callable[[Params, Variables, Batch, PRNGKeyArray], tuple[Float[Array, ''], tuple[Variables, Metrics]]]


@flax.struct.dataclass
class SupervisedState:
    """All that training one network needs to go on.

    Attributes:
      network: what is trained.
      skipped: updates left out so far because a gradient was not finite.
      skipped_in_a_row: the same, counted back from the last step.
    """

    network: NetworkState
    skipped: PyTree
    skipped_in_a_row: PyTree


def create_state(variables: Variables, optimizer: optax.GradientTransformation) -> SupervisedState:
    """The state before the first step."""
    zero = jnp.zeros((), jnp.int32)
    return SupervisedState(create_network_state(variables, optimizer), zero, jnp.copy(zero))


def make_supervised_step(
    loss: Loss, optimizer: optax.GradientTransformation
) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`: one update of the network."""

    def step(state: SupervisedState, batch: Batch, key: PRNGKeyArray, controls: dict[str, Array]):
        gradient = jax.value_and_grad(loss, has_aux=True)
        network = state.network
        (value, (moved, metrics)), gradients = gradient(network.params, network.model_state, batch, key)
        updated, finite = update_network(network, gradients, moved, optimizer)
        state = count_skips(dataclasses.replace(state, network=updated), finite)
        own = {
            'loss': value,
            'gradient_norm': optax.tree.norm(gradients),
            'skipped': state.skipped,
            'skipped_in_a_row': state.skipped_in_a_row,
        }
        return state, metrics | own

    return step


def restore_variables(
    folder: Path, create_state: Callable[[PRNGKeyArray], SupervisedState], step: int | None
) -> tuple[Variables, Position]:
    """The weights of a checkpoint, and where in training they were saved.

    Args:
      folder: of checkpoints, in that of the run.
      create_state: a fresh state of this network from a key; its schedule may have any number of steps.
      step: of the checkpoint; None for the newest that can be read.

    Raises:
      UserError: when there is none that can be read.
    """

    def abstract(position: Position) -> SupervisedState:
        return jax.eval_shape(create_state, jax.random.key(0))

    missing = f'{folder.parent} holds no checkpoint that was measured; train longer first.'
    state, position = restore_state(folder, abstract, step, missing=missing)
    return state.network.variables, position
