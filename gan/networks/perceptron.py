"""Multilayer perceptrons: the first GAN, with classes or without.

Goodfellow et al. 2014, arXiv:1406.2661; Mirza and Osindero 2014, arXiv:1411.1784.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.layers import Dense
from gan.networks.heads import DiscriminatorOutput, Head


class Perceptron(nn.Module):
    """Hidden layers of rectified units, then a linear one in float32.

    Attributes:
      layers: hidden ones,
      width: features of each.
      features: of the last one.
      dtype: type of the hidden layers.
    """

    layers: int
    width: int
    features: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, 'batch _']) -> Float[Array, 'batch features']:
        for number in range(self.layers):
            x = jax.nn.relu(Dense(self.width, scaling='plain', dtype=self.dtype, name=f'hidden{number}')(x))
        return Dense(self.features, gain=1.0, scaling='plain', name='last')(x.astype(jnp.float32))


class PerceptronGenerator(nn.Module):
    """Latents to images: hidden layers with rectifiers, then all pixels at once. A class joins the latent.

    Attributes:
      resolution: height and width of the images.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      layers: hidden ones,
      width: features of each.
      dtype: type of the computation; images are float32.
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    layers: int
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images in (-1, 1). `alpha` and `update_stats` mean nothing here."""
        shape = (self.resolution, self.resolution, self.channels)
        network = Perceptron(self.layers, self.width, math.prod(shape), self.dtype, name='layers')
        return jnp.tanh(network(join_class(latents, labels, self.num_classes))).reshape(-1, *shape)


class PerceptronDiscriminator(nn.Module):
    """Images to a verdict: maxout layers with dropout (Goodfellow et al. 2013, arXiv:1302.4389).

    Attributes:
      resolution, channels, num_classes, dtype: as in PerceptronGenerator.
      condition: `concatenation`, the class joins the pixels, or see Head.
      layers: hidden ones,
      width: features of each,
      pieces: linear maps whose largest value is a feature.
      dropout: share of the features left out after each hidden layer; without an rng `dropout` none.
    """

    resolution: int
    channels: int
    num_classes: int
    condition: str
    layers: int
    width: int
    pieces: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'batch resolution resolution channels'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> DiscriminatorOutput:
        joined = self.condition == 'concatenation'
        x = join_class(images.reshape(len(images), -1), labels, self.num_classes if joined else 0)
        drop = nn.Dropout(self.dropout, deterministic=not self.has_rng('dropout'))
        for number in range(self.layers):
            layer = Dense(self.pieces * self.width, scaling='plain', dtype=self.dtype, name=f'hidden{number}')
            x = drop(layer(x).reshape(-1, self.pieces, self.width).max(axis=1))
        head = Head(0 if joined else self.num_classes, self.condition, 'plain', name='head')
        return head(x, labels)


def join_class(
    x: Float[Array, 'batch feature'], labels: Int[Array, 'batch'], num_classes: int
) -> Float[Array, 'batch _']:
    """The vector with the class behind it, 1 at its place; as it is where there are none."""
    return jnp.concatenate([x, jax.nn.one_hot(labels, num_classes, dtype=x.dtype)], axis=-1)
