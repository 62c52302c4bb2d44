"""Files of weights are read as PyTorch wrote them, and nothing in them is run or believed."""

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from backbones.weights import read_weights, reading
from foundation.training.errors import UserError

HERE = Path(__file__).parent
LEGACY = (
    bytes.fromhex('80028a0a6cfc9c46f9206aa850192e')
    + b'\x80\x02M\xe9\x03.\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.'
)
NUMBERS = np.arange(6, dtype=np.float32)
BYTES = NUMBERS.tobytes()


@pytest.mark.parametrize('name', ['saved_by_torch.pth', 'saved_by_old_torch.pth'])
def test_files_of_torch_2_13_are_read(name):
    """An archive with a whole training state, and the older format: views, shared storages and all types."""
    file = read_weights(HERE / name)
    numbers = np.arange(20, dtype=np.float32)
    expected = {
        'plain': numbers[:6].reshape(2, 3),
        'transposed': numbers[:6].reshape(2, 3).T,
        'first': numbers[:4].reshape(2, 2),
        'every_third': numbers[1::3],
        'half': np.arange(4, dtype=np.float16) / 8,
        'brain': (numbers[:4] / 8).astype(jnp.bfloat16),
        'double': np.arange(3) / 3,
        'counter': np.int64(7),
        'flags': np.array([True, False]),
        'nothing': np.zeros((0, 3), np.float32),
        'parameter': np.ones(2, np.float32),
    }
    assert list(file.tensors) == list(expected)
    for tensor, values in expected.items():
        assert file.tensors[tensor].dtype == values.dtype, tensor
        np.testing.assert_array_equal(file.tensors[tensor], values, strict=True)
    assert file.checksum == hashlib.sha256((HERE / name).read_bytes()).hexdigest()


def test_safetensors_are_read(tmp_path):
    tensors = {'a': NUMBERS.reshape(2, 3), 'b': np.array(3, np.int64), 'c': (NUMBERS / 4).astype(np.float16)}
    path = tmp_path / 'weights.safetensors'
    safetensors.numpy.save_file(tensors, path)
    got = read_weights(path).tensors
    assert set(got) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(got[name], tensor, strict=True)


def _safetensors(dtype='BF16', size=4, end=4):
    header = json.dumps({'a': {'dtype': dtype, 'shape': [2], 'data_offsets': [0, end]}}).encode()
    return struct.pack('<Q', len(header)) + header + bytes.fromhex('803f00c0')[:size]


def test_bfloat16_of_safetensors_is_read(tmp_path):
    tensors = read_weights(_write(tmp_path, _safetensors())).tensors
    np.testing.assert_array_equal(tensors['a'], np.array([1, -2], jnp.bfloat16), strict=True)


def _write(folder, content, name='weights.pth'):
    path = folder / name
    path.write_bytes(content)
    return path


def _number(value):
    """An integer of any size."""
    return b'\x8a\x0a' + value.to_bytes(10, 'little', signed=True)


def _text(value):
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def _storage(count=6, kind='FloatStorage', view=b''):
    parts = _text('storage') + f'ctorch\n{kind}\n'.encode() + _text('0') + _text('cpu') + _number(count) + view
    return b'(' + parts + b'tQ'


def _tensor(storage=None, offset=0, shape=(2, 3), strides=(3, 1)):
    axes = b''.join(b'(' + b''.join(map(_number, sizes)) + b't' for sizes in (shape, strides))
    hooks = b'\x89ccollections\nOrderedDict\n)R'
    return (
        b'ctorch._utils\n_rebuild_tensor_v2\n(' + (storage or _storage()) + _number(offset) + axes + hooks + b'tR'
    )


def _pickle(value, key=None):
    return b'\x80\x02}' + (key or _text('a')) + value + b's.'


