"""Patches of larger images: cut at random in training, all over and overlapping in prediction."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Int64, PRNGKeyArray

_SIGMA = 1 / 8  # of the Gaussian weights, as a share of the patch's side (nnU-Net)


def cut_patches(
    images: Float[Array, 'batch height width channel'],
    ids: Int[Array, 'batch height width'],
    patch: int,
    foreground_share: float,
    key: PRNGKeyArray,
) -> tuple[Float[Array, 'batch patch patch channel'], Int[Array, 'batch patch patch']]:
    """One square from each image; some of them hold a pixel of the foreground, where their image has any.

    Args:
      images, ids: both sides at least `patch`.
      patch: side of the squares.
      foreground_share: probability that a square is laid around a foreground pixel.
      key: of all draws.
    """
    count, height, width = ids.shape
    if (height, width) == (patch, patch):
        return images, ids
    forced_key, pixel_key, place_key = jax.random.split(key, 3)
    forced = jax.random.uniform(forced_key, (count,)) < foreground_share
    pixel = _foreground_pixel(ids, pixel_key)
    free = jax.random.uniform(place_key, (count, 2))
    room = jnp.array([height - patch, width - patch])
    anywhere = jnp.floor(free * (room + 1)).astype(jnp.int32)
    around = jnp.clip(pixel - jnp.floor(free * patch).astype(jnp.int32), 0, room)
    has_foreground = (ids > 0).any(axis=(1, 2))
    corners = jnp.where((forced & has_foreground)[:, None], around, anywhere)

    def cut(image: Array, mask: Array, corner: Array) -> tuple[Array, Array]:
        sizes = (patch, patch)
        return (
            jax.lax.dynamic_slice(image, (*corner, 0), (*sizes, image.shape[-1])),
            jax.lax.dynamic_slice(mask, corner, sizes),
        )

    return jax.vmap(cut)(images, ids, corners)


def _foreground_pixel(ids: Int[Array, 'batch height width'], key: PRNGKeyArray) -> Int[Array, 'batch 2']:
    """Row and column of a foreground pixel of each image, each as likely; any pixel where there is none."""
    count, _, width = ids.shape
    chance = jax.random.uniform(key, ids.shape, minval=0.5) * (ids > 0)
    place = chance.reshape(count, -1).argmax(axis=1)
    return jnp.stack([place // width, place % width], axis=1)


def window_starts(size: int, patch: int) -> Int64[np.ndarray, ' windows']:
    """Where windows begin along a line that they cover: half a window apart at most, evenly spread."""
    if size <= patch:
        return np.zeros(1, np.int64)
    count = int(np.ceil((size - patch) / (patch / 2))) + 1
    return np.round(np.linspace(0, size - patch, count)).astype(np.int64)


def gaussian_weights(patch: int) -> Float32[np.ndarray, 'patch patch 1']:
    """Weights of a window's pixels: the middle of it sees most around itself."""
    line = gaussian_line(patch)
    return np.outer(line, line).astype(np.float32)[..., None]


def gaussian_line(patch: int) -> Float64[np.ndarray, ' patch']:
    """Weights along one axis of a window."""
    return np.exp(-0.5 * ((np.arange(patch) - (patch - 1) / 2) / (_SIGMA * patch)) ** 2)


def split_windows(
    images: Float32[np.ndarray, 'slices height width channel'], patch: int
) -> tuple[Float32[np.ndarray, 'windows _ _ channel'], list[tuple[int, int, int]]]:
    """All windows of all slices, and the slice, row and column where each begins."""
    height, width = images.shape[1:3]
    places = [
        (number, int(row), int(column))
        for number in range(len(images))
        for row in window_starts(height, patch)
        for column in window_starts(width, patch)
    ]
    windows = [images[n, row : row + patch, column : column + patch] for n, row, column in places]
    return np.stack(windows), places


def join_windows(
    windows: Float32[np.ndarray, 'windows _ _ classes'],
    places: list[tuple[int, int, int]],
    slices: int,
    height: int,
    width: int,
) -> Float32[np.ndarray, 'slices height width classes']:
    """The weighted mean of all windows over each pixel."""
    _, rows, columns, classes = windows.shape
    total = np.zeros((slices, height, width, classes), np.float32)
    weight = np.zeros((slices, height, width, 1), np.float32)
    own = gaussian_weights(max(rows, columns))[:rows, :columns]
    for window, (number, row, column) in zip(windows, places, strict=True):
        total[number, row : row + rows, column : column + columns] += own * window
        weight[number, row : row + rows, column : column + columns] += own
    return total / weight
