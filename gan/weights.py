"""A generator in a folder of its own, to be kept and passed on: its averaged weights, and what they mean.

`generator.json` describes it and names the files of its weights, `generator-1-of-4.safetensors` and so on, and
what lies beside them (`gan.exports`). Nothing of the training data is in them but the facts that a run keeps, and
no folder of the machine.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import traverse_util

import input_pipeline
from backbones.classifier import variables_checksum
from backbones.images import DataFacts, facts_from_json
from backbones.weights.reading import read_weights
from foundation.export.manifest import content_checksum, file_checksum
from foundation.software import software_version
from foundation.training import workdir as workdirs
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan.differential_privacy.ledger import PrivacySpent
from gan.networks import Generator
from gan.recipe import GanRecipe, ImageFormat, recreate_recipe
from gan.schedule import Stage, fade_in

GENERATOR_FILE = 'generator.json'
FORMAT_VERSION = 2  # 2: files
# What values of other types, or beyond all measure, make their readers raise.
_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_LARGEST = 2**24  # bytes
_CHECKSUM = 'description_sha256'
_VERSIONED = ('enhanced-gan', 'jax', 'flax', 'numpy', 'safetensors')
DTYPES = ('bfloat16', 'float32')
LARGEST_SHARD = 14 * 2**20  # bytes, unless one array is larger: what mail and hosts of code still take
_LARGEST_HEADER = 2**20  # bytes of a shard that are no weights
Shapes = dict[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class ListedFile:
    """One file of an exported generator: its name, size and SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Description:
    """What an exported generator is.

    Attributes:
      recipe: of the run.
      facts: the data it was trained on.
      position: where in training it was saved.
      dtype: of the parameters in the files.
      weights_sha256: of the variables as they are read, see `variables_checksum`.
      shards: the files of weights, in order.
      files: all others beside this description.
      privacy: what is proved of its training; None for nothing.
    """

    recipe: GanRecipe
    facts: DataFacts
    position: Position
    dtype: str
    weights_sha256: str
    shards: tuple[ListedFile, ...]
    files: tuple[ListedFile, ...]
    privacy: PrivacySpent | None

    @property
    def stage(self) -> Stage:
        """The stage of growth that training had reached."""
        stages = self.recipe.stages(self.facts.num_examples)
        return {stage.name: stage for stage in stages}[self.position.phase]

    @property
    def alpha(self) -> float:
        """How far the last block had faded in."""
        return fade_in(self.stage, self.position.images_seen)

    @property
    def image_format(self) -> ImageFormat:
        """The channels and classes of the images."""
        return self.recipe.image_format(len(self.facts.classes))

    def create_network(self) -> Generator:
        """The generator at the resolution of its stage."""
        return self.recipe.generator_at(self.stage.resolution, self.image_format)

    def write(self, folder: Path) -> None:
        """Writes it beside the weights, without the folders of this machine."""
        fields = self.recipe.fields
        without_folders = {
            'data': {**fields['data'], 'data_dir': ''},
            'start_from': {**fields['start_from'], 'workdir': ''},
        }
        content = {
            'format_version': FORMAT_VERSION,
            'versions': {name: software_version(name) for name in _VERSIONED},
            'config': {**fields, **without_folders},
            'facts': dataclasses.asdict(self.facts),
            'position': dataclasses.asdict(self.position),
            'alpha': self.alpha,
            'dtype': self.dtype,
            'weights_sha256': self.weights_sha256,
            'shards': [dataclasses.asdict(shard) for shard in self.shards],
            'files': [dataclasses.asdict(file) for file in self.files],
            'privacy': None if self.privacy is None else dataclasses.asdict(self.privacy),
        }
        workdirs.write_json(folder / GENERATOR_FILE, content | {_CHECKSUM: content_checksum(content)})


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported generator, and no run."""
    return (folder / GENERATOR_FILE).is_file() and not workdirs.has_begun(folder)


def check_apart(folder: Path, out: Path) -> None:
    """Raises UserError when `out`, which will tell of real images, lies within an exported generator."""
    if is_exported(folder) and out.absolute().is_relative_to(folder.absolute()):
        raise UserError(
            f'{folder} is an exported generator, to be passed on, but what this command writes tells of real '
            'images; give --out a folder outside it.'
        )


def read_description(folder: Path) -> Description:
    """What an exported generator is; its weights are not touched.

    Raises:
      UserError: when it was altered, damaged, or written by another version.
    """
    path = folder / GENERATOR_FILE
    if path.stat().st_size > _LARGEST:
        raise _damaged(path, 'it is larger than any description')
    content = workdirs.read_json(folder, GENERATOR_FILE)
    version = content.get('format_version')
    if version != FORMAT_VERSION:
        raise UserError(
            f'{path} is of format version {version!a}, and this software reads {FORMAT_VERSION}; '
            'use the version of it that wrote the file.'
        )
    try:
        if content.pop(_CHECKSUM) != content_checksum(content):
            raise ValueError('its own checksum does not match')
        described = _decode(content)
        if not described.stage.start <= described.position.images_seen <= described.stage.end:
            raise ValueError('its position is not within its stage')
    except (UserError, input_pipeline.DataError, *_FAULTS) as error:
        raise _damaged(path, _one_line(error)) from error
    return described


def _damaged(path: Path, reason: str) -> UserError:
    """What the user is told of a file that is not as it was written."""
    return UserError(f'{path} was altered or damaged ({reason}); get the exported generator afresh.')


def _one_line(error: Exception) -> str:
    """What an error says, for the middle of a sentence."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f'{text[:200]}...'


