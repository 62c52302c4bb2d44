"""Reads tensors by name from files of safetensors and PyTorch, running nothing that is in them."""

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize

from backbones.weights.torch_files import LEGACY_NUMBER, MOST_RECORDS, ZIP_SIGNATURE, read_legacy, read_zip
from foundation.training.errors import UserError

LARGEST_FILE = 1 << 30  # bytes, ten times what the largest of these networks needs
_DTYPES: dict[str, Any] = {
    'F64': np.float64,
    'F32': np.float32,
    'F16': np.float16,
    'BF16': jnp.bfloat16,
    'I64': np.int64,
    'I32': np.int32,
    'I16': np.int16,
    'I8': np.int8,
    'U8': np.uint8,
    'BOOL': np.bool_,
}
# At the end of a name, as PyTorch's own files have it. Eight digits alone are taken for a date.
_CHECKSUM_IN_NAME = re.compile(r'-(?!\d{8}\.)([0-9a-f]{8,64})\.(?:pth|pt|safetensors)')
_FAULTS = (
    ValueError,
    SafetensorError,
    zipfile.BadZipFile,
    EOFError,
    RuntimeError,  # what zipfile says of encryption
    OverflowError,
)


@dataclass(frozen=True)
class WeightFile:
    """What a file holds.

    Attributes:
      tensors: arrays by name, in the types and layouts of the file.
      checksum: SHA-256 of the file, in hexadecimal.
    """

    tensors: dict[str, np.ndarray]
    checksum: str


def read_weights(path: Path) -> WeightFile:
    """Reads a `.safetensors` file, or a dict of tensors saved by PyTorch; which of them, the content says.

    Raises:
      UserError: when there is no such file, it is too large or damaged, it holds more than tensors, or its name
        ends in the first digits of a SHA-256 that it does not have.
    """
    if not path.is_file():
        raise UserError(f'There is no file of weights at {path}; give the path of one on this machine.')
    with path.open('rb') as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise UserError(f'{path} is larger than {LARGEST_FILE >> 20} MiB; give the weights of one network alone.')
    checksum = hashlib.sha256(content).hexdigest()
    _check_name(path, checksum)
    try:
        return WeightFile(_read(content), checksum)
    except _FAULTS as error:
        raise UserError(
            f'{path} cannot be read as weights: {error}; get it afresh, or, where you trust it, load it with '
            'PyTorch and save its state dict as .safetensors.'
        ) from error


def _check_name(path: Path, checksum: str) -> None:
    named = _CHECKSUM_IN_NAME.search(path.name)
    if named and not checksum.startswith(named[1]):
        raise UserError(
            f'{path} was altered: its name promises a SHA-256 that begins with {named[1]}, but it is {checksum}; '
            'get it afresh, or rename the file where the weights are your own.'
        )


def _read(content: bytes) -> dict[str, np.ndarray]:
    if content.startswith(ZIP_SIGNATURE):
        return read_zip(content)
    if LEGACY_NUMBER in content[:32]:
        return read_legacy(content)
    if content[8:9] == b'{':  # a header in JSON after its length
        return _read_safetensors(content)
    raise ValueError('it is neither a safetensors file nor one of PyTorch')


def _read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    if int.from_bytes(content[:8], 'little') > MOST_RECORDS:
        raise ValueError('its header is too long')
    tensors = {}
    for name, tensor in deserialize(content):
        if tensor['dtype'] not in _DTYPES:
            raise ValueError(f'it holds tensors of the type {tensor["dtype"]}, which no network here has')
        tensors[name] = np.frombuffer(tensor['data'], _DTYPES[tensor['dtype']]).reshape(tensor['shape'])
    return tensors
