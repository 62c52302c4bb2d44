"""Classifiers of the field: residual and densely connected networks, and the Inception-v3 of FID.

Residual networks have 18 or 50 layers (He et al. 2016, arXiv:1512.03385, table 1); densely connected ones have
bottlenecks and compression (Huang et al. 2017, arXiv:1608.06993). Inception-v3 (Szegedy et al. 2016,
arXiv:1512.00567) is the network of December 2015, which differs from the later one in its pools: averages do not
count the padding, and the last block takes a maximum. Its layers bear the names that the field knows them by.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from backbones.networks.layers import Features, conv, describe, max_pool, norm, norm_relu, stem

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}  # of each stage
_EXPANSION = 4  # of the features at the end of a block of the deeper network
DEPTHS = tuple(_BLOCKS)
_BOTTLENECK = 4  # features inside a layer for each one that it adds (section 3)
SMALLEST = 75  # pixels a side, below which nothing is left to pool
_EPSILON = 1e-3
_WIDE, _HIGH = (1, 7), (7, 1)
_Layer = tuple[str, int, tuple[int, int]]  # its name in the block, features, kernel


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


class InceptionV3(nn.Module):
    """Images of 299 pixels in [-1, 1] to 2048 pooled features; other sizes from 75 pixels on pass as well.

    The dropout before the last layer, which only training knows, is left out.

    Attributes:
      num_classes: logits; 1008 in the network of FID.
      dtype: type of the computation; weights, logits and pooled features are float32.
    """

    num_classes: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Float[Array, 'batch height width channel'], train: bool = False) -> Features:
        """Describes images.

        Raises:
          ValueError: when they are smaller than 75 pixels.
        """
        if min(images.shape[1:3]) < SMALLEST:
            raise ValueError(
                f'Images of {images.shape[1:3]} pixels are too small; give {SMALLEST} a side or more.'
            )
        x = self._unit('Conv2d_1a_3x3', images, 32, (3, 3), train, stride=2, padded=False)
        x = self._unit('Conv2d_2a_3x3', x, 32, (3, 3), train, padded=False)
        stages = [self._unit('Conv2d_2b_3x3', x, 64, (3, 3), train)]
        x = self._unit('Conv2d_3b_1x1', max_pool(stages[-1], padding=0), 80, (1, 1), train)
        stages.append(self._unit('Conv2d_4a_3x3', x, 192, (3, 3), train, padded=False))
        x = max_pool(stages[-1], padding=0)
        for name, pooled in (('Mixed_5b', 32), ('Mixed_5c', 64), ('Mixed_5d', 64)):
            x = self._block_a(name, x, pooled, train)
        stages.append(x)
        x = self._block_b('Mixed_6a', x, train)
        for name, inside in (('Mixed_6b', 128), ('Mixed_6c', 160), ('Mixed_6d', 160), ('Mixed_6e', 192)):
            x = self._block_c(name, x, inside, train)
        stages.append(x)
        x = self._block_d('Mixed_7a', x, train)
        x = self._block_e('Mixed_7b', x, _average_around, train)
        x = self._block_e('Mixed_7c', x, _largest_around, train)
        return describe(x, self.num_classes, [*stages, x])

    def _unit(
        self,
        name: str,
        x: Array,
        features: int,
        kernel_size: tuple[int, int],
        train: bool,
        *,
        stride: int = 1,
        padded: bool = True,
    ) -> Array:
        x = conv(f'{name}_conv', x, features, kernel_size, self.dtype, stride=stride, padded=padded)
        return norm_relu(f'{name}_norm', x, train, self.dtype, _EPSILON)

    def _chain(self, block: str, x: Array, train: bool, *layers: _Layer) -> Array:
        for name, features, kernel_size in layers:
            x = self._unit(f'{block}_{name}', x, features, kernel_size, train)
        return x

    def _block_a(self, name: str, x: Array, pooled: int, train: bool) -> Array:
        branches = [
            self._chain(name, x, train, ('branch1x1', 64, (1, 1))),
            self._chain(name, x, train, ('branch5x5_1', 48, (1, 1)), ('branch5x5_2', 64, (5, 5))),
            self._double(name, x, train),
            self._chain(name, _average_around(x), train, ('branch_pool', pooled, (1, 1))),
        ]
        return jnp.concatenate(branches, axis=-1)

    def _double(self, name: str, x: Array, train: bool) -> Array:
        """The branch of two 3x3 convolutions."""
        x = self._chain(name, x, train, ('branch3x3dbl_1', 64, (1, 1)), ('branch3x3dbl_2', 96, (3, 3)))
        halved = name == 'Mixed_6a'
        return self._unit(
            f'{name}_branch3x3dbl_3', x, 96, (3, 3), train, stride=2 if halved else 1, padded=not halved
        )

    def _block_b(self, name: str, x: Array, train: bool) -> Array:
        branches = [
            self._unit(f'{name}_branch3x3', x, 384, (3, 3), train, stride=2, padded=False),
            self._double(name, x, train),
            max_pool(x, padding=0),
        ]
        return jnp.concatenate(branches, axis=-1)

    def _block_c(self, name: str, x: Array, inside: int, train: bool) -> Array:
        single = (('branch7x7_1', inside, (1, 1)), ('branch7x7_2', inside, _WIDE), ('branch7x7_3', 192, _HIGH))
        double = (
            ('branch7x7dbl_1', inside, (1, 1)),
            ('branch7x7dbl_2', inside, _HIGH),
            ('branch7x7dbl_3', inside, _WIDE),
            ('branch7x7dbl_4', inside, _HIGH),
            ('branch7x7dbl_5', 192, _WIDE),
        )
        branches = [
            self._chain(name, x, train, ('branch1x1', 192, (1, 1))),
            self._chain(name, x, train, *single),
            self._chain(name, x, train, *double),
            self._chain(name, _average_around(x), train, ('branch_pool', 192, (1, 1))),
        ]
        return jnp.concatenate(branches, axis=-1)

    def _block_d(self, name: str, x: Array, train: bool) -> Array:
        single = self._chain(name, x, train, ('branch3x3_1', 192, (1, 1)))
        layers = (('branch7x7x3_1', 192, (1, 1)), ('branch7x7x3_2', 192, _WIDE), ('branch7x7x3_3', 192, _HIGH))
        double = self._chain(name, x, train, *layers)
        branches = [
            self._unit(f'{name}_branch3x3_2', single, 320, (3, 3), train, stride=2, padded=False),
            self._unit(f'{name}_branch7x7x3_4', double, 192, (3, 3), train, stride=2, padded=False),
            max_pool(x, padding=0),
        ]
        return jnp.concatenate(branches, axis=-1)

    def _block_e(self, name: str, x: Array, pool: Callable[[Array], Array], train: bool) -> Array:
        single = self._chain(name, x, train, ('branch3x3_1', 384, (1, 1)))
        double = self._chain(name, x, train, ('branch3x3dbl_1', 448, (1, 1)), ('branch3x3dbl_2', 384, (3, 3)))
        branches = [
            self._chain(name, x, train, ('branch1x1', 320, (1, 1))),
            self._chain(name, single, train, ('branch3x3_2a', 384, (1, 3))),
            self._chain(name, single, train, ('branch3x3_2b', 384, (3, 1))),
            self._chain(name, double, train, ('branch3x3dbl_3a', 384, (1, 3))),
            self._chain(name, double, train, ('branch3x3dbl_3b', 384, (3, 1))),
            self._chain(name, pool(x), train, ('branch_pool', 192, (1, 1))),
        ]
        return jnp.concatenate(branches, axis=-1)


def _average_around(x: Array) -> Array:
    return nn.avg_pool(x, (3, 3), (1, 1), 'SAME', count_include_pad=False)


def _largest_around(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (1, 1), 'SAME')
