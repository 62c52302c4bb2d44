"""How near images are to the nearest training image: pixel by pixel once aligned, and in features.

Both are measured the same way for generated and for held-out real images, in two steps, so that no matrix of all
distances is formed: every alignment by coarse descriptors, which gives a short list, and then pixel by pixel.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, UInt

from foundation.statistics.jackknife import tiles
from gan.scores.distances import nearest
from input_pipeline import to_unit

PIXELS = 64  # a side, at which images are compared at most
LARGEST_SHIFT = 2  # pixels
_CELLS = 7  # a side, of a coarse descriptor
_SHORT_LIST = 32  # training images, each in one mirroring, that are aligned with each image
_BATCH = 16
_TILE = 4096  # training images whose descriptors are compared at once
Images = Float[Array, 'batch height width channel']


@dataclasses.dataclass(frozen=True, eq=False)
class Distances:
    """Distances of some images to the nearest training image.

    Attributes:
      pixels: root mean square difference of pixels, both images standardised and aligned, 0 to 2.
      features: Euclidean distance of features, each in units of its deviation over the training images.
      nearest: row of the training image that is nearest in pixels.
    """

    pixels: Float[np.ndarray, 'count']
    features: Float[np.ndarray, 'count']
    nearest: np.ndarray


def reduce(stored: UInt[np.ndarray, 'batch height width channel']) -> UInt[np.ndarray, 'batch _ _ channel']:
    """Means of squares of pixels, in the stored type, so that no side is longer than PIXELS."""
    factor = max(stored.shape[1] // PIXELS, 1)
    if factor == 1:
        return stored
    count, height, width, channels = stored.shape
    parts = stored.reshape(count, height // factor, factor, width // factor, factor, channels)
    return np.rint(parts.mean(axis=(2, 4))).astype(stored.dtype)


class NearestImages:
    """Measures images against all training images.

    Holds each training image at 64x64 pixels at most in its stored type, its coarse descriptor and its features:
    500 MB for 100,000 grey ones.

    Args:
      images: of the training, see `reduce`.
      features: of the same images.
    """

    def __init__(
        self,
        images: UInt[np.ndarray, 'training height width channel'],
        features: Float32[np.ndarray, 'training feature'],
    ) -> None:
        self._images = images
        self._mean = features.mean(axis=0, dtype=np.float64)
        # In tiles, here and below: all features in float64 would be most of the memory.
        squares = sum(np.square(features[rows] - self._mean).sum(axis=0) for rows in tiles(len(features), _TILE))
        deviation = np.sqrt(squares / len(features))
        self._scale = 1 / np.where(deviation > 0, deviation, 1)
        self._features = self._standardise(features)
        self._descriptors = np.concatenate(
            [
                np.asarray(_describe_centres(jnp.asarray(to_unit(images[rows]))))
                for rows in _rows(len(images), 1024)
            ]
        )[: len(images)]

    def _standardise(self, features: Float[np.ndarray, 'count feature']) -> Float32[np.ndarray, 'count feature']:
        standard = np.empty(features.shape, np.float32)
        for rows in tiles(len(features), _TILE):
            standard[rows] = (features[rows] - self._mean) * self._scale
        return standard

    def measure(
        self,
        images: UInt[np.ndarray, 'count height width channel'],
        features: Float[np.ndarray, 'count feature'],
    ) -> Distances:
        """Distances of images, given as `reduce` leaves them, and of their features."""
        parts = [self._measure_pixels(images[rows]) for rows in _rows(len(images), _BATCH)]
        pixels, rows = (np.concatenate(column)[: len(images)] for column in zip(*parts, strict=True))
        return Distances(pixels, nearest(self._standardise(features), self._features)[0], rows)

    def _measure_pixels(
        self, images: UInt[np.ndarray, 'batch height width channel']
    ) -> tuple[Float[np.ndarray, 'batch'], np.ndarray]:
        unit = jnp.asarray(to_unit(images))
        rows, mirrorings = self._shorten(np.asarray(_describe_windows(unit)))
        candidates = jnp.asarray(to_unit(self._images[rows.ravel()]))
        correlations = np.asarray(_align(unit, candidates, jnp.asarray(mirrorings)))
        place = correlations.argmax(axis=1)[:, None]
        highest = np.clip(np.take_along_axis(correlations, place, axis=1)[:, 0], -1, 1)
        return np.sqrt(2 * (1 - highest)), np.take_along_axis(rows, place, axis=1)[:, 0]

    def _shorten(
        self, windows: Float32[np.ndarray, 'batch mirroring shift cell']
    ) -> tuple[Int[np.ndarray, 'batch count'], Int[np.ndarray, 'batch count']]:
        """The training images, each with a mirroring, whose descriptors are most like that of any window."""
        batch, mirrorings, shifts, cells = windows.shape
        total, flat = len(self._descriptors), windows.reshape(-1, cells)
        similar = np.empty((batch, mirrorings, total), np.float32)
        for tile in tiles(total, _TILE):
            products = (flat @ self._descriptors[tile].T).reshape(batch, mirrorings, shifts, -1)
            similar[:, :, tile] = products.max(axis=2)
        pairs = similar.reshape(batch, -1)
        count = min(_SHORT_LIST, pairs.shape[1])
        chosen = np.argpartition(-pairs, count - 1, axis=1)[:, :count]
        return chosen % total, chosen // total


def _rows(count: int, size: int) -> list[np.ndarray]:
    """Rows of batches of one size; the last is filled with the first ones."""
    size = min(size, count)
    return [np.arange(start, start + size) % count for start in range(0, count, size)]


def _turn(images: Array) -> list[Array]:
    """The images as they are, mirrored left to right, top to bottom, and both: numbers 0 to 3."""
    return [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]]


def _normalise(images: Float[Array, '*batch pixel']) -> Float[Array, '*batch pixel']:
    """Mean 0 and length 1, so that products are correlations; constant images become 0."""
    centred = images - images.mean(axis=-1, keepdims=True)
    length = jnp.linalg.norm(centred, axis=-1, keepdims=True)
    return jnp.where(length > 1e-6, centred / jnp.maximum(length, 1e-6), 0)


def _margin(side: int) -> int:
    """By how many pixels images of this side are shifted."""
    return LARGEST_SHIFT if side >= 32 else 1 if side >= 16 else 0


def _cut_windows(images: Images) -> Float[Array, 'batch shift rows columns channel']:
    """All windows that are smaller by twice the margin."""
    margin = _margin(images.shape[1])
    rows, columns = (side - 2 * margin for side in images.shape[1:3])
    shifts = range(2 * margin + 1)
    return jnp.stack(
        [images[:, top : top + rows, left : left + columns] for top in shifts for left in shifts], axis=1
    )


def _cut_centres(images: Images) -> Float[Array, 'batch rows columns channel']:
    """The window in the middle."""
    margin = _margin(images.shape[1])
    rows, columns = (side - 2 * margin for side in images.shape[1:3])
    return images[:, margin : margin + rows, margin : margin + columns]


def _describe_coarsely(windows: Float[Array, '*batch rows columns channel']) -> Float[Array, '*batch cell']:
    """Means of 7x7 cells in the middle, or single pixels of small windows, normalised."""
    *batch, rows, columns, channels = windows.shape
    cell = max(min(rows, columns) // _CELLS, 1)
    down, across = rows // cell, columns // cell
    top, left = (rows - down * cell) // 2, (columns - across * cell) // 2
    middle = windows[..., top : top + down * cell, left : left + across * cell, :]
    cells = middle.reshape(*batch, down, cell, across, cell, channels).mean(axis=(-4, -2))
    return _normalise(cells.reshape(*batch, -1))


@jax.jit
def _describe_centres(images: Images) -> Float[Array, 'batch cell']:
    return _describe_coarsely(_cut_centres(images))


@jax.jit
def _describe_windows(images: Images) -> Float[Array, 'batch mirroring shift cell']:
    """Descriptors of every window of every mirroring."""
    return jnp.stack([_describe_coarsely(_cut_windows(turned)) for turned in _turn(images)], axis=1)


@jax.jit
def _align(
    images: Images,
    candidates: Float[Array, 'candidates height width channel'],
    mirrorings: Int[Array, 'batch candidate'],
) -> Float[Array, 'batch candidate']:
    """The highest correlation of each image with each of its candidates, over all shifts.

    The centre of the mirrored candidate is compared with every window of the image of that size, each normalised
    by itself, so that neither brightness nor contrast matters.
    """
    windows = _cut_windows(images)
    windows = windows.reshape(*windows.shape[:2], -1)
    chosen = jnp.choose(mirrorings.reshape(-1, 1, 1, 1), _turn(candidates), mode='clip')
    centres = _cut_centres(chosen).reshape(*mirrorings.shape, -1)
    products = jnp.einsum('bvp,bcp->bvc', _normalise(windows), _normalise(centres), precision='highest')
    return products.max(axis=1)
