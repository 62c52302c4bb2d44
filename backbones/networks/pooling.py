"""Maxima of 3x3 pixels, in a form whose gradient CPUs are quick at."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_SIZE, _STRIDE = 3, 2


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
