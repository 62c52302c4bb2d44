"""The U-Net (Ronneberger et al. 2015, arXiv:1505.04597) in the form of nnU-Net (Isensee et al. 2021,
doi:10.1038/s41592-020-01008-z): normalization, leaky rectifiers, learned resampling, deep supervision.
"""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from backbones.networks import Network
from backbones.networks.normalization import BatchNorm, GroupNorm
from foundation.training.compute import on_cpu

Maps = Float[Array, 'batch *space channel']
Levels = tuple[tuple[int, ...], ...]
NORMALIZATIONS = ('instance', 'group', 'batch')
_EPSILON = 1e-5  # added to variances
_SLOPE = 0.01  # of the leaky rectifier
_MOST_GROUPS = 8
_LOWEST = -1.0  # intensity of what lies outside an image


class UNet(nn.Module):
    """Images to class logits at full resolution, and at lower ones where it is deeply supervised.

    Images (rows, columns) or volumes (slices, rows, columns), as strides and kernels have two numbers or three, of
    any size: they are padded at the end of each axis to what the network can halve, and the logits cut.

    Attributes:
      num_classes: of the logits, with the background.
      width: features at full resolution; each halving doubles them, up to `max_width`.
      max_width: features, at most.
      strides: by how much each axis shrinks from one resolution to the next, 1 or 2; with an encoder, as that has.
      kernels: extent of the convolutions along each axis, odd, at every resolution, the highest first.
      residual: whether blocks add their input.
      normalization: 'instance', 'group' or 'batch'.
      deep_supervision: whether the decoder's lower resolutions have logits too (but for the two lowest).
      encoder: a network of `backbones` instead of the own encoder; None for the own.
      prepare: what the encoder sees of the images.
      dtype: of the computation; weights and logits are float32.
    """

    num_classes: int
    width: int
    max_width: int
    strides: Levels
    kernels: Levels
    residual: bool
    normalization: str
    deep_supervision: bool
    encoder: Network | None
    prepare: Callable[[Maps], Maps] | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Maps, train: bool = False) -> tuple[Float[Array, 'batch *_ classes'], ...]:
        """Logits, those of the full resolution first; the others are for training.

        Args:
          images: in [-1, 1], at least one pixel.
          train: whether batch statistics are those of the batch.
        """
        size = images.shape[1:-1]
        skips = self._encode(pad_to_multiple(images, self.multiples), train)
        x, logits = skips[-1], []
        for level in reversed(range(len(skips) - 1)):
            skip = skips[level]
            x = upsample(f'up{level}', x, skip.shape[-1], self.strides[level], self.dtype)
            x = self._block(f'decoder{level}', jnp.concatenate([skip, x], axis=-1), skip.shape[-1], level, train)
            if level == 0 or (self.deep_supervision and level < len(skips) - 2):
                head = nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name=f'head{level}')
                logits.append(_in_plane(head, x.astype(jnp.float32)))
        inside = (slice(None), *map(slice, size))
        return (logits[-1][inside], *reversed(logits[:-1]))

    @property
    def halvings(self) -> int:
        """How often the resolution is halved."""
        return len(self.strides)

    @property
    def multiples(self) -> tuple[int, ...]:
        """Of what the size along each axis must be a multiple, so that nothing is padded."""
        return tuple(map(math.prod, zip(*self.strides, strict=True)))

    def _encode(self, images: Maps, train: bool) -> list[Float[Array, 'batch *_ features']]:
        """Feature maps of each resolution, the highest first, each half of the one before."""
        x = images.astype(self.dtype)
        if self.encoder is None:
            maps = [self._block('encoder0', x, self.width, 0, train)]
            for level, strides in enumerate(self.strides, start=1):
                features = min(self.width << level, self.max_width)
                down = downsample(f'down{level}', maps[-1], features, strides, self.dtype)
                maps.append(self._block(f'encoder{level}', down, features, level, train))
            return maps
        stages = list(self.encoder(images if self.prepare is None else self.prepare(images), train=train).stages)
        stages = [stage.astype(self.dtype) for stage in stages]
        if stages[0].shape[1] < images.shape[1]:  # the encoder begins at half of the resolution
            stages.insert(0, self._block('encoder0', x, self.width, 0, train))
        return stages

    def _block(
        self, name: str, x: Maps, features: int, level: int, train: bool
    ) -> Float[Array, 'batch *space {features}']:
        """Two convolutions, each normalized and rectified."""
        straight = x
        for place in (1, 2):
            straight = convolve(f'{name}_conv{place}', straight, features, self.kernels[level], self.dtype)
            straight = _in_plane(functools.partial(self._normalize, f'{name}_norm{place}', train=train), straight)
            if place == 1:
                straight = jax.nn.leaky_relu(straight, _SLOPE)
        if self.residual:
            if x.shape[-1] != features:
                x = nn.Dense(features, use_bias=False, dtype=self.dtype, name=f'{name}_shortcut')(x)
            straight = straight + x
        return jax.nn.leaky_relu(straight, _SLOPE)

    def _normalize(self, name: str, x: Maps, train: bool) -> Maps:
        if self.normalization == 'batch':
            return BatchNorm(_EPSILON, self.dtype, momentum=0.9, name=name)(x, train)
        features = x.shape[-1]
        groups = features if self.normalization == 'instance' else _largest_divisor(features, _MOST_GROUPS)
        return GroupNorm(_EPSILON, self.dtype, groups, name=name)(x)