def _archive(described, numbers=BYTES, compression=zipfile.ZIP_STORED, name='x/data/0'):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', compression) as archive:
        archive.writestr('x/data.pkl', described)
        archive.writestr(name, numbers)
    return stream.getvalue()


def test_an_archive_made_by_hand_is_read(tmp_path):
    tensors = read_weights(_write(tmp_path, _archive(_pickle(_tensor())))).tensors
    np.testing.assert_array_equal(tensors['a'], NUMBERS.reshape(2, 3), strict=True)
    old = LEGACY + _pickle(_tensor()) + b'\x80\x02](' + _text('0') + b'e.' + struct.pack('<Q', 6) + BYTES
    np.testing.assert_array_equal(read_weights(_write(tmp_path, old)).tensors['a'], tensors['a'], strict=True)


DEEP = b')' + b'\x85' * 20_000  # a tuple in a tuple in a tuple ...
HOSTILE = {
    'function': (b'\x80\x02cos\nsystem\n' + _text('touch ran') + b'\x85R.', "'os.system' called"),
    'function of protocol 4': (
        b'\x80\x04' + _text('builtins') + _text('eval') + b'\x93.',
        "'builtins.eval' called",
    ),
    'harmless module, other function': (b'\x80\x02ctorch._utils\n_import_dotted_name\n.', '_import_dotted_name'),
    'function by instance': (b"(S'touch ran'\nios\nsystem\n.", 'the operation STRING'),
    'new object': (b'\x80\x02ccollections\nOrderedDict\n)\x81.', 'the operation NEWOBJ'),
    'a type called as a function': (b'\x80\x02ctorch\nFloatStorage\n)R.', 'damaged'),
    'dict of something else': (_pickle(_number(3)), 'no dict of tensors'),
    'list of tensors': (b'\x80\x02](' + _tensor() + b'e.', 'no dict of tensors'),
    'deep key': (_pickle(_tensor(), key=DEEP), 'damaged'),
    'deep name': (b'\x80\x04' + DEEP + _text('eval') + b'\x93.', 'damaged'),
    'huge storage': (
        _pickle(_tensor(_storage(2**60), shape=(2**60,), strides=(1,))),
        'more numbers than it holds',
    ),
    'storage of another size': (_pickle(_tensor(_storage(5), shape=(5,), strides=(1,))), 'at most 20 belong'),
    'too few numbers': (_pickle(_tensor(_storage(7), shape=(7,), strides=(1,))), 'incomplete'),
    'huge view': (_pickle(_tensor(shape=(2**40, 2**40), strides=(0, 0))), 'do not suffice'),
    'view beyond the end': (_pickle(_tensor(strides=(4, 1))), 'do not suffice'),
    'offset beyond the end': (_pickle(_tensor(offset=1)), 'do not suffice'),
    'negative offset': (_pickle(_tensor(offset=-1)), 'damaged'),
    'negative stride': (_pickle(_tensor(offset=5, shape=(2,), strides=(-1,))), 'damaged'),
    'axes without strides': (_pickle(_tensor(shape=(2, 3, 1))), 'damaged'),
    'unknown type of numbers': (
        _pickle(_tensor(_storage(kind='ComplexFloatStorage'))),
        "'torch.ComplexFloatStorage'",
    ),
    'view of a storage': (_pickle(_tensor(_storage(view=b')'))), 'views of storages'),
    'storage told in two ways': (
        b'\x80\x02}(' + _text('a') + _tensor() + _text('b') + _tensor(_storage(3)) + b'u.',
        "storage '0' in two ways",
    ),
    'cut short': (_pickle(_tensor())[:40], 'damaged'),
    'empty': (b'', 'damaged'),
    'nothing on the stack': (b'\x80\x02u.', 'damaged'),
    'value without a key': (b'\x80\x02}(' + _text('a') + b'u.', 'damaged'),
    'too long a description': (b'\x80\x02' + b'N' * (4 << 20) + b'.', 'bytes where at most 4194304 belong'),
}


