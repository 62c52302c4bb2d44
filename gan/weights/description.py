"""generator.json: the network of an exported generator, where it comes from, and the checksums of its weights."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import input_pipeline
from backbones.images import DataFacts, facts_from_json
from foundation.export.manifest import content_checksum
from foundation.software import software_version
from foundation.training import workdir as workdirs
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from gan.networks import Generator
from gan.recipe import GanRecipe, ImageFormat, recreate_recipe
from gan.schedule import Stage, fade_in

GENERATOR_FILE = 'generator.json'
FORMAT_VERSION = 1
# What values of other types, or beyond all measure, make their readers raise.
FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_LARGEST = 2**24  # bytes
_CHECKSUM = 'description_sha256'
_VERSIONED = ('enhanced-gan', 'jax', 'flax', 'numpy', 'safetensors')


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of weights: its name, size and SHA-256."""

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
    """

    recipe: GanRecipe
    facts: DataFacts
    position: Position
    dtype: str
    weights_sha256: str
    shards: tuple[Shard, ...]

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
        }
        workdirs.write_json(folder / GENERATOR_FILE, content | {_CHECKSUM: content_checksum(content)})


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported generator, and no run."""
    return (folder / GENERATOR_FILE).is_file() and not workdirs.has_begun(folder)


def check_apart(folder: Path, out: Path) -> None:
    """Raises UserError when `out`, which will show training images, lies within an exported generator."""
    if is_exported(folder) and out.absolute().is_relative_to(folder.absolute()):
        raise UserError(
            f'{folder} is an exported generator, to be passed on, but this page shows training images; '
            'give --out a folder outside it.'
        )


def read_description(folder: Path) -> Description:
    """What an exported generator is; its weights are not touched.

    Raises:
      UserError: when it was altered, damaged, or written by another version.
    """
    path = folder / GENERATOR_FILE
    if path.stat().st_size > _LARGEST:
        raise damaged(path, 'it is larger than any description')
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
    except (UserError, input_pipeline.DataError, *FAULTS) as error:
        raise damaged(path, one_line(error)) from error
    return described


def damaged(path: Path, reason: str) -> UserError:
    """What the user is told of a file that is not as it was written."""
    return UserError(f'{path} was altered or damaged ({reason}); get the exported generator afresh.')


def one_line(error: Exception) -> str:
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
        shards=tuple(Shard(**shard) for shard in content['shards']),
    )
