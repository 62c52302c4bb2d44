"""Random views of images: what an encoder shall not care about, within the compiled step.

The recipe of SimCLR (Chen et al. 2020, arXiv:2002.05709, appendix A) for grey or colour images alike: a part is
enlarged to the whole, brightness, contrast and gamma change, and what is fine is blurred or drowned in noise.
Mirrored copies are made where the config allows it, for anatomy is not symmetric.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from backbones.warping import AffineMaps, affine_maps, warp

Images = Float[Array, 'batch height width channel']
_DARKEST = 1e-3  # of intensities in [0, 1], below which gamma's slope has no bound


@dataclasses.dataclass(frozen=True)
class ViewPlan:
    """How far views differ; every number is drawn evenly for each view.

    Attributes:
      part: the smallest part that becomes the whole, as a share of the area.
      stretch: width by height of a part lies from 1 / stretch to stretch.
      contrast: factors around the mean of an image lie from 1 - contrast to 1 + contrast.
      brightness: added, at most, each way; the range of images is 2.
      gamma: the logarithm of the exponent of intensities, at most, each way.
      blur: largest deviation of a Gaussian blur, as a share of the side.
      noise: largest deviation of noise; the range of images is 2.
      mirror_horizontal, mirror_vertical: whether every second view is mirrored.
    """

    part: float
    stretch: float
    contrast: float
    brightness: float
    gamma: float
    blur: float
    noise: float
    mirror_horizontal: bool
    mirror_vertical: bool


def draw_views(plan: ViewPlan, images: Images, key: PRNGKeyArray) -> Images:
    """A view of each image in [-1, 1], each with draws of its own."""
    keys = jax.random.split(key, 4)
    views = warp(images, _draw_parts(plan, images.shape, keys[0]))
    views = _change_intensities(plan, views, keys[1])
    views = _blur(plan.blur, views, keys[2])
    if plan.noise:
        spread = plan.noise * jax.random.uniform(keys[3], (len(views), 1, 1, 1))
        views = views + spread * jax.random.normal(jax.random.fold_in(keys[3], 1), views.shape)
    return jnp.clip(views, -1, 1)


def _draw_parts(plan: ViewPlan, shape: tuple[int, ...], key: PRNGKeyArray) -> AffineMaps:
    """Where the pixels of a view come from: a part that lies within the image, mirrored or not."""
    count, height, width, _ = shape
    drawn = jax.random.uniform(key, (6, count))
    area = plan.part + (1 - plan.part) * drawn[0]
    stretch = jnp.exp(math.log(plan.stretch) * (2 * drawn[1] - 1))
    across, down = (jnp.minimum(jnp.sqrt(area * ratio), 1.0) for ratio in (stretch, 1 / stretch))
    x = (1 - across) * (drawn[2] - 0.5) * (width - 1)
    y = (1 - down) * (drawn[3] - 0.5) * (height - 1)
    across = across * jnp.where(plan.mirror_horizontal & (drawn[4] < 0.5), -1.0, 1.0)
    down = down * jnp.where(plan.mirror_vertical & (drawn[5] < 0.5), -1.0, 1.0)
    return affine_maps(across, 0.0, x, 0.0, down, y)


def _change_intensities(plan: ViewPlan, images: Images, key: PRNGKeyArray) -> Images:
    """Gamma first, while images lie between black and white; then contrast about the mean, and brightness."""
    drawn = jax.random.uniform(key, (3, len(images), 1, 1, 1), minval=-1.0)
    if plan.gamma:
        intensities = jnp.clip((images + 1) / 2, _DARKEST, 1)
        images = 2 * intensities ** jnp.exp(plan.gamma * drawn[0]) - 1
    means = images.mean(axis=(1, 2, 3), keepdims=True)
    return images + plan.contrast * drawn[1] * (images - means) + plan.brightness * drawn[2]


def _blur(largest: float, images: Images, key: PRNGKeyArray) -> Images:
    """Along rows and columns, with a deviation of its own for each image; edges go on outside."""
    deviation = largest * images.shape[1]
    if not deviation:
        return images
    radius = max(1, math.ceil(2 * deviation))
    drawn = jnp.maximum(deviation * jax.random.uniform(key, (len(images), 1)), 1e-3)
    weights = jnp.exp(-0.5 * jnp.square(jnp.arange(-radius, radius + 1) / drawn))
    weights = weights / weights.sum(axis=1, keepdims=True)
    for axis in (1, 2):
        size = images.shape[axis]
        edges = [(radius, radius) if each == axis else (0, 0) for each in range(4)]
        padded = jnp.pad(images, edges, mode='edge')
        parts = [jax.lax.slice_in_dim(padded, start, start + size, axis=axis) for start in range(2 * radius + 1)]
        images = functools.reduce(
            jnp.add, [weights[:, n, None, None, None] * part for n, part in enumerate(parts)]
        )
    return images
