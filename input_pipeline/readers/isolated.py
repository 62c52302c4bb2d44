"""Decoding in a process of its own, for a decoder that damaged files can end together with its process.

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
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

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
