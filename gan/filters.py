"""Smoothing and resampling of feature maps by small filters of rows and columns.

Written as products with matrices: on CPUs the gradient of a convolution of each channel by itself is far slower,
and sums of shifted maps take long to compile.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BINOMIAL = (1.0, 2.0, 1.0)  # StyleGAN's
RESAMPLING = (1.0, 3.0, 3.0, 1.0)  # StyleGAN2's


def smooth(
    x: Float[Array, 'batch height width channel'],
    taps: Sequence[float],
    low: int,
    high: int,
    *,
    gain: float = 1.0,
    stride: int = 1,
) -> Float[Array, 'batch _ _ channel']:
    """Rows and columns, with zeros around them, weighted by the taps.

    Args:
      x: feature maps.
      taps: weights along each side; they are divided by their sum.
      low, high: zeros before and after each side.
      gain: factor of the result.
      stride: of both sides.
    """
    weights = gain**0.5 * np.asarray(taps) / sum(taps)
    for axis, size in ((1, x.shape[1]), (2, x.shape[2])):
        places = np.arange(size)[:, None] + low - stride * np.arange((size + low + high - len(taps)) // stride + 1)
        reached = (places >= 0) & (places < len(taps))
        matrix = jnp.asarray(np.where(reached, weights[np.clip(places, 0, len(taps) - 1)], 0), x.dtype)
        smoothed = jnp.tensordot(x, matrix, (axis, 0), precision=jax.lax.Precision.HIGHEST)
        x = jnp.moveaxis(smoothed, -1, axis)
    return x


def smooth_upsample(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Doubles height and width, between the pixels as RESAMPLING weighs them; zeros lie around the map."""
    spread = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 0, 0)))
    return smooth(spread, RESAMPLING, 2, 1, gain=4.0)


def smooth_downsample(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Halves height and width, weighing four rows and columns by RESAMPLING."""
    return smooth(x, RESAMPLING, 1, 1, stride=2)
