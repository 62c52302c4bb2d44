"""Tensors of PyTorch files: zip archives (since version 1.6) and the format before, a row of pickles and storages.

Torchvision and the FID network are distributed in both. Nothing is unpacked to disk, and nothing is allocated
before its size has been compared with the file's.
"""

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.lib.stride_tricks import as_strided

_DTYPES: dict[str, Any] = {
    'DoubleStorage': np.float64,
    'FloatStorage': np.float32,
    'HalfStorage': np.float16,
    'BFloat16Storage': jnp.bfloat16,
    'LongStorage': np.int64,
    'IntStorage': np.int32,
    'ShortStorage': np.int16,
    'CharStorage': np.int8,
    'ByteStorage': np.uint8,
    'BoolStorage': np.bool_,
}
_BUILDERS = {
    'collections': ('OrderedDict',),
    'torch._utils': ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter'),
}
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_EMPTY = {'EMPTY_DICT': dict, 'EMPTY_LIST': list, 'EMPTY_TUPLE': tuple}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_LITERALS = {
    'BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT',
    'BINUNICODE', 'SHORT_BINUNICODE', 'BINSTRING', 'SHORT_BINSTRING',
}  # fmt: skip
_WITHOUT_EFFECT = {'PROTO', 'FRAME', 'STOP'}
_LONGEST_NAME = 80  # characters of the file's own words that a message repeats


class Refusal(ValueError):
    """A file holds what is not believed or not understood. The message is a phrase that says what."""


@dataclass(frozen=True)
class TensorStorage:
    """Numbers in a row, which tensors are views of.

    Attributes:
      dtype: of the numbers.
      key: its name in the file.
      count: how many there are.
    """

    dtype: np.dtype
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """Where a tensor's numbers lie in its storage; offset and strides in numbers, not bytes."""

    storage: TensorStorage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Name:
    """A function or type that the file names, which is known and is not called."""

    name: str


class Records(NamedTuple):
    """What one pickle holds.

    Attributes:
      content: dicts, lists, tuples, numbers, strings, and a TensorRecord for each tensor.
      storages: all that are spoken of, by key.
    """

    content: Any
    storages: dict[str, TensorStorage]


def read_records(stream: io.BytesIO) -> Records:
    """Reads one pickle.

    Args:
      stream: at the beginning of the pickle; afterwards just behind it.

    Raises:
      Refusal: when it names anything beyond what tensors need.
      ValueError: when it is damaged.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        return Records(machine.stack.pop(), machine.storages)
    except Refusal:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ValueError('its description of tensors is damaged') from error


class _Machine:
    """The stack, the stacks below its marks, the memo, and the storages met so far."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.storages: dict[str, TensorStorage] = {}
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Does one operation."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self._pop(_TUPLES[name])))
        elif name not in _WITHOUT_EFFECT:
            operation = _OPERATIONS.get(name)
            if operation is None:
                raise Refusal(f'its description of tensors uses the operation {name}, which no tensor needs')
            operation(self, argument)

    def mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def make_tuple(self, _: Any) -> None:
        items = self._pop_to_mark()
        self.stack.append(tuple(items))

    def append(self, _: Any) -> None:
        self._extend(self._pop(1))

    def appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def set_item(self, _: Any) -> None:
        self._update(self._pop(2))

    def set_items(self, _: Any) -> None:
        self._update(self._pop_to_mark())

    def put(self, place: int) -> None:
        self._memo[place] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self._memo[place])

    def name(self, words: str) -> None:
        self.stack.append(_known(*words.split(' ', 1)))

    def stack_name(self, _: Any) -> None:
        self.stack.append(_known(*self._pop(2)))

    def storage(self, _: Any) -> None:
        """A storage is named by ('storage', type, key, device, count), in older files with a view of it."""
        kind, dtype, key, _, count, *view = _as(tuple, self.stack.pop())
        if kind != 'storage' or any(part is not None for part in view):
            raise Refusal('it holds whole modules or views of storages, not a plain dict of tensors')
        storage = TensorStorage(np.dtype(_DTYPES[_as(_Name, dtype).name]), _as(str, key), _natural(count))
        if self.storages.setdefault(key, storage) != storage:
            raise Refusal(f'it describes the storage {key[:_LONGEST_NAME]!r} in two ways')
        self.stack.append(storage)

    def call(self, _: Any) -> None:
        function, arguments = self._pop(2)
        self.stack.append(_build(_as(_Name, function).name, *_as(tuple, arguments)))

    def drop_state(self, _: Any) -> None:
        """The attributes of a dict: PyTorch puts the versions of layers there, which nothing here asks for."""
        self._pop(1)
        _as(dict, self.stack[-1])

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def _extend(self, items: list[Any]) -> None:
        _as(list, self.stack[-1]).extend(items)

    def _update(self, items: list[Any]) -> None:
        _as(dict, self.stack[-1]).update(_pairs(zip(items[::2], items[1::2], strict=True)))


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    'MARK': _Machine.mark,
    'TUPLE': _Machine.make_tuple,
    'APPEND': _Machine.append,
    'APPENDS': _Machine.appends,
    'SETITEM': _Machine.set_item,
    'SETITEMS': _Machine.set_items,
    'BINPUT': _Machine.put,
    'LONG_BINPUT': _Machine.put,
    'MEMOIZE': _Machine.memoize,
    'BINGET': _Machine.get,
    'LONG_BINGET': _Machine.get,
    'GLOBAL': _Machine.name,
    'STACK_GLOBAL': _Machine.stack_name,
    'BINPERSID': _Machine.storage,
    'REDUCE': _Machine.call,
    'BUILD': _Machine.drop_state,
}


def _known(module: Any, name: Any) -> _Name:
    known = _DTYPES if _as(str, module) == 'torch' else _BUILDERS.get(module, ())
    if _as(str, name) in known:
        return _Name(name)
    full = f'{module}.{name}'[:_LONGEST_NAME]
    raise Refusal(f'it would have {full!r} called or made, which no tensor needs')


def _build(name: str, *arguments: Any) -> Any:
    """What PyTorch's functions of these names would make of the arguments, as records."""
    if name == 'OrderedDict':
        return _pairs(_as(list, arguments[0]) if arguments else [])
    if name == '_rebuild_parameter':
        return _as(TensorRecord, arguments[0])
    if name in ('_rebuild_tensor', '_rebuild_tensor_v2'):
        storage, offset, shape, strides = arguments[:4]
        sizes = tuple(map(_natural, _as(tuple, shape)))
        steps = tuple(map(_natural, _as(tuple, strides)))
        if len(sizes) != len(steps):
            raise TypeError
        return TensorRecord(_as(TensorStorage, storage), _natural(offset), sizes, steps)
    raise TypeError


def _pairs(items: Any) -> dict[str | int, Any]:
    """A dict; keys are strings or numbers, as a hash of something deeply nested would end the process."""
    made: dict[str | int, Any] = {}
    for key, value in items:
        made[key if isinstance(key, int) else _as(str, key)] = value
    return made


def _natural(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


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

        def load(storage: TensorStorage) -> np.ndarray:
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

    def load(storage: TensorStorage) -> np.ndarray:
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


def _view_all(content: Any, load: Callable[[TensorStorage], np.ndarray], file_size: int) -> dict[str, np.ndarray]:
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