@pytest.mark.parametrize(('described', 'message'), HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_more_than_tensors_is_refused(tmp_path, monkeypatch, described, message):
    monkeypatch.chdir(tmp_path)
    _assert_refused(tmp_path, _archive(described), message)
    assert [path.name for path in tmp_path.iterdir()] == ['weights.pth']


GOOD = _archive(_pickle(_tensor()))
OLD = LEGACY + _pickle(_tensor()) + b'\x80\x02](' + _text('0') + b'e.'
DAMAGED = {
    'archive cut short': (GOOD[:-30], 'not a zip file'),
    'archive with changed numbers': (GOOD.replace(BYTES, NUMBERS[::-1].tobytes()), 'CRC'),
    'compressed numbers': (
        _archive(_pickle(_tensor()), bytes(50_000_000), zipfile.ZIP_DEFLATED),
        'compressed archive',
    ),
    'another archive': (_archive(b'').replace(b'x/data.pkl', b'x/text.txt'), 'none'),
    'numbers elsewhere': (_archive(_pickle(_tensor()), name='x/../../0'), 'lacks the numbers'),
    'many entries': (GOOD + 30_000 * b'PK\x01\x02', 'more entries'),
    'big-endian archive': (_archive(_pickle(_tensor()), b'big', name='x/byteorder'), 'big-endian'),
    'old file cut short': (OLD + struct.pack('<Q', 6) + BYTES[:-1], 'incomplete'),
    'old file with another count': (OLD + struct.pack('<Q', 5) + BYTES, 'not those it describes'),
    'old file without numbers': (LEGACY + _pickle(_tensor()) + b'\x80\x02].', 'not those it describes'),
    'old file with a function': (LEGACY + b'\x80\x02cos\nsystem\n.', "'os.system'"),
    'old big-endian file': (LEGACY.replace(b'\x88s', b'\x89s') + OLD[len(LEGACY) :], 'big-endian'),
    'safetensors cut short': (_safetensors(size=3), 'incomplete'),
    'safetensors of too many numbers': (_safetensors(end=400), 'invalid'),
    'safetensors with a long header': (b'\xff' * 7 + b'\x00{', 'header is too long'),
    'safetensors of an unknown type': (_safetensors('U16'), 'of the type U16'),
    'text': (b'These are no weights at all.', 'neither a safetensors file'),
    'nothing': (b'', 'neither a safetensors file'),
}


@pytest.mark.parametrize(('content', 'message'), DAMAGED.values(), ids=list(DAMAGED))
def test_damaged_files_are_refused(tmp_path, content, message):
    _assert_refused(tmp_path, content, message)


def _assert_refused(folder, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_weights(_write(folder, content))
    text = str(caught.value)
    assert text.startswith(f'{folder / "weights.pth"} cannot be read as weights: ')
    assert text.count('\n') == 0
    assert len(text) < 400 + len(str(folder))


def test_files_that_are_not_there_or_too_large_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path, tmp_path / 'none.pth'):
        with pytest.raises(UserError, match='no file of weights at'):
            read_weights(path)
    monkeypatch.setattr(reading, 'LARGEST_FILE', len(GOOD) - 1)
    with pytest.raises(UserError, match='is larger than'):
        read_weights(_write(tmp_path, GOOD))


def test_a_checksum_in_the_name_must_be_the_files(tmp_path):
    checksum = hashlib.sha256(GOOD).hexdigest()
    for name in (f'resnet50-{checksum[:8]}.pth', f'x-{checksum}.pt', 'resnet50-20260131.pth', 'mine.pth'):
        assert read_weights(_write(tmp_path, GOOD, name)).checksum == checksum
    altered = _write(tmp_path, GOOD, 'pt_inception-2015-12-05-6726825d.pth')
    with pytest.raises(UserError, match=f'was altered: .* begins with 6726825d, but it is {checksum}'):
        read_weights(altered)
