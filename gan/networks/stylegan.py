"""StyleGAN: styles decide the mean and deviation of every feature map (Karras et al. 2019, arXiv:1812.04948)."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from gan.filters import BINOMIAL, smooth
from gan.layers import Conv, Dense, MaskHead, leaky_relu, upsample
from gan.networks.progressive import doublings, feature_maps, lerp
from gan.networks.styles import AddNoise, LayerStyles, Noise, StyleGenerator

_EPSILON = 1e-8


class AdaptiveNorm(nn.Module):
    """AdaIN: each map of each image gets the mean and the deviation that a style asks for (equation 1)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel'], style: Float[Array, 'batch style']
    ) -> Float[Array, 'batch height width channel']:
        width = x.shape[-1]
        scale, bias = jnp.split(Dense(2 * width, gain=1.0, name='style')(style), 2, axis=-1)
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(axis=(1, 2), keepdims=True)
        deviation = jnp.sqrt(jnp.square(centred).mean(axis=(1, 2), keepdims=True) + _EPSILON)
        return (centred / deviation * (1 + scale[:, None, None]) + bias[:, None, None]).astype(x.dtype)


class _AdaptiveSynthesis(nn.Module):
    """Styles to images. The last block fades in, so that the network can grow."""

    resolution: int
    channels: int
    fmap_base: int
    fmap_max: int
    dtype: DTypeLike
    mask_channels: int

    @nn.compact
    def __call__(
        self, styles: LayerStyles, alpha: Float[Array, ''] | float, noise: Noise
    ) -> Float[Array, 'batch resolution resolution channels']:
        width = feature_maps(4, self.fmap_base, self.fmap_max)
        constant = self.param('constant', nn.initializers.normal(1.0), (4, 4, width), jnp.float32)
        x = jnp.broadcast_to(constant.astype(self.dtype), (len(styles), 4, 4, width))
        x = self._style('4x4_style0', 0, x, styles, noise)
        x = self._style('4x4_style1', 1, self._conv('4x4_conv', x, width), styles, noise)
        lower = x
        for number, resolution in enumerate(doublings(8, self.resolution), start=1):
            name, width = f'{resolution}x{resolution}', feature_maps(resolution, self.fmap_base, self.fmap_max)
            lower = x
            x = smooth(self._conv(f'{name}_conv0', upsample(x), width), BINOMIAL, 1, 1)
            x = self._style(f'{name}_style0', 2 * number, x, styles, noise)
            x = self._style(f'{name}_style1', 2 * number + 1, self._conv(f'{name}_conv1', x, width), styles, noise)
        before = upsample(self._to_image(self.resolution // 2, lower))
        return lerp(before, self._to_image(self.resolution, x), alpha)

    def _conv(self, name: str, x: Array, width: int) -> Array:
        return Conv(width, use_bias=False, dtype=self.dtype, name=name)(x)

    def _style(self, name: str, number: int, x: Array, styles: Array, noise: Array) -> Array:
        """What follows each convolution: noise, bias, rectifier, style."""
        x = AddNoise(number, name=f'{name}_noise')(x, noise)
        bias = self.param(f'{name}_bias', nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = leaky_relu(x.astype(jnp.float32) + bias).astype(self.dtype)
        return AdaptiveNorm(name=name)(x, styles[:, number])

    def _to_image(self, resolution: int, x: Array) -> Array:
        name, shown = f'{resolution}x{resolution}', self.channels - self.mask_channels
        image = Conv(shown, gain=1.0, kernel_size=1, dtype=self.dtype, name=f'{name}_to_image')(x)
        return MaskHead(self.mask_channels, dtype=self.dtype, name=f'{name}_to_mask')(image, x).astype(jnp.float32)


class StyleGanGenerator(StyleGenerator):
    """Latents to styles to images, from 8x8 on; PGGAN's discriminator judges them."""

    synthesis_kind: ClassVar[type[nn.Module]] = _AdaptiveSynthesis
