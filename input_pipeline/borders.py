"""Borders of one grey value, which letterboxing, collimators and screenshots leave around a picture."""

import numpy as np
from jaxtyping import Float32, Shaped

_TOLERANCE = 0.01  # of the range of an image's values: JPEG leaves small waves in what was even
_RANGE = (0.5, 99.5)  # percentiles: beside one hot pixel all others would be even
_PROBE = 512  # pixels along a side, of evenly chosen lines, that tell these percentiles


def find_content(
    image: Shaped[np.ndarray, 'height width channels'], smallest: tuple[int, int]
) -> tuple[slice, slice]:
    """Rows and columns of an image within its even borders; all of them where it is even as a whole.

    The borders of the four sides may have four values. What lies between them grows again, evenly on both sides,
    where it is smaller than `smallest`.

    Args:
      image: of any kind of numbers; those that are not finite count as 0.
      smallest: rows and columns that are left at least, as far as the image has them.
    """
    values = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
    rows, columns = _find_inner(values, 0.0)
    inner = values[rows, columns]  # a border of exactly one value must not decide what counts as even within it
    steps = [max(1, side // _PROBE) for side in inner.shape[:2]]
    low, high = np.percentile(inner[:: steps[0], :: steps[1]], _RANGE)
    more_rows, more_columns = _find_inner(inner, _TOLERANCE * float(high - low))
    height, width = values.shape[:2]
    return (
        _grow(_shift(more_rows, rows.start), smallest[0], height),
        _grow(_shift(more_columns, columns.start), smallest[1], width),
    )


def _find_inner(values: Float32[np.ndarray, 'height width channels'], tolerance: float) -> tuple[slice, slice]:
    rows = _find_uneven(values, tolerance)
    return rows, _find_uneven(values[rows].swapaxes(0, 1), tolerance)


def _shift(part: slice, start: int) -> slice:
    return slice(part.start + start, part.stop + start)


def _find_uneven(lines: Float32[np.ndarray, 'line place channels'], tolerance: float) -> slice:
    """Lines between those at both ends that have one value; all where nothing is between."""
    first, after = _count_even(lines, tolerance), len(lines) - _count_even(lines[::-1], tolerance)
    return slice(first, after) if first < after else slice(0, len(lines))


def _count_even(lines: Float32[np.ndarray, 'line place channels'], tolerance: float) -> int:
    """Lines from the first on that have the value of the first, which must be even itself."""
    value = np.median(lines[0], axis=0)
    uneven = (number for number, line in enumerate(lines) if (np.abs(line - value) > tolerance).any())
    return next(uneven, len(lines))


def _grow(part: slice, least: int, whole: int) -> slice:
    """At least so long, as far as there is room."""
    length = max(part.stop - part.start, min(least, whole))
    start = max(0, part.start - (length - (part.stop - part.start)) // 2)
    start = min(start, whole - length)
    return slice(start, start + length)
