"""Networks with weights from a file that the user names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from backbones.networks import DenseNet, InceptionV3, Network, ResNet
from backbones.preprocessing import IMAGENET, INCEPTION, Preprocess
from backbones.weights import naming
from backbones.weights.reading import read_weights
from foundation.training.errors import UserError

_LONGEST_NAME = 80  # characters of the file's own words that a message repeats


@dataclass(frozen=True)
class Imported:
    """A network and its weights.

    Attributes:
      network: `network.apply(variables, preprocess.prepare(images))` describes images in [-1, 1].
      variables: `params` and `batch_stats`, float32.
      num_classes: of its last layer.
      checksum: SHA-256 of the file, in hexadecimal.
      standard: whether the file is the one that the field means by this network: only Frechet distances in the
        standard Inception-v3 are FID.
      preprocess: what makes the network's input of images.
    """

    network: Network
    variables: PyTree
    num_classes: int
    checksum: str
    standard: bool
    preprocess: Preprocess


@dataclass(frozen=True)
class _WeightKind:
    """How one network is imported.

    Attributes:
      create: the network with that many classes.
      rules: see `naming`.
      preprocess: of its training.
      file: the standard file, named with the beginning of its SHA-256.
    """

    create: Callable[[int], Network]
    rules: naming.Rules
    preprocess: Preprocess
    file: str

    @property
    def checksum(self) -> str:
        """How the standard file's SHA-256 begins."""
        return Path(self.file).stem.rsplit('-', 1)[1]


def _create_resnet(depth: int, num_classes: int) -> ResNet:
    return ResNet(depth, 64, False, num_classes, jnp.float32)


def _create_densenet(num_classes: int) -> DenseNet:
    return DenseNet(32, (6, 12, 24, 16), 64, False, num_classes, jnp.float32)


def _create_inception(num_classes: int) -> InceptionV3:
    return InceptionV3(num_classes, jnp.float32)


_KINDS = {
    'inception': _WeightKind(
        _create_inception, naming.INCEPTION, INCEPTION, 'pt_inception-2015-12-05-6726825d.pth'
    ),
    'resnet50': _WeightKind(partial(_create_resnet, 50), naming.RESNET, IMAGENET, 'resnet50-0676ba61.pth'),
    'resnet18': _WeightKind(partial(_create_resnet, 18), naming.RESNET, IMAGENET, 'resnet18-f37072fd.pth'),
    'densenet121': _WeightKind(_create_densenet, naming.DENSENET, IMAGENET, 'densenet121-a639ec97.pth'),
}
KINDS = tuple(_KINDS)


def import_weights(path: Path, kind: str) -> Imported:
    """Reads a network's weights.

    Args:
      path: a `.safetensors` file, or a state dict saved by PyTorch, with the names and shapes of torchvision or,
        for 'inception', of pytorch-fid. The number of classes is the file's.
      kind: one of KINDS.

    Raises:
      UserError: when the kind is unknown, the file cannot be read (see `read_weights`), or is of another network:
        tensors are missing, unexpected, of a wrong shape or type, or not finite.
    """
    if kind not in _KINDS:
        raise UserError(f'There is no network {kind!r} to import weights for; choose one of {sorted(KINDS)}.')
    recipe, file = _KINDS[kind], read_weights(path)
    tensors = naming.normalise_names(file.tensors)
    num_classes = _count_classes(tensors, recipe)
    network = recipe.create(num_classes)
    image = jax.ShapeDtypeStruct((1, recipe.preprocess.size, recipe.preprocess.size, 3), jnp.float32)
    expected = traverse_util.flatten_dict(jax.eval_shape(network.init, jax.random.key(0), image))
    names = {key: naming.translate(key, recipe.rules) for key in expected}
    fault = _fault({names[key]: leaf.shape for key, leaf in expected.items()}, tensors)
    if fault:
        raise UserError(
            f'{path} is no {kind}: {fault}; give weights such as {recipe.file}, or name their network.'
        )
    variables = {key: _convert(path, name, tensors[name]) for key, name in names.items()}
    standard = file.checksum.startswith(recipe.checksum)
    nested = traverse_util.unflatten_dict(variables)
    return Imported(network, nested, num_classes, file.checksum, standard, recipe.preprocess)


def _count_classes(tensors: Mapping[str, np.ndarray], recipe: _WeightKind) -> int:
    """As many as the last layer has rows; what is wrong with that layer itself is found with the others."""
    head = tensors.get(naming.translate(('params', 'head', 'kernel'), recipe.rules))
    return head.shape[0] if head is not None and head.ndim == 2 and head.size else 1


def _fault(shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]) -> str:
    """Why tensors are not those of a network of these shapes; empty when they are."""
    if missing := sorted(shapes.keys() - tensors.keys()):
        return _count('it lacks', missing)
    if unexpected := sorted(tensors.keys() - shapes.keys()):
        return _count('it also holds', unexpected)
    if wrong := [name for name in shapes if _to_ours(tensors[name]).shape != shapes[name]]:
        return f'{_count("it has a wrong shape of", wrong)}: {tensors[wrong[0]].shape}'
    if whole := [name for name in shapes if not jnp.issubdtype(tensors[name].dtype, jnp.floating)]:
        return f'{_count("it has whole numbers in", whole)}: {tensors[whole[0]].dtype}'
    return ''


def _count(words: str, names: Iterable[str]) -> str:
    first, *others = (name[:_LONGEST_NAME] for name in names)
    return f'{words} {first!r}' + (f' and {len(others)} more' if others else '')


def _to_ours(tensor: np.ndarray) -> np.ndarray:
    """Kernels (out, in, height, width) become (height, width, in, out), matrices (out, in) become (in, out)."""
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _convert(path: Path, name: str, tensor: np.ndarray) -> jax.Array:
    with np.errstate(over='ignore'):  # what float32 cannot hold is found below
        numbers = np.ascontiguousarray(_to_ours(tensor), np.float32)
    if not np.isfinite(numbers).all() or (name.endswith('running_var') and (numbers < 0).any()):
        raise UserError(
            f'{path} holds NaN, infinite or negative numbers in {name}, where none belong; get it afresh.'
        )
    return jnp.asarray(numbers)
