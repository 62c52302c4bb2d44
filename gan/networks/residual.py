"""Residual networks without growth: WGAN-GP's, SNGAN's and SAGAN's, which differ in a few choices.

Gulrajani et al. 2017, arXiv:1704.00028; Miyato et al. 2018, arXiv:1802.05957; Zhang et al. 2019, arXiv:1805.08318.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.attention import SelfAttention
from gan.layers import ConditionalBatchNorm, Conv, Dense, MaskHead, Scaling, downsample, upsample, width_at
from gan.networks.heads import DiscriminatorOutput, Head
from gan.networks.progressive import doublings


class ResidualGenerator(nn.Module):
    """Latents to images: a dense layer to 4x4, then a residual block for each doubling (SNGAN, table 4).

    The class enters through the gains and biases of batch normalization.

    Attributes:
      resolution: height and width of the images, a power of two, at least 8.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      last_width: features at the images' resolution; every halving has twice as many,
      max_width: but at most these.
      spectral_norm: spectral normalization in every layer (SAGAN).
      attention_resolution: attention stands before this resolution's block, on the map of half the size; 0
        nowhere.
      attention_chunk: see SelfAttention.
      dtype: type of the computation; images are float32.
      mask_channels: the last of the channels, that a head of their own draws; see MaskHead.
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    last_width: int
    max_width: int
    spectral_norm: bool
    attention_resolution: int
    attention_chunk: int
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
        """Draws images in (-1, 1).

        `alpha` means nothing here. With `update_stats` batches are normalised by their own statistics, which enter
        the running ones, and the power iteration moves.
        """
        width = self._width(4)
        dense = Dense(16 * width, gain=1.0, scaling=self._scaling, dtype=self.dtype, name='4x4_dense')
        latents, conditions = self._conditions(latents, labels, update_stats)
        x = dense(latents, update_stats).reshape(-1, 4, 4, width)
        for resolution, condition in conditions.items():
            if resolution == self.attention_resolution:
                x = self._attend(f'{resolution}x{resolution}_attention', x, update_stats)
            x = self._block(resolution, x, condition, update_stats)
        x = jax.nn.relu(ConditionalBatchNorm(dtype=self.dtype, name='last_norm')(x, labels, update_stats))
        image = self._conv('to_image', x, self.channels - self.mask_channels, update_stats, gain=1.0)
        head = MaskHead(self.mask_channels, self._scaling, self.dtype, name='to_mask')
        image = head(image, x, update_stats)
        return jnp.tanh(image.astype(jnp.float32))

    def _conditions(self, latents: Array, labels: Array, update_stats: bool) -> tuple[Array, dict[int, Array]]:
        """What the dense layer draws from, and by resolution what the normalization of each block depends on."""
        del update_stats
        return latents, dict.fromkeys(doublings(8, self.resolution), labels)

    def _normalize(self, name: str, x: Array, condition: Array, update_stats: bool) -> Array:
        norm = ConditionalBatchNorm(num_classes=self.num_classes, dtype=self.dtype, name=name)
        return norm(x, condition, update_stats)

    def _block(self, resolution: int, x: Array, condition: Array, update_stats: bool) -> Array:
        name, width = f'{resolution}x{resolution}', self._width(resolution)

        def activate(suffix: str, x: Array) -> Array:
            return jax.nn.relu(self._normalize(f'{name}_norm{suffix}', x, condition, update_stats))

        straight = self._conv(f'{name}_conv0', upsample(activate('0', x)), width, update_stats)
        straight = self._conv(f'{name}_conv1', activate('1', straight), width, update_stats)
        # Before the doubling, which a 1x1 convolution does not feel, but for a quarter of the work.
        shortcut = upsample(self._conv(f'{name}_shortcut', x, width, update_stats, kernel_size=1, gain=1.0))
        return shortcut + straight

    def _conv(self, name: str, x: Array, width: int, update_stats: bool, **options) -> Array:
        return Conv(width, scaling=self._scaling, dtype=self.dtype, name=name, **options)(x, update_stats)

    def _attend(self, name: str, x: Array, update_stats: bool) -> Array:
        return SelfAttention(self.attention_chunk, self.dtype, name=name)(x, update_stats)

    @property
    def _scaling(self) -> Scaling:
        return 'spectral' if self.spectral_norm else 'plain'

    def _width(self, resolution: int) -> int:
        return width_at(resolution, self.resolution, self.last_width, self.max_width)


class ResidualDiscriminator(nn.Module):
    """Images to a verdict: a residual block for each halving down to 4x4, then features pooled over the pixels.

    Attributes:
      first_width: features of the first block; every further one has twice as many,
      max_width: but at most these.
      condition: see Head.
      spectral_norm: spectral normalization in every layer (SNGAN, SAGAN).
      (others as in ResidualGenerator; attention stands after the block of `attention_resolution`.)
    """

    resolution: int
    channels: int
    num_classes: int
    condition: str
    first_width: int
    max_width: int
    spectral_norm: bool
    attention_resolution: int
    attention_chunk: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'batch resolution resolution channels'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> DiscriminatorOutput:
        """Judges images. `alpha` means nothing here; `update_stats` moves the power-iteration vectors one step."""
        x, resolution, width = images, self.resolution, self.first_width
        while resolution > 4:
            x = self._block(resolution, x, min(width, self.max_width), update_stats)
            if resolution == self.attention_resolution:
                x = self._attend(f'{resolution}x{resolution}_attention', x, update_stats)
            resolution, width = resolution // 2, 2 * width
        pixels = jax.nn.relu(x).astype(jnp.float32)
        # SNGAN sums; where nothing bounds the weights, a sum would make the first logits very large.
        features = pixels.sum(axis=(1, 2)) if self.spectral_norm else pixels.mean(axis=(1, 2))
        return Head(self.num_classes, self.condition, self._scaling, name='head')(features, labels, update_stats)

    def _block(self, resolution: int, x: Array, width: int, update_stats: bool) -> Array:
        name, first = f'{resolution}x{resolution}', resolution == self.resolution

        def conv(suffix: str, x: Array, **options) -> Array:
            layer = Conv(width, scaling=self._scaling, dtype=self.dtype, name=f'{name}_{suffix}', **options)
            return layer(x, update_stats)

        # Pixels are not rectified before the first convolution.
        straight = conv('conv0', x if first else jax.nn.relu(x))
        straight = downsample(conv('conv1', jax.nn.relu(straight)))
        return conv('shortcut', downsample(x), kernel_size=1, gain=1.0) + straight

    def _attend(self, name: str, x: Array, update_stats: bool) -> Array:
        return SelfAttention(self.attention_chunk, self.dtype, name=name)(x, update_stats)

    @property
    def _scaling(self) -> Scaling:
        return 'spectral' if self.spectral_norm else 'plain'
