"""Densely connected networks (Huang et al. 2017, arXiv:1608.06993), with bottlenecks and compression."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from backbones.networks.layers import Features, conv, describe, norm_relu, stem
from backbones.networks.pooling import max_pool

_BOTTLENECK = 4  # features inside a layer for each one that it adds (section 3)


class DenseNet(nn.Module):
    """Images to classes: every layer of a block sees the maps of all layers before it, and adds a few.

    DenseNet-121 has growth 32, blocks (6, 12, 24, 16) and stem_width 64. DenseNet-BC with L = 100 and k = 12, for
    images of 32 pixels, has growth 12, blocks (16, 16, 16), stem_width 24 and the small stem; the AM Score was
    defined with a network of that kind (Zhou et al. 2018, arXiv:1703.02000).

    Attributes:
      growth: features that a layer adds.
      blocks: layers of each block; between two, features and resolution are halved.
      stem_width: features of the first convolution.
      small_stem: begin with a 3x3 convolution at full resolution, for images under 128 pixels, and not with a 7x7
        one and a pool, which quarter it.
      num_classes: logits.
      dtype: type of the computation; weights, logits and pooled features are float32.
    """

    growth: int
    blocks: tuple[int, ...]
    stem_width: int
    small_stem: bool
    num_classes: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Float[Array, 'batch height width channel'], train: bool = False) -> Features:
        """Classifies images, in whatever range the network was trained with."""
        x = stem(images, self.stem_width, self.small_stem, self.dtype)
        stages = []
        if not self.small_stem:
            x = norm_relu('stem_norm', x, train, self.dtype)
            stages.append(x)
            x = max_pool(x, padding=1)
        for block, layers in enumerate(self.blocks, start=1):
            for layer in range(1, layers + 1):
                x = jnp.concatenate([x, self._grow(f'block{block}_layer{layer}', x, train)], axis=-1)
            if block < len(self.blocks):
                stages.append(x)
                x = self._halve(f'transition{block}', x, train)
        x = norm_relu('last_norm', x, train, self.dtype)
        return describe(x, self.num_classes, [*stages, x])

    def _grow(self, name: str, x: Array, train: bool) -> Array:
        x = norm_relu(f'{name}_norm1', x, train, self.dtype)
        x = conv(f'{name}_conv1', x, _BOTTLENECK * self.growth, (1, 1), self.dtype)
        x = norm_relu(f'{name}_norm2', x, train, self.dtype)
        return conv(f'{name}_conv2', x, self.growth, (3, 3), self.dtype)

    def _halve(self, name: str, x: Array, train: bool) -> Array:
        x = norm_relu(f'{name}_norm', x, train, self.dtype)
        x = conv(f'{name}_conv', x, x.shape[-1] // 2, (1, 1), self.dtype)
        return nn.avg_pool(x, (2, 2), (2, 2))