def _decode(content: dict[str, Any]) -> Description:
    facts = facts_from_json(content['facts'])
    np.dtype(facts.dtype)
    if not all(isinstance(name, str) for name in facts.classes):
        raise TypeError('a class has no name')
    return Description(
        recipe=recreate_recipe(content['config']),
        facts=facts,
        position=Position(**content['position']),
        dtype=content['dtype'],
        weights_sha256=content['weights_sha256'],
        shards=tuple(ListedFile(**shard) for shard in content['shards']),
        files=tuple(ListedFile(**file) for file in content['files']),
        privacy=_decode_privacy(content.get('privacy')),  # exports of older versions do not say
    )


def _decode_privacy(content: dict[str, Any] | None) -> PrivacySpent | None:
    if content is None:
        return None
    spent = PrivacySpent(**content)
    numbers = (spent.epsilon, spent.delta, spent.noise_multiplier, spent.clip_norm, spent.units)
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError('what it says of its privacy is no number')
    return spent


def write_exported(
    folder: Path,
    recipe: GanRecipe,
    facts: DataFacts,
    position: Position,
    variables: Variables,
    *,
    dtype: str,
    beside: Mapping[str, bytes],
    overwrite: bool,
    privacy: PrivacySpent | None = None,
) -> Description:
    """Writes a generator into a folder, which is complete or absent whatever happens meanwhile.

    Args:
      folder: for this generator alone.
      recipe, facts, position: of the run.
      variables: averaged weights, and all other collections of the generator.
      dtype: one of DTYPES.
      beside: content of other files, by their names.
      overwrite: whether a folder that exists is replaced.
      privacy: what is proved of its training; None for nothing.

    Raises:
      DataError: when the folder exists and may not be replaced.
    """
    arrays = {name: np.asarray(array) for name, array in sorted(_flatten(variables).items())}
    stored = {name: array.astype(_stored_dtype(name, array.dtype, dtype)) for name, array in arrays.items()}
    weights_sha256 = variables_checksum(round_parameters(variables, dtype))
    with input_pipeline.complete_folder(folder.absolute(), overwrite=overwrite) as partial:
        groups, shards = deal({name: array.nbytes for name, array in stored.items()}), []
        for number, names in enumerate(groups, start=1):
            path = partial / _shard_name(number, len(groups))
            path.write_bytes(safetensors.numpy.save({name: stored[name] for name in names}))
            shards.append(_list_file(path))
        for name, content in beside.items():
            (partial / name).write_bytes(content)
        files = tuple(_list_file(partial / name) for name in sorted(beside))
        described = Description(recipe, facts, position, dtype, weights_sha256, tuple(shards), files, privacy)
        described.write(partial)
    return described


