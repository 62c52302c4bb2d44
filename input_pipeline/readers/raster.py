"""Single pictures (PNG, JPEG, TIFF, BMP, WebP, GIF): their headers, and their pixels at full depth."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Num
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from input_pipeline.errors import DataError, one_line
from input_pipeline.readers.pixels import check_size
from input_pipeline.readers.tiff import PagesError, Samples, describe_samples, read_samples
from input_pipeline.records import Dtype

EXTENSIONS = {'.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.webp', '.gif'}
_FORMATS = ('PNG', 'JPEG', 'TIFF', 'BMP', 'WEBP', 'GIF')  # Pillow knows others; fewer parsers, less risk
_MOST_PIXELS_A_BYTE = 2**12  # more have only pictures of one colour, and files that lie
_GREY_MODES: dict[str, Dtype] = {'1': 'uint8', 'L': 'uint8', 'LA': 'uint8', 'I': 'float32', 'F': 'float32'}
# Mirror rows, mirror columns, then transpose; from the Exif 2.32 tag 0x0112.
_ORIENTATIONS = {
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """What a picture will hold once decoded.

    Attributes:
      dtype: the type it will be stored in.
      channels: 1 or 3 (alpha is dropped).
      decoder: Pillow reduces colours of 16 bits to 8, so OpenCV reads those.
      tiff: how a TIFF is read that Pillow would change.
      size: width and height as stored.
    """

    dtype: Dtype
    channels: int
    decoder: Literal['pillow', 'opencv']
    tiff: Samples | None = None
    size: tuple[int, int] = (0, 0)


def read_header(path: Path, pixel_limit: int) -> Header:
    """Looks at a picture without decoding it.

    Raises:
      PagesError: a TIFF of more than one page.
      DataError: not a picture, too large, or a film.
    """
    with _open(path, pixel_limit) as picture:
        return dataclasses.replace(_describe(picture), size=picture.size)


def read_picture(path: Path, pixel_limit: int) -> Num[np.ndarray, 'height width channel']:
    """The pixels as stored, upright (Exif orientation), alpha dropped: uint8, uint16, int32 or float32.

    Raises:
      DataError: as `read_header`, or the file is truncated or damaged.
    """
    with _open(path, pixel_limit) as picture:
        header = _describe(picture)
        try:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1)
            picture.load()  # also before OpenCV, which fills truncated pictures up without a word
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)  # 1 where Pillow turned a TIFF
            if header.tiff is not None and header.tiff.decoder != 'pillow':
                values = read_samples(path, header.tiff)
                orientation = turned if header.tiff.decoder == 'tifffile' else 1
            elif header.decoder == 'opencv':
                values = _read_deep(path, header.channels)
            else:
                values = _to_array(picture, header.channels)
            if header.tiff is not None and header.tiff.white:
                values = header.tiff.white - values
        except DataError:
            raise
        except Exception as error:  # decoders raise anything on damaged bytes
            raise DataError(f'cannot be decoded ({one_line(error)})') from error
    return _turn_upright(values if values.ndim == 3 else values[..., np.newaxis], orientation)


def read_indices(path: Path, pixel_limit: int) -> Num[np.ndarray, 'height width channel']:
    """Like `read_picture`, for masks: a palette is not applied, its indices are the values; 1 bit gives 0, 1.

    A palette of which only black and white are used is one bit, too: white is 1, whatever its index.

    Raises:
      DataError: as `read_picture`.
    """
    with _open(path, pixel_limit) as picture:
        _describe(picture)
        if picture.mode not in ('1', 'P'):
            return read_picture(path, pixel_limit)
        try:
            indices = np.asarray(picture).astype(np.uint8)[..., np.newaxis]
            if picture.mode == 'P':
                colours = np.asarray(picture.getpalette('RGB')).reshape(-1, 3)
                used = np.unique(indices[indices < len(colours)])
                if all(colours[index].tolist() in ([0, 0, 0], [255, 255, 255]) for index in used):
                    indices = (colours[np.minimum(indices, len(colours) - 1), 0] == 255).astype(np.uint8)
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception as error:
            raise DataError(f'cannot be decoded ({one_line(error)})') from error
    return _turn_upright(indices, orientation)


def read_alpha(path: Path, pixel_limit: int) -> Num[np.ndarray, 'height width 1'] | None:
    """Transparency, 0 where nothing is shown; None where the picture has no channel of it.

    Raises:
      DataError: as `read_picture`.
    """
    with _open(path, pixel_limit) as picture:
        if picture.mode not in ('LA', 'RGBA'):
            return None
        try:
            alpha = np.asarray(picture.getchannel('A'))[..., np.newaxis]
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception as error:
            raise DataError(f'cannot be decoded ({one_line(error)})') from error
    return _turn_upright(alpha, orientation)


@contextlib.contextmanager
def _open(path: Path, pixel_limit: int) -> Iterator[Image.Image]:
    # Pillow's own guard stops at a fixed size; the user's limit takes its place.
    Image.MAX_IMAGE_PIXELS = pixel_limit
    with path.open('rb') as file:  # by name, Pillow 13 would map the file, and garble turned TIFFs
        try:
            picture = Image.open(file, formats=_FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(f'{one_line(error)}; if it is genuine, raise --pixel_limit') from error
        except UnidentifiedImageError as error:
            raise DataError(
                'is not a readable picture: damaged, of another format than its name says, or of samples that no '
                'decoder here knows (8 or 16 bits and 32-bit floats are read)'
            ) from error
        except Exception as error:  # decoders raise anything on damaged bytes
            raise DataError(f'is not a readable picture ({one_line(error)})') from error
        with picture:
            pixels, length = picture.width * picture.height, os.fstat(file.fileno()).st_size
            check_size(pixels, pixel_limit)
            if pixels > length * _MOST_PIXELS_A_BYTE:
                raise DataError(
                    f'claims {picture.width} x {picture.height} pixels, more than its {length} bytes can hold'
                )
            yield picture


def _describe(picture: Image.Image) -> Header:
    try:
        pages = getattr(picture, 'n_frames', 1)
    except Exception as error:  # damaged bytes, as above
        raise DataError(f'is not a readable picture ({one_line(error)})') from error
    if pages > 1:
        kind = PagesError if isinstance(picture, TiffImagePlugin.TiffImageFile) else DataError
        raise kind(f'holds {pages} pages or frames; save each as a picture of its own')
    tiff = describe_samples(picture) if isinstance(picture, TiffImagePlugin.TiffImageFile) else None
    if tiff is not None:
        return Header(tiff.dtype, tiff.channels, 'pillow', tiff)
    if picture.mode.startswith('I;16'):
        return Header('uint16', 1, 'pillow')
    if _is_deep(picture):
        return Header('uint16', 1 if picture.mode == 'LA' else 3, 'opencv')
    if picture.mode in _GREY_MODES:
        return Header(_GREY_MODES[picture.mode], 1, 'pillow')
    return Header('uint8', 1 if _has_grey_palette(picture) else 3, 'pillow')


def _is_deep(picture: Image.Image) -> bool:
    """Whether samples have 16 bits though Pillow's mode has 8."""
    tiles = getattr(picture, 'tile', [])
    arguments = tiles[0].args if tiles else ''
    raw_mode = arguments if isinstance(arguments, str) else (arguments or ('',))[0]
    return ';16' in str(raw_mode)


