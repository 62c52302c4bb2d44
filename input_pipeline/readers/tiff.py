"""TIFF files: what their tags say, beyond what Pillow tells; several pages of one size and kind as one volume."""

import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tifffile
from jaxtyping import Num
from PIL import TiffImagePlugin

from input_pipeline.errors import DataError, first_line
from input_pipeline.readers.pixels import check_size, storage_dtype
from input_pipeline.records import Dtype

# Tags of TIFF 6.0, and of the supplement that added volumes.
_BITS, _PHOTOMETRIC, _DESCRIPTION, _CHANNELS, _PLANAR, _EXTRA, _FORMAT = 258, 262, 270, 277, 284, 338, 339
_DEPTH = 32997
_WHITE_IS_ZERO, _CMYK = 0, 5
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SEPARATE = 2
_IMAGEJ_PAGES = re.compile(r'^images=(\d+)', re.MULTILINE)
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _SUB_DIRECTORIES = 274, 282, 283, 330
_READABLE = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.RGB)
_SLICES = 'ZTIQR'  # tifffile's letters for axes that slices may lie along; channels are no slices
_MILLIMETRES = {'mm': 1.0, 'cm': 10.0, 'um': 1e-3, 'µm': 1e-3, '\\u00B5m': 1e-3, 'micron': 1e-3, 'microns': 1e-3}
_MILLIMETRES |= {'nm': 1e-6, 'μm': 1e-3}  # the Greek letter beside the sign for micro
_OME_SIZE = re.compile(r'\bPhysicalSize([XYZ])(Unit)?="([^"]*)"')


class PagesError(DataError):
    """A file of several pages, where one picture is read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """How to read a TIFF whose samples Pillow does not keep as they are.

    Attributes:
      dtype: the type it will be stored in.
      channels: 1 or 3.
      decoder: 'opencv' turns pictures upright, 'tifffile' (planes that lie apart) and 'pillow' do not.
      white: the value that MINISWHITE shows black, so that it is subtracted from; 0 where bright is high.
    """

    dtype: Dtype
    channels: Literal[1, 3]
    decoder: Literal['opencv', 'tifffile', 'pillow']
    white: int


def describe_samples(picture: TiffImagePlugin.TiffImageFile) -> Samples | None:
    """How to read the only page; None where Pillow reads it right.

    Raises:
      PagesError: pages that the directory does not list.
      DataError: samples with no clear meaning.
    """
    tags = picture.tag_v2
    _refuse_hidden_pages(tags, picture.width * picture.height)
    channels, bits, kind = int(tags.get(_CHANNELS, 1)), max(tags.get(_BITS, (1,))), max(tags.get(_FORMAT, (1,)))
    white_is_zero, extra = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, tags.get(_EXTRA, ())
    if channels > 4 or (channels == 2 and (bits > 8 or 0 in extra)):
        raise DataError(f'holds {channels} channels; only grey, RGB, and these with transparency are read')
    if bits > 8 and tags.get(_PHOTOMETRIC) == _CMYK:
        raise DataError(f'holds CMYK colours of {bits} bits; save it as RGB')
    if channels > 1:
        if bits <= 8:
            return None
        return Samples('uint16', 3, 'tifffile' if tags.get(_PLANAR) == _SEPARATE else 'opencv', 0)
    if kind == _UNSIGNED and bits <= 16:
        return Samples('uint16', 1, 'pillow', 2**bits - 1) if white_is_zero and bits > 8 else None
    if kind not in (_UNSIGNED, _SIGNED, _FLOAT) or white_is_zero:
        raise DataError('shows low values bright (MINISWHITE) in signed or deep numbers; save it as MINISBLACK')
    if kind == _FLOAT or bits > 16:
        return Samples('float32', 1, 'opencv', 0)
    return Samples('uint8' if bits == 8 else 'uint16', 1, 'opencv', 0)


def _refuse_hidden_pages(tags: TiffImagePlugin.ImageFileDirectory_v2, pixels: int) -> None:
    """Refuses stacks behind one directory: ImageJ's above 4 GB, tifffile's truncated ones, and volumes."""
    description = str(tags.get(_DESCRIPTION, ''))
    pages = int(tags.get(_DEPTH, 1))
    if description.startswith('ImageJ='):
        found = _IMAGEJ_PAGES.search(description)
        pages = max(pages, int(found.group(1)) if found else 1)
    elif description.startswith('{"shape":'):
        with contextlib.suppress(ValueError, TypeError):  # a description is free text, whatever it looks like
            stored = math.prod(map(int, json.loads(description)['shape']))
            pages = max(pages, stored // (pixels * int(tags.get(_CHANNELS, 1))))
    if pages > 1:
        raise PagesError(
            f'is a stack of {pages} pages behind one directory, of which only the first could be read; save each '
            'page as a picture of its own'
        )


def read_samples(path: Path, samples: Samples) -> Num[np.ndarray, 'height width *channel']:
    """The pixels, alpha dropped; signed and 32-bit integers and floats as they are.

    Raises:
      DataError: the library cannot read these samples.
    """
    if samples.decoder == 'tifffile':
        return np.moveaxis(tifffile.imread(path, key=0), 0, -1)[..., : samples.channels]
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    deep = {'uint8': 'i1', 'uint16': 'u2 i2', 'float32': 'u4 i4 f4 f8'}[samples.dtype].split()
    if values is None or values.dtype.str[1:] not in deep or (values.ndim == 2) != (samples.channels == 1):
        raise DataError('OpenCV cannot read samples of this kind')
    return values if values.ndim == 2 else values[..., 2::-1]  # stored blue, green, red, alpha


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
