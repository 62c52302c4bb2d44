"""Doubling and halving with the filter [1, 3, 3, 1], as StyleGAN2 and R3GAN do (Zhang 2019, arXiv:1904.11486).

Zeros lie beyond the edges. Sums of shifted arrays stand for convolutions of single channels, whose gradients are
slow on CPUs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def upsample_smooth(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Doubles height and width; a constant stays itself but at the edges."""
    return _double(_double(x, 1), 2)


def downsample_smooth(x: Float[Array, 'batch height width channel']) -> Float[Array, 'batch _ _ channel']:
    """Halves even height and width; a constant stays itself but at the edges. The transpose of doubling, by 4."""
    return _halve(_halve(x, 1), 2)


def _double(x: Array, axis: int) -> Array:
    before, after = _neighbours(x, axis)
    doubled = jnp.stack([before + 3 * x, 3 * x + after], axis=axis + 1) / 4
    return doubled.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])


def _halve(x: Array, axis: int) -> Array:
    pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = (jax.lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in (0, 1))
    return (_neighbours(odd, axis)[0] + 3 * (even + odd) + _neighbours(even, axis)[1]) / 8


def _neighbours(x: Array, axis: int) -> tuple[Array, Array]:
    """What lies before and after each place along an axis; 0 beyond the ends."""
    none = [(0, 0)] * x.ndim
    padded = jnp.pad(x, [*none[:axis], (1, 1), *none[axis + 1 :]])
    before, after = (jax.lax.slice_in_dim(padded, i, i + x.shape[axis], axis=axis) for i in (0, 2))
    return before, after
