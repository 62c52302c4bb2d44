"""What torchvision and pytorch-fid call the layers of our networks."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Rules = tuple[tuple[str, str], ...]
Tensor = TypeVar('Tensor')

# Our layer's name as a pattern, and theirs.
RESNET: Rules = (
    (r'head', r'fc'),
    (r'stem_conv', r'conv1'),
    (r'stem_norm', r'bn1'),
    (r'stage(\d)_block(\d)_conv(\d)', r'layer\1.\2.conv\3'),
    (r'stage(\d)_block(\d)_norm(\d)', r'layer\1.\2.bn\3'),
    (r'stage(\d)_block(\d)_shortcut_conv', r'layer\1.\2.downsample.0'),
    (r'stage(\d)_block(\d)_shortcut_norm', r'layer\1.\2.downsample.1'),
)
DENSENET: Rules = (
    (r'head', r'classifier'),
    (r'stem_(conv|norm)', r'features.\g<1>0'),
    (r'block(\d)_layer(\d+)_(conv|norm)(\d)', r'features.denseblock\1.denselayer\2.\3\4'),
    (r'transition(\d)_(conv|norm)', r'features.transition\1.\2'),
    (r'last_norm', r'features.norm5'),
)
INCEPTION: Rules = (
    (r'head', r'fc'),
    (r'(Conv2d_.+)_conv', r'\1.conv'),
    (r'(Conv2d_.+)_norm', r'\1.bn'),
    (r'(Mixed_\d\w)_(.+)_conv', r'\1.\2.conv'),
    (r'(Mixed_\d\w)_(.+)_norm', r'\1.\2.bn'),
)
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}
_DATA_PARALLEL = 'module.'  # before every name of a network that was trained on several GPUs
_COUNTER = '.num_batches_tracked'  # of batches that entered running statistics; their momentum is fixed here
_OLD_DENSE_LAYER = re.compile(r'(\.denselayer\d+\.(?:norm|conv))\.(\d\.)')  # torchvision before 0.3


def translate(path: tuple[str, ...], rules: Rules) -> str:
    """Their name of a variable.

    Args:
      path: collection, layer and leaf, as `('params', 'stem_conv', 'kernel')`.
      rules: of the network's family.

    Raises:
      ValueError: when no rule knows the layer.
    """
    _, layer, leaf = path
    for ours, theirs in rules:
        if re.fullmatch(ours, layer):
            return f'{re.sub(ours, theirs, layer)}.{_LEAVES[leaf]}'
    raise ValueError(f'No rule names the layer {layer}.')


def normalise_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by today's names: without a prefix of data parallelism, old forms mended, and counters left out."""
    shared = _all_begin(tensors, _DATA_PARALLEL)
    named = {name.removeprefix(_DATA_PARALLEL) if shared else name: tensor for name, tensor in tensors.items()}
    return {
        _OLD_DENSE_LAYER.sub(r'\1\2', name): tensor
        for name, tensor in named.items()
        if not name.endswith(_COUNTER)
    }


def _all_begin(names: Iterable[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)
