"""Image networks, called alike: `network.apply(variables, images, train=False) -> Features`.

With `train` batches are normalised by their own statistics; `mutable=['batch_stats']` returns the running ones.
"""

from collections.abc import Mapping
from typing import Any

from jax.typing import DTypeLike

from backbones.networks.classifiers import DEPTHS, DenseNet, InceptionV3, ResNet
from backbones.networks.layers import Features

Network = ResNet | DenseNet | InceptionV3
ARCHITECTURES: dict[str, type[ResNet] | type[DenseNet]] = {'resnet': ResNet, 'densenet': DenseNet}


def create_network(
    architecture: str, fields: Mapping[str, Any], *, num_classes: int, dtype: DTypeLike
) -> ResNet | DenseNet:
    """A network that can be configured.

    Args:
      architecture: of ARCHITECTURES.
      fields: of the network, but for the other two; lists, as JSON has them, stand for tuples.
      num_classes, dtype: see there.
    """
    own = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return ARCHITECTURES[architecture](**own, num_classes=num_classes, dtype=dtype)


__all__ = [
    'ARCHITECTURES',
    'DEPTHS',
    'DenseNet',
    'Features',
    'InceptionV3',
    'Network',
    'ResNet',
    'create_network',
    'normalization',
]