def _has_grey_palette(picture: Image.Image) -> bool:
    if picture.mode not in ('P', 'PA'):
        return False
    palette = np.asarray(picture.getpalette('RGB')).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _to_array(picture: Image.Image, channels: int) -> Num[np.ndarray, 'height width *channel']:
    if picture.mode.startswith('I;16'):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ('I', 'F', 'L', 'RGB'):
        return np.array(picture)
    if picture.mode == '1':
        return np.array(picture.convert('L'))
    if picture.mode in ('P', 'PA', 'LA', 'RGBA'):  # by way of RGBA, as palettes may carry transparency
        return np.array(picture.convert('RGBA'))[..., :channels]
    return np.array(picture.convert('RGB'))


def _read_deep(path: Path, channels: int) -> Num[np.ndarray, 'height width *channel']:
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise DataError('OpenCV cannot read it at 16 bits')
    return values if values.ndim == 2 else values[..., 2::-1][..., :channels]  # stored blue, green, red, alpha


def _turn_upright(
    values: Num[np.ndarray, 'height width channel'], orientation: int
) -> Num[np.ndarray, 'upright_height upright_width channel']:
    mirror_rows, mirror_columns, transpose = _ORIENTATIONS.get(orientation, (False, False, False))
    values = values[::-1] if mirror_rows else values
    values = values[:, ::-1] if mirror_columns else values
    return np.ascontiguousarray(values.swapaxes(0, 1) if transpose else values)
