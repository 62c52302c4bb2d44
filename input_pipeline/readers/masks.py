"""Masks as class ids: what values a mask file may have, and what they become."""

import numpy as np
from jaxtyping import Num, Shaped, UInt8

from input_pipeline.errors import DataError

# More classes than any public segmentation set has; a larger value is a grey level, not an id.
LARGEST_CLASS_ID = 127
# What programs write for the foreground of a binary mask, whatever the type; 254 is white that was rounded.
_WHITE = (254, 255, 65534, 65535)
_ROUNDING = 1e-4  # of ids that a header scales, such as 255 with the slope 1/255


def class_ids(values: Shaped[np.ndarray, '*shape'], threshold: float | None = None) -> UInt8[np.ndarray, '*shape']:
    """Class ids, 0 the background, of a mask as a file stores it.

    The same rule for every mask of a data set, so one class never gets two ids: ids from 0 to 127 stay as
    they are; a mask whose only value besides 0 is white (254, 255, 65534 or 65535, in whatever type) is a
    binary mask, and white becomes 1.

    Args:
      values: of the mask, in the units of the file.
      threshold: makes all that is above it class 1 and all else background, instead of the rule.

    Raises:
      DataError: fractions, negative values, grey levels, or values that are no numbers.
    """
    if values.dtype.kind not in 'buif':
        raise DataError(f'the mask holds values of type {values.dtype}; store one class id per pixel')
    if values.dtype.kind == 'f' and not np.isfinite(values).all():
        raise DataError('the mask has values that are not finite (NaN or infinity); store one class id per pixel')
    if threshold is not None:
        return (values > threshold).astype(np.uint8)
    present = _present(values)
    whole = present.round() if present.dtype.kind == 'f' else present
    if not np.allclose(present, whole, rtol=0, atol=_ROUNDING):
        raise DataError(_refuse_fractions(present))
    foreground = whole[whole != 0]
    if len(foreground) == 1 and foreground[0] in _WHITE:
        return (np.rint(values) != 0).astype(np.uint8)
    if len(whole) and (whole.min() < 0 or whole.max() > LARGEST_CLASS_ID):
        raise DataError(_refuse_levels(whole))
    return (np.rint(values) if values.dtype.kind == 'f' else values).astype(np.uint8)


def drop_equal_channels(values: Num[np.ndarray, 'height width channel']) -> Num[np.ndarray, 'height width 1']:
    """A mask that was saved as a grey picture in colour, with one channel.

    Raises:
      DataError: the channels differ, so colours stand for classes.
    """
    if (values != values[..., :1]).any():
        raise DataError('the mask is a colour picture; save one class id per pixel instead of colours')
    return values[..., :1]


def check_alpha(
    values: Num[np.ndarray, 'height width 1'], alpha: Num[np.ndarray, 'height width 1'] | None
) -> None:
    """Refuses a mask whose transparency tells another shape than its values.

    Args:
      values: of the mask.
      alpha: 0 where the picture is transparent; None without transparency.

    Raises:
      DataError: some pixels are transparent, and they are not those of the value 0.
    """
    if alpha is None or alpha.min() == alpha.max() or ((alpha != 0) == (values != 0)).all():
        return
    where = (
        'only in its transparency' if values.min() == values.max() else 'in its values and another in its alpha'
    )
    raise DataError(
        f'the mask has a shape {where} channel, so what it marks is not clear; save it as one grey channel '
        'without transparency'
    )


def _present(values: Shaped[np.ndarray, '*shape']) -> Shaped[np.ndarray, ' count']:
    """The sorted values of a mask; for 8 bits by counting, which is several times as fast as np.unique."""
    if values.dtype != np.uint8:
        return np.unique(values)
    return np.flatnonzero(np.bincount(values.ravel(), minlength=256)).astype(np.uint8)


def _shown(present: Shaped[np.ndarray, ' count']) -> str:
    return ', '.join(f'{value:g}' for value in present[:8]) + (', ...' if len(present) > 8 else '')


def _refuse_fractions(present: Shaped[np.ndarray, ' count']) -> str:
    start = f'the mask has values that are not whole numbers ({_shown(present)})'
    scaled = present.astype(np.float64) * 255
    if present.min() >= 0 and present.max() <= 0.5 and np.allclose(scaled, scaled.round(), atol=0.01):
        return f'{start}: class ids that were divided by 255; multiply them by 255 and save them as integers'
    middle = f'{(float(present.min()) + float(present.max())) / 2:g}'
    return (
        f'{start}, as resizing with interpolation gives; resize masks with nearest neighbour, or give '
        f'--mask_threshold={middle}, above which a pixel is foreground'
    )


def _refuse_levels(present: Shaped[np.ndarray, ' count']) -> str:
    start = (
        f'the mask has the values {_shown(present)}; a mask holds class ids from 0 to {LARGEST_CLASS_ID}, or 0 and'
    )
    if present.min() < 0:
        return f'{start} white, and nothing below 0; give each class its id'
    middle = f'{present.max() / 2:g}'
    if len(present) <= 2:
        return f'{start} white (255 or 65535); for a binary mask give --mask_threshold={middle}'
    small = present[present <= LARGEST_CLASS_ID]
    if len(small) == len(present) - 1 and small.tolist() == list(range(len(small))):
        return f'{start} white, not both; what {present.max():g} marks needs an id, or 0 where it means "void"'
    if present.max() > 255:
        return f'{start} white; give each class its id, or make all of them one class with --mask_threshold=0'
    return (
        f'{start} white; grey edges come from resizing with interpolation, anti-aliased drawing or lossy JPEG: '
        f'save masks as PNG without them, or give --mask_threshold={middle}, above which a pixel is foreground'
    )
