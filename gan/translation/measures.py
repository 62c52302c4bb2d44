"""What an image is worth beside its truth: errors, likeness, and what became of lesions."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float32

from gan.scores.structure import ms_ssim

Images = Float32[np.ndarray, 'count height width channels']
Draw = Callable[[Images], Images]
METRICS = {  # what each is, in words
    'error': 'mean absolute error inside the body, in units of the target',
    'psnr': 'peak signal to noise ratio in dB, over the window of the target',
    'ms_ssim': 'multi-scale structural similarity',
    'lost': 'lesions lost of 100: those that have less than half of their contrast in the truth',
}
BOUNDS = {'error': (0, math.inf), 'psnr': (-math.inf, math.inf), 'ms_ssim': (0, 1), 'lost': (0, 100)}
_BACKGROUND = -0.9  # the lowest 5% of a window
_LEAST = 1e-6  # root mean square difference below which images are equal
_RING = 2  # pixels around a lesion that it stands out from


def find_body(truth: Images) -> Bool[np.ndarray, 'count height width']:
    """What is brighter than the lowest 5% of the window, without holes; all of an image that has nothing such."""
    filled = np.stack([scipy.ndimage.binary_fill_holes(own.mean(axis=-1) > _BACKGROUND) for own in truth])
    return filled | ~filled.any(axis=(1, 2), keepdims=True)


def score_images(
    drawn: Images, truth: Images, lesions: Bool[np.ndarray, 'count height width'], window: tuple[float, float]
) -> dict[str, Float[np.ndarray, ' count']]:
    """The metrics of each image; no lesion is lost, but NaN, where there is none.

    Args:
      drawn, truth: in [-1, 1].
      lesions: where they are in the truth.
      window: values of -1 and 1.
    """
    difference, body = np.abs(drawn - truth).mean(axis=-1), find_body(truth)
    inside = (difference * body).sum(axis=(1, 2)) / body.sum(axis=(1, 2))
    root = np.sqrt(np.square(drawn - truth).mean(axis=(1, 2, 3)))
    return {
        'error': inside * abs(window[1] - window[0]) / 2,
        'psnr': 20 * np.log10(2 / np.maximum(root, _LEAST)),
        'ms_ssim': np.asarray(ms_ssim(jnp.asarray(drawn), jnp.asarray(truth)), np.float64),
        'lost': np.array([100 * _is_lost(*rows) for rows in zip(drawn, truth, lesions, strict=True)]),
    }


def _is_lost(
    drawn: Float32[np.ndarray, 'height width channels'],
    truth: Float32[np.ndarray, 'height width channels'],
    lesion: Bool[np.ndarray, 'height width'],
) -> float:
    """1 where less than half of the contrast of a lesion to its surroundings is left, 0 otherwise."""
    ring = scipy.ndimage.binary_dilation(lesion, iterations=_RING) & ~lesion
    if not lesion.any() or not ring.any():
        return math.nan
    wanted, found = (own[lesion].mean() - own[ring].mean() for own in (truth, drawn))
    return float(found * np.sign(wanted) < abs(wanted) / 2)


def match_levels(source: Images, target: Images) -> Draw:
    """Histogram matching: grey levels of the source become those of the target at the same quantile of all."""
    ranks = np.linspace(0, 1, 1025)
    levels, matched = (np.quantile(images, ranks) for images in (source, target))
    kept = np.concatenate([[True], np.diff(levels) > 0])
    return lambda images: np.interp(images, levels[kept], matched[kept]).astype(np.float32)
