"""DCGAN: strided convolutions without growth (Radford et al. 2016, arXiv:1511.06434)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.layers import ConditionalBatchNorm, MaskHead, append_class, leaky_relu, width_at
from gan.networks.heads import DiscriminatorOutput, Head
from gan.strided import StridedConv, TransposedConv

_ACTIVATIONS = {'relu': jax.nn.relu, 'leaky_relu': leaky_relu}
ACTIVATIONS = tuple(_ACTIVATIONS)
_DRAW = nn.initializers.normal(0.02)  # section 4


class DcganGenerator(nn.Module):
    """Latents to images: a dense layer to 4x4, then a transposed convolution with stride 2 for each doubling.

    Attributes:
      resolution: height and width of the images, a power of two, at least 8.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      class_embedding: length of the class's learned embedding, which is appended to the latents.
      last_width: features at the images' resolution; every halving has twice as many,
      max_width: but at most these.
      kernel_size: of all convolutions.
      batch_norm: normalise before every activation.
      activation: `relu` or `leaky_relu`.
      dtype: type of the computation; images are float32.
      mask_channels: the last of the channels, that a head of their own draws; see MaskHead.
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    class_embedding: int
    last_width: int
    max_width: int
    kernel_size: int
    batch_norm: bool
    activation: str
    dtype: DTypeLike
    mask_channels: int = dataclasses.field(default=0, kw_only=True)

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images in (-1, 1). `alpha` means nothing here; `update_stats` as in BatchNormBase."""
        latents = append_class(latents, labels, self.num_classes, self.class_embedding)
        width = self._width(4)
        dense = nn.Dense(16 * width, kernel_init=_DRAW, dtype=self.dtype, name='4x4_dense')
        x = self._activate('4x4', dense(latents).reshape(-1, 4, 4, width), labels, update_stats)
        resolution = 8
        while resolution <= self.resolution:
            x = self._double(resolution, x, labels, update_stats)
            resolution *= 2
        kernel = (self.kernel_size, self.kernel_size)
        shown = self.channels - self.mask_channels
        image = nn.Conv(shown, kernel, kernel_init=_DRAW, dtype=self.dtype, name='to_image')(x)
        image = MaskHead(self.mask_channels, 'plain', self.dtype, name='to_mask')(image, x)
        return jnp.tanh(image.astype(jnp.float32))

    def _double(self, resolution: int, x: Array, labels: Array, update_stats: bool) -> Array:
        name = f'{resolution}x{resolution}'
        conv = TransposedConv(self._width(resolution), self.kernel_size, self.dtype, name=f'{name}_conv')
        return self._activate(name, conv(x), labels, update_stats)

    def _activate(self, name: str, x: Array, labels: Array, update_stats: bool) -> Array:
        if self.batch_norm:
            x = ConditionalBatchNorm(dtype=self.dtype, name=f'{name}_norm')(x, labels, update_stats)
        return _ACTIVATIONS[self.activation](x)

    def _width(self, resolution: int) -> int:
        return width_at(resolution, self.resolution, self.last_width, self.max_width)


class DcganDiscriminator(nn.Module):
    """Images to a verdict: convolutions with stride 2, then a dense layer on all that is left.

    Attributes:
      resolution, channels, num_classes, kernel_size, dtype: as in DcganGenerator.
      condition: see Head.
      layers: convolutions; each halves height and width.
      first_width: features of the first; every further one has twice as many,
      max_width: but at most these.
      batch_norm: normalise before every activation but the first, over the batch at hand.
      dropout: share of the features left out after each activation; without an rng `dropout` none.
    """

    resolution: int
    channels: int
    num_classes: int
    condition: str
    layers: int
    first_width: int
    max_width: int
    kernel_size: int
    batch_norm: bool
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
        """Judges images. `alpha` means nothing here, and there are no statistics to update."""
        return self._judge(self._describe(images, labels, update_stats), labels)

    def _describe(self, images: Array, labels: Array, update_stats: bool) -> Float[Array, 'batch feature']:
        """The features that the verdict is made of."""
        x = images
        for layer in range(self.layers):
            width = min(self.first_width << layer, self.max_width)
            x = StridedConv(width, self.kernel_size, self.dtype, name=f'conv{layer}')(x)
            if self.batch_norm and layer > 0:
                norm = ConditionalBatchNorm(tracked=False, dtype=self.dtype, name=f'norm{layer}')
                x = norm(x, labels, update_stats)
            x = leaky_relu(x)
            x = nn.Dropout(self.dropout, deterministic=not self.has_rng('dropout'))(x)
        return x.reshape(x.shape[0], -1)

    def _judge(self, features: Array, labels: Array) -> DiscriminatorOutput:
        """The verdict of the last features, which `heads.judge` can ask for."""
        self.sow('intermediates', 'features', features)
        return Head(self.num_classes, self.condition, 'plain', name='head')(features, labels)
