"""The description of tensors in a PyTorch file: a pickle, of which only what tensors need is understood.

A pickle is a program for a stack machine, and an ordinary reader calls whatever function the file names. This one
knows a dozen names, none of which it calls: it keeps what the file says of tensors, and refuses all else by name.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

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
class Storage:
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

    storage: Storage
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
    storages: dict[str, Storage]


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
        self.storages: dict[str, Storage] = {}
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
        storage = Storage(np.dtype(_DTYPES[_as(_Name, dtype).name]), _as(str, key), _natural(count))
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
        return TensorRecord(_as(Storage, storage), _natural(offset), sizes, steps)
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
