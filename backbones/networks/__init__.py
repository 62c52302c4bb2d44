"""Image networks, called alike: `network.apply(variables, images, train=False) -> Features`.

With `train` batches are normalised by their own statistics; `mutable=['batch_stats']` returns the running ones.
"""

from backbones.networks.densenet import DenseNet
from backbones.networks.inception import InceptionV3
from backbones.networks.layers import Features
from backbones.networks.resnet import DEPTHS, ResNet

Network = ResNet | DenseNet | InceptionV3

__all__ = ['DEPTHS', 'DenseNet', 'Features', 'InceptionV3', 'Network', 'ResNet']
