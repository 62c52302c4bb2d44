"""From a stored image to a square one of the wanted size, quantised inside an intensity window."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt, UInt8

from input_pipeline.errors import DataError

FITS = ('pad', 'crop', 'resize', 'native')
WINDOWS = ('auto', 'stored', 'volume', 'dataset')
# ITU-R BT.601, as Pillow's and OpenCV's conversions to grey use it.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How images are made alike.

    Attributes:
      resolution: height and width of the result.
      channels: channels of the result; 3 become 1 by luminance, 1 becomes 3 by repetition.
      window: the physical values that become the lowest and the highest: 'auto', 'stored' for 8-bit data and
        'volume' for deeper; 'stored', the whole range of the stored integers; 'volume', the percentiles of
        each volume (of each image, where it is alone);
        'dataset', those of the training split; or (low, high) in physical units. Values outside are
        clipped. Images whose brightness falls with the physical value (MONOCHROME1) stay as they are
        displayed: their lowest value is the upper end of the window.
      fit: 'pad' keeps the aspect ratio and pads with the lowest value (masks with background); 'crop'
        keeps it and cuts the longer side; 'resize' does not keep it; 'native' keeps every pixel as it is and
        pads, so no image may be larger than the result.
      mask_classes: foreground classes to keep as mask channels, 0 for images alone.
      context: slices of the same volume before and after each that become further channels, in their order; at the
        ends of a volume its last slice is repeated.

    Raises:
      DataError: when a field has no meaning.
    """

    resolution: int
    channels: int
    window: str | tuple[float, float]
    fit: str
    mask_classes: int
    context: int

    def __post_init__(self) -> None:
        if self.resolution < 1 or self.channels < 1 or not 0 <= self.mask_classes <= 255:
            raise DataError(
                f'resolution={self.resolution}, channels={self.channels}, mask_classes={self.mask_classes}: '
                'the first two must be at least 1, the last 0 to 255.'
            )
        if self.context < 0:
            raise DataError(f'context={self.context}: the slices on either side must be 0 or more.')
        if self.fit not in FITS:
            raise DataError(f'fit={self.fit!r} is not one of {", ".join(FITS)}.')
        if isinstance(self.window, str):
            if self.window not in WINDOWS:
                raise DataError(f'window={self.window!r} is not one of {", ".join(WINDOWS)} or (low, high).')
            return
        if len(self.window) != 2 or not self.window[0] < self.window[1]:
            raise DataError(f'window={self.window!r}: the lower end must be below the upper one.')
        object.__setattr__(self, 'window', (float(self.window[0]), float(self.window[1])))

    @property
    def all_channels(self) -> int:
        """Channels of an image together with its context."""
        return self.channels * (2 * self.context + 1)


def output_dtype(stored: np.dtype | type, window: str | tuple[float, float]) -> np.dtype:
    """uint8 for 8-bit images in their whole range; anything windowed needs the 16 bits of uint16."""
    return np.dtype(np.uint8 if np.dtype(stored) == np.uint8 and window == 'stored' else np.uint16)


