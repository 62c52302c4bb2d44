"""Feature maps of several stages as one, and maps of distances on the grid of the image."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from jaxtyping import Array, Float, Float32, Int

from foundation.training.errors import UserError

SIGMA = 4.0  # pixels of the Gaussian that smooths maps, for images of _SIDE pixels or more
_SIDE = 224
Stages = Sequence[Float[Array, 'batch _ _ _']]


class Located(NamedTuple):
    """What is strange in a batch of images.

    Attributes:
      scores: one for each image; higher is stranger.
      maps: how strange each pixel is.
    """

    scores: Float32[np.ndarray, ' batch']
    maps: Float32[np.ndarray, 'batch height width']


def join_stages(
    stages: Stages, channels: Int[np.ndarray, ' channel'] | None
) -> Float32[Array, 'batch height width channel']:
    """Maps of several stages on the grid of the first one, bilinearly, their channels one after another.

    Args:
      stages: feature maps; those of lower resolution are enlarged.
      channels: kept of all, rising; None keeps all.
    """
    height, width = stages[0].shape[1:3]
    joined, start = [], 0
    for stage in stages:
        if channels is not None:
            inside = channels[(channels >= start) & (channels < start + stage.shape[-1])]
            start, stage = start + stage.shape[-1], stage[..., inside - start]
        shape = (len(stage), height, width, stage.shape[-1])
        joined.append(jax.image.resize(stage.astype(jnp.float32), shape, 'bilinear'))
    return jnp.concatenate(joined, axis=-1)


@functools.partial(jax.jit, static_argnames=('height', 'width'))
def spread(maps: Float[Array, 'batch _ _'], height: int, width: int) -> Float[Array, 'batch {height} {width}']:
    """Maps enlarged bilinearly to an image and smoothed by a Gaussian, the edges mirrored.

    Its sigma is 4 pixels (PaDiM, section IV-C, whose images have 224 pixels a side); smaller images are smoothed
    by the same share of their shorter side.
    """
    sigma = SIGMA * min(1.0, min(height, width) / _SIDE)
    rows, columns = _spreading(maps.shape[1], height, sigma), _spreading(maps.shape[2], width, sigma)
    return jnp.einsum('Hh,bhw,Ww->bHW', rows, maps, columns, precision=jax.lax.Precision.HIGHEST)


@functools.cache
def _spreading(size: int, enlarged: int, sigma: float) -> Float32[np.ndarray, '{enlarged} {size}']:
    """The matrix that enlarges and smooths one axis."""
    with jax.ensure_compile_time_eval():
        enlarging = np.asarray(jax.image.resize(jnp.eye(size), (enlarged, size), 'bilinear'))
    return scipy.ndimage.gaussian_filter1d(enlarging, sigma, axis=0)


def locate(maps: Float[Array, 'batch _ _'], height: int, width: int) -> Located:
    """Distances on the grid of the image, and the largest of each image as its score."""
    enlarged = np.asarray(spread(maps, height, width))
    return Located(enlarged.max(axis=(1, 2)), enlarged)


def check_stages(stages: Stages, grid: tuple[int, ...], channels: int) -> None:
    """Raises UserError when maps are not those that a score was fitted on."""
    found = stages[0].shape[1:3], sum(stage.shape[-1] for stage in stages)
    if found != (grid, channels):
        raise UserError(
            f'Feature maps have the grid {found[0]} and {found[1]} channels, but the anomaly score was fitted on '
            f'{grid} and {channels}; use the network and the image size it was fitted with.'
        )