def round_parameters(variables: Variables, dtype: str) -> Variables:
    """Variables as they are read again when their parameters are written in `dtype`, one of DTYPES.

    Statistics and vectors of power iteration are small, and stay as they are.
    """
    arrays = {name: np.asarray(array) for name, array in _flatten(variables).items()}
    rounded = {
        name: array.astype(_stored_dtype(name, array.dtype, dtype)).astype(array.dtype)
        for name, array in arrays.items()
    }
    return traverse_util.unflatten_dict(rounded, sep='/')


def read_variables(folder: Path, described: Description) -> Variables:
    """The weights of an exported generator, in the types that its network has.

    Raises:
      UserError: when a file is missing or was altered, or the shards are not of the described network.
    """
    path = folder / GENERATOR_FILE
    try:
        expected = _shapes(described)
        _check_sizes(folder, described, expected)
    except _FAULTS as error:
        raise _damaged(path, _one_line(error)) from error
    for file in described.files:
        if file_checksum(folder / file.name) != file.sha256:
            raise _damaged(folder / file.name, f'its SHA-256 is not the one in {GENERATOR_FILE}')
    found: dict[str, np.ndarray] = {}
    for shard in described.shards:
        weights = read_weights(folder / shard.name)
        if weights.checksum != shard.sha256:
            raise _damaged(folder / shard.name, f'its SHA-256 is not the one in {GENERATOR_FILE}')
        found |= weights.tensors
    for name in sorted(found.keys() ^ expected.keys()):
        raise _damaged(path, f'{name!a} is in the {"shards" if name in found else "network"} alone')
    for name, leaf in expected.items():
        kind = (leaf.shape, _stored_dtype(name, leaf.dtype, described.dtype))
        if (found[name].shape, found[name].dtype) != kind:
            raise _damaged(path, f'{name!a} is not of the shape and type that the network has')
    as_read = {name: found[name].astype(leaf.dtype) for name, leaf in expected.items()}
    variables = traverse_util.unflatten_dict(as_read, sep='/')
    if variables_checksum(variables) != described.weights_sha256:
        raise _damaged(path, 'the checksum of all weights does not match')
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
    """Raises UserError or ValueError unless all files are there, named and sized as the network needs."""
    count = len(described.shards)
    for number, shard in enumerate(described.shards, start=1):
        if shard.name != _shard_name(number, count):
            raise ValueError(f'it names {shard.name!a} as a shard')
    for file in described.files:
        if not re.fullmatch(r'\w[\w.-]*', file.name, re.ASCII):
            raise ValueError(f'it names the file {file.name!a}')
    for file in (*described.shards, *described.files):
        path = folder / file.name
        if not path.is_file():
            raise UserError(f'{path} is missing; get all files of the generator.')
        if path.stat().st_size != file.bytes:
            raise _damaged(path, f'it has {path.stat().st_size} bytes instead of {file.bytes}')
    size = sum(
        math.prod(leaf.shape) * _stored_dtype(name, leaf.dtype, described.dtype).itemsize
        for name, leaf in expected.items()
    )
    if not size <= sum(shard.bytes for shard in described.shards) <= size + count * _LARGEST_HEADER:
        raise ValueError(f'its network has {size} bytes of weights, which the shards have not')


def _list_file(path: Path) -> ListedFile:
    return ListedFile(path.name, path.stat().st_size, file_checksum(path))


def _shard_name(number: int, count: int) -> str:
    return f'generator-{number}-of-{count}.safetensors'


def _stored_dtype(name: str, dtype: np.dtype, chosen: str) -> np.dtype:
    is_parameter = name.startswith('params/') and jnp.issubdtype(dtype, jnp.floating)
    return jnp.dtype(chosen) if is_parameter else np.dtype(dtype)


def _flatten(variables: Variables) -> dict[str, Any]:
    return traverse_util.flatten_dict(variables, sep='/')
