"""Smoothing and resampling of feature maps by small filters of rows and columns.

Written as sums of shifted maps: on CPUs the gradient of a convolution of each channel by itself is far slower.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
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
    weights = [gain**0.5 * tap / sum(taps) for tap in taps]
    for axis in (1, 2):
        edges = [(low, high) if axis == side else (0, 0) for side in range(4)]
        padded = jnp.pad(x, edges)
        length = padded.shape[axis] - len(taps) + 1
        places = (jax.lax.slice_in_dim(padded, tap, tap + length, stride, axis=axis) for tap in range(len(taps)))
        x = sum(
            (weight * place for weight, place in zip(weights, places, strict=True)),
            start=jnp.zeros((), x.dtype),
        )
    return x


def smooth_upsample(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Doubles height and width, between the pixels as RESAMPLING weighs them; zeros lie around the map."""
    spread = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 0, 0)))
    return smooth(spread, RESAMPLING, 2, 1, gain=4.0)


def smooth_downsample(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Halves height and width, weighing four rows and columns by RESAMPLING."""
    return smooth(x, RESAMPLING, 1, 1, stride=2)
