"""Networks as extractors: from images in [-1, 1] to features and calibrated class probabilities."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from backbones.classifier import Classifier, variables_checksum
from backbones.contrastive.encoder import CONTRASTIVE_FILE, ContrastiveEncoder
from backbones.contrastive.recipe import ContrastiveRecipe
from backbones.networks import Network
from backbones.recipe import ClassifierRecipe
from backbones.weights import import_weights
from foundation.training.errors import UserError
from foundation.training.state import Variables
from foundation.training.workdir import has_begun, read_config

COLOURS = 3


class Extracted(NamedTuple):
    """What an extractor says of images.

    Attributes:
      features: what distances are measured in.
      probabilities: of its classes; of no class where it tells none.
    """

    features: Float[Array, 'batch feature']
    probabilities: Float[Array, 'batch class']


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that describes images.

    Attributes:
      name: for reports.
      checksum: SHA-256 of its weights.
      resize: what is done to the size of images, for reports.
      classes: names of its classes; empty where it tells none.
      channels: of the images that it takes; empty for any.
      temperature: by which its logits were divided.
      is_fid: whether Frechet and kernel distances of its features are FID and KID: those of the standard
        Inception-v3 alone.
      variables: its weights.
      extract: `extract(variables, images) -> Extracted`, traced; images in [-1, 1].
      measures: names of features that are no network's: computed on the host, each in a unit of its own, so that
        they are divided by the deviations of real images before they are compared. Empty for a network.
    """

    name: str
    checksum: str
    resize: str
    classes: tuple[str, ...]
    channels: tuple[int, ...]
    temperature: float
    is_fid: bool
    variables: Variables
    extract: Callable[[Variables, Float[Array, 'batch height width channel']], Extracted]
    measures: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """For reports, as JSON has it."""
        return {
            'name': self.name,
            'sha256': self.checksum,
            'resize': self.resize,
            'classes': list(self.classes),
            'temperature': self.temperature,
            'is_fid': self.is_fid,
            'is_radiomic': bool(self.measures),
        }

    def check_network(self, purpose: str) -> None:
        """Raises UserError unless it is a network, which `purpose` (at the start of a sentence) needs."""
        if self.measures:
            raise UserError(
                f'{purpose} needs the features of a network, and {self.name} are none; name a classifier as '
                "--extractor, or 'random'."
            )

    def check_channels(self, channels: int) -> None:
        """Raises UserError unless it takes images of so many channels."""
        if self.channels:
            _check_channels(self.name, self.channels, channels)


def _check_channels(name: str, known: tuple[int, ...], channels: int) -> None:
    if channels not in known:
        raise UserError(
            f'The extractor {name} takes images of {" or ".join(map(str, known))} channels, '
            f'but these have {channels}; use an extractor trained on such images.'
        )


def restore_extractor(workdir: Path) -> Extractor:
    """What `backbones.main` trained in `workdir`: a classifier, or an encoder without labels.

    Raises:
      UserError: when it is not finished, or cannot be read.
    """
    if not (workdir / CONTRASTIVE_FILE).is_file():
        _check_finished(workdir)
        return restore_classifier(workdir)
    trained = ContrastiveEncoder.load(workdir)
    recipe, name = trained.recipe, f'self-supervised encoder {workdir.resolve().name}'
    return _create_trained(name, recipe, trained.network, trained.variables, (), 1.0)


def _check_finished(workdir: Path) -> None:
    """Raises UserError where an encoder without labels was begun, and neither it nor a classifier is finished."""
    if has_begun(workdir) and 'views' in read_config(workdir):
        raise UserError(
            f'{workdir} holds no finished encoder; run its training command again, which goes on where it stopped.'
        )


def restore_classifier(workdir: Path) -> Extractor:
    """The classifier that `backbones.main` trained in `workdir`, from its best checkpoint.

    Raises:
      UserError: when it is not finished, or cannot be read.
    """
    trained = Classifier.load(workdir)
    return _create_trained(
        f'classifier {workdir.resolve().name}',
        trained.recipe,
        trained.network,
        trained.variables,
        trained.facts.classes,
        trained.facts.temperature,
    )


def _create_trained(
    name: str,
    recipe: ClassifierRecipe | ContrastiveRecipe,
    network: Network,
    variables: Variables,
    classes: tuple[str, ...],
    temperature: float,
) -> Extractor:
    """An extractor out of a network of ours.

    It computes in float32, whatever it was trained in, so that scores do not depend on the machine; images of
    another size are resized, and grey ones become three equal channels where it was trained in colour. `extract`
    raises UserError for images of other channels.
    """
    network = network.clone(dtype=jnp.float32)
    size, colours = recipe.resolution, recipe.channels
    known = (1, COLOURS) if colours == COLOURS else (colours,)

    def extract(variables: Variables, images: Float[Array, 'batch height width channel']) -> Extracted:
        batch, height, width, channels = images.shape
        _check_channels(name, known, channels)
        if (height, width) != (size, size):
            images = jax.image.resize(images, (batch, size, size, channels), 'linear', antialias=True)
        images = jnp.broadcast_to(images, (batch, size, size, colours))
        described = network.apply(variables, images, train=False)
        probabilities = jax.nn.softmax(described.logits / temperature)
        return Extracted(described.pooled, probabilities if classes else jnp.zeros((batch, 0)))

    return Extractor(
        name=name,
        checksum=variables_checksum(variables),
        resize=f'to {size}x{size} pixels, bilinear, antialiased where it shrinks',
        classes=classes,
        channels=known,
        temperature=temperature,
        is_fid=False,
        variables=variables,
        extract=extract,
    )


def import_extractor(path: Path, kind: str) -> Extractor:
    """A network of a standard layout with the weights of a file; see `backbones.weights`.

    Raises:
      UserError: when the file cannot be read, was altered, or holds another network.
    """
    imported = import_weights(path, kind)

    def extract(variables: Variables, images: Float[Array, 'batch height width channel']) -> Extracted:
        described = imported.network.apply(variables, imported.preprocess.prepare(images), train=False)
        return Extracted(described.pooled, jax.nn.softmax(described.logits))

    return Extractor(
        name=f'{kind} {path.name}',
        checksum=imported.checksum,
        resize=imported.preprocess.resize,
        classes=tuple(f'class {number}' for number in range(imported.num_classes)),
        channels=(1, COLOURS),
        temperature=1.0,
        is_fid=kind == 'inception' and imported.standard,
        variables=imported.variables,
        extract=extract,
    )
