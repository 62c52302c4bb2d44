"""How a stored image lies in the square that networks see: scaled, padded, cut; and the way back."""

import dataclasses
import math

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from input_pipeline.errors import DataError

FITS = ('pad', 'crop', 'resize', 'native')
_SQUARE = 1.001  # sides of pixels that differ by less are equal: headers round
_MOST_PIXELS = 2**26  # of an image while it is resampled; wrong spacing could ask for any number


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """By how much the rows and the columns of a stored image grow before it is fitted.

    Attributes:
      rows, columns: factors of the height and of the width.
      is_fixed: whether pixels have their final size then, so that fitting pads and cuts alone.
    """

    rows: float = 1.0
    columns: float = 1.0
    is_fixed: bool = False

    def sides(self, height: int, width: int) -> tuple[float, float]:
        """Height and width of an image in pixels of the new size."""
        return height * self.rows, width * self.columns


AS_STORED = Scale()


def square_scale(spacing: tuple[float, ...]) -> Scale:
    """What makes pixels square: the coarser of the two spacings becomes the finer one.

    Args:
      spacing: millimetres between rows and columns, and more; images of unknown spacing (0) stay as they are.
    """
    rows, columns = spacing[:2]
    if not is_known(spacing) or max(rows, columns) < _SQUARE * min(rows, columns):
        return AS_STORED
    return Scale(rows / min(rows, columns), columns / min(rows, columns))


def is_known(spacing: tuple[float, ...]) -> bool:
    """Whether millimetres between rows and columns are known."""
    return all(math.isfinite(side) and side > 0 for side in spacing[:2])


def resample(
    image: Float32[np.ndarray, 'height width channels'], height: int, width: int
) -> Float32[np.ndarray, 'new_height new_width channels']:
    """Area average where a side shrinks (no aliasing), cubic where it grows."""
    smaller = min(height, image.shape[0]), min(width, image.shape[1])
    if smaller != image.shape[:2]:
        image = _each_channel(image, *smaller, cv2.INTER_AREA)
    if (height, width) != image.shape[:2]:
        image = _each_channel(image, height, width, cv2.INTER_CUBIC)
    return np.clip(image, 0, 1)  # cubic interpolation overshoots


def _each_channel(
    image: Float32[np.ndarray, 'height width channels'], height: int, width: int, interpolation: int
) -> Float32[np.ndarray, 'new_height new_width channels']:
    """OpenCV resizes at most four channels by area, so channels go one at a time."""
    planes = [
        cv2.resize(np.ascontiguousarray(image[..., channel]), (width, height), interpolation=interpolation)
        for channel in range(image.shape[-1])
    ]
    return np.stack(planes, axis=-1)


def pick_nearest(
    ids: UInt8[np.ndarray, 'height width 1'], height: int, width: int
) -> UInt8[np.ndarray, 'new_height new_width 1']:
    """Samples at pixel centres: masks stay aligned with averaged images (OpenCV's nearest is half off)."""
    rows = (2 * np.arange(height) + 1) * ids.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * ids.shape[1] // (2 * width)
    return ids[rows[:, None], columns[None, :]]


def _geometry(height: int, width: int, resolution: int, fit: str, scale: Scale) -> tuple[slice, slice, int, int]:
    """The part of the source that is used, and the size it gets; what is too large for the result is cut then."""
    rows, columns = slice(0, height), slice(0, width)
    if fit == 'native':
        _check_room(height, width, resolution, (height, width))
        return rows, columns, height, width
    if fit == 'resize':
        return rows, columns, resolution, resolution
    if fit == 'crop' and scale == AS_STORED:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return slice(top, top + side), slice(left, left + side), resolution, resolution
    tall, wide = scale.sides(height, width)
    whole = 1.0 if scale.is_fixed else max(tall, wide) if fit == 'pad' else min(tall, wide)
    # In this order an image of square pixels gets the size that whole numbers give.
    new_height, new_width = (
        max(1, round(side if scale.is_fixed else side * resolution / whole)) for side in (tall, wide)
    )
    if scale.is_fixed and fit == 'pad':
        _check_room(height, width, resolution, (new_height, new_width))
    if scale != AS_STORED and max(new_height * new_width, resolution**2) > _MOST_PIXELS:
        raise DataError(
            f'an image of {height} x {width} pixels would be resampled to {new_height} x {new_width}; is its '
            "spacing right? pixels='as_stored' leaves it as it is"
        )
    return rows, columns, new_height, new_width