def _largest_divisor(number: int, largest: int) -> int:
    return next(divisor for divisor in range(largest, 0, -1) if number % divisor == 0)


def _in_plane(layer: Callable[[Array], Array], x: Maps) -> Float[Array, 'batch *space _']:
    """A layer of images that does not ask where pixels lie, of volumes too: slices lie below each other."""
    merged = x.reshape(len(x), -1, *x.shape[-2:])
    return layer(merged).reshape(*x.shape[:-1], -1)


def square_levels(halvings: int) -> tuple[Levels, Levels]:
    """Strides and kernels of a network of images."""
    return ((2, 2),) * halvings, ((3, 3),) * (halvings + 1)


def pad_to_multiple(images: Maps, multiples: Sequence[int]) -> Float[Array, 'batch *_ channel']:
    """Pads at the end of each axis with the darkest value until its size is a multiple."""
    spare = [(0, -size % own) for size, own in zip(images.shape[1:-1], multiples, strict=True)]
    return jnp.pad(images, [(0, 0), *spare, (0, 0)], constant_values=_LOWEST)


def convolve(
    name: str, x: Maps, features: int, kernel: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, 'batch *space {features}']:
    """A convolution without bias that keeps the size."""
    if len(kernel) == 2:
        return nn.Conv(features, kernel, use_bias=False, dtype=dtype, name=name)(x)
    return VolumeConv(features, kernel, dtype, name=name)(x)


class VolumeConv(nn.Module):
    """A convolution of volumes that keeps the size, padded with zeros.

    On CPUs it is one convolution of the slices, whose channels are those of the slices around each, too: XLA's own
    is 3 to 9 times slower there, with its gradients (docs/speed.md).

    Attributes:
      features: output channels.
      kernel: extent along slices, rows and columns; odd.
      dtype: type of the computation; weights are float32, of the shape that `nn.Conv` gives them.
    """

    features: int
    kernel: tuple[int, ...]
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, 'batch depth height width _']
    ) -> Float[Array, 'batch depth height width {self.features}']:
        shape = (*self.kernel, x.shape[-1], self.features)
        weights = self.param('kernel', nn.initializers.lecun_normal(), shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        return convolve_slices(x, weights) if on_cpu() or self.kernel[0] == 1 else convolve_volumes(x, weights)


def convolve_volumes(
    x: Float[Array, 'batch depth height width channel'], weights: Float[Array, 'a b c channel feature']
) -> Float[Array, 'batch depth height width feature']:
    """The convolution as XLA has it."""
    numbers = ('NDHWC', 'DHWIO', 'NDHWC')
    return jax.lax.conv_general_dilated(x, weights, (1, 1, 1), 'SAME', dimension_numbers=numbers)


def convolve_slices(
    x: Float[Array, 'batch depth height width channel'], weights: Float[Array, 'a b c channel feature']
) -> Float[Array, 'batch depth height width feature']:
    """The same numbers by a convolution of images: each slice with those around it as channels."""
    batch, depth, height, width, _ = x.shape
    slices, *extent, _, features = weights.shape
    padded = jnp.pad(x, [(0, 0), (slices // 2, slices // 2), (0, 0), (0, 0), (0, 0)])
    around = jnp.concatenate([padded[:, start : start + depth] for start in range(slices)], axis=-1)
    images = around.reshape(batch * depth, height, width, -1)
    own = weights.transpose(1, 2, 0, 3, 4).reshape(*extent, -1, features)
    convolved = jax.lax.conv_general_dilated(
        images, own, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    return convolved.reshape(batch, depth, height, width, features)


def downsample(
    name: str, x: Maps, features: int, strides: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, 'batch *_ {features}']:
    """A convolution as large as its strides, as a product of matrices, at which CPUs are quick."""
    size = [side // stride for side, stride in zip(x.shape[1:-1], strides, strict=True)]
    cut = itertools.chain(*zip(size, strides, strict=True))
    axes = range(1, 2 * len(size) + 1)
    groups = x.reshape(len(x), *cut, x.shape[-1]).transpose(0, *axes[::2], *axes[1::2], len(axes) + 1)
    groups = groups.reshape(len(x), *size, -1)
    return nn.Dense(features, use_bias=False, dtype=dtype, name=name)(groups)


def upsample(
    name: str, x: Maps, features: int, strides: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, 'batch *_ {features}']:
    """A transposed convolution as large as its strides, as a product of matrices."""
    size, count = x.shape[1:-1], len(strides)
    groups = nn.Dense(math.prod(strides) * features, use_bias=False, dtype=dtype, name=name)(x)
    axes = itertools.chain(*((1 + axis, 1 + count + axis) for axis in range(count)))
    groups = groups.reshape(len(x), *size, *strides, features).transpose(0, *axes, 2 * count + 1)
    return groups.reshape(len(x), *map(operator.mul, size, strides), features)
