"""Tensors of PyTorch files: zip archives (since version 1.6) and the format before, a row of pickles and storages.

Torchvision and the FID network are distributed in both. Nothing is unpacked to disk, and nothing is allocated
before its size has been compared with the file's.
"""

import io
import math
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from backbones.weights.records import Storage, TensorRecord, read_records

LEGACY_NUMBER = (0x1950A86A20F9469CFC6C).to_bytes(10, 'little')  # what files of the older format begin with
ZIP_SIGNATURE = b'PK\x03\x04'
MOST_RECORDS = 4 << 20  # bytes that describe the tensors; those of networks of 100 layers are 0.1 MB
_MOST_AXES = 8
_ENTRY_SIGNATURE = b'PK\x01\x02'
_MOST_ENTRIES = 20_000  # of an archive, as listing one takes half a kilobyte
_WRAPPERS = ('state_dict', 'model_state_dict', 'model')  # where training programs put the network's weights


def read_zip(content: bytes) -> dict[str, np.ndarray]:
    """Tensors by name, from a zip archive written by `torch.save`.

    Raises:
      ValueError, zipfile.BadZipFile: when it is none, is damaged, or holds more than tensors.
    """
    if content.count(_ENTRY_SIGNATURE) > _MOST_ENTRIES:
        raise ValueError('it has more entries than a network has tensors')
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        described = [name for name in names if name.count('/') == 1 and name.endswith('/data.pkl')]
        if len(described) != 1:
            raise ValueError('it is a zip archive, but none that torch.save wrote')
        folder = described[0].removesuffix('data.pkl')
        if f'{folder}byteorder' in names and _member(archive, f'{folder}byteorder', 16) != b'little':
            raise ValueError('its numbers are in big-endian order')
        records = read_records(io.BytesIO(_member(archive, described[0], MOST_RECORDS)))

        def load(storage: Storage) -> np.ndarray:
            size = storage.count * storage.dtype.itemsize
            member = _member(archive, f'{folder}data/{storage.key}', size)
            if len(member) != size:
                raise ValueError('it is incomplete')
            return np.frombuffer(member, storage.dtype)

        return _view_all(records.content, load, len(content))


def read_legacy(content: bytes) -> dict[str, np.ndarray]:
    """Tensors by name, from a file in the format before zip archives.

    Pickles hold a number, a version, properties of the machine, the description, and the order of the storages;
    each storage is preceded by its count.

    Raises:
      ValueError: when it is none, is damaged, or holds more than tensors.
    """
    stream = io.BytesIO(content[:MOST_RECORDS])
    machine = [read_records(stream).content for _ in range(3)][-1]
    if not isinstance(machine, dict) or machine.get('little_endian') is not True:
        raise ValueError('its numbers are in big-endian order')
    records = read_records(stream)
    order = read_records(stream).content
    places, position = {}, stream.tell()
    for key in order if isinstance(order, list) else ():
        storage = records.storages.get(key) if isinstance(key, str) else None
        if storage is None or content[position : position + 8] != struct.pack('<Q', storage.count):
            raise ValueError('its storages are not those it describes')
        places[key] = position + 8
        position += 8 + storage.count * storage.dtype.itemsize
    if position > len(content):
        raise ValueError('it is incomplete')

    def load(storage: Storage) -> np.ndarray:
        if storage.key not in places:
            raise ValueError('its storages are not those it describes')
        return np.frombuffer(content, storage.dtype, storage.count, places[storage.key])

    return _view_all(records.content, load, len(content))


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError as error:
        raise ValueError('it lacks the numbers of a tensor') from error
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError('it is a compressed archive, which torch.save does not write')
    if entry.file_size > most:
        raise ValueError(f'one of its parts has {entry.file_size} bytes where at most {most} belong')
    return archive.read(entry)


def _view_all(content: Any, load: Callable[[Storage], np.ndarray], file_size: int) -> dict[str, np.ndarray]:
    """Loads each storage once, and makes the tensors views of them."""
    records = _state_dict(content)
    storages = {record.storage.key: record.storage for record in records.values()}
    if sum(storage.count * storage.dtype.itemsize for storage in storages.values()) > file_size:
        raise ValueError('it describes more numbers than it holds')
    loaded = {key: load(storage) for key, storage in storages.items()}
    return {name: _view(record, loaded[record.storage.key]) for name, record in records.items()}


def _state_dict(content: Any) -> dict[str, TensorRecord]:
    """The tensors of the file's dict, or of the one inside that training programs make."""
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        content = {}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, TensorRecord)}
    if not tensors:
        raise ValueError('it holds no dict of tensors by name')
    return tensors


def _view(record: TensorRecord, numbers: np.ndarray) -> np.ndarray:
    """A tensor as a read-only view: never larger than its storage, nor reaching beyond it."""
    shape, strides = record.shape, record.strides
    reach = record.offset + 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if len(shape) > _MOST_AXES or math.prod(shape) > numbers.size or (0 not in shape and reach > numbers.size):
        raise ValueError('it describes a tensor that its numbers do not suffice for')
    if 0 in shape:  # of a view there is nothing to take
        return np.empty(shape, numbers.dtype)
    steps = [step * numbers.itemsize for step in strides]
    return as_strided(numbers[record.offset :], shape, steps, writeable=False)
