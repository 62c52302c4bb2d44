"""Arrays in .npy files and members of .npz files: headers first, values when they are indexed."""

import contextlib
import io
import math
import shutil
import struct
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np
from jaxtyping import Shaped

from input_pipeline.errors import DataError, one_line

_HEADER_SIZE = 2**14  # numpy refuses headers of more than 10,000 bytes
_LOCAL_HEADER = struct.Struct('<26xHH')  # its lengths of name and extra field (ZIP APPNOTE.TXT, 4.3.7)


class StoredArray:
    """An array of a .npy file, or one member of a .npz file, known by its header until it is indexed.

    Attributes:
      shape: as the header says.
      dtype: likewise.
    """

    def __init__(self, path: Path, member: str | None):
        """Reads the header.

        Args:
          path: the file.
          member: the member of a .npz file, None for .npy.

        Raises:
          DataError: not an array, an array of Python objects, or fewer bytes than its shape needs.
        """
        self._path, self._member = path, member
        self._values: np.ndarray | None = None
        self._lock = threading.Lock()  # images are loaded by several threads
        with _reporting_damage():
            if member is None:
                with path.open('rb') as file:
                    self._read_header(file.read(_HEADER_SIZE), path.stat().st_size)
            else:
                with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                    self._read_header(file.read(_HEADER_SIZE), archive.getinfo(member).file_size)

    def _read_header(self, start: bytes, available: int) -> None:
        header = io.BytesIO(start)
        self.shape, fortran_order, self.dtype = _read_header(header)
        self._order: Literal['C', 'F'] = 'F' if fortran_order else 'C'
        self._offset = header.tell()
        needed = self._offset + math.prod(self.shape) * self.dtype.itemsize
        if available < needed:
            raise DataError(f'is truncated: its header describes {needed} bytes, there are {available}')

    @property
    def values(self) -> Shaped[np.ndarray, '...']:
        """The array; the operating system reads what is indexed.

        A compressed member is inflated into an anonymous temporary file first, as it allows no random
        access; memory does not grow with it.

        Raises:
          DataError: the file is damaged, or the temporary folder is full.
        """
        with self._lock:
            if self._values is None:
                with _reporting_damage():
                    self._values = self._map()
            return self._values

    def _map(self) -> np.ndarray:
        if self._member is None:
            return self._map_at(self._path, 0)
        with zipfile.ZipFile(self._path) as archive:
            member = archive.getinfo(self._member)
            if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:  # nor encrypted
                return self._map_at(self._path, _data_offset(self._path, member))
            with archive.open(member) as source, tempfile.TemporaryFile() as inflated:
                shutil.copyfileobj(source, inflated, 2**20)
                inflated.flush()
                return self._map_at(inflated, 0)

    def _map_at(self, file: Path | IO[bytes], start: int) -> np.ndarray:
        return np.memmap(file, self.dtype, 'r', start + self._offset, self.shape, self._order)


def member_names(path: Path) -> list[str]:
    """Names of the arrays in a .npz file, without their extension.

    Raises:
      DataError: not a .npz file.
    """
    with _reporting_damage(), zipfile.ZipFile(path) as archive:
        return [name.removesuffix('.npy') for name in archive.namelist() if name.endswith('.npy')]


@contextlib.contextmanager
def _reporting_damage() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # headers are parsed as Python, members inflated by several libraries
        raise DataError(f'is not readable as an array ({one_line(error)})') from error


def _read_header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise DataError(f'is of version {version} of the .npy format; save it again with np.save')
    if dtype.hasobject:
        raise DataError('holds Python objects, which are never unpickled; save plain numbers (allow_pickle=False)')
    if min(shape, default=1) < 1 or not dtype.itemsize:  # a damaged header may also say less than nothing
        raise DataError(f'is empty: its shape is {shape}, of {dtype.itemsize} bytes each')
    return shape, fortran_order, dtype


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    with path.open('rb') as file:
        file.seek(member.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return member.header_offset + _LOCAL_HEADER.size + name + extra