def _check_room(height: int, width: int, resolution: int, size: tuple[int, int]) -> None:
    if max(size) > resolution:
        resampled = '' if size == (height, width) else f', {size[0]} x {size[1]} once resampled,'
        raise DataError(
            f'an image of {height} x {width} pixels{resampled} does not fit {resolution} x {resolution} as it is; '
            f"make resolution larger, or use fit='{'crop' if resampled else 'pad'}'."
        )


def _offset(size: int, resolution: int) -> int:
    """Where a line of this size begins in the result: half of what is spare before it, or of what is cut off."""
    return (resolution - size) // 2 if size <= resolution else -((size - resolution) // 2)


def _centre(
    image: Shaped[np.ndarray, 'height width channels'], resolution: int
) -> Shaped[np.ndarray, 'resolution resolution channels']:
    """Cuts, or pads with zeros, on both sides; the odd line is below and to the right."""
    if image.shape[:2] == (resolution, resolution):
        return image
    starts = [_offset(size, resolution) for size in image.shape[:2]]
    rows, columns = (slice(max(0, -start), max(0, -start) + resolution) for start in starts)
    shown = image[rows, columns]
    before = [max(0, start) for start in starts]
    spare = [(start, resolution - start - size) for start, size in zip(before, shown.shape[:2], strict=True)]
    return np.pad(shown, [*spare, (0, 0)])


def fit_image(
    image: Float32[np.ndarray, 'height width channels'], resolution: int, fit: str, scale: Scale = AS_STORED
) -> Float32[np.ndarray, 'resolution resolution channels']:
    """Makes an image in [0, 1] square; see `Preprocessing.fit` and `Preprocessing.scale`."""
    rows, columns, height, width = _geometry(image.shape[0], image.shape[1], resolution, fit, scale)
    return _centre(resample(image[rows, columns], height, width), resolution)


def fit_mask(
    ids: UInt8[np.ndarray, 'height width 1'], resolution: int, fit: str, scale: Scale = AS_STORED
) -> UInt8[np.ndarray, 'resolution resolution 1']:
    """Makes a mask of class ids square with the geometry of `fit_image`, by nearest pixel centre."""
    rows, columns, height, width = _geometry(ids.shape[0], ids.shape[1], resolution, fit, scale)
    return _centre(pick_nearest(ids[rows, columns], height, width), resolution)


def placement(height: int, width: int, resolution: int, fit: str, scale: Scale = AS_STORED) -> tuple[slice, slice]:
    """Rows and columns of the square result that an image of this size fills."""
    _, _, *sizes = _geometry(height, width, resolution, fit, scale)
    starts = [max(0, _offset(size, resolution)) for size in sizes]
    rows, columns = (
        slice(start, start + min(size, resolution)) for start, size in zip(starts, sizes, strict=True)
    )
    return rows, columns


def locate(
    place: tuple[int, int], height: int, width: int, resolution: int, fit: str, scale: Scale
) -> tuple[int, int]:
    """The pixel of an image of this size that lies under the middle of a pixel of the square result."""
    *used, new_height, new_width = _geometry(height, width, resolution, fit, scale)
    row, column = (
        part.start + int((own - _offset(size, resolution) + 0.5) * (part.stop - part.start) / size)
        for own, part, size in zip(place, used, (new_height, new_width), strict=True)
    )
    return row, column