def stored_maximum(dtype: np.dtype | type) -> float:
    """The stored value that `Record.intensity`'s upper end belongs to."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def convert_channels(
    image: Shaped[np.ndarray, 'height width _'], channels: int
) -> Shaped[np.ndarray, 'height width channels']:
    """Colour to grey by luminance, grey to colour by repetition, in the image's own type.

    Raises:
      DataError: for any other conversion.
    """
    present = image.shape[-1]
    if present == channels:
        return image
    if (present, channels) == (1, 3):
        return np.repeat(image, 3, axis=-1)
    if (present, channels) == (3, 1):
        grey = image.astype(np.float32) @ _LUMINANCE[:, None]
        return (np.rint(grey) if np.issubdtype(image.dtype, np.integer) else grey).astype(image.dtype)
    raise DataError(f'{present} channels cannot become {channels} (only 1 and 3 can be converted).')


def resolve_window(
    preprocessing: Preprocessing,
    intensity: tuple[float, float],
    volume: tuple[float, float],
    dataset: tuple[float, float] | None,
) -> tuple[float, float]:
    """The physical values that become the darkest and the brightest of one image.

    Args:
      preprocessing: says which window is wanted.
      intensity: physical values of the stored zero and of the largest stored value.
      volume: the window of the image's volume, in the order of `intensity`.
      dataset: the ascending window of the training split, None where it is not known.

    Raises:
      DataError: when the window of the data set is wanted and not known.
    """
    if preprocessing.window == 'stored':
        return intensity
    if preprocessing.window == 'volume':
        return volume
    window = dataset if isinstance(preprocessing.window, str) else preprocessing.window
    if window is None:
        raise DataError("window='dataset' needs a data set that input_pipeline.prepare wrote; give (low, high).")
    return window if intensity[0] <= intensity[1] else (window[1], window[0])


def apply_window(
    image: Shaped[np.ndarray, 'height width channels'],
    intensity: tuple[float, float],
    window: tuple[float, float],
) -> Float32[np.ndarray, 'height width channels']:
    """Maps the physical interval `window` to [0, 1] and clips what is outside.

    Args:
      image: stored values.
      intensity: physical values of the stored zero and of the largest stored value.
      window: physical values that become 0 and 1, descending where `intensity` descends; where both are
        equal the result is 0 (a constant image).
    """
    span = window[1] - window[0]
    if span == 0:
        return np.zeros(image.shape, np.float32)
    # One multiplication and one addition on the stored values: the whole range maps exactly.
    scale = (intensity[1] - intensity[0]) / stored_maximum(image.dtype) / span
    offset = (intensity[0] - window[0]) / span
    return np.clip(image.astype(np.float32) * np.float32(scale) + np.float32(offset), 0, 1)


def _resample(
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


def _nearest(
    ids: UInt8[np.ndarray, 'height width 1'], height: int, width: int
) -> UInt8[np.ndarray, 'new_height new_width 1']:
    """Samples at pixel centres: masks stay aligned with averaged images (OpenCV's nearest is half off)."""
    rows = (2 * np.arange(height) + 1) * ids.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * ids.shape[1] // (2 * width)
    return ids[rows[:, None], columns[None, :]]


def _geometry(height: int, width: int, resolution: int, fit: str) -> tuple[slice, slice, int, int]:
    """The part of the source that is used, and the size it gets inside the result."""
    if fit == 'crop':
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return slice(top, top + side), slice(left, left + side), resolution, resolution
    if fit == 'pad':
        longer = max(height, width)
        new_height = max(1, round(height * resolution / longer))
        new_width = max(1, round(width * resolution / longer))
        return slice(0, height), slice(0, width), new_height, new_width
    if fit == 'native':
        if max(height, width) > resolution:
            raise DataError(
                f'an image of {height} x {width} pixels does not fit {resolution} x {resolution} as it is; make '
                "resolution larger, or use fit='pad'."
            )
        return slice(0, height), slice(0, width), height, width
    return slice(0, height), slice(0, width), resolution, resolution


def _centre(
    image: Shaped[np.ndarray, 'height width channels'], resolution: int
) -> Shaped[np.ndarray, 'resolution resolution channels']:
    """Pads with zeros on both sides, the odd line below and to the right."""
    if image.shape[:2] == (resolution, resolution):
        return image
    spare = [resolution - size for size in image.shape[:2]]
    return np.pad(image, [(size // 2, size - size // 2) for size in spare] + [(0, 0)])


def fit_image(
    image: Float32[np.ndarray, 'height width channels'], resolution: int, fit: str
) -> Float32[np.ndarray, 'resolution resolution channels']:
    """Makes an image in [0, 1] square; see `Preprocessing.fit`."""
    rows, columns, height, width = _geometry(image.shape[0], image.shape[1], resolution, fit)
    return _centre(_resample(image[rows, columns], height, width), resolution)


def fit_mask(
    ids: UInt8[np.ndarray, 'height width 1'], resolution: int, fit: str
) -> UInt8[np.ndarray, 'resolution resolution 1']:
    """Makes a mask of class ids square with the geometry of `fit_image`, by nearest pixel centre."""
    rows, columns, height, width = _geometry(ids.shape[0], ids.shape[1], resolution, fit)
    return _centre(_nearest(ids[rows, columns], height, width), resolution)


def preprocess_image(
    image: Shaped[np.ndarray, 'height width _'],
    intensity: tuple[float, float],
    window: tuple[float, float],
    preprocessing: Preprocessing,
) -> UInt[np.ndarray, 'resolution resolution channels']:
    """One stored image, windowed, made square and quantised.

    Args:
      image: stored values.
      intensity: see `apply_window`.
      window: physical values that become the lowest and the highest (`preprocessing.window` resolved for
        this image).
      preprocessing: size, channels and fit.

    Raises:
      DataError: when the channels cannot be converted.
    """
    dtype = output_dtype(image.dtype, preprocessing.window)
    unit = apply_window(convert_channels(image, preprocessing.channels), intensity, window)
    fitted = fit_image(unit, preprocessing.resolution, preprocessing.fit)
    return np.rint(fitted * np.float32(np.iinfo(dtype).max)).astype(dtype)


def placement(height: int, width: int, resolution: int, fit: str) -> tuple[slice, slice]:
    """Rows and columns of the square result that an image of this size fills."""
    _, _, *sizes = _geometry(height, width, resolution, fit)
    rows, columns = (slice((resolution - size) // 2, (resolution - size) // 2 + size) for size in sizes)
    return rows, columns
