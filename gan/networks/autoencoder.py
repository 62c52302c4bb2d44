"""Networks of adversarial autoencoders: dense layers between images and codes.

Makhzani et al. 2016, arXiv:1511.05644. A code is a vector, and where there are classes, one of them beside it.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.networks.heads import DiscriminatorOutput
from gan.networks.perceptron import Perceptron

_LAYERS = 2  # hidden ones of every network


class EncodedImages(NamedTuple):
    """Codes of images.

    Attributes:
      codes: without the class.
      class_logits: no columns where there are no classes.
    """

    codes: Float[Array, 'batch code']
    class_logits: Float[Array, 'batch classes']


class DenseEncoder(nn.Module):
    """Images to codes and classes.

    Attributes:
      resolution, channels, num_classes, dtype: as in DcganGenerator.
      code_size: numbers of a code.
      width: of the hidden layers.
    """

    resolution: int
    channels: int
    num_classes: int
    code_size: int
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Float[Array, 'batch resolution resolution channels']) -> EncodedImages:
        found = Perceptron(_LAYERS, self.width, self.code_size + self.num_classes, self.dtype, name='layers')(
            images.reshape(images.shape[0], -1)
        )
        return EncodedImages(found[:, : self.code_size], found[:, self.code_size :])


class DenseDecoder(nn.Module):
    """Codes and classes to images.

    Attributes:
      latent_size, latent_distribution: of the codes: the prior that they are given.
      (others as in DenseEncoder.)
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    width: int
    dtype: DTypeLike

    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images in (-1, 1). `alpha` means nothing here, and there are no statistics to update."""
        return self.decode(latents, jax.nn.one_hot(labels, self.num_classes))

    @nn.compact
    def decode(
        self, codes: Float[Array, 'batch latent'], classes: Float[Array, 'batch classes']
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images of codes, and of the probability of each class."""
        shape = (-1, self.resolution, self.resolution, self.channels)
        layers = Perceptron(_LAYERS, self.width, self.resolution**2 * self.channels, self.dtype, name='layers')
        return jnp.tanh(layers(jnp.concatenate([codes, classes], axis=1)).reshape(shape))


class CodeDiscriminator(nn.Module):
    """Codes to a verdict: of the prior (real) or of the encoder?

    Attributes:
      width: of the hidden layers.
      dtype: their type.
    """

    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, codes: Float[Array, 'batch _']) -> DiscriminatorOutput:
        logits = Perceptron(_LAYERS, self.width, 1, self.dtype, name='layers')(codes)[:, 0]
        return DiscriminatorOutput(logits, jnp.zeros((codes.shape[0], 0)))
