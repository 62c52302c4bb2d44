"""StyleGAN2: styles scale the weights of convolutions; nothing grows (Karras et al. 2020, arXiv:1912.04958)."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.filters import RESAMPLING, smooth, smooth_downsample, smooth_upsample
from gan.layers import Conv, Dense, MaskHead, ScaledLayer, leaky_relu
from gan.networks.heads import DiscriminatorOutput
from gan.networks.progressive import ProgressiveDiscriminator, doublings, feature_maps
from gan.networks.styles import STYLES, AddNoise, LayerStyles, Noise, StyleGenerator, unit_gain
from gan.strided import strided_conv, transposed_conv

PATH_LENGTH = 'path_length'  # in the collection of the styles
_EPSILON = 1e-8


class ModulatedConv(ScaledLayer):
    """Convolution whose weights a style scales by input channel, and which are then brought to unit length.

    The weights of each image are w s / |w s|, the length taken over all that one output sees (equations 1 and 3).
    Scaling what goes in by s, and what comes out by 1 / |w s|, gives the same numbers with one kernel for all
    images: a kernel for each would be a grouped convolution.

    Attributes:
      kernel_size: height and width of the kernel.
      demodulated: bring the weights to unit length.
      doubles: a transposed convolution with stride 2, smoothed.
    """

    kernel_size: int = 3
    demodulated: bool = True
    doubles: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width _'], style: Float[Array, 'batch style']
    ) -> Float[Array, 'batch _ _ features']:
        kernel = self._kernel((self.kernel_size, self.kernel_size, x.shape[-1], self.features), False)
        scales = 1 + Dense(x.shape[-1], gain=1.0, name='scales')(style)
        x = x.astype(self.dtype) * scales[:, None, None].astype(self.dtype)
        if self.kernel_size == 1:
            x = x @ kernel[0, 0]
        elif self.doubles:
            # One more row and column, so that the last ones reach as far as the others.
            spread = transposed_conv(jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))), kernel)
            x = smooth(spread, RESAMPLING, 1, 0, gain=4.0)
        else:
            x = jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
        if not self.demodulated:
            return x
        squares = jnp.square(kernel.astype(jnp.float32)).sum(axis=(0, 1))
        lengths = jax.lax.rsqrt(jnp.square(scales) @ squares + _EPSILON)
        return x * lengths[:, None, None].astype(self.dtype)


class _ModulatedSynthesis(nn.Module):
    """Styles to images: the images of all sizes are summed (section 4, figure 7b)."""

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
        del alpha
        width = feature_maps(4, self.fmap_base, self.fmap_max)
        constant = self.param('constant', nn.initializers.normal(1.0), (4, 4, width), jnp.float32)
        x = jnp.broadcast_to(constant.astype(self.dtype), (len(styles), 4, 4, width))
        x = self._layer('4x4_conv', 0, x, width, styles, noise)
        image = self._to_image(4, x, styles[:, 1])
        for number, resolution in enumerate(doublings(8, self.resolution), start=1):
            name, width = f'{resolution}x{resolution}', feature_maps(resolution, self.fmap_base, self.fmap_max)
            x = self._layer(f'{name}_conv0', 2 * number - 1, x, width, styles, noise, doubles=True)
            x = self._layer(f'{name}_conv1', 2 * number, x, width, styles, noise)
            image = smooth_upsample(image) + self._to_image(resolution, x, styles[:, 2 * number + 1])
        return image

    def _layer(
        self,
        name: str,
        number: int,
        x: Array,
        width: int,
        styles: Array,
        noise: Array,
        *,
        doubles: bool = False,
    ) -> Array:
        conv = ModulatedConv(width, gain=1.0, dtype=self.dtype, doubles=doubles, name=name)
        x = conv(x, styles[:, number])
        x = AddNoise(number + 1, name=f'{name}_noise')(x, noise)
        bias = self.param(f'{name}_bias', nn.initializers.zeros, (width,), jnp.float32)
        return unit_gain(x.astype(jnp.float32) + bias).astype(self.dtype)

    def _to_image(self, resolution: int, x: Array, style: Array) -> Array:
        name, shown = f'{resolution}x{resolution}_to_image', self.channels - self.mask_channels
        conv = ModulatedConv(shown, gain=1.0, dtype=self.dtype, kernel_size=1, demodulated=False, name=name)
        bias = self.param(f'{name}_bias', nn.initializers.zeros, (shown,), jnp.float32)
        head = MaskHead(self.mask_channels, dtype=self.dtype, name=f'{resolution}x{resolution}_to_mask')
        return head(conv(x, style).astype(jnp.float32) + bias, x)


class StyleGan2Generator(StyleGenerator):
    """Latents to styles to images. The running mean of path lengths, beside the styles' mean, is state as well."""

    synthesis_kind: ClassVar[type[nn.Module]] = _ModulatedSynthesis

    def setup(self) -> None:
        super().setup()
        self.path_length = self.variable(STYLES, PATH_LENGTH, jnp.zeros, (), jnp.float32)


class HalvingConv(ScaledLayer):
    """3x3 convolution with stride 2 of a smoothed map."""

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width _'], update_stats: bool = False
    ) -> Float[Array, 'batch _ _ features']:
        kernel = self._kernel((3, 3, x.shape[-1], self.features), update_stats)
        # One row and column too many, since the strided convolution takes even sides.
        smoothed = smooth(x.astype(self.dtype), RESAMPLING, 2, 3)
        return self._add_bias(strided_conv(smoothed, kernel)[:, :-1, :-1])


class StyleGan2Discriminator(ProgressiveDiscriminator):
    """PGGAN's with residual blocks and smoothed halving, at one resolution (section 4, figure 7c)."""

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'batch resolution resolution channels'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
    ) -> DiscriminatorOutput:
        """Judges images. `alpha` means nothing here; `update_stats` moves the power-iteration vectors one step."""
        x = self._from_image(self.resolution, images, update_stats)
        for resolution in reversed(doublings(8, self.resolution)):
            x = self._block(resolution, x, update_stats)
        return self._last_block(x, labels, update_stats)

    def _halve(self, name: str, x: Array, width: int, next_width: int, update_stats: bool) -> Array:
        layer = {'scaling': self._scaling, 'dtype': self.dtype}
        straight = self._conv(f'{name}_conv0', x, width, update_stats)
        straight = leaky_relu(HalvingConv(next_width, **layer, name=f'{name}_conv1')(straight, update_stats))
        shortcut = Conv(next_width, 1.0, use_bias=False, kernel_size=1, **layer, name=f'{name}_shortcut')
        return (shortcut(smooth_downsample(x), update_stats) + straight) * 0.5**0.5
