"""Generator and discriminator that grow (PGGAN), with self-attention and spectral normalization (Enhanced-GAN).

Layers are named by resolution, so the parameters of two resolutions share exactly the layers they have in common.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.attention import SelfAttention
from gan.layers import (
    HE_GAIN,
    Conv,
    Dense,
    MaskHead,
    Scaling,
    downsample,
    leaky_relu,
    minibatch_stddev,
    pixel_norm,
    upsample,
)
from gan.networks.heads import DiscriminatorOutput, Head


def feature_maps(resolution: int, fmap_base: int, fmap_max: int) -> int:
    """Channels of the block at `resolution`: min(fmap_max, fmap_base / 2^stage), stage = log2(resolution) - 1."""
    return max(min(2 * fmap_base // resolution, fmap_max), 1)


def relative_cost(resolution: int, fmap_base: int, fmap_max: int) -> float:
    """Of an image at `resolution` beside one at another: products of all blocks' convolutions, and their reads.

    A read of a feature takes about as long as 64 products on CPUs, which narrow layers feel.
    """
    sides = [side for side in (4 << power for power in range(9)) if side <= resolution]
    widths = [feature_maps(side, fmap_base, fmap_max) for side in sides]
    return float(sum(side**2 * width * (width + 64) for side, width in zip(sides, widths, strict=True)))


def lerp(old: Array, new: Array, alpha: Float[Array, ''] | float) -> Array:
    """old at alpha 0, new at alpha 1; exactly so in every type, which old + alpha (new - old) is not."""
    alpha = jnp.asarray(alpha, old.dtype)
    return (1 - alpha) * old + alpha * new


def fade_reals(images: Float[Array, 'batch height width channel'], alpha: Float[Array, ''] | float) -> Array:
    """Real images as a generator at `alpha` can show them: the finest detail comes in with the new block."""
    return lerp(upsample(downsample(images)), images, alpha)


class ProgressiveGenerator(nn.Module):
    """Latents to images; Karras et al. 2018, table 2, with SAGAN's attention before one block.

    Attributes:
      resolution: height and width of the images, a power of two, at least 4.
      channels: channels of the images (and of their masks, where they are modelled together).
      num_classes: 0 without condition.
      latent_size: length of the latent vectors.
      latent_distribution: see `latents`.
      fmap_base, fmap_max: see `feature_maps`.
      pixel_norm: normalise every pixel's features after each convolution.
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
    fmap_base: int
    fmap_max: int
    pixel_norm: bool
    attention_resolution: int
    attention_chunk: int
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
        """Draws images, nominally in [-1, 1] (the last layer is linear).

        `alpha` blends from the upsampled lower resolution (0) to this one (1).
        """
        x = self._first_block(latents, labels)
        if self.resolution == 4:
            return self._to_image(4, x)
        lower = x
        for resolution in doublings(8, self.resolution):
            lower = x
            x = self._block(resolution, x, update_stats)
        return lerp(
            upsample(self._to_image(self.resolution // 2, lower)), self._to_image(self.resolution, x), alpha
        )

    def _first_block(self, latents: Array, labels: Array) -> Array:
        if self.num_classes:
            latents = jnp.concatenate([latents, jax.nn.one_hot(labels, self.num_classes)], axis=-1)
        features = feature_maps(4, self.fmap_base, self.fmap_max)
        dense = Dense(16 * features, gain=HE_GAIN / 4, use_bias=False, dtype=self.dtype, name='4x4_dense')
        x = dense(pixel_norm(latents)).reshape(-1, 4, 4, features)
        # One bias a feature map, as after a convolution.
        bias = self.param('4x4_dense_bias', nn.initializers.zeros, (features,), jnp.float32)
        x = (x.astype(jnp.float32) + bias).astype(self.dtype)
        return self._conv('4x4_conv', self._activate(x), features)

    def _block(self, resolution: int, x: Array, update_stats: bool) -> Array:
        name = f'{resolution}x{resolution}'
        if resolution == self.attention_resolution:
            attention = SelfAttention(self.attention_chunk, self.dtype, name=f'{name}_attention')
            x = attention(x, update_stats)
        features = feature_maps(resolution, self.fmap_base, self.fmap_max)
        x = self._conv(f'{name}_conv0', upsample(x), features)
        return self._conv(f'{name}_conv1', x, features)

    def _conv(self, name: str, x: Array, features: int) -> Array:
        return self._activate(Conv(features, dtype=self.dtype, name=name)(x))

    def _activate(self, x: Array) -> Array:
        x = leaky_relu(x)
        return pixel_norm(x) if self.pixel_norm else x

    def _to_image(self, resolution: int, x: Array) -> Array:
        name, shown = f'{resolution}x{resolution}', self.channels - self.mask_channels
        image = Conv(shown, gain=1.0, kernel_size=1, dtype=self.dtype, name=f'{name}_to_image')(x)
        return MaskHead(self.mask_channels, dtype=self.dtype, name=f'{name}_to_mask')(image, x).astype(jnp.float32)


class ProgressiveDiscriminator(nn.Module):
    """Images to logits, the mirror of ProgressiveGenerator.

    Attributes:
      condition: see Head.
      spectral_norm: spectral normalization in every layer.
      stddev_group: size of the groups of `minibatch_stddev`.
      (others as in ProgressiveGenerator; attention stands after the block of
      `attention_resolution`, on its halved map.)
    """

    resolution: int
    channels: int
    num_classes: int
    fmap_base: int
    fmap_max: int
    condition: str
    spectral_norm: bool
    stddev_group: int
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
        """Judges images. `update_stats` moves the power-iteration vectors one step."""
        if self.resolution == 4:
            return self._last_block(self._from_image(4, images, update_stats), labels, update_stats)
        x = self._block(self.resolution, self._from_image(self.resolution, images, update_stats), update_stats)
        lower = self._from_image(self.resolution // 2, downsample(images), update_stats)
        x = lerp(lower, x, alpha)
        for resolution in reversed(doublings(8, self.resolution // 2)):
            x = self._block(resolution, x, update_stats)
        return self._last_block(x, labels, update_stats)

    def _from_image(self, resolution: int, images: Array, update_stats: bool) -> Array:
        name = f'{resolution}x{resolution}_from_image'
        return self._conv(name, images, self._features(resolution), update_stats, kernel_size=1)

    def _block(self, resolution: int, x: Array, update_stats: bool) -> Array:
        name = f'{resolution}x{resolution}'
        x = self._halve(name, x, self._features(resolution), self._features(resolution // 2), update_stats)
        if resolution == self.attention_resolution:
            attention = SelfAttention(self.attention_chunk, self.dtype, name=f'{name}_attention')
            x = attention(x, update_stats)
        return x

    def _halve(self, name: str, x: Array, width: int, next_width: int, update_stats: bool) -> Array:
        x = self._conv(f'{name}_conv0', x, width, update_stats)
        return downsample(self._conv(f'{name}_conv1', x, next_width, update_stats))

    def _last_block(self, x: Array, labels: Array, update_stats: bool) -> DiscriminatorOutput:
        x = self._conv('4x4_conv', minibatch_stddev(x, self.stddev_group), self._features(4), update_stats)
        x = x.reshape(x.shape[0], -1)
        dense = Dense(self._features(2), scaling=self._scaling, dtype=self.dtype, name='4x4_dense')
        features = leaky_relu(dense(x, update_stats))
        return Head(self.num_classes, self.condition, self._scaling, name='4x4_head')(
            features, labels, update_stats
        )

    def _conv(self, name: str, x: Array, features: int, update_stats: bool, kernel_size: int = 3) -> Array:
        conv = Conv(features, scaling=self._scaling, dtype=self.dtype, kernel_size=kernel_size, name=name)
        return leaky_relu(conv(x, update_stats))

    @property
    def _scaling(self) -> Scaling:
        return 'spectral' if self.spectral_norm else 'equalized'

    def _features(self, resolution: int) -> int:
        return feature_maps(resolution, self.fmap_base, self.fmap_max)


def doublings(first: int, last: int) -> list[int]:
    """first, 2 first, 4 first, ... up to and with `last`."""
    return [first << power for power in range((last // first).bit_length())] if last >= first else []
