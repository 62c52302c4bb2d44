"""Convolutions of groups of channels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Images = Float[Array, 'batch height width channel']
Kernel = Float[Array, 'size size group channel']


def spread_groups(kernel: Kernel) -> Float[Array, 'size size channel channel']:
    """The dense kernel that does what a grouped one does: zeros between channels of different groups."""
    group, channels = kernel.shape[2:]
    places = jnp.arange(channels) // group
    same = (places[:, None] == places[None, :]).astype(kernel.dtype)
    return jnp.tile(kernel, (1, 1, channels // group, 1)) * same


def grouped_conv(
    x: Float[Array, 'batch height width channel'], kernel: Kernel
) -> Float[Array, 'batch height width channel']:
    """A convolution with zero padding in which every group of channels looks at itself alone.

    On CPUs the kernel is spread to a dense one: XLA's gradients of grouped convolutions are 15 times slower there.
    """
    group, channels = kernel.shape[2:]
    groups = channels // group
    if jax.default_backend() == 'cpu':
        kernel, groups = spread_groups(kernel), 1
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), 'SAME', feature_group_count=groups, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


class GroupedConv(nn.Module):
    """`grouped_conv` of 3x3 with a bias that starts at 0; weights are drawn from N(0, gain^2 / fan_in).

    Attributes:
      group_size: channels of a group.
      gain: see above.
      dtype: type of the computation; parameters are float32.
    """

    group_size: int
    gain: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel']
    ) -> Float[Array, 'batch height width channel']:
        channels = x.shape[-1]
        draw = nn.initializers.normal(self.gain * (9 * self.group_size) ** -0.5)
        kernel = self.param('kernel', draw, (3, 3, self.group_size, channels), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
        y = grouped_conv(x.astype(self.dtype), kernel.astype(self.dtype))
        return (y.astype(jnp.float32) + bias).astype(self.dtype)
