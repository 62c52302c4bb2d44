"""States as pytrees of arrays, and the updates every task needs."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PyTree

Params = PyTree
Variables = dict[str, Any]


@flax.struct.dataclass
class NetworkState:
    """A network and its optimiser.

    Attributes:
      params: trained parameters.
      model_state: every other variable collection, by name.
      opt_state: the optimiser's state.
    """

    params: Params
    model_state: PyTree
    opt_state: optax.OptState

    @property
    def variables(self) -> Variables:
        """What `Module.apply` takes."""
        return {'params': self.params, **self.model_state}


def create_network_state(variables: Variables, optimizer: optax.GradientTransformation) -> NetworkState:
    """Splits the variables of `Module.init` and starts the optimiser."""
    model_state = {name: value for name, value in variables.items() if name != 'params'}
    return NetworkState(variables['params'], model_state, optimizer.init(variables['params']))


def all_finite(tree: PyTree) -> Bool[Array, '']:
    """Whether no leaf holds a NaN or an infinity."""
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))


def update_network(
    network: NetworkState, gradients: Params, model_state: Variables, optimizer: optax.GradientTransformation
) -> tuple[NetworkState, Bool[Array, '']]:
    """One optimiser step, or the unchanged network where a gradient is not finite.

    Returns:
      The network, and whether it was updated.
    """
    updates, opt_state = optimizer.update(gradients, network.opt_state, network.params)
    updated = NetworkState(optax.apply_updates(network.params, updates), model_state, opt_state)
    finite = all_finite((gradients, model_state)) if model_state else all_finite(gradients)
    return select(finite, updated, network), finite


def count_skips(state: Any, updated: Bool[Array, '']) -> Any:
    """Counts a step in which not every update was made, in a state's `skipped` and `skipped_in_a_row`."""
    missed = 1 - updated.astype(jnp.int32)
    in_a_row = select(updated, jnp.zeros_like(missed), state.skipped_in_a_row + 1)
    return dataclasses.replace(state, skipped=state.skipped + missed, skipped_in_a_row=in_a_row)


def select(condition: Bool[Array, ''], chosen: PyTree, otherwise: PyTree) -> PyTree:
    """`chosen` where the condition holds, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, otherwise)
