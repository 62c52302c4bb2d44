"""Keys of two hospitals, made once for all tests of a process, and small files to be signed."""

import datetime as dt
import functools
import io
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from foundation.export.dicom import DicomEncoder
from foundation.export.pictures import PngEncoder
from foundation.signing.keys import SigningKeys, load_keys, write_keys
from foundation.signing.moment import read_moment
from tests.gan.generation.origins import make_origin, make_stored

START = read_moment('', '')
TIME = START + dt.timedelta(days=30)  # to be stated: the clock is not asked


def key_folder(name: str = 'Hospital X') -> Path:
    """A folder of keys without a passphrase."""
    return _create_folder(name)


def keys(name: str = 'Hospital X') -> SigningKeys:
    """What `key_folder` holds."""
    return _load(name)


@functools.cache
def _create_folder(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix='enhanced-gan-signing-'))
    write_keys(folder, name, START, years=10, passphrase=None)
    return folder


@functools.cache
def _load(name: str) -> SigningKeys:
    return load_keys(key_folder(name), passphrase=None)


def picture(kind: str) -> bytes:
    """Noise as 'png', 'png16', 'colour', 'tiff16' (of five channels), 'jpeg' or 'palette'."""
    if kind == 'jpeg':
        noise = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
        return cv2.imencode('.jpg', noise)[1].tobytes()
    forms: dict[str, dict[str, Any]] = {
        'png': {'dtype': 'uint8'},
        'png16': {},
        'colour': {'dtype': 'uint8', 'channels': 3},
        'tiff16': {'channels': 5},
        'palette': {},
    }
    origin = make_origin(**forms[kind])
    if kind == 'palette':
        return PngEncoder(origin).mask(np.arange(36, dtype=np.uint8).reshape(6, 6, 1) % 3)[1]
    return PngEncoder(origin).image(make_stored(origin)[0], '', 0)[1]


def read_pixels(kind: str, content: bytes) -> np.ndarray:
    """The pixels of such a picture, by a library that knows nothing of credentials."""
    if kind == 'tiff16':
        return tifffile.imread(io.BytesIO(content))
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))


def dicom(**form) -> bytes:
    """A CT image of 6x6 pixels, or another form of it."""
    origin = make_origin(**form)
    return DicomEncoder(origin).image(make_stored(origin)[0], 'a', 0)[1]
