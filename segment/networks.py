"""The U-Net (Ronneberger et al. 2015, arXiv:1505.04597) in the form of nnU-Net (Isensee et al. 2021,
doi:10.1038/s41592-020-01008-z): normalization, leaky rectifiers, learned resampling, deep supervision.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from backbones.networks import Network
from backbones.networks.normalization import BatchNorm, GroupNorm

Maps = Float[Array, 'batch height width channel']
NORMALIZATIONS = ('instance', 'group', 'batch')
_EPSILON = 1e-5  # added to variances
_SLOPE = 0.01  # of the leaky rectifier
_MOST_GROUPS = 8
_LOWEST = -1.0  # intensity of what lies outside an image


class UNet(nn.Module):
    """Images to class logits at full resolution, and at lower ones where it is deeply supervised.

    Images of any size: they are padded below and to the right to what the network can halve, and the logits cut.

    Attributes:
      num_classes: of the logits, with the background.
      width: features at full resolution; each halving doubles them, up to `max_width`.
      max_width: features, at most.
      depth: halvings; with an encoder, as many as that has.
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
    depth: int
    residual: bool
    normalization: str
    deep_supervision: bool
    encoder: Network | None
    prepare: Callable[[Maps], Maps] | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Maps, train: bool = False) -> tuple[Float[Array, 'batch _ _ classes'], ...]:
        """Logits, those of the full resolution first; the others are for training.

        Args:
          images: in [-1, 1], at least one pixel.
          train: whether batch statistics are those of the batch.
        """
        height, width = images.shape[1:3]
        skips = self._encode(pad_to_multiple(images, 2**self.halvings), train)
        x, logits = skips[-1], []
        for level in reversed(range(len(skips) - 1)):
            skip = skips[level]
            x = upsample(f'up{level}', x, skip.shape[-1], self.dtype)
            x = self._block(f'decoder{level}', jnp.concatenate([skip, x], axis=-1), skip.shape[-1], train)
            if level == 0 or (self.deep_supervision and level < len(skips) - 2):
                head = nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name=f'head{level}')
                logits.append(head(x.astype(jnp.float32)))
        return (logits[-1][:, :height, :width], *reversed(logits[:-1]))

    @property
    def halvings(self) -> int:
        """How often the resolution is halved."""
        return self.depth

    def _encode(self, images: Maps, train: bool) -> list[Float[Array, 'batch _ _ _']]:
        """Feature maps of each resolution, the highest first, each half of the one before."""
        x = images.astype(self.dtype)
        if self.encoder is None:
            maps = [self._block('encoder0', x, self.width, train)]
            for level in range(1, self.depth + 1):
                features = min(self.width << level, self.max_width)
                down = downsample(f'down{level}', maps[-1], features, self.dtype)
                maps.append(self._block(f'encoder{level}', down, features, train))
            return maps
        stages = list(self.encoder(images if self.prepare is None else self.prepare(images), train=train).stages)
        stages = [stage.astype(self.dtype) for stage in stages]
        if stages[0].shape[1] < images.shape[1]:  # the encoder begins at half of the resolution
            stages.insert(0, self._block('encoder0', x, self.width, train))
        return stages

    def _block(
        self, name: str, x: Maps, features: int, train: bool
    ) -> Float[Array, 'batch height width features']:
        """Two convolutions of 3x3 pixels, each normalized and rectified."""
        straight = x
        for place in (1, 2):
            layer = f'{name}_conv{place}'
            straight = nn.Conv(features, (3, 3), use_bias=False, dtype=self.dtype, name=layer)(straight)
            straight = self._normalize(f'{name}_norm{place}', straight, train)
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


def pad_to_multiple(images: Maps, multiple: int) -> Float[Array, 'batch _ _ channel']:
    """Pads below and to the right with the darkest value until both sides are a multiple."""
    spare = [-size % multiple for size in images.shape[1:3]]
    return jnp.pad(images, [(0, 0), (0, spare[0]), (0, spare[1]), (0, 0)], constant_values=_LOWEST)


def downsample(name: str, x: Maps, features: int, dtype: DTypeLike) -> Float[Array, 'batch _ _ features']:
    """A convolution of 2x2 pixels with stride 2, as a product of matrices, at which CPUs are quick."""
    batch, height, width, channels = x.shape
    groups = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    groups = groups.reshape(batch, height // 2, width // 2, 4 * channels)
    return nn.Dense(features, use_bias=False, dtype=dtype, name=name)(groups)


def upsample(name: str, x: Maps, features: int, dtype: DTypeLike) -> Float[Array, 'batch _ _ features']:
    """A transposed convolution of 2x2 pixels with stride 2, as a product of matrices."""
    batch, height, width, _ = x.shape
    groups = nn.Dense(4 * features, use_bias=False, dtype=dtype, name=name)(x)
    groups = groups.reshape(batch, height, width, 2, 2, features).transpose(0, 1, 3, 2, 4, 5)
    return groups.reshape(batch, 2 * height, 2 * width, features)
