"""The state of adversarial training, and how it grows to the next resolution."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gan import adaptation
from gan.layers import BATCH_STATS
from gan.networks import Discriminator, Generator
from training.state import NetworkState, Variables, create_network_state

# An int32 scalar; any leaf will do, since JAX also builds states of shapes, shardings and the like.
Counter = PyTree


@flax.struct.dataclass
class GanState:
    """All that training needs to go on.

    Attributes:
      generator, discriminator: the two networks.
      ema: running mean of the generator's parameters, and the batch statistics of a generator with these; every
        evaluation uses them.
      augmentation: how probable augmentations are.
      skipped: updates left out so far because a gradient was not finite.
      skipped_in_a_row: the same, counted back from the last step.
    """

    generator: NetworkState
    discriminator: NetworkState
    ema: Variables
    augmentation: adaptation.AdaptiveState
    skipped: Counter
    skipped_in_a_row: Counter

    @property
    def ema_variables(self) -> Variables:
        """The averaged generator, for the generator's `apply`."""
        return {**self.generator.model_state, **self.ema}


def create_state(
    generator: Generator,
    discriminator: Discriminator,
    optimizers: tuple,
    key: PRNGKeyArray,
    *,
    augmentation_probability: float,
) -> GanState:
    """Freshly drawn networks at their resolution."""
    generator_key, discriminator_key = jax.random.split(key)
    labels = jnp.zeros((1,), jnp.int32)
    latents = jnp.zeros((1, generator.latent_size))
    images = jnp.zeros((1, discriminator.resolution, discriminator.resolution, discriminator.channels))
    artist = create_network_state(generator.init(generator_key, latents, labels), optimizers[0])
    critic = create_network_state(discriminator.init(discriminator_key, images, labels), optimizers[1])
    # A copy: the two trees are donated together, and one buffer cannot be donated twice.
    averaged = {name: value for name, value in artist.variables.items() if name in ('params', BATCH_STATS)}
    zero = jnp.zeros((), jnp.int32)
    return GanState(
        generator=artist,
        discriminator=critic,
        ema=jax.tree.map(jnp.copy, averaged),
        augmentation=adaptation.start(augmentation_probability),
        skipped=zero,
        skipped_in_a_row=jnp.copy(zero),
    )


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
        generator=_grow_network(old.generator, new.generator),
        discriminator=_grow_network(old.discriminator, new.discriminator),
        ema=graft(old.ema, new.ema),
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


def ema_decay(batch_size: int, images_seen: Array, half_life: float, ramp: float) -> Float[Array, '']:
    """Decay a step so that a weight's share halves every `half_life` images.

    Early on the half-life is at most `ramp` times the images seen (no limit where ramp is 0), so that the mean
    forgets its random start (Karras et al. 2020, arXiv:2006.06676, appendix B).
    """
    limit = ramp * images_seen if ramp else jnp.inf
    return 0.5 ** (batch_size / jnp.maximum(jnp.minimum(half_life, limit), 1e-8))
