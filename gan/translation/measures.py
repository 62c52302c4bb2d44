"""What an image is worth beside its truth: errors, likeness, and what became of lesions."""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float32

from gan.scores.structure import ms_ssim

Images = Float32[np.ndarray, 'count height width channels']
Draw = Callable[[Images], Images]
Lesions = Bool[np.ndarray, 'count height width']
METRICS = {  # what each is, in words
    'error': 'mean absolute error inside the body, in units of the target',
    'psnr': 'peak signal to noise ratio in dB, over the window of the target',
    'ms_ssim': 'multi-scale structural similarity',
    'lost': 'lesions lost of 100: those that have less than half of their contrast in the truth',
    'invented': 'places like lesions for each 100 images, where the truth has none',
}
BOUNDS = {
    'error': (0, math.inf),
    'psnr': (-math.inf, math.inf),
    'ms_ssim': (0, 1),
    'lost': (0, 100),
    'invented': (0, math.inf),
}
_BACKGROUND = -0.9  # the lowest 5% of a window
_LEAST = 1e-6  # root mean square difference below which images are equal
_RING = 2  # pixels around a lesion that it stands out from
_TISSUE = (0.05, 0.95)  # quantiles of the values around lesions: where a place may be like one
_CROSS = scipy.ndimage.generate_binary_structure(2, 1)  # three pixels high and wide: lesions are no thinner


@dataclasses.dataclass(frozen=True)
class LesionLook:
    """What lesions look like in true images.

    Attributes:
      contrast: to what is around them, the median; nan where there is none.
      low, high: values around them.
    """

    contrast: float
    low: float
    high: float


def look_at_lesions(truth: Images, lesions: Lesions) -> LesionLook:
    """From true images and where their lesions are."""
    contrasts, around = [math.nan], []
    for image, lesion in zip(truth, lesions, strict=True):
        ring = _ring(lesion)
        if lesion.any() and ring.any():
            contrasts.append(float(image[lesion].mean() - image[ring].mean()))
            around.append(image[ring].mean(axis=-1))
    if not around:
        return LesionLook(math.nan, math.nan, math.nan)
    low, high = np.quantile(np.concatenate(around), _TISSUE)
    return LesionLook(float(np.nanmedian(contrasts)), float(low), float(high))


def find_body(truth: Images) -> Bool[np.ndarray, 'count height width']:
    """What is brighter than the lowest 5% of the window, without holes; all of an image that has nothing such."""
    filled = np.stack([scipy.ndimage.binary_fill_holes(own.mean(axis=-1) > _BACKGROUND) for own in truth])
    return filled | ~filled.any(axis=(1, 2), keepdims=True)


def score_images(
    drawn: Images, truth: Images, lesions: Lesions, look: LesionLook, window: tuple[float, float]
) -> dict[str, Float[np.ndarray, ' count']]:
    """The metrics of each image; no lesion is lost, but NaN, where there is none.

    Args:
      drawn, truth: in [-1, 1].
      lesions: where they are in the truth.
      look: of lesions in true images; nothing is invented, but NaN, where there are none.
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
        'invented': np.array(
            [100 * _count_invented(*rows, look) for rows in zip(drawn, truth, lesions, strict=True)]
        ),
    }


def _is_lost(
    drawn: Float32[np.ndarray, 'height width channels'],
    truth: Float32[np.ndarray, 'height width channels'],
    lesion: Bool[np.ndarray, 'height width'],
) -> float:
    """1 where less than half of the contrast of a lesion to its surroundings is left, 0 otherwise."""
    ring = _ring(lesion)
    if not lesion.any() or not ring.any():
        return math.nan
    wanted, found = (own[lesion].mean() - own[ring].mean() for own in (truth, drawn))
    return float(found * np.sign(wanted) < abs(wanted) / 2)


def _ring(lesion: Bool[np.ndarray, 'height width']) -> Bool[np.ndarray, 'height width']:
    """What is around a lesion."""
    return scipy.ndimage.binary_dilation(lesion, iterations=_RING) & ~lesion


def _count_invented(
    drawn: Float32[np.ndarray, 'height width channels'],
    truth: Float32[np.ndarray, 'height width channels'],
    lesion: Bool[np.ndarray, 'height width'],
    look: LesionLook,
) -> float:
    """Connected places that differ from the truth as a lesion does: by more than half of its contrast.

    They are where the truth has tissue such as lesions lie in, apart from its own lesions. They differ more than
    that tissue does in the median, so that a wrong level is none, and hold a cross of 3x3 pixels, so that an edge
    that is a pixel off is none.
    """
    if math.isnan(look.contrast):
        return math.nan
    was, change = truth.mean(axis=-1), (drawn - truth).mean(axis=-1) * np.sign(look.contrast)
    tissue = (was >= look.low) & (was <= look.high) & ~(lesion | _ring(lesion))
    if not tissue.any():
        return 0.0
    stands_out = change - np.median(change[tissue]) > abs(look.contrast) / 2
    places = scipy.ndimage.binary_opening(tissue & stands_out, _CROSS)
    return float(scipy.ndimage.label(places)[1])


def match_levels(source: Images, target: Images) -> Draw:
    """Histogram matching: grey levels of the source become those of the target at the same quantile of all."""
    ranks = np.linspace(0, 1, 1025)
    levels, matched = (np.quantile(images, ranks) for images in (source, target))
    kept = np.concatenate([[True], np.diff(levels) > 0])
    return lambda images: np.interp(images, levels[kept], matched[kept]).astype(np.float32)
