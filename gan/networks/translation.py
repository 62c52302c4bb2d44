"""Networks from images to images: a generator of residual blocks, and discriminators of patches.

Johnson et al. 2016, arXiv:1603.08155, as Zhu et al. 2017 (arXiv:1703.10593, appendix 7.2) have it; Isola et al.
2017, arXiv:1611.07004. For several classes: Choi et al. 2018, arXiv:1711.09020, table 4 and 5.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from backbones.networks.normalization import GroupNorm
from gan.layers import leaky_relu
from gan.networks.heads import DiscriminatorOutput
from gan.pool import POOL, create_pool
from gan.strided import StridedConv, TransposedConv

HALVINGS = 2  # of height and width, before the residual blocks
SMALLEST_MAP = 4  # height of the maps before the last two layers of a discriminator, which take a pixel each
_EDGE, _KERNEL = 7, 4  # of the first and last convolution, and of those that halve or double
_DRAW = nn.initializers.normal(0.02)


def reflect(x: Float[Array, 'batch height width channel'], pixels: int) -> Float[Array, 'batch _ _ channel']:
    """Pads by mirroring at the outer pixels, which are not repeated."""
    return jnp.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), mode='reflect')


def _normalize(x: Array, dtype: DTypeLike, name: str) -> Array:
    """Instance normalization: each channel of each image by itself."""
    return GroupNorm(epsilon=1e-5, dtype=dtype, groups=x.shape[-1], name=name)(x)


class ResidualTranslator(nn.Module):
    """Images to images of the same size, any multiple of 4: halved twice, residual blocks, doubled twice.

    Padding mirrors but for the layers that halve and double, which pad with zeros and have kernels of 4x4, so that
    all pixels of a doubled map are sums of as many products.

    The class that an image shall become is a further channel, 1 everywhere, of as many as there are. The first
    convolution is then not normalized: that would take away the mean of each map, and all that such channels tell.

    Attributes:
      resolution: of the images in training; others can be translated.
      channels: of the images.
      num_classes: that images can become; 0 where there is one kind alone.
      first_width: features at full size; twice as many at each halving.
      blocks: residual blocks.
      dtype: type of the computation; images are float32.
    """

    resolution: int
    channels: int
    num_classes: int
    first_width: int
    blocks: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, images: Float[Array, 'batch height width channels'], labels: Int[Array, 'batch'] | None = None
    ) -> Float[Array, 'batch height width channels']:
        """Translates images in [-1, 1], to these classes where there are several."""
        if self.num_classes:
            planes = jax.nn.one_hot(labels, self.num_classes)[:, None, None, :]
            shape = (*images.shape[:-1], self.num_classes)
            x = reflect(jnp.concatenate([images, jnp.broadcast_to(planes, shape)], axis=-1), _EDGE // 2)
            x = jax.nn.relu(_convolve('from_image', x, self.first_width, _EDGE, self.dtype))
        else:
            x = jax.nn.relu(self._mirrored('from_image', images, self.first_width, _EDGE))
        for level in range(1, HALVINGS + 1):
            x = StridedConv(self.first_width << level, _KERNEL, self.dtype, name=f'down{level}')(x)
            x = jax.nn.relu(_normalize(x, self.dtype, f'down{level}_norm'))
        for number in range(self.blocks):
            y = jax.nn.relu(self._mirrored(f'block{number}_first', x, x.shape[-1], 3))
            x = x + self._mirrored(f'block{number}_second', y, x.shape[-1], 3)
        for level in reversed(range(HALVINGS)):
            x = TransposedConv(self.first_width << level, _KERNEL, self.dtype, name=f'up{level}')(x)
            x = jax.nn.relu(_normalize(x, self.dtype, f'up{level}_norm'))
        x = _convolve('to_image', reflect(x, _EDGE // 2), self.channels, _EDGE, self.dtype)
        return jnp.tanh(x.astype(jnp.float32))

    def _mirrored(self, name: str, x: Array, features: int, size: int) -> Array:
        x = _convolve(name, reflect(x, size // 2), features, size, self.dtype)
        return _normalize(x, self.dtype, f'{name}_norm')


def _convolve(name: str, x: Array, features: int, size: int, dtype: DTypeLike) -> Array:
    """A convolution without padding."""
    return nn.Conv(features, (size, size), padding='VALID', kernel_init=_DRAW, dtype=dtype, name=name)(x)


class PooledPatchDiscriminator(nn.Module):
    """A logit for each of the overlapping patches of an image: 70x70 pixels with three layers of stride 2.

    Attributes:
      resolution, channels, dtype: as in ResidualTranslator.
      layers: convolutions with stride 2; one without and the verdict follow.
      first_width: features of the first; every further one has twice as many,
      max_width: but at most these.
      pool: earlier fakes that its variables hold, see `gan.pool`; 0 for none.
    """

    resolution: int
    channels: int
    layers: int
    first_width: int
    max_width: int
    pool: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Float[Array, 'batch height width channels']) -> DiscriminatorOutput:
        """Judges patches, those of an image after those of the image before it."""
        if self.pool:
            shape = (self.pool, self.resolution, self.resolution, self.channels)
            for name, value in create_pool(shape).items():
                self.variable(POOL, name, lambda value=value: value)
        x = images
        for layer in range(self.layers):
            x = StridedConv(self._width(layer), _KERNEL, self.dtype, name=f'conv{layer}')(x)
            x = leaky_relu(_normalize(x, self.dtype, f'norm{layer}') if layer else x)
        x = self._shrink('hidden', x, self._width(self.layers))
        x = leaky_relu(_normalize(x, self.dtype, 'hidden_norm'))
        logits = self._shrink('logits', x, 1).astype(jnp.float32).reshape(-1)
        return DiscriminatorOutput(logits, jnp.zeros((len(logits), 0)))

    def _width(self, layer: int) -> int:
        return min(self.first_width << layer, self.max_width)

    def _shrink(self, name: str, x: Array, features: int) -> Array:
        """A convolution of 4x4 with one pixel of padding, which takes one off height and width."""
        return _convolve(name, jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), features, _KERNEL, self.dtype)


class ClassPatchDiscriminator(nn.Module):
    """A logit for each of the overlapping patches of an image, and its class: convolutions without normalization.

    Attributes:
      resolution, channels, dtype: as in ResidualTranslator.
      num_classes: that an image may be of.
      layers, first_width, max_width: as in PooledPatchDiscriminator; the verdicts follow.
    """

    resolution: int
    channels: int
    num_classes: int
    layers: int
    first_width: int
    max_width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Float[Array, 'batch height width channels']) -> DiscriminatorOutput:
        """Judges patches, those of an image after those of the image before it, and names classes."""
        x, draw = images, nn.initializers.lecun_normal()
        for layer in range(self.layers):
            width = min(self.first_width << layer, self.max_width)
            x = jax.nn.leaky_relu(StridedConv(width, _KERNEL, self.dtype, draw, name=f'conv{layer}')(x), 0.01)
        logits = nn.Conv(1, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name='logits')(x)
        whole = nn.Dense(self.num_classes, use_bias=False, dtype=self.dtype, name='classes')
        classes = whole(x.reshape(len(x), -1))
        return DiscriminatorOutput(logits.astype(jnp.float32).reshape(-1), classes.astype(jnp.float32))
