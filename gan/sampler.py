"""Images from a generator, trained or still in training, of given latents or by their numbers."""

import dataclasses
import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt8, UInt32

import input_pipeline
from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from gan.generator import TrainedGenerator, Weights
from gan.latents import draw_latents, draw_numbered
from gan.networks import Generator, ProgressiveGenerator, StyleGenerator
from gan.recipe import ImageFormat

Latents = Float[np.ndarray, 'count latent']
Labels = Int[np.ndarray, 'count']
Images = Float[np.ndarray, 'count height width channel']


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A batch of generated images.

    Attributes:
      images: in [-1, 1], clipped; NaN where the generator gave no finite number.
      masks: class ids, 0 the background; no class where masks are not modelled.
      labels: the classes asked for; 0 where there is no condition.
      numbers: of the images among those of their seed.
    """

    images: Float[np.ndarray, 'batch height width channel']
    masks: UInt8[np.ndarray, 'batch height width 1']
    labels: Int[np.ndarray, 'batch']
    numbers: Int[np.ndarray, 'batch']

    def keep(self, chosen: np.ndarray) -> 'Drawn':
        """The chosen images, in their order."""
        return Drawn(self.images[chosen], self.masks[chosen], self.labels[chosen], self.numbers[chosen])


class Sampler:
    """Draws any number of images over all devices, always as many at a time, so that one program draws all.

    Args:
      network: the generator at its resolution.
      image_format: the channels and classes that it draws.
      mesh: the devices.
      batch_size: images at a time, rounded up to what the devices can share.
      truncation: of images by number, see `check_truncation`; infinite for none.
    """

    def __init__(
        self,
        network: Generator,
        image_format: ImageFormat,
        mesh: Mesh,
        batch_size: int,
        truncation: float = math.inf,
    ) -> None:
        self._network, self._image_format = network, image_format

        def draw(weights: Weights, latents: Array, labels: Array) -> Array:
            return network.apply(weights.variables, latents, labels, weights.alpha)

        self._draw = create_mapper(draw, mesh, batch_size)
        numbered = functools.partial(draw_by_number, network, truncation=truncation)
        self._draw_by_number = create_mapper(numbered, mesh, batch_size)

    def latents(self, seed: int, count: int) -> Latents:
        """The latents of a seed's grid. All are drawn at once: others are those of a grid of another size."""
        network = self._network
        key = jax.random.key(seed)
        return np.asarray(draw_latents(key, count, network.latent_size, network.latent_distribution))

    def draw(self, weights: Weights, latents: Latents, labels: Labels) -> Images:
        """An image for each latent vector, as the network gives it: nominally in [-1, 1], masks behind."""
        return self._draw(Weights(weights.variables, np.float32(weights.alpha)), latents, labels)

    def draw_numbered(
        self, weights: Weights, seed: int, numbers: Int[np.ndarray, 'batch'], labels: Int[np.ndarray, 'batch']
    ) -> Drawn:
        """These of the images of a seed, of these classes.

        The latents of image i come from fold_in(key(seed), i), whatever else is drawn.
        """
        given = Weights(weights.variables, np.float32(weights.alpha)), np.uint32(seed)
        rows = self._draw_by_number(given, numbers.astype(np.int32), labels.astype(np.int32))
        form = self._image_format
        images, masks = input_pipeline.split_masks(rows, form.channels, form.mask_classes)
        return Drawn(np.asarray(images), np.asarray(masks, np.uint8), labels, numbers)


def draw_by_number(
    network: Generator,
    given: tuple[Weights, UInt32[Array, '']],
    numbers: Int[Array, 'batch'],
    labels: Int[Array, 'batch'],
    *,
    truncation: float,
) -> Float[Array, 'batch height width channel']:
    """These of the images of a seed, clipped to [-1, 1], masks behind; see `Sampler.draw_numbered`.

    Args:
      network: the generator at its resolution.
      given: what it draws with, and the seed.
      numbers, labels: of the images.
      truncation: see `Sampler`.
    """
    weights, seed = given
    styled = isinstance(network, StyleGenerator) and truncation < math.inf
    limit, options = (math.inf, {'truncation': truncation}) if styled else (truncation, {})
    latents = draw_numbered(jax.random.key(seed), numbers, network.latent_size, network.latent_distribution, limit)
    images = network.apply(weights.variables, latents, labels, weights.alpha, **options)
    # What is infinite must not pass as white or black.
    return jnp.where(jnp.isfinite(images), jnp.clip(images, -1, 1), jnp.nan)


def labels_in_turn(count: int, num_classes: int, label: int | None) -> Labels:
    """Classes evenly in turn, or all `label`; 0 without a condition."""
    if label is not None:
        return np.full(count, label, np.int32)
    return np.arange(count, dtype=np.int32) % max(num_classes, 1)


def check_truncation(network: Generator, truncation: float) -> None:
    """Raises UserError where truncated images would not be nearer to what was often seen in training.

    Generators with styles go this share of the way from the mean style to an image's own; others draw numbers of
    the latents again that are further from 0.
    """
    if isinstance(network, StyleGenerator):
        if truncation > 1:
            raise UserError(
                f'--truncation is {truncation}, but of this generator it is the share of the way from the mean '
                "style to an image's own; give it a share below 1."
            )
        return
    if isinstance(network, ProgressiveGenerator):
        raise UserError(
            'This generator has no truncation: it scales every latent vector to one length, so cutting its '
            'numbers off does not bring it nearer to the common ones.'
        )
    if network.latent_distribution != 'normal':
        raise UserError(
            'This generator has no truncation: it was trained on uniform latents, of which none is rare.'
        )


def draw_images(
    trained: TrainedGenerator, labels: Labels, *, seed: int, batch_size: int, truncation: float = math.inf
) -> Iterator[Drawn]:
    """Draws the first images of a seed in batches, one for each label; see `labels_in_turn` and `Sampler`."""
    sampler = Sampler(trained.network, trained.image_format, parallel.create_mesh(), batch_size, truncation)
    for start in range(0, len(labels), batch_size):
        chosen = labels[start : start + batch_size]
        yield sampler.draw_numbered(trained.weights, seed, np.arange(start, start + len(chosen)), chosen)
