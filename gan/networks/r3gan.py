"""R3GAN's networks: residual blocks of grouped convolutions without any normalisation.

Huang et al. 2024, arXiv:2501.05441, section 3 and appendix.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.filters import smooth_downsample, smooth_upsample
from gan.grouped import GroupedConv
from gan.layers import Conv, Dense, MaskHead, append_class, leaky_relu, width_at
from gan.networks.heads import DiscriminatorOutput, Head
from gan.networks.progressive import doublings

Maps = Float[Array, 'batch height width channel']
_EXPANSION = 2
_GAIN = math.sqrt(2 / 1.04)  # of a leaky rectifier with slope 0.2


class _Block(nn.Module):
    """x + a bottleneck the other way round: wider inside, and 0 at the start, so that the block is an identity.

    Attributes:
      group_size: channels of a group.
      gain: of its first two convolutions; see `_block_gain`.
      dtype: type of the computation.
    """

    group_size: int
    gain: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel']
    ) -> Float[Array, 'batch height width channel']:
        width = _EXPANSION * x.shape[-1]
        options = {'gain': self.gain, 'scaling': 'plain', 'dtype': self.dtype}
        y = leaky_relu(Conv(width, kernel_size=1, name='expand', **options)(x))
        y = leaky_relu(GroupedConv(min(self.group_size, width), self.gain, self.dtype, name='spread')(y))
        contract = Conv(x.shape[-1], kernel_size=1, name='contract', use_bias=False, **options | {'gain': 0.0})
        return x + contract(y)


class R3ganGenerator(nn.Module):
    """Latents to images: a learned 4x4 basis scaled by the latent, then blocks at each size.

    Attributes:
      resolution: height and width of the images, a power of two, at least 8.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      class_embedding: length of the class's learned embedding, which is appended to the latents.
      last_width: features at the images' resolution; every halving has twice as many,
      max_width: but at most these.
      blocks: at each size.
      group_size: channels of a group of the 3x3 convolutions.
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
    blocks: int
    group_size: int
    dtype: DTypeLike
    mask_channels: int = 0

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> Float[Array, 'batch resolution resolution channels']:
        """Draws images, nominally in [-1, 1]: the last layer is linear. The other arguments mean nothing here."""
        latents = append_class(latents, labels, self.num_classes, self.class_embedding)
        sizes = doublings(4, self.resolution)
        width = self._width(4)
        basis = self.param('basis', nn.initializers.normal(1.0), (4, 4, width), jnp.float32)
        scale = Dense(width, gain=1.0, scaling='plain', use_bias=False, dtype=self.dtype, name='latent')(latents)
        x = basis.astype(self.dtype) * scale[:, None, None]
        for size in sizes:
            if size > 4:
                x = _widen(f'{size}x{size}_width', x, self._width(size), self.dtype)
                x = smooth_upsample(x)
            x = _blocks(f'{size}x{size}', x, self.blocks, len(sizes), self.group_size, self.dtype)
        options = {'kernel_size': 1, 'gain': 1.0, 'scaling': 'plain', 'use_bias': False, 'dtype': self.dtype}
        image = Conv(self.channels - self.mask_channels, name='to_image', **options)(x)
        return MaskHead(self.mask_channels, 'plain', self.dtype, name='to_mask')(image, x).astype(jnp.float32)

    def _width(self, size: int) -> int:
        return width_at(size, self.resolution, self.last_width, self.max_width)


class R3ganDiscriminator(nn.Module):
    """Images to a verdict: the generator's stages the other way round, then a 4x4 convolution of single channels.

    Attributes:
      resolution, channels, num_classes, blocks, group_size, dtype: as in R3ganGenerator.
      condition: see Head.
      first_width: features at the images' resolution; every halving has twice as many,
      max_width: but at most these.
    """

    resolution: int
    channels: int
    num_classes: int
    condition: str
    first_width: int
    max_width: int
    blocks: int
    group_size: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'batch resolution resolution channels'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> DiscriminatorOutput:
        sizes = doublings(4, self.resolution)[::-1]
        options = {'kernel_size': 1, 'gain': 1.0, 'scaling': 'plain', 'use_bias': False, 'dtype': self.dtype}
        x = Conv(self._width(self.resolution), name='from_image', **options)(images)
        for size in sizes:
            x = _blocks(f'{size}x{size}', x, self.blocks, len(sizes), self.group_size, self.dtype)
            if size > 4:
                x = smooth_downsample(x)
                x = _widen(f'{size}x{size}_width', x, self._width(size // 2), self.dtype)
        kernel = self.param('last', nn.initializers.normal(0.25), (4, 4, x.shape[-1]), jnp.float32)
        features = jnp.sum(x.astype(jnp.float32) * kernel, axis=(1, 2))
        return Head(self.num_classes, self.condition, 'plain', name='head')(features, labels)

    def _width(self, size: int) -> int:
        return width_at(size, self.resolution, self.first_width, self.max_width)


def _blocks(name: str, x: Array, count: int, stages: int, group_size: int, dtype: DTypeLike) -> Array:
    """The blocks of one size. Their weights shrink with the number L of all blocks, so that no variance grows.

    That is Fixup's rule for blocks of three layers, L^(-1/4) (Zhang et al. 2019, arXiv:1901.09321).
    """
    gain = _GAIN * (count * stages) ** -0.25
    for number in range(count):
        x = _Block(group_size, gain, dtype, name=f'{name}_block{number}')(x)
    return x


def _widen(name: str, x: Array, width: int, dtype: DTypeLike) -> Array:
    """To another number of features, where it is another."""
    if x.shape[-1] == width:
        return x
    return Conv(width, gain=1.0, scaling='plain', use_bias=False, dtype=dtype, kernel_size=1, name=name)(x)
