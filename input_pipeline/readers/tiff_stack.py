"""TIFF files of several pages of one size and kind, read as the slices of one volume, by tifffile."""

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Num

from input_pipeline.errors import DataError, first_line
from input_pipeline.readers.pixels import check_size, storage_dtype

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _SUB_DIRECTORIES = 274, 282, 283, 330
_READABLE = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.RGB)
_SLICES = 'ZTIQR'  # tifffile's letters for axes that slices may lie along; channels are no slices
_MILLIMETRES = {'mm': 1.0, 'cm': 10.0, 'um': 1e-3, 'µm': 1e-3, '\\u00B5m': 1e-3, 'micron': 1e-3, 'microns': 1e-3}
_MILLIMETRES |= {'nm': 1e-6, 'μm': 1e-3}  # the Greek letter beside the sign for micro
_OME_SIZE = re.compile(r'\bPhysicalSize([XYZ])(Unit)?="([^"]*)"')


@dataclasses.dataclass(frozen=True, slots=True)
class StackHeader:
    """What the directories of a file say.

    Attributes:
      dtype: of the stored values.
      channels: 1 or 3.
      pages: how many.
      spacing: millimetres between rows, columns and pages; 0 where ImageJ's or OME's tags do not tell.
    """

    dtype: np.dtype
    channels: int
    pages: int
    spacing: tuple[float, float, float]


def read_stack_header(path: Path, pixel_limit: int) -> StackHeader:
    """Looks at the directories of a file of several pages.

    Raises:
      DataError: pages of several sizes or kinds, several axes beside those of a page, too many pixels together, or
        samples that are not read.
    """
    with _opened(path) as (file, series):
        page = series.keyframe
        channels = page.samplesperpixel
        rows = series.axes.index('Y')
        check_size(math.prod(series.shape) // channels, pixel_limit)
        storage_dtype(series.dtype)
        height, width, between = _spacing(file, page)
        is_film = dict(zip(series.axes, series.shape, strict=True)).get('T', 1) > 1
        spacing = height, width, 0.0 if is_film else between
        return StackHeader(series.dtype, channels, math.prod(series.shape[:rows]), spacing)


def read_stack(path: Path) -> Num[np.ndarray, 'page height width channel']:
    """All pages, bright as high values.

    Raises:
      DataError: as `read_stack_header`, or the file is truncated or damaged.
    """
    with _opened(path) as (_, series):
        values = series.asarray()
        rows = series.axes.index('Y')
        page = series.keyframe
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            values = (2**page.bitspersample - 1 - values).astype(values.dtype)
        return values.reshape(-1, *series.shape[rows : rows + 2], page.samplesperpixel)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[tifffile.TiffFile, tifffile.TiffPageSeries]]:
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:  # OME's texts may name other files
            yield file, _only_series(file)
    except DataError:
        raise
    except Exception as error:  # damaged bytes make it raise many kinds
        raise DataError(f'cannot be decoded ({type(error).__name__}: {first_line(error)})') from error


def _only_series(file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """The pages as one array, where they are of one size and kind, with one axis beside those of a page."""
    series = file.series
    has_parts = isinstance(file.pages.first, tifffile.TiffPage) and _SUB_DIRECTORIES in file.pages.first.tags
    if len(series) != 1 or len(series[0].levels) > 1 or has_parts:
        raise DataError(
            'holds pages of several sizes or kinds, such as thumbnails or a pyramid; save those to be read as '
            'a file of their own'
        )
    page = series[0].keyframe
    axes = dict(zip(series[0].axes, series[0].shape, strict=True))
    several = {axis: length for axis, length in axes.items() if length > 1 and axis not in 'YXS'}
    if len(several) > 1 or not set(several) <= set(_SLICES):
        shown = ', '.join(f'{axis} {length}' for axis, length in several.items())
        raise DataError(f'holds pages along the axes {shown}; save each channel and time as a file of its own')
    is_signed_white = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and series[0].dtype.kind != 'u'
    is_turned = _ORIENTATION in page.tags and page.tags[_ORIENTATION].value != 1
    is_grey = page.samplesperpixel == 1 and page.photometric != tifffile.PHOTOMETRIC.RGB
    is_colour = page.photometric == tifffile.PHOTOMETRIC.RGB and series[0].axes.endswith('YXS') and axes['S'] == 3
    if page.photometric not in _READABLE or is_signed_white or is_turned or not (is_grey or is_colour):
        raise DataError(
            f'holds pages of {page.samplesperpixel} samples of {series[0].dtype} that are neither upright grey '
            'nor upright RGB; save each as a picture of its own'
        )
    return series[0]


def _spacing(file: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float, float, float]:
    """Millimetres between rows, columns and pages, where they are told with their units."""
    if file.is_ome:
        found = {axis + unit: value for axis, unit, value in _OME_SIZE.findall(file.ome_metadata or '')}
        sides = [_millimetres(found.get(axis, ''), found.get(f'{axis}Unit', 'µm')) for axis in 'YXZ']
    elif file.is_imagej:
        described = file.imagej_metadata or {}
        unit = str(described.get('unit', ''))
        rows, columns = (_pixel_side(page, tag) for tag in (_Y_RESOLUTION, _X_RESOLUTION))
        sides = [_millimetres(side, unit) for side in (rows, columns, described.get('spacing', 0))]
    else:
        return 0.0, 0.0, 0.0
    rows, columns, slices = sides
    return (rows, columns, slices) if rows and columns else (0.0, 0.0, 0.0)


def _pixel_side(page: tifffile.TiffPage, tag: int) -> float:
    """In the unit of the file; 0 where it is not told."""
    pixels, units = page.tags[tag].value if tag in page.tags else (1, 1)
    return units / pixels if pixels and (pixels, units) != (1, 1) else 0.0  # 1 / 1 is what writers put for unknown


def _millimetres(length: float | str, unit: str) -> float:
    """0 where the length or the unit is unknown."""
    try:
        side = float(length) * _MILLIMETRES.get(unit, 0.0)
    except ValueError:
        return 0.0
    return side if math.isfinite(side) and side > 0 else 0.0
