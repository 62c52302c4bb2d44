"""Convolutions that halve or double height and width, written as ordinary ones over groups of 2x2 pixels.

The numbers are those of a convolution with stride 2 and of its transpose. XLA has no fast path for dilated
convolutions on CPUs, which strides become in the backward pass; these have no strides in either direction.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_DRAW = nn.initializers.normal(0.02)  # DCGAN, section 4


def strided_conv(
    x: Float[Array, 'batch height width in'], kernel: Float[Array, 'size size in out']
) -> Float[Array, 'batch _ _ out']:
    """Convolution with stride 2 and zero padding to half of an even height and width, the odd pixel at the end.

    Output i is the sum over t of kernel[t] x[2i + t - low], low = (size - 2) // 2; with t = 2a + b this is an
    ordinary convolution over a of pairs of pixels, b their places.
    """
    size, outputs = kernel.shape[0], kernel.shape[-1]
    taps = -(-size // 2)
    low = (size - 2) // 2
    batch, height, width, channels = x.shape
    high = 2 * taps - 2 - low
    x = jnp.pad(x, ((0, 0), (low, high), (low, high), (0, 0)))
    rows, columns = height // 2 + taps - 1, width // 2 + taps - 1
    x = x.reshape(batch, rows, 2, columns, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    pairs = _pair_taps(kernel).reshape(taps, taps, 4 * channels, outputs)
    return _convolve(x.reshape(batch, rows, columns, 4 * channels), pairs)


def transposed_conv(
    x: Float[Array, 'batch height width in'], kernel: Float[Array, 'size size in out']
) -> Float[Array, 'batch _ _ out']:
    """The transpose of `strided_conv` in its input: doubles height and width.

    Output m is the sum over all 2i + t = m + low of kernel[t] x[i].
    """
    size, channels, outputs = kernel.shape[0], x.shape[-1], kernel.shape[-1]
    taps, low = -(-size // 2), (size - 2) // 2
    batch, height, width, _ = x.shape
    pairs = _pair_taps(kernel)[::-1, ::-1].transpose(0, 1, 4, 2, 3, 5)
    edge = (taps - 1, taps - 1)
    x = jnp.pad(x, ((0, 0), edge, edge, (0, 0)))
    y = _convolve(x, pairs.reshape(taps, taps, channels, 4 * outputs))
    rows, columns = y.shape[1:3]
    y = y.reshape(batch, rows, columns, 2, 2, outputs).transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(batch, 2 * rows, 2 * columns, outputs)
    return y[:, low : low + 2 * height, low : low + 2 * width]


def _pair_taps(kernel: Float[Array, 'size size in out']) -> Float[Array, 'taps taps 2 2 in out']:
    """Neighbouring taps as pairs; a last one alone is paired with zeros."""
    size, _, channels, outputs = kernel.shape
    taps, odd = -(-size // 2), size % 2
    kernel = jnp.pad(kernel, ((0, odd), (0, odd), (0, 0), (0, 0)))
    return kernel.reshape(taps, 2, taps, 2, channels, outputs).transpose(0, 2, 1, 3, 4, 5)


def _convolve(x: Array, kernel: Array) -> Array:
    """Without padding: callers pad before, since a padded one's gradient in the kernel is slow on CPUs too."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


class _Strided(nn.Module):
    """Weights drawn from N(0, 0.02^2), and a bias that starts at 0.

    Attributes:
      features: output channels.
      kernel_size: at least 2.
      dtype: type of the computation; parameters are float32.
    """

    features: int
    kernel_size: int
    dtype: DTypeLike

    def _weights(self, channels: int) -> tuple[Array, Array]:
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        kernel = self.param('kernel', _DRAW, shape, jnp.float32)
        return kernel.astype(self.dtype), self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)

    def _add_bias(self, x: Array, bias: Array) -> Array:
        return (x.astype(jnp.float32) + bias).astype(self.dtype)


class StridedConv(_Strided):
    """`strided_conv` with a bias."""

    @nn.compact
    def __call__(self, x: Float[Array, 'batch height width _']) -> Float[Array, 'batch _ _ features']:
        kernel, bias = self._weights(x.shape[-1])
        return self._add_bias(strided_conv(x.astype(self.dtype), kernel), bias)


class TransposedConv(_Strided):
    """`transposed_conv` with a bias."""

    @nn.compact
    def __call__(self, x: Float[Array, 'batch height width _']) -> Float[Array, 'batch _ _ features']:
        kernel, bias = self._weights(x.shape[-1])
        return self._add_bias(transposed_conv(x.astype(self.dtype), kernel), bias)
