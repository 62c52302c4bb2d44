"""Lossless storage of pixel values, their physical units, percentiles, and what makes pixels unusable."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Num, Real

from input_pipeline.errors import DataError
from input_pipeline.records import Dtype, ReaderOptions, Record

# Percentiles of larger volumes are taken over this many evenly spread values, so that memory stays bounded.
_SAMPLE_SIZE = 2**22
_STORED_RANGE = {'uint8': 255, 'uint16': 65535, 'float32': 1}


def storage_dtype(dtype: np.dtype) -> Dtype:
    """The smallest stored type that holds every value of `dtype`; float32 for all but 8- and 16-bit integers.

    Raises:
      DataError: values of this type (complex, text, structured) are no pixels.
    """
    if dtype.kind not in 'buif':
        raise DataError(f'holds values of type {dtype}, which are not pixels; save it as integers or floats')
    if dtype.kind == 'f' or dtype.itemsize > 2:
        return 'float32'
    return 'uint8' if dtype.itemsize == 1 else 'uint16'


def encode(
    values: Num[np.ndarray, '*shape'],
    slope: float = 1.0,
    intercept: float = 0.0,
    bright_low: bool = False,
) -> tuple[Num[np.ndarray, '*shape'], tuple[float, float]]:
    """Stores values so that higher is brighter, with the mapping back to physical units.

    8- and 16-bit integers keep every bit: signed ones are shifted to start at 0, and where brightness falls
    with the value (MONOCHROME1, or a negative slope, but not both) the stored range is reversed. All else
    becomes physical values in float32 (exact for integers up to 2**24), negated where brightness falls.

    Args:
      values: integers or floats as the file stores them.
      slope: physical units of one step of `values`.
      intercept: physical value of 0.
      bright_low: True where the lowest physical value is displayed brightest.

    Returns:
      The stored image, and `Record.intensity`: the physical values of the stored 0 and of the stored
      type's largest value. The first is larger than the second exactly when `bright_low`.

    Raises:
      DataError: slope 0 or not finite, or values that float32 cannot hold.
    """
    if slope == 0 or not math.isfinite(slope) or not math.isfinite(intercept):
        raise DataError(f'has the unusable rescale slope {slope} and intercept {intercept}')
    name = storage_dtype(values.dtype)
    if name == 'float32':
        sign = -1.0 if bright_low else 1.0
        return _to_float32(sign * (values.astype(np.float64) * slope + intercept)), (0.0, sign)
    lowest = 0 if values.dtype.kind in 'bu' else int(np.iinfo(values.dtype).min)
    largest = _STORED_RANGE[name]
    stored = values.astype(name)
    if lowest:  # unsigned arithmetic wraps around, so half the range shifts signed values without a wider copy
        stored -= np.array(lowest).astype(name)
    ends = slope * lowest + intercept, slope * (lowest + largest) + intercept
    if bright_low != (slope < 0):
        return largest - stored, (ends[1], ends[0])
    return stored, ends


def _to_float32(values: Real[np.ndarray, '*shape']) -> Real[np.ndarray, '*shape']:
    with np.errstate(over='ignore'):  # becomes infinity, which is refused
        image = values.astype(np.float32)
    if not np.isfinite(image).all():
        raise DataError('has values that float32 cannot hold (NaN, infinity, or above 3.4e38)')
    return image


def to_physical(image: Real[np.ndarray, '*shape'], intensity: tuple[float, float]) -> Real[np.ndarray, '*shape']:
    """Physical values, float64, of a stored image (see `Record.intensity`)."""
    low, high = intensity
    return low + (high - low) * image.astype(np.float64) / _STORED_RANGE[image.dtype.name]


def sample(values: Real[np.ndarray, '*shape'], share: int = 1) -> Real[np.ndarray, ' count']:
    """Evenly spread values, all of them where few: what one of `share` frames gives to its percentiles.

    The step has no factor in common with the lengths of the axes, or whole columns would never be seen.
    """
    step = max(1, math.ceil(values.size * share / _SAMPLE_SIZE))
    while math.gcd(step, values.size) > 1:
        step += 1
    return values.ravel(order='K')[::step]


def percentile_window(
    samples: Sequence[Real[np.ndarray, ' _']],
    percentiles: tuple[float, float],
    bright_low: bool = False,
) -> tuple[float, float]:
    """`Record.window`: the physical values to show darkest and brightest.

    Args:
      samples: physical values, as `sample` gives.
      percentiles: of brightness, lower and upper, 0 to 100.
      bright_low: True where brightness falls with the physical value; then the first is the larger.
    """
    ranks = [100 - rank for rank in percentiles] if bright_low else list(percentiles)
    darkest, brightest = np.percentile(np.concatenate(samples).astype(np.float64), ranks)
    return float(darkest), float(brightest)


def check_usable(values: Num[np.ndarray, '*shape']) -> None:
    """Refuses pixels that hold no image.

    Raises:
      DataError: NaN, infinity, or one value everywhere.
    """
    if values.size == 0:
        raise DataError('holds no pixels')
    if values.dtype.kind == 'f' and not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise DataError(
            f'has {count} values that are not finite (NaN or infinity); replace them first, with numpy.nan_to_num '
            'or fslmaths -nan'
        )
    if values.min() == values.max():
        raise DataError(f'is constant: every pixel is {values.flat[0]}')


def check_size(pixels: int, limit: int) -> None:
    """Refuses a picture by the size its header claims, before anything is decoded.

    Raises:
      DataError: more pixels than `ReaderOptions.pixel_limit`.
    """
    if pixels > limit:
        raise DataError(
            f'claims {pixels} pixels, more than the limit of {limit}; if it is genuine, raise --pixel_limit'
        )


def check_volume_size(voxels: int, limit: int) -> None:
    """Likewise for a volume, which may have four times as many voxels as a picture pixels."""
    check_size(voxels, 4 * limit)


def create_record(
    key: str,
    values: Num[np.ndarray, 'height width channel'],
    options: ReaderOptions,
    patient: str,
    label: str | None,
    mask: Num[np.ndarray, 'height width 1'] | None,
    source: str,
) -> Record:
    """A record of a picture that stands alone: its units are its own values, its window its own percentiles.

    Raises:
      DataError: the pixels are not finite, or constant.
    """
    check_usable(values)
    image, intensity = encode(values)
    return Record(
        key=key,
        image=image,
        patient=patient,
        modality=options.modality or 'unknown',
        label=label,
        mask=mask,
        intensity=intensity,
        window=_lone_window(image, intensity, options.percentiles),
        spacing=(0.0, 0.0, 0.0),
        source=source,
    )


def _lone_window(
    image: Real[np.ndarray, 'height width channel'],
    intensity: tuple[float, float],
    percentiles: tuple[float, float],
) -> tuple[float, float]:
    """As `percentile_window` of one ascending image; integers by counting, which is several times as fast."""
    if image.dtype.kind == 'f':
        return percentile_window([to_physical(sample(image), intensity)], percentiles)
    ranks = (image.size - 1) * np.array(percentiles) / 100
    cumulated = np.cumsum(np.bincount(image.ravel()))
    below, above = (np.searchsorted(cumulated, edge(ranks), side='right') for edge in (np.floor, np.ceil))
    stored = below + (above - below) * (ranks - np.floor(ranks))
    low, high = intensity
    darkest, brightest = low + (high - low) * stored / _STORED_RANGE[image.dtype.name]
    return float(darkest), float(brightest)
