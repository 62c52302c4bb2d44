"""TIFF files: what their tags say of pages and samples, beyond what Pillow tells."""

import contextlib
import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tifffile
from jaxtyping import Num
from PIL import TiffImagePlugin

from input_pipeline.errors import DataError
from input_pipeline.records import Dtype

# Tags of TIFF 6.0, and of the supplement that added volumes.
_BITS, _PHOTOMETRIC, _DESCRIPTION, _CHANNELS, _PLANAR, _EXTRA, _FORMAT = 258, 262, 270, 277, 284, 338, 339
_DEPTH = 32997
_WHITE_IS_ZERO, _CMYK = 0, 5
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_SEPARATE = 2
_IMAGEJ_PAGES = re.compile(r'^images=(\d+)', re.MULTILINE)


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
