"""LAPGAN: a generator and a discriminator for each level of a Laplacian pyramid.

Denton et al. 2015, arXiv:1506.05751. The coarsest level draws images from latents. Each finer one draws, from a
plane of noise and the level below at twice its size, what that lacks.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from gan.layers import Conv, downsample, leaky_relu, upsample
from gan.networks.heads import DiscriminatorOutput, Head
from gan.networks.perceptron import PerceptronGenerator

Images = Float[Array, 'batch _ _ channel']


def sides_of(resolution: int, coarsest: int) -> tuple[int, ...]:
    """Heights of all levels, the coarsest first."""
    return tuple(coarsest << level for level in range((resolution // coarsest).bit_length()))


def low_passes(images: Images, coarsest: int) -> tuple[Images, ...]:
    """Images at all levels, the coarsest first, each the 2x2 means of the next."""
    levels = [images]
    while levels[-1].shape[1] > coarsest:
        levels.append(downsample(levels[-1]))
    return tuple(reversed(levels))


def build_pyramid(images: Images, coarsest: int) -> tuple[Images, ...]:
    """The coarsest level, then what each finer one has beside the enlarged level below (equation 2)."""
    levels = low_passes(images, coarsest)
    finer = zip(levels[1:], levels[:-1], strict=True)
    return (levels[0], *(level - upsample(below) for level, below in finer))


def rebuild(pyramid: tuple[Images, ...]) -> Images:
    """The images that a pyramid was built of."""
    image = pyramid[0]
    for residual in pyramid[1:]:
        image = upsample(image) + residual
    return image


class _Residual(nn.Module):
    """A plane of noise and the enlarged level below to what that lacks: three convolutions."""

    side: int
    channels: int
    num_classes: int
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, noise: Float[Array, 'batch pixels'], below: Images, labels: Int[Array, 'batch']) -> Images:
        x = jnp.concatenate([below, noise.reshape(*below.shape[:3], 1)], axis=-1)
        x = join_class_plane(x, labels, self.num_classes)
        for number, kernel in enumerate((7, 5)):
            conv = Conv(self.width, kernel_size=kernel, scaling='plain', dtype=self.dtype, name=f'conv{number}')
            x = jax.nn.relu(conv(x))
        conv = Conv(self.channels, kernel_size=5, gain=0.1, scaling='plain', dtype=self.dtype, name='to_image')
        return conv(x).astype(jnp.float32)


class _Judge(nn.Module):
    """Images of a level to a verdict: two convolutions, the second with stride, and a dense layer."""

    num_classes: int
    width: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Images, labels: Int[Array, 'batch']) -> DiscriminatorOutput:
        x = join_class_plane(images, labels, self.num_classes)
        for number in range(2):
            conv = Conv(self.width, kernel_size=5, scaling='plain', dtype=self.dtype, name=f'conv{number}')
            x = downsample(leaky_relu(conv(x)))
            x = nn.Dropout(self.dropout, deterministic=not self.has_rng('dropout'))(x)
        return Head(0, 'projection', 'plain', name='head')(x.reshape(x.shape[0], -1), labels)


def join_class_plane(
    x: Float[Array, 'batch side side _'], labels: Int[Array, 'batch'], num_classes: int
) -> Float[Array, 'batch side side _']:
    """Appends a learned plane for each class (section 3.2); to be called within a module."""
    if not num_classes:
        return x
    side = x.shape[1]
    plane = nn.Embed(num_classes, side**2, name='class_plane')(labels).reshape(-1, side, side, 1)
    return jnp.concatenate([x, plane.astype(x.dtype)], axis=-1)


class LaplacianGenerator(nn.Module):
    """Latents to images, level by level.

    Attributes:
      resolution, channels, num_classes, latent_distribution, dtype: as in DcganGenerator.
      latent_size: of the latents of all levels together; see `noise_of`.
      coarsest: height and width of the coarsest level, a power of two, at least 4.
      dense_width: of its hidden layers.
      width: features of the convolutions of all others.
    """

    resolution: int
    channels: int
    num_classes: int
    latent_size: int
    latent_distribution: str
    coarsest: int
    dense_width: int
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, 'batch latent'],
        labels: Int[Array, 'batch'],
        alpha: Float[Array, ''] | float = 1.0,
        update_stats: bool = False,
        real: tuple[Images, ...] = (),
    ) -> tuple[Images, ...] | Images:
        """Draws images, nominally in [-1, 1]. `alpha` means nothing here, nor does `update_stats`.

        With real images of every level, the coarsest first, it draws images of every level, each on the real image
        of the level below, as the levels are trained.
        """
        shared = {'channels': self.channels, 'num_classes': self.num_classes, 'dtype': self.dtype}
        noises, (first, *others) = self.noise_of(latents), self.sides
        coarsest = PerceptronGenerator(
            resolution=first,
            latent_size=noises[0].shape[1],
            latent_distribution=self.latent_distribution,
            layers=2,
            width=self.dense_width,
            name=_name(first),
            **shared,
        )
        drawn = [coarsest(noises[0], labels)]
        for number, side in enumerate(others, start=1):
            below = upsample(real[number - 1] if real else drawn[-1])
            level = _Residual(side, width=self.width, **shared, name=_name(side))
            drawn.append(below + level(noises[number], below, labels))
        return tuple(drawn) if real else drawn[-1]

    def noise_of(self, latents: Float[Array, 'batch latent']) -> list[Array]:
        """The latents of each level: the coarsest's, then a number for each pixel of the others."""
        planes = [side**2 for side in self.sides[1:]]
        ends = [self.latent_size - sum(planes[number:]) for number in range(len(planes))]
        return jnp.split(latents, ends, axis=1)

    @property
    def sides(self) -> tuple[int, ...]:
        """Heights of all levels, the coarsest first."""
        return sides_of(self.resolution, self.coarsest)


class LaplacianDiscriminator(nn.Module):
    """Images of every level to a verdict each; a level sees the sum of low-pass and residual.

    Attributes:
      resolution, channels, num_classes, dtype: as in DcganGenerator.
      coarsest: as in LaplacianGenerator.
      width: features of the convolutions.
      dropout: share of the features left out after each convolution; without an rng `dropout` none.
    """

    resolution: int
    channels: int
    num_classes: int
    coarsest: int
    width: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, levels: tuple[Images, ...], labels: Int[Array, 'batch'], **unused: Any
    ) -> tuple[DiscriminatorOutput, ...]:
        """Judges images, one array for each level, the coarsest first."""
        del unused
        return tuple(
            _Judge(self.num_classes, self.width, self.dropout, self.dtype, name=_name(images.shape[1]))(
                images, labels
            )
            for images in levels
        )


def _name(side: int) -> str:
    return f'{side}x{side}'
