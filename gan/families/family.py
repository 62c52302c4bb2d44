"""A family of GANs: its networks, how they are trained, and what it cannot do."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from gan.networks import Discriminator, Generator
from gan.optimizers import Side
from gan.step import StepRecipe, pair_updates
from gan.updates import Update

Networks = dict[str, nn.Module]
Fields = Mapping[str, Any]
Sections = Mapping[str, Fields]  # of a config, by name
PAIR: Mapping[str, Side] = {'generator': 'generator', 'discriminator': 'discriminator'}


def latents_of(generator: Generator) -> Array:
    """One latent vector, of zeros."""
    return jnp.zeros((1, generator.latent_size))


def image_of(network: nn.Module) -> Array:
    """One image of the size that a network takes, of zeros."""
    return jnp.zeros((1, network.resolution, network.resolution, network.channels))


def pair_inputs(networks: Networks) -> dict[str, tuple[Array, ...]]:
    """What a generator and a discriminator are called with."""
    labels = jnp.zeros((1,), jnp.int32)
    return {
        'generator': (latents_of(networks['generator']), labels),
        'discriminator': (image_of(networks['discriminator']), labels),
    }


def _fits(sections: Sections, resolution: int) -> str:
    del sections, resolution
    return ''


def _always(section: Fields) -> int:
    del section
    return 1


@dataclasses.dataclass(frozen=True)
class Family:
    """What an architecture is; the network that draws images is always its `generator`.

    Attributes:
      create: `create(sections, shared) -> networks` by name, in the order in which they are drawn: from the
        config's sections, and `resolution`, `channels`, `num_classes` and `dtype`.
      updates: the rows of its step.
      inputs: `inputs(networks)`: what each is called with when it is drawn.
      sides: of each network: whose optimiser it has, and with whom it is copied from another run.
      grows: from a smaller resolution to the final one.
      smallest: resolution that it can draw.
      unconditional: why it takes no classes; '' where it does.
      augments: whether all images that the discriminator sees can be augmented.
      losses, penalties: of `loss.name` and `loss.penalty`: those that it can be trained for; () all.
      repeats: `repeats(section)`: updates of the generator after which all updates repeat, from the section
        `family` of a config, which may be empty.
      fits: `fits(sections, resolution)`: how fields do not fit each other, as a sentence; '' where they do.
    """

    create: Callable[[Sections, Fields], Networks]
    updates: Callable[[StepRecipe], tuple[Update, ...]] = pair_updates
    inputs: Callable[[Networks], dict[str, tuple[Array, ...]]] = pair_inputs
    sides: Mapping[str, Side] = dataclasses.field(default_factory=lambda: PAIR)
    grows: bool = False
    smallest: int = 8
    unconditional: str = ''
    augments: bool = True
    losses: tuple[str, ...] = ()
    penalties: tuple[str, ...] = ()
    repeats: Callable[[Fields], int] = _always
    fits: Callable[[Sections, int], str] = _fits

    def refusal(
        self,
        sections: Sections,
        resolution: int,
        *,
        conditional: bool,
        augmented: bool,
        loss: str,
        penalty: str,
    ) -> str:
        """Why a config cannot be, as a sentence; '' where it can.

        Args:
          sections, resolution, conditional: of the config.
          augmented: whether it names operations of augmentation.
          loss, penalty: their names.
        """
        if resolution < self.smallest:
            return f'config.resolution is {resolution}, but these networks need at least {self.smallest}.'
        if conditional and self.unconditional:
            return f'config.conditional is set, but {self.unconditional}; set it to False.'
        if augmented and not self.augments:
            return 'config.augment.operations: this family cannot augment what it judges; leave it empty.'
        for field, value, known in (('name', loss, self.losses), ('penalty', penalty, self.penalties)):
            if known and value not in known:
                names = ' or '.join(map(repr, known))
                return f'config.loss.{field} is {value!r}, but this family is trained with {names}.'
        return self.fits(sections, resolution)


def pair(
    create_generator: Callable[..., Generator], create_discriminator: Callable[..., Discriminator], **choices: Any
) -> Family:
    """A generator against a discriminator; `choices` are other fields of the family."""

    def create(sections: Sections, shared: Fields) -> Networks:
        return {
            'generator': create_generator(**shared, **sections['generator']),
            'discriminator': create_discriminator(**shared, **sections['discriminator']),
        }

    return Family(create, **choices)
