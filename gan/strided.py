"""Convolutions that halve or double height and width, with derivatives that CPUs are quick at.

Three products are linear in each of two arrays: the convolution with stride 2, its transpose, and the gradient of
both in the kernel. The derivative of each is made of the two others, so that gradients, and gradients of
gradients, are these three again. JAX by itself differentiates a transposed convolution into one whose kernel is a
dilated batch of images, for which XLA has no fast path on CPUs.
"""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_SMALLEST = 8  # height or width up to which XLA's convolutions with strides are slow on CPUs, up to 100 times

Large = Float[Array, 'batch height width large']  # even height and width
Small = Float[Array, 'batch _ _ small']  # half of them
Kernel = Float[Array, 'size size large small']


@jax.custom_vjp
def strided_conv(x: Large, kernel: Kernel) -> Small:
    """Convolution with stride 2 and zero padding to half of an even height and width, the odd pixel at the end.

    Output i is the sum over t of kernel[t] x[2i + t - low], low = (size - 2) // 2.
    """
    return _convolve(x, kernel)


@jax.custom_vjp
def transposed_conv(x: Small, kernel: Float[Array, 'size size small large']) -> Large:
    """The transpose of `strided_conv` in its input: doubles height and width.

    Output m is the sum over all 2i + t = m + low of kernel[t] x[i].
    """
    batch, height, width, _ = x.shape
    large = jax.ShapeDtypeStruct((batch, 2 * height, 2 * width, kernel.shape[-1]), x.dtype)
    (doubled,) = jax.linear_transpose(lambda y: _convolve(y, kernel.swapaxes(2, 3)), large)(x)
    return doubled


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def kernel_gradient(x: Large, y: Small, size: int) -> Kernel:
    """The gradient of <strided_conv(x, kernel), y> in a kernel of this size."""
    shape = (size, size, x.shape[-1], y.shape[-1])
    (gradient,) = jax.linear_transpose(lambda kernel: _convolve(x, kernel), jax.ShapeDtypeStruct(shape, x.dtype))(
        y
    )
    return gradient


def _convolve(x: Array, kernel: Array) -> Array:
    spare = kernel.shape[0] - 2
    edges = [(spare // 2, spare - spare // 2)] * 2
    if min(x.shape[1:3]) <= _SMALLEST:
        return _multiply(jnp.pad(x, ((0, 0), *edges, (0, 0))), kernel)
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), edges, dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


def _multiply(padded: Array, kernel: Array) -> Array:
    """The same as one product of matrices: every place's neighbourhood by the kernel."""
    size = kernel.shape[0]
    ends = [2 * ((side - size) // 2) + 1 for side in padded.shape[1:3]]
    taps = itertools.product(range(size), range(size))
    places = [padded[:, row : row + ends[0] : 2, column : column + ends[1] : 2] for row, column in taps]
    return jnp.concatenate(places, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _pull_back_strided(operands: tuple[Array, Array], y: Array) -> tuple[Array, Array]:
    x, kernel = operands
    return transposed_conv(y, kernel.swapaxes(2, 3)), kernel_gradient(x, y, kernel.shape[0])


def _pull_back_transposed(operands: tuple[Array, Array], y: Array) -> tuple[Array, Array]:
    x, kernel = operands
    backwards = kernel.swapaxes(2, 3)
    return strided_conv(y, backwards), kernel_gradient(y, x, kernel.shape[0]).swapaxes(2, 3)


def _pull_back_kernel(size: int, operands: tuple[Array, Array], kernel: Array) -> tuple[Array, Array]:
    x, y = operands
    return transposed_conv(y, kernel.swapaxes(2, 3)), strided_conv(x, kernel)


strided_conv.defvjp(lambda x, kernel: (strided_conv(x, kernel), (x, kernel)), _pull_back_strided)
transposed_conv.defvjp(lambda x, kernel: (transposed_conv(x, kernel), (x, kernel)), _pull_back_transposed)
kernel_gradient.defvjp(lambda x, y, size: (kernel_gradient(x, y, size), (x, y)), _pull_back_kernel)


class _Strided(nn.Module):
    """Weights drawn at random, and a bias that starts at 0.

    Attributes:
      features: output channels.
      kernel_size: at least 2.
      dtype: type of the computation; parameters are float32.
      draw: the weights, from N(0, 0.02^2) as in DCGAN (section 4) if nothing else is said.
    """

    features: int
    kernel_size: int
    dtype: DTypeLike
    draw: nn.initializers.Initializer = nn.initializers.normal(0.02)

    def _weights(self, channels: int) -> tuple[Array, Array]:
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        kernel = self.param('kernel', self.draw, shape, jnp.float32)
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
