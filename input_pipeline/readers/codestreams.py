"""The sizes that compressed pixels claim: decoders reserve memory for what these say, not for the header's."""

import struct
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.encaps import generate_fragments
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from input_pipeline.errors import DataError, one_line

Size = tuple[int, int, int]  # rows, columns, channels

_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless)
_START = b'\xff\xd8'  # of JPEG and JPEG-LS
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # markers that a size follows; F7 is JPEG-LS
_START_2000 = b'\xff\x4f\xff\x51'
_LONGEST_PREFIX = 1024  # bytes before JPEG 2000 begins, at most: a file format around it


def check_claims(path: Path, start: int, header: pydicom.Dataset, syntax: UID) -> None:
    """Refuses compressed pixels that claim another size than the header.

    Args:
      path: of the DICOM file.
      start: place of the first fragment in it.
      header: its elements.
      syntax: how its pixels are compressed; others than JPEG, JPEG-LS and JPEG 2000 are not looked at.

    Raises:
      DataError: when they do, or end early.
    """
    find_size = _find_size_of(syntax)
    if find_size is None:
        return
    with path.open('rb') as file:
        file.seek(start)
        try:
            for fragment in generate_fragments(file):
                claimed = find_size(fragment)
                if claimed not in (None, (header.Rows, header.Columns, header.SamplesPerPixel)):
                    raise DataError(f'its compressed pixels claim to be {claimed}, other than its header says')
        except (ValueError, AttributeError, IndexError, struct.error) as error:
            raise DataError(f'is truncated or damaged ({one_line(error)})') from error


def _find_size_of(syntax: UID) -> Callable[[bytes], Size | None] | None:
    if syntax in JPEG2000TransferSyntaxes:
        return _find_jpeg_2000
    return _find_jpeg if syntax in _JPEG else None


def _find_jpeg_2000(fragment: bytes) -> Size | None:
    """Image and tile sizes follow the first two markers (ISO/IEC 15444-1, A.5.1)."""
    place = fragment.find(_START_2000, 0, _LONGEST_PREFIX)
    if place < 0:  # the index of the frames, or a frame that goes on
        return None
    right, lower, left, upper = struct.unpack('>4I', fragment[place + 8 : place + 24])
    (components,) = struct.unpack('>H', fragment[place + 40 : place + 42])
    return lower - upper, right - left, components


def _find_jpeg(fragment: bytes) -> Size | None:
    """The size is in the frame's header, after segments that tell their lengths (ITU-T T.81, B.2.2; T.87, C.2)."""
    if not fragment.startswith(_START):
        return None
    place = len(_START)
    while fragment[place + 1] not in _FRAMES:
        if fragment[place] != 0xFF:
            raise ValueError('no marker where a segment of JPEG should begin')
        is_filled = fragment[place + 1] == 0xFF  # markers may begin with any number of these
        place += 1 if is_filled else 2 + struct.unpack('>H', fragment[place + 2 : place + 4])[0]
    rows, columns, components = struct.unpack('>HHB', fragment[place + 5 : place + 10])
    return rows, columns, components
