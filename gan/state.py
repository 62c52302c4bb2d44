"""The state of adversarial training, and how it grows to the next resolution."""

import dataclasses
from collections.abc import Mapping, Sequence

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from foundation.training.state import NetworkState, Variables, create_network_state
from gan import adaptation
from gan.layers import BATCH_STATS

Optimizers = Mapping[str, optax.GradientTransformation]  # by network
# An int32 scalar; any leaf will do, since JAX also builds states of shapes, shardings and the like.
Counter = PyTree


@flax.struct.dataclass
class GanState:
    """All that training needs to go on.

    Attributes:
      networks: by name: `generator`, `discriminator`, and whatever else a family trains.
      averages: of networks whose parameters have a running mean: that mean, and the batch statistics of a network
        with it; every evaluation uses them.
      augmentation: how probable augmentations are.
      skipped: steps with an update that was left out, because a gradient was not finite.
      skipped_in_a_row: the same, counted back from the last step.
    """

    networks: dict[str, NetworkState]
    averages: dict[str, Variables]
    augmentation: adaptation.AdaptiveState
    skipped: Counter
    skipped_in_a_row: Counter

    def averaged(self, name: str) -> Variables:
        """A network with its averaged parameters, for its `apply`."""
        return {**self.networks[name].model_state, **self.averages[name]}

    def to_former(self) -> 'FormerState':
        """The same arrays as checkpoints of format 1 hold them."""
        return FormerState(
            **self.networks,
            ema=self.averages['generator'],
            augmentation=self.augmentation,
            skipped=self.skipped,
            skipped_in_a_row=self.skipped_in_a_row,
        )

    @classmethod
    def from_former(cls, former: 'FormerState') -> 'GanState':
        """The state that a checkpoint of format 1 holds."""
        return cls(
            networks={'generator': former.generator, 'discriminator': former.discriminator},
            averages={'generator': former.ema},
            augmentation=former.augmentation,
            skipped=former.skipped,
            skipped_in_a_row=former.skipped_in_a_row,
        )


@flax.struct.dataclass
class FormerState:
    """How checkpoints of format 1 hold a GanState of two networks; see there."""

    generator: NetworkState
    discriminator: NetworkState
    ema: Variables
    augmentation: adaptation.AdaptiveState
    skipped: Counter
    skipped_in_a_row: Counter


def create_state(
    networks: dict[str, NetworkState], *, averaged: Sequence[str], augmentation_probability: float
) -> GanState:
    """The state before the first step.

    Args:
      networks: freshly drawn, with their optimisers started.
      averaged: names of those that get a running mean.
      augmentation_probability: where augmentation starts.
    """
    # Copies: all trees are donated together, and one buffer cannot be donated twice.
    averages = {name: jax.tree.map(jnp.copy, _averaged_part(networks[name])) for name in averaged}
    zero = jnp.zeros((), jnp.int32)
    return GanState(
        networks=networks,
        averages=averages,
        augmentation=adaptation.start(augmentation_probability),
        skipped=zero,
        skipped_in_a_row=jnp.copy(zero),
    )


def _averaged_part(network: NetworkState) -> Variables:
    return {name: value for name, value in network.variables.items() if name in ('params', BATCH_STATS)}


def draw_networks(
    networks: Mapping[str, nn.Module],
    inputs: Mapping[str, tuple[Array, ...]],
    optimizers: Optimizers,
    key: PRNGKeyArray,
) -> dict[str, NetworkState]:
    """All networks, freshly drawn, each for what it is called with."""
    keys = zip(networks.items(), jax.random.split(key, len(networks)), strict=True)
    drawn = {name: network.init(own, *inputs[name]) for (name, network), own in keys}
    return {name: create_network_state(variables, optimizers[name]) for name, variables in drawn.items()}


def graft(old: PyTree, new: PyTree) -> PyTree:
    """`new`, with every leaf that `old` has under the same path taken from `old`.

    Raises:
      ValueError: when such a leaf differs in shape: the two trees are not of one architecture.
    """
    known, grown = traverse_util.flatten_dict(old), traverse_util.flatten_dict(new)
    for path in known.keys() & grown.keys():
        if known[path].shape != grown[path].shape:
            raise ValueError(f'{"/".join(path)} has shape {known[path].shape}, expected {grown[path].shape}.')
        grown[path] = known[path]
    return traverse_util.unflatten_dict(grown)


def grow(old: GanState, new: GanState) -> GanState:
    """`new`, a fresh state at the next resolution, with all layers that `old` knows; optimisers start anew."""
    return GanState(
        networks={name: _grow_network(old.networks[name], network) for name, network in new.networks.items()},
        averages={name: graft(old.averages[name], average) for name, average in new.averages.items()},
        augmentation=old.augmentation,
        skipped=old.skipped,
        skipped_in_a_row=old.skipped_in_a_row,
    )


def _grow_network(old: NetworkState, new: NetworkState) -> NetworkState:
    return dataclasses.replace(
        new, params=graft(old.params, new.params), model_state=graft(old.model_state, new.model_state)
    )


def update_ema(ema: PyTree, values: PyTree, decay: Float[Array, ''] | float) -> PyTree:
    """decay * ema + (1 - decay) * values."""
    return jax.tree.map(lambda mean, value: value + (mean - value) * decay, ema, values)


def ema_decay(batch_size: int, images_seen: Array, half_life: Array | float, ramp: float) -> Float[Array, '']:
    """Decay a step so that a weight's share halves every `half_life` images.

    Early on the half-life is at most `ramp` times the images seen (no limit where ramp is 0), so that the mean
    forgets its random start (Karras et al. 2020, arXiv:2006.06676, appendix B).
    """
    limit = ramp * images_seen if ramp else jnp.inf
    return 0.5 ** (batch_size / jnp.maximum(jnp.minimum(half_life, limit), 1e-8))
