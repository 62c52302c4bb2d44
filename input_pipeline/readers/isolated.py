"""Decoding in a process of its own, for decoders that damaged files can end together with their process.

This file is also that process: `python -P isolated.py` reads lines of JSON, and answers each with a line of JSON
and the bytes of the frames. It imports nothing of this project, so that it starts quickly.
"""

import atexit
import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

_SECONDS = 25  # after which a small file is given up
_BYTES_A_SECOND = 2**21  # of a large one
_lock = threading.Lock()
_child: subprocess.Popen[bytes] | None = None


def decode_apart(path: Path, syntax: str) -> list[np.ndarray]:
    """Stored values of all frames of a DICOM file, as `pydicom.pixels.pixel_array` gives them.

    One process serves all calls, one after the other; it is started anew after a file has ended it.

    Raises:
      ValueError: when the file cannot be decoded, or has ended the process.
    """
    return _request(path, {'task': 'dicom', 'syntax': syntax})[1]


def read_itk_apart(path: Path, library: str, *, voxels: bool) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What the header of an NRRD or MetaImage file says by SimpleITK and, if asked for, its voxels.

    Args:
      path: the file.
      library: SimpleITK's name of the format, `NrrdImageIO` or `MetaImageIO`.
      voxels: whether they are read; they come with axes in the reverse order of the file's.

    Raises:
      ValueError: as `decode_apart`, with all that the library says.
    """
    return _request(path, {'task': 'voxels' if voxels else 'header', 'library': library})


def _request(path: Path, request: dict[str, str]) -> tuple[dict[str, Any], list[np.ndarray]]:
    with _lock:
        child = _start()
        patience = _SECONDS + (path.stat().st_size / _BYTES_A_SECOND if path.exists() else 0) if _SECONDS else 0
        watch = threading.Timer(patience, child.kill)
        watch.start()
        try:
            return _ask(child, request | {'path': str(path)})
        except (OSError, EOFError) as error:
            _stop()
            raise ValueError('the decoder ended, or took too long') from error
        finally:
            watch.cancel()


def _ask(child: subprocess.Popen[bytes], request: dict[str, str]) -> tuple[dict[str, Any], list[np.ndarray]]:
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
    return answer['facts'], [_receive(child.stdout, **form) for form in answer['frames']]


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
            request = json.loads(line)
            facts, frames = _TASKS[request.pop('task')](**request)
        except Exception as error:  # whatever a damaged file makes decoders raise
            answer: dict[str, Any] = {'error': f'{type(error).__name__}: {error}'}
            frames = []
        else:
            forms = [{'dtype': frame.dtype.str, 'shape': frame.shape} for frame in frames]
            answer = {'facts': facts, 'frames': forms}
        answers.write(json.dumps(answer).encode() + b'\n')
        for frame in frames:
            answers.write(np.ascontiguousarray(frame).tobytes())
        answers.flush()


def _decode_dicom(path: str, syntax: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    import pydicom
    from pydicom.pixels import pixel_array

    dataset = pydicom.dcmread(path, force=True)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    values = pixel_array(dataset)
    return {}, list(values) if int(dataset.get('NumberOfFrames') or 1) > 1 else [values]


def _read_itk_header(path: str, library: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(path)
    reader.SetImageIO(library)
    reader.ReadImageInformation()
    kind = reader.GetPixelID()
    known = [name for name in _ITK_TYPES if getattr(SimpleITK, f'sitk{name}') == kind]
    return {
        'size': reader.GetSize(),
        'components': reader.GetNumberOfComponents(),
        'dtype': known[0].lower() if known else None,
        'type': SimpleITK.GetPixelIDValueAsString(kind),
        'spacing': reader.GetSpacing(),
        'origin': reader.GetOrigin(),
        'direction': reader.GetDirection(),
    }, []


def _read_itk_voxels(path: str, library: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    import SimpleITK

    return {}, [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path, imageIO=library))]


_TASKS: dict[str, Callable[..., tuple[dict[str, Any], list[np.ndarray]]]] = {
    'dicom': _decode_dicom,
    'header': _read_itk_header,
    'voxels': _read_itk_voxels,
}
_ITK_TYPES = ('Int8', 'UInt8', 'Int16', 'UInt16', 'Int32', 'UInt32', 'Int64', 'UInt64', 'Float32', 'Float64')


if __name__ == '__main__':
    with os.fdopen(os.dup(1), 'wb') as own:
        os.dup2(2, 1)  # decoders that print must not disturb the answers
        _serve(sys.stdin.buffer, own)
