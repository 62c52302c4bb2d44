"""Likeness of pairs of images within one set by MS-SSIM: high where a generator repeats itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Shaped

from foundation.statistics.jackknife import (
    SHARE,
    FeatureSample,
    Missing,
    Score,
    create_estimate,
    find_faults,
    kept_groups,
    tiles,
)
from input_pipeline import to_unit

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al. 2003, section 3.2)
_WINDOW, _SIGMA = 11, 1.5
_SMALLEST = 4  # pixels a side at the coarsest scale
_STABILISERS = 0.01**2, 0.03**2  # for values in [0, 1]
_BATCH_BYTES = 16 * 2**20
Batch = Float[Array, '_ _ _ _']


def count_scales(height: int, width: int) -> int:
    """How many of the five scales images are large enough for: all from 64 pixels a side, four from 32."""
    scales, side = 1, min(height, width) // 2
    while scales < len(WEIGHTS) and side >= _SMALLEST:
        scales, side = scales + 1, side // 2
    return scales


def draw_pairs(count: int, pairs: int, seed: int) -> Int[np.ndarray, 'pair 2']:
    """Random pairs of different images among `count`.

    Raises:
      ValueError: for fewer than two images.
    """
    if count < 2:
        raise ValueError(f'{count} images make no pair.')
    generator = np.random.default_rng(seed)
    first = generator.integers(count, size=pairs)
    return np.stack([first, (first + generator.integers(1, count, size=pairs)) % count], axis=1)


def mean_similarity(sample: FeatureSample, name: str, pairs: Int[np.ndarray, 'pair 2']) -> Score:
    """Mean MS-SSIM of pairs within one set, 0 to 1; alike images have a high one (Odena et al. 2017).

    Without a group, the pairs that touch it are left out. A generator with a higher mean than the real images has
    lost diversity; take the `difference` of the two.

    Args:
      sample: images, uint8, uint16 or float in [-1, 1].
      name: of the set, for the reason of a missing score.
      pairs: see `draw_pairs`.
    """
    if fault := find_faults(2, **{name: sample}):
        return fault
    values = pair_similarities(sample.values, pairs)
    groups = sample.groups[pairs]
    sums, counts = np.zeros((2, sample.group_count, sample.group_count))
    np.add.at(sums, (groups[:, 0], groups[:, 1]), values)
    np.add.at(counts, (groups[:, 0], groups[:, 1]), 1)
    kept = kept_groups(sample.group_count)
    totals, left = (np.einsum('rg,gh,rh->r', kept, each, kept) for each in (sums, counts))
    if not left.all():
        return Missing(f'needs more than {len(pairs)} pairs of {name} images: all of them touch one group.')
    return create_estimate(totals / left, SHARE, **{name: len(sample), 'pairs': len(pairs)})


def pair_similarities(
    images: Shaped[np.ndarray, 'count height width channel'],
    pairs: Int[np.ndarray, 'pair 2'],
) -> Float64[np.ndarray, ' pair']:
    """MS-SSIM of pairs of images, given by their places."""
    size = max(_BATCH_BYTES // (4 * images[0].size), 1)
    size = min(size, len(pairs))
    similarities = np.empty(len(pairs))
    for rows in tiles(len(pairs), size):
        # Always of the same shape, so that one program serves all batches.
        chosen = pairs[np.arange(rows.start, rows.start + size) % len(pairs)]
        first, second = (jnp.asarray(_unit(images[side])) for side in chosen.T)
        similarities[rows] = np.asarray(ms_ssim(first, second))[: rows.stop - rows.start]
    return similarities


def _unit(images: np.ndarray) -> Float32[np.ndarray, '_ _ _ _']:
    return to_unit(images) if images.dtype.kind == 'u' else images.astype(np.float32)


@jax.jit
def ms_ssim(first: Batch, second: Batch) -> Float[Array, ' batch']:
    """Multi-scale structural similarity of pairs (Wang et al. 2003, equation 7), of values in [-1, 1].

    Gaussian window of 11 pixels and deviation 1.5, both smaller in proportion where the image is smaller than the
    window; scales are halved by means of 2x2 pixels; a negative mean of a scale counts as 0. With fewer than five
    scales, the weights are those of the finest, made to add up to 1. Compared as values in [0, 1]: luminance is a
    ratio, which a shift changes.
    """
    first, second = (first + 1) / 2, (second + 1) / 2
    scales = count_scales(*first.shape[1:3])
    weights = np.asarray(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    similarity = jnp.ones(len(first))
    for scale, weight in enumerate(weights):
        whole, contrast = _compare(first, second)
        factor = whole if scale == scales - 1 else contrast
        similarity *= jnp.maximum(factor, 0) ** weight
        first, second = _halve(first), _halve(second)
    return similarity


def _compare(first: Batch, second: Batch) -> tuple[Float[Array, ' _'], Float[Array, ' _']]:
    """Means over an image of SSIM, and of its product of contrast and structure (equations 2 to 6)."""
    means = _blur(first), _blur(second)
    variances = _blur(first**2) - means[0] ** 2 + _blur(second**2) - means[1] ** 2
    covariance = _blur(first * second) - means[0] * means[1]
    contrast = (2 * covariance + _STABILISERS[1]) / (variances + _STABILISERS[1])
    luminance = (2 * means[0] * means[1] + _STABILISERS[0]) / (means[0] ** 2 + means[1] ** 2 + _STABILISERS[0])
    return (luminance * contrast).mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))


def _blur(images: Batch) -> Batch:
    """Means under the window wherever it fits. As products of matrices, which all devices do fast."""
    rows, columns = (_window_matrix(side, min(_WINDOW, *images.shape[1:3])) for side in images.shape[1:3])
    return jnp.einsum('oh,bhwc,pw->bopc', rows, images, columns, precision='highest')


@functools.cache
def _window_matrix(side: int, window: int) -> Float32[np.ndarray, 'place side']:
    """Row i holds the window at i."""
    places = np.arange(window) - (window - 1) / 2
    weights = np.exp(-0.5 * np.square(places / (_SIGMA * window / _WINDOW)))
    matrix = np.zeros((side - window + 1, side), np.float32)
    for row in range(len(matrix)):
        matrix[row, row : row + window] = weights / weights.sum()
    return matrix


def _halve(images: Batch) -> Batch:
    batch, height, width, channels = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
