"""From images as the pipeline has them to what a trained network expects."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from foundation.training.errors import UserError

_COLOURS = 3


@dataclass(frozen=True)
class Preprocess:
    """The whole image, resized to a square; grey becomes three equal channels; then mean and deviation.

    Attributes:
      size: height and width that the network sees, in pixels.
      mean: of each channel of images in [0, 1]; it becomes 0,
      std: and this deviation from it 1.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def resize(self) -> str:
        """How images are resized, for reports."""
        return f'whole image to {self.size}x{self.size} pixels, bilinear, antialiased where it shrinks'

    def prepare(self, images: Float[Array, 'batch height width channel']) -> Float[Array, 'batch size size 3']:
        """Prepares images in [-1, 1], of one or three channels.

        Raises:
          UserError: when they have another number of channels.
        """
        batch, height, width, channels = images.shape
        if channels not in (1, _COLOURS):
            raise UserError(
                f'Images have {channels} channels, but this extractor sees grey or colour, 1 or {_COLOURS}; '
                'choose the channels to judge, or an extractor trained on such images.'
            )
        if (height, width) != (self.size, self.size):
            shape = (batch, self.size, self.size, channels)
            images = jax.image.resize(images, shape, 'linear', antialias=True)
        return self.normalize(jnp.broadcast_to(images, (*images.shape[:3], _COLOURS)))

    def normalize(self, images: Float[Array, 'batch height width 3']) -> Float[Array, 'batch height width 3']:
        """Colours in [-1, 1] as the network was trained on them, at whatever size they have."""
        return ((images + 1) / 2 - jnp.array(self.mean)) / jnp.array(self.std)


IMAGENET = Preprocess(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = Preprocess(299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # [-1, 1] again
