"""Residual networks of 18 and 50 layers (He et al. 2016, arXiv:1512.03385, table 1)."""

import flax.linen as nn
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from backbones.networks.layers import Features, conv, describe, norm, norm_relu, stem
from backbones.networks.pooling import max_pool

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}  # of each stage
_EXPANSION = 4  # of the features at the end of a block of the deeper network
DEPTHS = tuple(_BLOCKS)


class ResNet(nn.Module):
    """Images to classes in up to four stages, each of twice the features and half the size of the one before.

    Blocks of the network of 50 layers halve in their 3x3 convolution, not in the first one (version 1.5, as
    torchvision).

    Attributes:
      depth: 18 or 50.
      width: features inside the first stage's blocks; 64 is the standard.
      small_stem: begin with a 3x3 convolution at full resolution, for images under 128 pixels, and not with a 7x7
        one and a pool, which quarter it.
      num_classes: logits.
      num_stages: the first so many of the four stages, for networks that look at fine detail only.
      dtype: type of the computation; weights, logits and pooled features are float32.
    """

    depth: int
    width: int
    small_stem: bool
    num_classes: int
    dtype: DTypeLike
    num_stages: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, 'batch height width channel'], train: bool = False) -> Features:
        """Classifies images, in whatever range the network was trained with.

        Raises:
          ValueError: when there is no network of this depth.
        """
        if self.depth not in _BLOCKS:
            raise ValueError(f'There is no residual network of {self.depth} layers; choose one of {DEPTHS}.')
        x = norm_relu('stem_norm', stem(images, self.width, self.small_stem, self.dtype), train, self.dtype)
        stages = [] if self.small_stem else [x]
        x = x if self.small_stem else max_pool(x, padding=1)
        for stage, blocks in enumerate(_BLOCKS[self.depth][: self.num_stages], start=1):
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = self._block(f'stage{stage}_block{block}', x, self.width << (stage - 1), stride, train)
            stages.append(x)
        return describe(x, self.num_classes, stages)

    def _block(self, name: str, x: Array, width: int, stride: int, train: bool) -> Array:
        if self.depth == 18:
            layers = [(width, (3, 3), stride), (width, (3, 3), 1)]
        else:
            layers = [(width, (1, 1), 1), (width, (3, 3), stride), (_EXPANSION * width, (1, 1), 1)]
        straight, features = x, layers[-1][0]
        for place, (size, kernel_size, step) in enumerate(layers, start=1):
            straight = conv(f'{name}_conv{place}', straight, size, kernel_size, self.dtype, stride=step)
            normalise = norm_relu if place < len(layers) else norm
            straight = normalise(f'{name}_norm{place}', straight, train, self.dtype)
        if stride > 1 or x.shape[-1] != features:
            x = conv(f'{name}_shortcut_conv', x, features, (1, 1), self.dtype, stride=stride)
            x = norm(f'{name}_shortcut_norm', x, train, self.dtype)
        return jax.nn.relu(x + straight)
