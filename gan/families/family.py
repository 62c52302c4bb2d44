"""A family of GANs: its networks, how they are trained, and what it cannot do."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from foundation.training.state import Variables
from gan.losses import WITHOUT_PAIRS
from gan.networks import Discriminator, Generator
from gan.optimizers import Side
from gan.step import StepRecipe, pair_updates
from gan.updates import Update

Networks = Mapping[str, nn.Module]
Fields = Mapping[str, Any]
Sections = Mapping[str, Fields]  # of a config, by name
PAIR: Mapping[str, Side] = {'generator': 'generator', 'discriminator': 'discriminator'}


class Coded(NamedTuple):
    """What a family finds in real images; None where it does not.

    Attributes:
      codes: of each image.
      class_probabilities: of the categories or classes that are part of a code.
      reconstructions: images drawn from the codes.
      pixel_distances: L1 distances of images to these.
      feature_distances: the same in the features of the discriminator.
    """

    codes: Float[Array, 'batch code']
    class_probabilities: Float[Array, 'batch category'] | None = None
    reconstructions: Float[Array, 'batch height width channel'] | None = None
    pixel_distances: Float[Array, 'batch'] | None = None
    feature_distances: Float[Array, 'batch'] | None = None


Encode = Callable[[Networks, Mapping[str, Variables], Array], Coded]

Traverse = Callable[[Generator, Float[np.ndarray, 'count latent']], dict[str, Float[np.ndarray, 'step latent']]]


def distances_of(one: Array, other: Array) -> Float[Array, 'batch']:
    """L1 distances of rows."""
    return jnp.abs(one - other).reshape(one.shape[0], -1).sum(axis=1)


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


# What steps of a family's own do not have: losses of pairs, and what belongs to the pair's step alone.
OWN_STEP: Mapping[str, tuple[Any, ...]] = {
    'loss.name': WITHOUT_PAIRS,
    'loss.penalty_slope': ('exact',),
    'loss.penalty_share': (1.0,),
    'loss.orthogonal_weight': (0.0,),
    'loss.joint_batches': (False,),
    'anneal.images': (0,),
}

# Networks whose last layer sees no maps, or only those of a residual, have nothing that a head could look at.
WITHOUT_MAPS: Mapping[str, tuple[Any, ...]] = {'mask_head': (False,)}


def _fits(fields: Fields) -> str:
    del fields
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
      translates: whether its generator maps images of a source to those of a target, and what it learns that
        from: images of both that are `paired`, or not, or `classes` of one set, each of which is source and
        target; '' where it draws from latents.
      repeats: `repeats(section)`: updates of the generator after which all updates repeat, from the section
        `family` of a config, which may be empty.
      allows: fields of the config, by dotted name, that cannot have all their values: those that they can have.
      fits: `fits(fields)`: how fields of the config do not fit each other, as a sentence; '' where they do.
      encode: `encode(networks, variables, images)`: what it finds in real images; None where nothing.
      traverse: `traverse(generator, latents)`: title to rows of latents in which one code alone changes; None
        where latents have no parts.
      curves: title to the names of metrics that this family alone logs.
    """

    create: Callable[[Sections, Fields], Networks]
    updates: Callable[[StepRecipe], tuple[Update, ...]] = pair_updates
    inputs: Callable[[Networks], dict[str, tuple[Array, ...]]] = pair_inputs
    sides: Mapping[str, Side] = dataclasses.field(default_factory=lambda: PAIR)
    grows: bool = False
    smallest: int = 8
    translates: Literal['', 'unpaired', 'paired', 'classes'] = ''
    repeats: Callable[[Fields], int] = _always
    allows: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    fits: Callable[[Fields], str] = _fits
    encode: Encode | None = None
    traverse: Traverse | None = None
    curves: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def refusal(self, fields: Fields) -> str:
        """Why a config with these fields cannot be, as a sentence; '' where it can."""
        name, resolution, schedule = fields['architecture'], fields['resolution'], fields['schedule']
        if not self.grows and schedule['initial_resolution'] not in (0, resolution):
            return (
                f'config.schedule.initial_resolution is {schedule["initial_resolution"]}, but a network of '
                f'architecture {name!r} does not grow; set it to 0.'
            )
        if resolution < self.smallest:
            return f'config.resolution is {resolution}; {name!r} needs at least {self.smallest}.'
        for place, values in self.allows.items():
            value = functools.reduce(lambda section, part: section[part], place.split('.'), fields)
            if value not in values:
                allowed = ' or '.join(map(repr, values))
                return f'config.{place} is {value!r}, but architecture {name!r} works only with {allowed}.'
        return self.fits(fields)


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
