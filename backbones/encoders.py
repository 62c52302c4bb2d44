"""Encoders that were trained on another task: by `backbones.main`, or those of standard networks from files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from backbones.classifier import Classifier
from backbones.contrastive.encoder import CONTRASTIVE_FILE, ContrastiveEncoder
from backbones.networks import ARCHITECTURES, DenseNet, Network, create_network
from backbones.preprocessing import Preprocess
from backbones.weights import import_weights
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState

ENCODER_FILE = 'encoder.json'


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An encoder's architecture, as a run keeps it.

    Attributes:
      architecture: 'resnet' or 'densenet'.
      fields: of that network.
      channels: of the images that it takes; 3 where grey images are repeated.
      mean, std: by which its input, in [0, 1], was normalized in its training; None for images in [-1, 1].
      halvings: how often it halves the resolution.
    """

    architecture: str
    fields: dict[str, Any]
    channels: int
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    halvings: int

    def create(self, dtype: Any) -> Network:
        """The network, without classes of its own."""
        return create_network(self.architecture, self.fields, num_classes=1, dtype=dtype)

    def prepare(self, images: Float[Array, 'batch height width channel']) -> Float[Array, 'batch height width _']:
        """What it sees of images in [-1, 1]."""
        images = jnp.broadcast_to(images, (*images.shape[:3], self.channels))
        if self.mean is None or self.std is None:
            return images
        return Preprocess(images.shape[1], self.mean, self.std).normalize(images)


def find_encoder(source: str, channels: int) -> tuple[Encoder, Variables]:
    """The encoder that a config names, and its weights without those of its classes.

    Args:
      source: workdir of a classifier or of an encoder without labels, or KIND=FILE.
      channels: of the images, with their context.

    Raises:
      UserError: when it cannot be read, does not halve its images, or sees other channels.
    """
    kind, separator, path = source.partition('=')
    encoder, variables = _import(Path(path), kind) if separator else _restore(Path(source))
    if channels not in (1, encoder.channels):
        raise UserError(
            f'config.network.encoder={source} sees images of {encoder.channels} channels, but these have '
            f'{channels}; take an encoder trained on such images, or leave it out.'
        )
    params = {name: value for name, value in variables['params'].items() if name != 'head'}
    return encoder, {**variables, 'params': params}


def _import(path: Path, kind: str) -> tuple[Encoder, Variables]:
    imported = import_weights(path, kind)
    mean, std = imported.preprocess.mean, imported.preprocess.std
    return _describe(imported.network, kind, 3, mean, std), imported.variables


def _restore(workdir: Path) -> tuple[Encoder, Variables]:
    unlabelled = (workdir / CONTRASTIVE_FILE).is_file()
    trained = ContrastiveEncoder.load(workdir) if unlabelled else Classifier.load(workdir)
    return _describe(trained.network, str(workdir), trained.recipe.channels, None, None), trained.variables


def _describe(network: Network, source: str, channels: int, mean: Any, std: Any) -> Encoder:
    architecture = next((name for name, kind in ARCHITECTURES.items() if isinstance(network, kind)), None)
    if architecture is None:
        raise UserError(
            f'config.network.encoder={source} does not halve its images exactly; take a ResNet or a DenseNet.'
        )
    names = [field.name for field in dataclasses.fields(network)]
    fields = {
        name: getattr(network, name) for name in names if name not in ('num_classes', 'dtype', 'parent', 'name')
    }
    stages = len(network.blocks) if isinstance(network, DenseNet) else network.num_stages
    return Encoder(architecture, fields, channels, mean, std, stages + (-1 if network.small_stem else 1))


def read_encoder(workdir: Path) -> Encoder | None:
    """The encoder of a run; None where it has its own.

    Raises:
      UserError: when the file is damaged.
    """
    if not (workdir / ENCODER_FILE).exists():
        return None
    content = workdirs.read_json(workdir, ENCODER_FILE)
    try:
        return Encoder(**content | {name: content[name] and tuple(content[name]) for name in ('mean', 'std')})
    except (KeyError, TypeError) as error:
        raise UserError(f'{workdir / ENCODER_FILE} is damaged ({error}); restore it from a copy.') from error


def find_begun_encoder(workdir: Path, source: str, channels: int) -> Encoder | None:
    """The encoder that a config names; that of the run where it has begun, for its source may be gone.

    Args:
      workdir: of the run.
      source, channels: see `find_encoder`; None for the source ''.

    Raises:
      UserError: see `find_encoder`.
    """
    if not source:
        return None
    return read_encoder(workdir) or find_encoder(source, channels)[0]


def begin_with(state: SupervisedState, source: str, channels: int, names: Sequence[str]) -> SupervisedState:
    """A fresh state whose modules of these names have the weights of an encoder; the same for the source ''."""
    if not source:
        return state
    _, weights = find_encoder(source, channels)
    variables = state.network.variables
    for name in names:
        variables = place_weights(variables, weights, name)
    params = variables.pop('params')
    return dataclasses.replace(
        state, network=dataclasses.replace(state.network, params=params, model_state=variables)
    )


def place_weights(variables: Variables, encoder: Variables, name: str) -> Variables:
    """A network's variables with an encoder's in the place of its module of this name.

    Layers that only the network has, such as the last one of a classifier, keep their own.
    """
    return {
        collection: {**values, name: {**values.get(name, {}), **encoder[collection]}}
        if collection in encoder
        else values
        for collection, values in variables.items()
    }
