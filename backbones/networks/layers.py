"""What the image networks are made of, with the padding and the constants of PyTorch, so that its weights fit.

The functions make a layer of the module that calls them, under the name given.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from backbones.networks.normalization import BatchNorm

_MOMENTUM = 0.9  # of the running statistics; PyTorch calls it 0.1
_SIZE, _STRIDE = 3, 2


class Features(NamedTuple):
    """What a network says of a batch of images.

    Attributes:
      logits: one for each class, in float32.
      pooled: the last feature map averaged over its pixels, in float32: what distances are measured in.
      stages: the last feature map of each resolution, the highest first: what a U-Net's decoder needs.
    """

    logits: Float[Array, 'batch class']
    pooled: Float[Array, 'batch feature']
    stages: tuple[Float[Array, 'batch _ _ _'], ...]


def conv(
    name: str,
    x: Float[Array, 'batch height width _'],
    features: int,
    kernel_size: tuple[int, int],
    dtype: DTypeLike,
    *,
    stride: int = 1,
    padded: bool = True,
) -> Float[Array, 'batch _ _ feature']:
    """A convolution without bias, odd in size, padded with zeros by half of it or not at all."""
    if kernel_size == (1, 1):
        return PointwiseConv(features, dtype, name=name)(x[:, ::stride, ::stride])
    edges = [(size // 2, size // 2) if padded else (0, 0) for size in kernel_size]
    draw = nn.initializers.he_normal()
    layer = nn.Conv(features, kernel_size, stride, edges, use_bias=False, dtype=dtype, kernel_init=draw, name=name)
    return layer(x)


class PointwiseConv(nn.Module):
    """A convolution of 1x1 pixels as a product of matrices, at whose gradient CPUs are quicker.

    Attributes:
      features: output channels.
      dtype: type of the computation; the kernel is float32, of the shape that `nn.Conv` gives it.
    """

    features: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width _']
    ) -> Float[Array, 'batch height width {self.features}']:
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.he_normal(), shape, jnp.float32)
        return x.astype(self.dtype) @ kernel[0, 0].astype(self.dtype)


def norm(
    name: str, x: Float[Array, 'batch height width channel'], train: bool, dtype: DTypeLike, epsilon: float = 1e-5
) -> Float[Array, 'batch height width channel']:
    """Batch normalization; statistics are taken in float32, in training those of the batch."""
    return BatchNorm(epsilon, dtype, _MOMENTUM, name=name)(x, train)


def norm_relu(
    name: str, x: Float[Array, 'batch height width channel'], train: bool, dtype: DTypeLike, epsilon: float = 1e-5
) -> Float[Array, 'batch height width channel']:
    """Batch normalization and a rectifier."""
    return jax.nn.relu(norm(name, x, train, dtype, epsilon))


def stem(
    images: Float[Array, 'batch height width channel'], width: int, small: bool, dtype: DTypeLike
) -> Float[Array, 'batch _ _ feature']:
    """The first convolution: 3x3 at full resolution for small images, or 7x7 at half of it."""
    kernel_size, stride = ((3, 3), 1) if small else ((7, 7), 2)
    return conv('stem_conv', images, width, kernel_size, dtype, stride=stride)


def describe(
    x: Float[Array, 'batch _ _ feature'], num_classes: int, stages: Sequence[Float[Array, 'batch _ _ _']]
) -> Features:
    """Averages the last map over its pixels, and asks the last layer for logits, both in float32."""
    pooled = x.astype(jnp.float32).mean(axis=(1, 2))
    return Features(nn.Dense(num_classes, name='head')(pooled), pooled, tuple(stages))


def max_pool(x: Float[Array, 'batch height width channel'], padding: int) -> Float[Array, 'batch _ _ channel']:
    """The largest of 3x3 pixels around every second one: first along rows, then along columns.

    Values are those of `nn.max_pool` bit for bit. So is where gradients go: to the first of equal pixels, row by
    row; `jnp.maximum` would share them. Where windows overlap, gradients are added in another order.

    Args:
      x: feature maps.
      padding: pixels without a value on each side.
    """
    edges = (padding, padding)
    x = jnp.pad(x, ((0, 0), edges, edges, (0, 0)), constant_values=-jnp.inf)
    return _largest_along(1, _largest_along(2, x))


def _largest_along(axis: int, x: Array) -> Array:
    """The largest of three neighbours, for every second place; the first where they are equal, NaN before all."""
    count = (x.shape[axis] - _SIZE) // _STRIDE + 1
    last = _STRIDE * (count - 1) + 1
    neighbours = [jax.lax.slice_in_dim(x, place, place + last, _STRIDE, axis) for place in range(_SIZE)]
    return functools.reduce(lambda old, new: jnp.where((new > old) | jnp.isnan(new), new, old), neighbours)
