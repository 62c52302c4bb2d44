"""Masks as class ids: what values a mask file may have, and what they become."""

import numpy as np
from jaxtyping import Num, Shaped, UInt8

from input_pipeline.errors import DataError

# More classes than any public segmentation set has; a larger value is a grey level, not an id.
LARGEST_CLASS_ID = 127


def class_ids(values: Shaped[np.ndarray, '*shape']) -> UInt8[np.ndarray, '*shape']:
    """Class ids, 0 the background, of a mask as a file stores it.

    The same rule for every mask of a data set, so one class never gets two ids: ids from 0 to 127 stay as
    they are; a mask whose only value besides 0 is its type's largest (255, or 65535) is a binary mask
    drawn in white, and white becomes 1.

    Raises:
      DataError: fractions, negative values, or grey levels.
    """
    present = _present(values)
    if present.dtype.kind == 'f' and not (np.isfinite(present).all() and (present == present.round()).all()):
        raise DataError('the mask has values that are not whole numbers; store one class id per pixel')
    if values.dtype.kind in 'bui' and _is_white_only(present):
        return (values != 0).astype(np.uint8)
    if present.min() < 0 or present.max() > LARGEST_CLASS_ID:
        shown = ', '.join(f'{value:g}' for value in present[:8])
        raise DataError(
            f'the mask has the values {shown}{", ..." if len(present) > 8 else ""}; a mask holds class ids '
            f'from 0 to {LARGEST_CLASS_ID}, or 0 and white (lossy JPEG smears them: save masks as PNG)'
        )
    return values.astype(np.uint8)


def drop_equal_channels(values: Num[np.ndarray, 'height width channel']) -> Num[np.ndarray, 'height width 1']:
    """A mask that was saved as a grey picture in colour, with one channel.

    Raises:
      DataError: the channels differ, so colours stand for classes.
    """
    if (values != values[..., :1]).any():
        raise DataError('the mask is a colour picture; save one class id per pixel instead of colours')
    return values[..., :1]


def _present(values: Shaped[np.ndarray, '*shape']) -> Shaped[np.ndarray, ' count']:
    """The sorted values of a mask; for 8 bits by counting, which is several times as fast as np.unique."""
    if values.dtype != np.uint8:
        return np.unique(values)
    return np.flatnonzero(np.bincount(values.ravel(), minlength=256)).astype(np.uint8)


def _is_white_only(present: Shaped[np.ndarray, ' count']) -> bool:
    foreground = present[present != 0]
    if present.dtype.kind == 'b' or len(foreground) != 1:
        return False
    return bool(foreground[0] == np.iinfo(present.dtype).max)
