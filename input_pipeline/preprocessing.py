"""From a stored image to a square one of the wanted size, quantised inside an intensity window."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float32, Shaped, UInt

from input_pipeline.errors import DataError
from input_pipeline.placement import AS_STORED, FITS, Scale, fit_image, is_known, square_scale

PIXELS = ('as_stored', 'square')
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
        keeps it and cuts the longer side; 'resize' does not keep it; 'native' keeps every pixel as it is, whatever
        `pixels` says, and pads, so no image may be larger than the result.
      mask_classes: foreground classes to keep as mask channels, 0 for images alone.
      context: slices of the same volume before and after each that become further channels, in their order; at the
        ends of a volume its last slice is repeated.
      pixels: what is done with the spacing in the plane before images are fitted: 'as_stored', nothing; 'square',
        images whose pixels are not square get pixels of the finer of their two spacings; or millimetres that all
        pixels of the result measure: then 'pad' pads alone, so no image may be larger, and 'crop' cuts and pads.
      mask_slope: pixels over which a mask channel rises from the contour to its highest value, by the distance to
        the contour, and falls outside; 0 for masks that are all or nothing.

    Raises:
      DataError: when a field has no meaning.
    """

    resolution: int
    channels: int
    window: str | tuple[float, float]
    fit: str
    mask_classes: int
    context: int
    pixels: str | float = 'as_stored'
    mask_slope: float = 0.0

    def __post_init__(self) -> None:
        self._check_pixels()
        if self.resolution < 1 or self.channels < 1 or not 0 <= self.mask_classes <= 255:
            raise DataError(
                f'resolution={self.resolution}, channels={self.channels}, mask_classes={self.mask_classes}: '
                'the first two must be at least 1, the last 0 to 255.'
            )
        if not (math.isfinite(self.mask_slope) and self.mask_slope >= 0):
            raise DataError(f'mask_slope={self.mask_slope}: pixels of a slope are 0 or more.')
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

    def _check_pixels(self) -> None:
        if isinstance(self.pixels, str):
            if self.pixels not in PIXELS:
                raise DataError(f'pixels={self.pixels!r} is not one of {", ".join(PIXELS)} or millimetres.')
        elif not (math.isfinite(self.pixels) and self.pixels > 0):
            raise DataError(f'pixel_size={self.pixels}: pixels are resampled to millimetres above 0.')
        elif self.fit in ('resize', 'native'):
            raise DataError(
                f'fit={self.fit!r} would not leave pixels {self.pixels:g} mm wide; use pad or crop, which then '
                'pad and cut alone.'
            )

    def scale(self, spacing: tuple[float, ...]) -> Scale:
        """How an image of this spacing is scaled before it is fitted.

        Args:
          spacing: millimetres between rows and columns, and more; 0 where unknown.

        Raises:
          DataError: when pixels of so many millimetres are wanted, and it is not known.
        """
        if not isinstance(self.pixels, str):
            if not is_known(spacing):
                raise DataError(
                    f'the spacing of its pixels is not known, so they cannot be made {self.pixels:g} mm wide; use '
                    "pixels='square', which leaves such images as they are"
                )
            return Scale(spacing[0] / self.pixels, spacing[1] / self.pixels, is_fixed=True)
        return square_scale(spacing) if self.pixels == 'square' and self.fit != 'native' else AS_STORED

    def spacing_of(self, height: int, width: int, spacing: tuple[float, ...]) -> tuple[float, float]:
        """Millimetres between rows and columns of the result; 0 where unknown.

        Args:
          height, width, spacing: of the stored image.
        """
        scale = self.scale(spacing)
        tall, wide = scale.sides(height, width)
        rows, columns = spacing[0] / scale.rows, spacing[1] / scale.columns
        if self.fit == 'native' or scale.is_fixed:
            return rows, columns
        if self.fit == 'resize':
            return rows * tall / self.resolution, columns * wide / self.resolution
        side = max(tall, wide) if self.fit == 'pad' else min(tall, wide)
        return rows * side / self.resolution, columns * side / self.resolution

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


def preprocess_image(
    image: Shaped[np.ndarray, 'height width _'],
    intensity: tuple[float, float],
    window: tuple[float, float],
    preprocessing: Preprocessing,
    spacing: tuple[float, ...],
) -> UInt[np.ndarray, 'resolution resolution channels']:
    """One stored image, windowed, made square and quantised.

    Args:
      image: stored values.
      intensity: see `apply_window`.
      window: physical values that become the lowest and the highest (`preprocessing.window` resolved for
        this image).
      preprocessing: size, channels, fit and pixels.
      spacing: millimetres between rows and columns, and more; 0 where unknown.

    Raises:
      DataError: when the channels cannot be converted, or the image cannot be made to fit.
    """
    dtype = output_dtype(image.dtype, preprocessing.window)
    unit = apply_window(convert_channels(image, preprocessing.channels), intensity, window)
    fitted = fit_image(unit, preprocessing.resolution, preprocessing.fit, preprocessing.scale(spacing))
    return np.rint(fitted * np.float32(np.iinfo(dtype).max)).astype(dtype)
