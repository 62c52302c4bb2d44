"""The sizes that compressed pixels claim: decoders reserve memory for what these say, not for the header's."""

import atexit
import contextlib
import json
import math
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
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

from input_pipeline.errors import DataError

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
            raise DataError(f'is truncated or damaged ({type(error).__name__}: {error})') from error


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


_SECONDS = 120  # after which a file is given up
_lock = threading.Lock()
_child: subprocess.Popen[bytes] | None = None


def decode_apart(path: Path, syntax: str) -> list[np.ndarray]:
    """Stored values of all frames of a DICOM file, as `pydicom.pixels.pixel_array` gives them.

    One process serves all calls, one after the other; it is started anew after a file has ended it.

    Raises:
      ValueError: when the file cannot be decoded, or has ended the process.
    """
    with _lock:
        child = _start()
        watch = threading.Timer(_SECONDS, child.kill)
        watch.start()
        try:
            return _ask(child, {'path': str(path), 'syntax': syntax})
        except (OSError, EOFError) as error:
            _stop()
            raise ValueError('the decoder ended, or took too long') from error
        finally:
            watch.cancel()


def _ask(child: subprocess.Popen[bytes], request: dict[str, str]) -> list[np.ndarray]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(request).encode() + b'\n')
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise EOFError
    answer = json.loads(line)
    if 'error' in answer:
        raise ValueError(answer['error'])
    return [_receive(child.stdout, **form) for form in answer['frames']]


def _receive(stream: BinaryIO | IO[bytes], dtype: str, shape: list[int]) -> np.ndarray:
    """One frame, writable."""
    size = np.dtype(dtype).itemsize * math.prod(shape)
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return np.frombuffer(bytearray(content), dtype).reshape(shape)


def _start() -> subprocess.Popen[bytes]:
    global _child
    if _child is None or _child.poll() is not None:
        _stop()
        command = [sys.executable, '-P', str(Path(__file__))]
        _child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    return _child


@atexit.register
def _stop() -> None:
    """Ends the process, where there is one."""
    global _child
    if _child is not None:
        _child.kill()
        for stream in (_child.stdin, _child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # of a request that it did not read
                    stream.close()
        _child.wait()
        _child = None


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers until nobody asks any more."""
    for line in requests:
        try:
            frames = _decode(**json.loads(line))
        except Exception as error:  # whatever a damaged file makes decoders raise
            answer: dict[str, Any] = {'error': f'{type(error).__name__}: {error}'.split('\n')[0]}
            frames = []
        else:
            answer = {'frames': [{'dtype': frame.dtype.str, 'shape': frame.shape} for frame in frames]}
        answers.write(json.dumps(answer).encode() + b'\n')
        for frame in frames:
            answers.write(np.ascontiguousarray(frame).tobytes())
        answers.flush()


def _decode(path: str, syntax: str) -> list[np.ndarray]:
    import pydicom
    from pydicom.pixels import pixel_array

    dataset = pydicom.dcmread(path, force=True)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    values = pixel_array(dataset)
    return list(values) if int(dataset.get('NumberOfFrames') or 1) > 1 else [values]


if __name__ == '__main__':
    with os.fdopen(os.dup(1), 'wb') as own:
        os.dup2(2, 1)  # decoders that print must not disturb the answers
        _serve(sys.stdin.buffer, own)
