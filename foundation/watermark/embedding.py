"""Writing the mark: spread spectrum (Cox et al. 1997, IEEE Trans. Image Processing 6(12), p. 1673) in the pixels.

Each chip is made brighter or darker, by half of the bound where the image is smooth up to all of it where it is
lively; where nothing varies, as in the air around a patient, nothing is changed.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt
from scipy import ndimage

from foundation.training.errors import UserError
from foundation.watermark.carrier import CHIP, SMALLEST, MarkKey, create_carrier, level_of

_NEIGHBOURHOOD, _FLAT = 7, 5  # pixels of a side
_LIVELY = 0.5  # deviation within a neighbourhood, in bounds, from which on all of the bound is used

Grey = Float[np.ndarray, 'height width']


def embed(
    image: UInt[np.ndarray, 'height width channels'], key: MarkKey, payload: int, *, bound: int
) -> UInt[np.ndarray, 'height width channels']:
    """The image with a mark; no stored value changes by more than `bound`, all channels of a pixel by the same.

    Args:
      image: stored values, to the end of their type's range.
      key: that finds the mark again.
      payload: 32 bits; images with a longer side below 128 do not carry it.
      bound: in steps of the stored type.

    Raises:
      UserError: for an image that is too small.
      ValueError: when the bound is not positive, or the payload has more bits.
    """
    if bound < 1:
        raise ValueError(f'a mark of {bound} steps cannot be written')
    height, width, _ = image.shape
    side = level_of(height, width)
    if side is None:
        raise UserError(
            f'images of {height} x {width} pixels are too small for a watermark, which needs {SMALLEST} pixels of '
            'the longer side; leave --watermark out.'
        )
    chips = create_carrier(key, side).modulate(payload)
    rows, columns = (_chip_at(count, max(height, width), side) for count in (height, width))
    change = _strength(image.mean(axis=2), bound) * chips[np.ix_(rows, columns)]
    marked = np.rint(image + change[:, :, None])
    return np.clip(marked, 0, np.iinfo(image.dtype).max).astype(image.dtype)


def _chip_at(count: int, longest: int, side: int) -> Any:
    """The number of the chip that each of so many rows, or columns, lies in."""
    return ((np.arange(count) + 0.5) * side / longest).astype(int) // CHIP


def _strength(grey: Grey, bound: int) -> Grey:
    """How much each pixel may change."""
    mean, square = (ndimage.uniform_filter(values, _NEIGHBOURHOOD) for values in (grey, grey**2))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    strength = bound * np.clip(0.5 + 0.5 * deviation / (_LIVELY * bound), 0, 1)
    flat = ndimage.maximum_filter(grey, _FLAT) == ndimage.minimum_filter(grey, _FLAT)
    return np.where(flat, 0, strength)
