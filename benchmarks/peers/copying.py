"""Our parameters under the names and in the layouts of PyTorch.

Kernels are (height, width, input, output) here and (output, input, height, width) there. A dense layer beside a
feature map counts its pixels first here, its channels first there.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flax import traverse_util
from jaxtyping import PyTree, Shaped
from torch import Tensor, nn

from backbones.weights.naming import RESNET, translate

Values = Shaped[np.ndarray, '*shape']
_LEAVES = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'variance': 'running_var',
    'gamma': 'gamma',
    'u': 'u',
}
_BLOCK = re.compile(r'((?:en|de)coder\d+)_((?:conv|norm)\d)')


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the layers of an adversarial network lie in PyTorch.

    Attributes:
      from_map: a dense layer whose inputs are a feature map, by its name; '' none.
      to_map: one whose outputs are a feature map, of 4x4 pixels.
      side: of the map before `from_map`, in pixels.
      transposed: names of the transposed convolutions.
      mirrored: whether the network works on mirrored images; see `networks.dcgan`.
    """

    from_map: str = ''
    to_map: str = ''
    side: int = 4
    transposed: tuple[str, ...] = ()
    mirrored: bool = False


def convert_adversarial(variables: PyTree, layout: Layout) -> dict[str, Tensor]:
    """Parameters, batch statistics and spectral vectors of a generator or discriminator."""
    tensors = {}
    for (_, *layers, leaf), value in traverse_util.flatten_dict(variables).items():
        layer = '.'.join(name for name in layers if name != 'logits')
        name = f'layers.{layer}.{_LEAVES[leaf]}' if layers else 'dense_bias'
        tensors[name] = _tensor(_arrange(layer, leaf, np.asarray(value), layout))
    return tensors


def _arrange(layer: str, leaf: str, value: Values, layout: Layout) -> Values:
    if leaf == 'kernel' and value.ndim == 4:
        axes = (2, 3, 0, 1) if layer in layout.transposed else (3, 2, 0, 1)
        return (value[::-1, ::-1] if layout.mirrored else value).transpose(*axes)
    if leaf in ('scale', 'bias') and value.ndim == 2:  # one gain for the only class
        return value[0]
    if leaf in ('kernel', 'bias') and layer == layout.to_map:
        value = _channels_first(value, 4, layout)
    if leaf == 'kernel' and layer == layout.from_map:
        value = _channels_first(value.T, layout.side, layout).T
    return value.T


def _channels_first(value: Values, side: int, layout: Layout) -> Values:
    """The last axis as a feature map, from (row, column, channel) to (channel, row, column)."""
    maps = value.reshape(-1, side, side, value.shape[-1] // side**2)
    maps = maps[:, ::-1, ::-1] if layout.mirrored else maps
    return maps.transpose(0, 3, 1, 2).reshape(value.shape)


def convert_unet(variables: PyTree) -> dict[str, Tensor]:
    """Parameters of a U-Net with its own encoder."""
    tensors = {}
    for (_, layer, leaf), value in traverse_util.flatten_dict(variables).items():
        array = np.asarray(value)
        if layer.startswith('down'):
            array = array.reshape(2, 2, -1, array.shape[-1]).transpose(3, 2, 0, 1)
        elif layer.startswith('up'):
            array = array.reshape(array.shape[0], 2, 2, -1).transpose(0, 3, 1, 2)
        elif array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        name = _BLOCK.sub(r'\1.\2', layer)
        tensors[f'layers.{name}.{_LEAVES[leaf]}'] = _tensor(array)
    return tensors


def convert_resnet(variables: PyTree) -> dict[str, Tensor]:
    """Parameters and statistics of a residual network under torchvision's names."""
    tensors = {}
    for path, value in traverse_util.flatten_dict(variables).items():
        array = np.asarray(value)
        axes = (3, 2, 0, 1) if array.ndim == 4 else range(array.ndim)[::-1]
        tensors[translate(path, RESNET)] = _tensor(array.transpose(*axes))
    return tensors


def load(network: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """The network, with these as its state.

    Raises:
      ValueError: when a tensor has no place in the network, or the network has more than these.
    """
    missing, unexpected = network.load_state_dict(dict(tensors), strict=False)
    missing = [name for name in missing if not name.endswith('num_batches_tracked')]
    if missing or unexpected:
        raise ValueError(f'The network misses {missing} and does not know {unexpected}.')
    return network


def _tensor(array: Values) -> Tensor:
    return torch.from_numpy(np.array(array, order='C'))
