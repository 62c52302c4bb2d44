"""Small variations of training images, inside the compiled step."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Images = Float[Array, 'batch height width channel']


@dataclasses.dataclass(frozen=True)
class ImageAugmentation:
    """How far images are varied.

    Attributes:
      shift: pixels, at most, along each axis; what comes in from outside is -1.
      contrast: factors around the mean of an image lie from 1 - contrast to 1 + contrast.
      brightness: added, at most, each way.
    """

    shift: int
    contrast: float
    brightness: float


def vary(augmentation: ImageAugmentation, images: Images, key: PRNGKeyArray) -> Images:
    """Shifts every image in [-1, 1], and changes its contrast and brightness, each with numbers of its own."""
    keys = jax.random.split(key, 3)
    shift, (count, height, width, channels) = augmentation.shift, images.shape
    offsets = jax.random.randint(keys[0], (count, 2), 0, 2 * shift + 1)
    padded = jnp.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)], constant_values=-1.0)

    def cut(image: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(image, (*offset, 0), (height, width, channels))

    shifted = jax.vmap(cut)(padded, offsets)
    spread = (count, 1, 1, 1)
    changes = augmentation.contrast * jax.random.uniform(keys[1], spread, minval=-1.0)
    added = augmentation.brightness * jax.random.uniform(keys[2], spread, minval=-1.0)
    means = shifted.mean(axis=(1, 2, 3), keepdims=True)
    # In this form nothing changes, not even by rounding, where nothing is to change.
    return jnp.clip(shifted + changes * (shifted - means) + added, -1, 1)
