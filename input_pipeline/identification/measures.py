"""How alike two small grey pictures are, by several measures.

A measure describes every picture once and then compares descriptions in pairs, so that what depends on one
picture alone is not computed again for every pair.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from skimage.feature import hog

_WINDOW = 7
_BOX = np.full(_WINDOW, 1 / _WINDOW, np.float32)
_SAMPLE_COVARIANCE = np.float32(_WINDOW**2 / (_WINDOW**2 - 1))
_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)  # for values in [0, 1]
# Wang, Simoncelli and Bovik (2003) use five scales from 256 pixels down; of their weights, the first three fit
# pictures of 64 pixels (the third scale has 16, a fourth would be hardly wider than the window).
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
_BLOCK = 16  # exemplars at a time: their windows stay in a core's cache
_BINS = 32


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure of likeness.

    Attributes:
      describe: pictures, uint8 (count, side, side), to one description each, float32 (count, ...).
      compare: descriptions of queries and of exemplars to the likeness of every pair, float32 (queries,
        exemplars); the higher the more alike, and highest for a picture with itself.
    """

    describe: Callable[[UInt8[np.ndarray, 'count side side']], Float32[np.ndarray, 'count *description']]
    compare: Callable[
        [Float32[np.ndarray, 'queries *description'], Float32[np.ndarray, 'exemplars *description']],
        Float32[np.ndarray, 'queries exemplars'],
    ]


def _unit(pictures: UInt8[np.ndarray, 'count side side']) -> Float32[np.ndarray, 'count side side']:
    return pictures.astype(np.float32) / np.float32(255)


def _flat(pictures: UInt8[np.ndarray, 'count side side']) -> Float32[np.ndarray, 'count pixels']:
    return _unit(pictures).reshape(len(pictures), -1)


def _side_by_side(pictures: Float32[np.ndarray, '*stack count side side']) -> Float32[np.ndarray, '*stack _ _ _']:
    """Rows first, then pictures: OpenCV filters one wide picture twice as fast as many small ones."""
    return np.ascontiguousarray(np.moveaxis(pictures, -3, -2))


def _box_mean(pictures: Float32[np.ndarray, 'side count side']) -> Float32[np.ndarray, 'side count side']:
    """Means over windows of pictures side by side; right only for windows inside a picture, see `_mean_inside`."""
    wide = pictures.reshape(len(pictures), -1)
    return cv2.sepFilter2D(wide, -1, _BOX, _BOX).reshape(pictures.shape)


def _mean_inside(values: Float32[np.ndarray, 'side count side']) -> Float32[np.ndarray, ' count']:
    """Means over the centres of those windows that lie inside their picture."""
    inset = _WINDOW // 2
    inside = values[inset:-inset, :, inset:-inset]
    return np.einsum('rpc->p', inside) / np.float32(inside.shape[0] * inside.shape[2])  # faster than mean


def _window_statistics(
    pictures: Float32[np.ndarray, 'count side side'],
) -> Float32[np.ndarray, 'count 3 side side']:
    """The pixels, and the mean and variance of the window around each."""
    pixels = _side_by_side(pictures)
    mean = _box_mean(pixels)
    variance = _SAMPLE_COVARIANCE * (_box_mean(pixels * pixels) - mean * mean)
    return np.stack([pixels, mean, variance]).transpose(2, 0, 1, 3)


def _similarities(
    queries: Float32[np.ndarray, 'queries 3 side side'],
    exemplars: Float32[np.ndarray, 'exemplars 3 side side'],
    *,
    with_luminance: bool,
) -> Float32[np.ndarray, 'queries exemplars']:
    """Means over windows of SSIM, or of its contrast-structure part alone; Wang et al. (2004), eq. 13."""
    means_of_pairs = np.empty((len(queries), len(exemplars)), np.float32)
    for start in range(0, len(exemplars), _BLOCK):
        columns = slice(start, start + _BLOCK)
        pixels, means, variances = _side_by_side(exemplars[columns].swapaxes(0, 1))
        squares = means * means
        for row, (query, mean, variance) in enumerate(queries[:, :, :, None]):
            luminance = means * mean
            similarity = _box_mean(pixels * query)
            similarity -= luminance
            similarity *= 2 * _SAMPLE_COVARIANCE
            similarity += _C2
            similarity /= variances + (variance + _C2)
            if with_luminance:
                luminance *= 2
                luminance += _C1
                similarity *= luminance
                similarity /= squares + (mean * mean + _C1)
            means_of_pairs[row, columns] = _mean_inside(similarity)
    return means_of_pairs


