"""Images from a trained generator, each a function of the seed, its number and its class alone."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

import input_pipeline
from foundation.training import parallel
from foundation.training.mapping import create_mapper
from gan.generator import TrainedGenerator
from gan.latents import draw_latents


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


class Drawer:
    """Draws images by their numbers, over all devices; always as many at a time, so that one program draws all.

    The latents of image i come from fold_in(key(seed), i).

    Args:
      trained: the generator.
      seed: of the latents.
      batch_size: images at a time, rounded up to what the devices can share.
    """

    def __init__(self, trained: TrainedGenerator, *, seed: int, batch_size: int) -> None:
        self._trained = trained
        network = trained.network
        draw = functools.partial(
            draw_latents, count=1, size=network.latent_size, distribution=network.latent_distribution
        )

        def sample(variables, numbers: Int[Array, 'batch'], labels: Int[Array, 'batch']) -> Array:
            key = jax.random.key(seed)
            latents = jax.vmap(lambda number: draw(jax.random.fold_in(key, number)))(numbers)[:, 0]
            images = network.apply(variables, latents, labels, trained.alpha)
            # What is infinite must not pass as white or black.
            return jnp.where(jnp.isfinite(images), jnp.clip(images, -1, 1), jnp.nan)

        self._sample = create_mapper(sample, parallel.create_mesh(), batch_size)

    def draw(self, numbers: Int[np.ndarray, 'batch'], labels: Int[np.ndarray, 'batch']) -> Drawn:
        """Draws these images, of these classes."""
        form = self._trained.image_format
        rows = self._sample(self._trained.variables, numbers.astype(np.int32), labels.astype(np.int32))
        images, masks = input_pipeline.split_masks(rows, form.channels, form.mask_classes)
        return Drawn(np.asarray(images), np.asarray(masks, np.uint8), labels, numbers)


def labels_in_turn(count: int, num_classes: int, label: int | None) -> Int[np.ndarray, 'count']:
    """Classes evenly in turn, or all `label`; 0 without a condition."""
    if label is not None:
        return np.full(count, label, np.int32)
    return np.arange(count, dtype=np.int32) % max(num_classes, 1)


def draw_images(
    trained: TrainedGenerator, count: int, *, seed: int, batch_size: int, label: int | None
) -> Iterator[Drawn]:
    """Draws the first `count` images of a seed in batches; see `labels_in_turn`."""
    drawer = Drawer(trained, seed=seed, batch_size=batch_size)
    labels = labels_in_turn(count, trained.image_format.num_classes, label)
    for start in range(0, count, batch_size):
        chosen = labels[start : start + batch_size]
        yield drawer.draw(np.arange(start, start + len(chosen)), chosen)
