"""Batch and group normalization (Ioffe and Szegedy 2015, arXiv:1502.03167; Wu and He 2018, arXiv:1803.08494).

Parameters, statistics and numbers are those of `nn.BatchNorm` and `nn.GroupNorm`. Gradients pass the pixels fewer
times, which is what normalization costs on CPUs.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

BATCH_STATS = 'batch_stats'  # the variable collection of running means and variances


def normalize(
    x: Float[Array, 'batch height width channel'],
    mean: Float[Array, '... channel'],
    variance: Float[Array, '... channel'],
    scale: Float[Array, '... channel'],
    bias: Float[Array, '... channel'],
    epsilon: float,
) -> Float[Array, 'batch height width channel']:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, in float32.

    Args:
      x: feature maps.
      mean, variance, scale, bias: of each channel, or of each channel of each image.
      epsilon: see above.
    """
    factor = jax.lax.rsqrt(variance + epsilon) * scale
    # The result is the same about any centre. About a constant, the mean's gradient is a sum of channels' numbers,
    # not one more pass over the pixels; about this one, nothing is lost where the mean is large.
    centre = jax.lax.stop_gradient(mean)
    offset = bias - (mean - centre) * factor
    centre, factor, offset = (p[:, None, None] if p.ndim > 1 else p for p in (centre, factor, offset))
    return (x.astype(jnp.float32) - centre) * factor + offset


def _moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Means of the values and of their squares, in float32."""
    wide = x.astype(jnp.float32)
    return wide.mean(axis=axes), jnp.square(wide).mean(axis=axes)


def _variance(mean: Array, square: Array) -> Array:
    """Rounding may leave less than 0."""
    return jnp.maximum(square - jnp.square(mean), 0.0)


class _Norm(nn.Module):
    """A scale that starts at 1 and a bias that starts at 0.

    Attributes:
      epsilon: added to variances.
      dtype: type of the result; statistics and parameters are float32.
    """

    epsilon: float
    dtype: DTypeLike

    def _scale_and_bias(self, channels: int) -> tuple[Array, Array]:
        scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
        return scale, self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)


class BatchNorm(_Norm):
    """Normalizes each channel by the statistics of the batch in training, and else by their running means.

    Attributes:
      momentum: share of the running statistics that is kept in each step.
    """

    momentum: float

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel'], train: bool
    ) -> Float[Array, 'batch height width channel']:
        channels = x.shape[-1]
        running = [
            self.variable(BATCH_STATS, name, fill, (channels,), jnp.float32)
            for name, fill in (('mean', jnp.zeros), ('var', jnp.ones))
        ]
        mean, variance = running[0].value, running[1].value
        if train:
            mean, square = _moments(x, (0, 1, 2))
            variance = _variance(mean, square)
            if not self.is_initializing():
                for old, new in zip(running, (mean, variance), strict=True):
                    old.value = self.momentum * old.value + (1 - self.momentum) * new
        scale, bias = self._scale_and_bias(channels)
        return normalize(x, mean, variance, scale, bias, self.epsilon).astype(self.dtype)


class GroupNorm(_Norm):
    """Normalizes each image by itself, groups of channels together.

    Attributes:
      groups: of neighbouring channels; as many as channels for instance normalization.
    """

    groups: int

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch height width channel']
    ) -> Float[Array, 'batch height width channel']:
        channels = x.shape[-1]
        size = channels // self.groups
        mean, square = _moments(x.reshape(*x.shape[:-1], self.groups, size), (1, 2, 4))
        mean, variance = (own.repeat(size, axis=-1) for own in (mean, _variance(mean, square)))
        scale, bias = self._scale_and_bias(channels)
        return normalize(x, mean, variance, scale, bias, self.epsilon).astype(self.dtype)
