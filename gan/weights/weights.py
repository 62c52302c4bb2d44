"""The weights of an exported generator, in a few files of like size.

Reading runs nothing that is in the files, and allocates nothing that the described network does not have.
"""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import traverse_util

import input_pipeline
from backbones.classifier import variables_checksum
from backbones.images import DataFacts
from backbones.weights.reading import read_weights
from foundation.export.manifest import file_checksum
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan.recipe import GanRecipe
from gan.weights.description import FAULTS, GENERATOR_FILE, Description, Shard, damaged, one_line

DTYPES = ('bfloat16', 'float32')
LARGEST_SHARD = 14 * 2**20  # bytes, unless one array is larger: what mail and hosts of code still take
_LARGEST_HEADER = 2**20  # bytes of a shard that are no weights
Shapes = dict[str, jax.ShapeDtypeStruct]


def write_exported(
    folder: Path,
    recipe: GanRecipe,
    facts: DataFacts,
    position: Position,
    variables: Variables,
    *,
    dtype: str,
    overwrite: bool,
) -> Description:
    """Writes a generator into a folder, which is complete or absent whatever happens meanwhile.

    Parameters are rounded to `dtype`. Statistics and vectors of power iteration are small, and stay as they are.

    Args:
      folder: for this generator alone.
      recipe, facts, position: of the run.
      variables: averaged weights, and all other collections of the generator.
      dtype: one of DTYPES.
      overwrite: whether a folder that exists is replaced.

    Raises:
      DataError: when the folder exists and may not be replaced.
    """
    arrays = {name: np.asarray(array) for name, array in sorted(_flatten(variables).items())}
    stored = {name: array.astype(_stored_dtype(name, array.dtype, dtype)) for name, array in arrays.items()}
    as_read = {name: stored[name].astype(array.dtype) for name, array in arrays.items()}
    weights_sha256 = variables_checksum(traverse_util.unflatten_dict(as_read, sep='/'))
    with input_pipeline.complete_folder(folder.absolute(), overwrite=overwrite) as partial:
        groups, shards = deal({name: array.nbytes for name, array in stored.items()}), []
        for number, names in enumerate(groups, start=1):
            path = partial / _shard_name(number, len(groups))
            path.write_bytes(safetensors.numpy.save({name: stored[name] for name in names}))
            shards.append(Shard(path.name, path.stat().st_size, file_checksum(path)))
        described = Description(recipe, facts, position, dtype, weights_sha256, tuple(shards))
        described.write(partial)
    return described


def read_variables(folder: Path, described: Description) -> Variables:
    """The weights of an exported generator, in the types that its network has.

    Raises:
      UserError: when a shard is missing or was altered, or the shards are not of the described network.
    """
    path = folder / GENERATOR_FILE
    try:
        expected = _shapes(described)
        _check_sizes(folder, described, expected)
    except FAULTS as error:
        raise damaged(path, one_line(error)) from error
    found: dict[str, np.ndarray] = {}
    for shard in described.shards:
        weights = read_weights(folder / shard.name)
        if weights.checksum != shard.sha256:
            raise damaged(folder / shard.name, f'its SHA-256 is not the one in {GENERATOR_FILE}')
        found |= weights.tensors
    for name in sorted(found.keys() ^ expected.keys()):
        raise damaged(path, f'{name!a} is in the {"shards" if name in found else "network"} alone')
    for name, leaf in expected.items():
        kind = (leaf.shape, _stored_dtype(name, leaf.dtype, described.dtype))
        if (found[name].shape, found[name].dtype) != kind:
            raise damaged(path, f'{name!a} is not of the shape and type that the network has')
    as_read = {name: found[name].astype(leaf.dtype) for name, leaf in expected.items()}
    variables = traverse_util.unflatten_dict(as_read, sep='/')
    if variables_checksum(variables) != described.weights_sha256:
        raise damaged(path, 'the checksum of all weights does not match')
    return variables


def deal(sizes: dict[str, int]) -> list[list[str]]:
    """Names of the arrays of each shard: as few shards as may be, as even as can be.

    The largest array goes first, each to the shard that is smallest so far.

    Args:
      sizes: bytes of each array.
    """
    by_size = sorted(sizes, key=lambda name: -sizes[name])
    limit = max(LARGEST_SHARD, sizes[by_size[0]])
    count = math.ceil(sum(sizes.values()) / limit)
    while True:
        shards: list[list[str]] = [[] for _ in range(count)]
        filled = [0] * count
        for name in by_size:
            smallest = filled.index(min(filled))
            shards[smallest].append(name)
            filled[smallest] += sizes[name]
        if max(filled) <= limit:
            return shards
        count += 1


def _shapes(described: Description) -> Shapes:
    """Shapes and types of all arrays of the network, by name; nothing is allocated."""
    if described.dtype not in DTYPES:
        raise ValueError(f'its type is {described.dtype!a}')
    network = described.create_network()
    latents = jax.ShapeDtypeStruct((1, network.latent_size), jnp.float32)
    labels = jax.ShapeDtypeStruct((1,), jnp.int32)
    return _flatten(jax.eval_shape(network.init, jax.random.key(0), latents, labels))


def _check_sizes(folder: Path, described: Description, expected: Shapes) -> None:
    """Raises UserError or ValueError unless all shards are there, named and sized as the network needs."""
    count = len(described.shards)
    for number, shard in enumerate(described.shards, start=1):
        path = folder / shard.name
        if shard.name != _shard_name(number, count):
            raise ValueError(f'it names {shard.name!a} as a shard')
        if not path.is_file():
            raise UserError(f'{path} is missing; get all {count} shards of the generator.')
        if path.stat().st_size != shard.bytes:
            raise damaged(path, f'it has {path.stat().st_size} bytes instead of {shard.bytes}')
    size = sum(
        math.prod(leaf.shape) * _stored_dtype(name, leaf.dtype, described.dtype).itemsize
        for name, leaf in expected.items()
    )
    if not size <= sum(shard.bytes for shard in described.shards) <= size + count * _LARGEST_HEADER:
        raise ValueError(f'its network has {size} bytes of weights, which the shards have not')


def _shard_name(number: int, count: int) -> str:
    return f'generator-{number}-of-{count}.safetensors'


def _stored_dtype(name: str, dtype: np.dtype, chosen: str) -> np.dtype:
    is_parameter = name.startswith('params/') and jnp.issubdtype(dtype, jnp.floating)
    return jnp.dtype(chosen) if is_parameter else np.dtype(dtype)


def _flatten(variables: Variables) -> dict[str, Any]:
    return traverse_util.flatten_dict(variables, sep='/')
