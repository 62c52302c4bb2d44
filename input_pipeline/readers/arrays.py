"""Reads arrays of images: .npz as MedMNIST ships them, .npy as PanNuke ships them, or a plain .npy.

In a .npz file, or among the .npy files of one folder, `images` are the pictures, (count, height, width) or
(count, height, width, channels), `labels` or `types` their classes, and `masks` their masks; a prefix
(`train_images`, `val_labels`) or a leading folder names the split. An array alone in its file is taken for
images whatever its name. PanNuke's `masks/fold1/masks.npy` belong to `images/fold1/images.npy`.

Masks are class ids (count, height, width), or one channel for each class (count, height, width, classes):
the id is the first channel that is not 0, so instance numbers count as presence. The first channel is the
background, as one-hot masks have it, except in PanNuke's (six channels, beside `types`), where the last is
and ids start at 1 with the first.

Each image is its own patient, unless `patient_pattern` finds one in its key (`fold1/images.npy/0012`).
"""

import collections
import contextlib
import dataclasses
import functools
import io
import logging
import math
import re
import shutil
import struct
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import numpy as np
from jaxtyping import Shaped, UInt8

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.masks import class_ids
from input_pipeline.readers.paths import (
    SPLITS,
    leading_split,
    naming,
    patient_finder,
    refusing,
    require_items,
    walk,
)
from input_pipeline.readers.pixels import check_size, create_record, storage_dtype
from input_pipeline.records import Item, ReaderOptions, Record

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
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
        raise DataError(f'is not readable as an array ({reason})') from error


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
    if 0 in shape:
        raise DataError(f'is empty: its shape is {shape}')
    return shape, fortran_order, dtype


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    with path.open('rb') as file:
        file.seek(member.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return member.header_offset + _LOCAL_HEADER.size + name + extra


_LOGGER = logging.getLogger(__name__)

_NAME = re.compile(r'(?:(?P<prefix>\w+)_)?(?P<role>images|masks|labels|types)')
_MOST_CHANNELS = 16  # more along the last axis means volumes
_PANNUKE_CHANNELS = 6  # neoplastic, inflammatory, connective, dead, epithelial, background


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One array.

    Attributes:
      place: the .npz file, or the folder of the .npy file.
      prefix: `train` of `train_images`, or ''.
      role: `images`, `masks`, `labels`, `types`, or '' where the name tells nothing.
      source: where it lies, for messages and keys.
      array: its shape, type and values.
    """

    place: PurePosixPath
    prefix: str
    role: str
    source: str
    array: StoredArray


@dataclasses.dataclass(frozen=True, slots=True)
class ImageSet:
    """An array of images with what belongs to it, and the split its name or folder tells."""

    images: Member
    masks: Member | None
    labels: Member | None
    split: str | None

    @property
    def is_pannuke(self) -> bool:
        """Whether the last channel of the masks, not the first, is the background."""
        has_types = self.labels is not None and self.labels.role == 'types'
        return has_types and self.masks is not None and self.masks.array.shape[3:] == (_PANNUKE_CHANNELS,)


def open_members(root: Path, relative: PurePosixPath) -> list[Member]:
    """The arrays of one file, from their headers.

    Raises:
      DataError: the file is neither .npy nor .npz, or damaged.
    """
    if relative.suffix.lower() == '.npy':
        array = StoredArray(root / relative, None)
        return [Member(relative.parent, *_split_name(relative.stem), str(relative), array)]
    if relative.suffix.lower() != '.npz':
        raise DataError('is neither .npy nor .npz')
    return [
        Member(relative, *_split_name(name), f'{relative}/{name}', StoredArray(root / relative, f'{name}.npy'))
        for name in sorted(member_names(root / relative))
    ]


def _split_name(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    return (match['prefix'] or '', match['role']) if match else ('', '')


def group(members: Sequence[Member], refusals: Refusals) -> list[ImageSet]:
    """Images with the masks and classes of the same place and prefix; what is left over is refused."""
    named = {(member.place, member.prefix, member.role): member for member in members if member.role}
    neighbours = collections.Counter(member.place for member in members)
    sets = []
    for member in members:
        # A member of a .npz file needs a telling name unless it is alone; a .npy file does not.
        if not member.role and member.place.suffix.lower() == '.npz' and neighbours[member.place] > 1:
            refusals.add(member.source, 'is neither images, masks, labels nor types by its name')
        elif member.role in ('images', ''):
            sets.append(_complete(member, named))
    for member in named.values():
        if member.role != 'images':
            refusals.add(member.source, 'belongs to no array of images')
    return sets


def _complete(images: Member, named: dict[tuple[PurePosixPath, str, str], Member]) -> ImageSet:
    """Takes the companions of one array of images out of `named`."""

    def take(place: PurePosixPath, role: str) -> Member | None:
        return named.pop((place, images.prefix, role), None) if images.role else None

    # PanNuke keeps masks in a tree of their own: masks/fold1/masks.npy for images/fold1/images.npy.
    other_tree = PurePosixPath(*('masks' if part == 'images' else part for part in images.place.parts))
    masks = take(images.place, 'masks') or take(other_tree, 'masks')
    labels = take(images.place, 'labels') or take(images.place, 'types')
    split = SPLITS.get(images.prefix.lower()) or leading_split(PurePosixPath(images.source))
    return ImageSet(images, masks, labels, split)


def check_shapes(image_set: ImageSet, pixel_limit: int) -> None:
    """Refuses arrays that are not images, or do not fit each other.

    Raises:
      DataError: naming the shapes.
    """
    shape, dtype = image_set.images.array.shape, image_set.images.array.dtype
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] > _MOST_CHANNELS):
        raise DataError(
            f'has the shape {shape}; images are (count, height, width) or (count, height, width, channels) '
            f'with at most {_MOST_CHANNELS} channels'
        )
    storage_dtype(dtype)
    check_size(shape[1] * shape[2], pixel_limit)
    for other, wanted in ((image_set.masks, shape[:3]), (image_set.labels, shape[:1])):
        if other is not None and other.array.shape[: len(wanted)] != wanted:
            raise DataError(f'has the shape {shape}, but {other.source} has {other.array.shape}')
    if image_set.masks is not None and len(image_set.masks.array.shape) not in (3, 4):
        raise DataError(f'{image_set.masks.source} has the shape {image_set.masks.array.shape}, not that of masks')


def class_names(sets: Sequence[ImageSet]) -> list[list[str] | None]:
    """For each set the class of every image, or None without usable classes.

    Integers are padded with zeros to the longest of all sets, so that they sort as numbers do and a class
    has one name in every split.

    Raises:
      DataError: classes that are neither integers nor text.
    """
    labels = [_classes(image_set) for image_set in sets]
    integers = [values for values in labels if values is not None and values.dtype.kind in 'ui']
    width = max((len(str(values.max())) for values in integers), default=0)
    return [
        None
        if values is None
        else [f'{value:0{width}d}' if isinstance(value, int) else value for value in values.tolist()]
        for values in labels
    ]


def _classes(image_set: ImageSet) -> Shaped[np.ndarray, ' count'] | None:
    """One class an image; none where several may hold at once (multi-label sets such as ChestMNIST)."""
    if image_set.labels is None:
        return None
    array, source = image_set.labels.array, image_set.labels.source
    if math.prod(array.shape[1:]) != 1:
        _LOGGER.info('%s: several labels an image are not classes, and are left out.', source)
        return None
    with naming(source):
        values = np.array(array.values).reshape(-1)
    if values.dtype.kind not in 'uiU':
        raise DataError(f'{source}: holds {values.dtype}; classes are integers or text.')
    return values


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the arrays below `path` (or in it, where it is a file), from their headers and classes only.

    Raises:
      DataError: no arrays of images, or (where refusals are not skipped) arrays of objects, of the wrong shape,
        truncated, or masks and labels without images or of another count.
    """
    root = path.parent if path.is_file() else path
    found = [PurePosixPath(path.name)] if path.is_file() else walk(path, refusals)
    members = []
    for relative in found:
        with refusing(relative, refusals):
            members += open_members(root, relative)
    sets = []
    for image_set in group(members, refusals):
        with refusing(image_set.images.source, refusals):
            check_shapes(image_set, options.pixel_limit)
            sets.append(image_set)
    find_patient = patient_finder(options.patient_pattern)
    items: list[Item] = []
    for image_set, classes in zip(sets, class_names(sets), strict=True):
        with refusing(image_set.images.source, refusals):
            items += _create_items(image_set, classes, options, find_patient)
    return require_items(items, path, 'arrays of images (.npz, .npy)', refusals)


def _create_items(
    image_set: ImageSet,
    classes: list[str] | None,
    options: ReaderOptions,
    find_patient: Callable[[str, str], str],
) -> Iterator[Item]:
    array = image_set.images.array
    dtype, channels = storage_dtype(array.dtype), array.shape[3] if len(array.shape) == 4 else 1
    count = array.shape[0]
    for index in range(count):
        key = f'{image_set.images.source}/{index:0{len(str(count - 1))}d}'
        patient, label = find_patient(key, key), classes[index] if classes else None
        load = functools.partial(_load, image_set, index, key, options, patient, label)
        yield Item(key, patient, image_set.split, label, dtype, channels, load)


def _load(
    image_set: ImageSet, index: int, key: str, options: ReaderOptions, patient: str, label: str | None
) -> Iterator[Record]:
    with naming(key):
        values = np.array(image_set.images.array.values[index])
        values = values.astype(np.uint8) if values.dtype.kind == 'b' else values
        mask = None
        if image_set.masks is not None:
            with naming(image_set.masks.source):
                mask = _mask_ids(np.array(image_set.masks.array.values[index]), image_set.is_pannuke)
        values = values if values.ndim == 3 else values[..., np.newaxis]
        record = create_record(key, values, options, patient, label, mask, image_set.images.source)
    yield record


def _mask_ids(
    values: Shaped[np.ndarray, 'height width *classes'], background_is_last: bool
) -> UInt8[np.ndarray, 'height width 1']:
    if values.ndim == 2 or values.shape[2] == 1:
        return class_ids(values.reshape(*values.shape[:2], 1))
    foreground = values[..., :-1] if background_is_last else values[..., 1:]
    present = foreground != 0
    ids = np.where(present.any(axis=-1), present.argmax(axis=-1) + 1, 0)
    return ids.astype(np.uint8)[..., np.newaxis]