def _compare_ssim(
    queries: Float32[np.ndarray, 'queries 3 side side'], exemplars: Float32[np.ndarray, 'exemplars 3 side side']
) -> Float32[np.ndarray, 'queries exemplars']:
    """Mean structural similarity with uniform windows of 7 pixels, as scikit-image computes it by default."""
    return _similarities(queries, exemplars, with_luminance=True)


def _compare_scales(
    queries: Float32[np.ndarray, 'queries side side'], exemplars: Float32[np.ndarray, 'exemplars side side']
) -> Float32[np.ndarray, 'queries exemplars']:
    """Multi-scale SSIM, Wang et al. (2003), eq. 7: contrast-structure of all scales, luminance of the coarsest."""
    product = np.ones((len(queries), len(exemplars)))
    for scale, weight in enumerate(_SCALE_WEIGHTS, start=1):
        likeness = _similarities(
            _window_statistics(queries),
            _window_statistics(exemplars),
            with_luminance=scale == len(_SCALE_WEIGHTS),
        )
        product *= np.maximum(likeness, 0) ** weight  # a negative one has no root
        queries, exemplars = _halve(queries), _halve(exemplars)
    return product.astype(np.float32)


def _halve(pictures: Float32[np.ndarray, 'count side side']) -> Float32[np.ndarray, 'count half half']:
    count, side, _ = pictures.shape
    return pictures.reshape(count, side // 2, 2, side // 2, 2).mean(axis=(2, 4))


def _unit_length(rows: Float32[np.ndarray, 'count size']) -> Float32[np.ndarray, 'count size']:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-6))


def _standardise(pictures: UInt8[np.ndarray, 'count side side']) -> Float32[np.ndarray, 'count pixels']:
    rows = _flat(pictures)
    return _unit_length(rows - rows.mean(axis=1, keepdims=True))


def _cosine(
    queries: Float32[np.ndarray, 'queries size'], exemplars: Float32[np.ndarray, 'exemplars size']
) -> Float32[np.ndarray, 'queries exemplars']:
    return queries @ exemplars.T


def _negated_squared_error(
    queries: Float32[np.ndarray, 'queries size'], exemplars: Float32[np.ndarray, 'exemplars size']
) -> Float32[np.ndarray, 'queries exemplars']:
    squares = (queries**2).sum(axis=1)[:, None] + (exemplars**2).sum(axis=1)
    return -np.maximum(squares - 2 * queries @ exemplars.T, 0) / queries.shape[1]


def _histograms(pictures: UInt8[np.ndarray, 'count side side']) -> Float32[np.ndarray, 'count bins']:
    """Shares of the pixels in equal intervals of grey."""
    counts = [np.bincount(picture.ravel() // (256 // _BINS), minlength=_BINS) for picture in pictures]
    return (np.stack(counts) / pictures[0].size).astype(np.float32)


def _intersection(
    queries: Float32[np.ndarray, 'queries bins'], exemplars: Float32[np.ndarray, 'exemplars bins']
) -> Float32[np.ndarray, 'queries exemplars']:
    """The share of pixels that two histograms have in common: Swain and Ballard (1991), eq. 1."""
    return np.minimum(queries[:, None], exemplars).sum(axis=-1)


def _gradients(pictures: UInt8[np.ndarray, 'count side side']) -> Float32[np.ndarray, 'count size']:
    """Histograms of oriented gradients (Dalal and Triggs, 2005), 8x8 pixels a cell."""
    return _unit_length(np.stack([hog(picture).astype(np.float32) for picture in _unit(pictures)]))


MEASURES: dict[str, Measure] = {
    'ssim': Measure(lambda pictures: _window_statistics(_unit(pictures)), _compare_ssim),
    'multiscale_ssim': Measure(_unit, _compare_scales),
    'correlation': Measure(_standardise, _cosine),
    'squared_error': Measure(_flat, _negated_squared_error),
    'histogram': Measure(_histograms, _intersection),
    'gradients': Measure(_gradients, _cosine),
}
# The better of the structural ones on the validation split of MedNIST, where its accuracy was 0.95 against 0.89.
DEFAULT_MEASURE = 'multiscale_ssim'
