"""Variations of training images and their masks inside the compiled step, with nnU-Net's probabilities and ranges
(Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, supplementary note 4).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from backbones.warping import affine_maps, compose, warp

Images = Float[Array, 'batch height width channel']
Ids = Int[Array, 'batch height width *slices']
Row = Float[Array, 'batch']
_DEPTH = 9  # keeps the key of mirroring along the depth apart from the others


@dataclasses.dataclass(frozen=True)
class SegmentationAugmentation:
    """How images are varied: each operation happens to each image with a probability of its own.

    Attributes:
      scale: of all probabilities; 0 varies nothing.
      mirror: along which axes images may be mirrored, of 'horizontal', 'vertical' and, of volumes alone, 'depth'.
      rotation, angle: probability; largest angle, in degrees.
      scaling, zoom: probability; lowest and highest factor.
      noise, deviation: probability; largest standard deviation, as a share of an image's own.
      blur, sigma: probability; lowest and highest standard deviation, in pixels.
      brightness, brightness_range: probability; factors.
      contrast, contrast_range: probability; factors around the mean.
      low_resolution, shrink: probability; lowest factor of the size.
      gamma, gamma_range: probability; exponents.
    """

    scale: float
    mirror: tuple[str, ...]
    rotation: float
    angle: float
    scaling: float
    zoom: tuple[float, float]
    noise: float
    deviation: float
    blur: float
    sigma: tuple[float, float]
    brightness: float
    brightness_range: tuple[float, float]
    contrast: float
    contrast_range: tuple[float, float]
    low_resolution: float
    shrink: float
    gamma: float
    gamma_range: tuple[float, float]


def augment(
    augmentation: SegmentationAugmentation, images: Images, ids: Ids, num_classes: int, key: PRNGKeyArray
) -> tuple[Images, Ids]:
    """Images in [-1, 1] after what chance decides for each; masks move exactly with their images.

    A mask's class planes are resampled like the image, and each pixel gets the class that is largest there.

    Args:
      augmentation: how they are varied.
      images: their channels share what happens.
      ids: of the classes; of several slices where the channels of the images are those of these.
      num_classes: numbers that ids may have.
      key: of all draws.
    """
    if augmentation.scale == 0:
        return images, ids
    keys = jax.random.split(key, 9)
    images, ids = _move(augmentation, images, ids, num_classes, keys[:3])
    unit = (images + 1) / 2
    unit = _add_noise(augmentation, unit, keys[3])
    unit = _soften(augmentation, unit, keys[4], keys[5])
    unit = _brighten(augmentation, unit, keys[6])
    unit = _contrast(augmentation, unit, keys[7])
    unit = _bend(augmentation, unit, keys[8])
    return 2 * unit - 1, ids


def augment_volumes(
    augmentation: SegmentationAugmentation,
    volumes: Float[Array, 'batch depth height width channel'],
    ids: Int[Array, 'batch depth height width'],
    num_classes: int,
    key: PRNGKeyArray,
) -> tuple[Float[Array, 'batch depth height width channel'], Int[Array, 'batch depth height width']]:
    """Volumes in [-1, 1] after what chance decides for each: all slices are varied alike, in their planes.

    Where `mirror` has 'depth', slices may change places, too.

    Args:
      augmentation: how they are varied.
      volumes, ids: with their masks.
      num_classes: numbers that ids may have.
      key: of all draws.
    """
    if augmentation.scale == 0:
        return volumes, ids
    batch, depth, height, width, channels = volumes.shape
    images = jnp.moveaxis(volumes, 1, 3).reshape(batch, height, width, depth * channels)
    images, planes = augment(augmentation, images, jnp.moveaxis(ids, 1, 3), num_classes, key)
    volumes = jnp.moveaxis(images.reshape(batch, height, width, depth, channels), 3, 1)
    ids = jnp.moveaxis(planes, 3, 1)
    if 'depth' not in augmentation.mirror:
        return volumes, ids
    turned = jax.random.uniform(jax.random.fold_in(key, _DEPTH), (batch,)) < 0.5 * min(augmentation.scale, 1.0)
    return (
        jnp.where(turned[:, None, None, None, None], jnp.flip(volumes, 1), volumes),
        jnp.where(turned[:, None, None, None], jnp.flip(ids, 1), ids),
    )


def _draw(
    augmentation: SegmentationAugmentation,
    key: PRNGKeyArray,
    count: int,
    probability: float,
    low: float,
    high: float,
) -> tuple[Bool[Array, 'batch'], Row]:
    """To which images it happens, and how strongly, uniform between the ends."""
    happens, strength = jax.random.split(key)
    applied = jax.random.uniform(happens, (count,)) < probability * augmentation.scale
    return applied, jax.random.uniform(strength, (count,), minval=low, maxval=high)


def _pixels(row: Array) -> Array:
    return row[:, None, None, None]


def _move(
    augmentation: SegmentationAugmentation, images: Images, ids: Ids, num_classes: int, keys: Key[Array, '3']
) -> tuple[Images, Ids]:
    """Mirroring, rotation and scaling about the middle, as one resampling."""
    count = len(images)
    draw = functools.partial(_draw, augmentation)
    turned, degrees = draw(keys[0], count, augmentation.rotation, -augmentation.angle, augmentation.angle)
    radians = jnp.where(turned, jnp.deg2rad(degrees), 0.0)
    zoomed, factors = draw(keys[1], count, augmentation.scaling, *augmentation.zoom)
    inverse = jnp.where(zoomed, 1 / factors, 1.0)
    coins = jax.random.uniform(keys[2], (2, count)) < 0.5 * min(augmentation.scale, 1.0)
    across, down = (
        jnp.where(coin, -1.0, 1.0) if axis in augmentation.mirror else jnp.ones(count)
        for axis, coin in zip(('horizontal', 'vertical'), coins, strict=True)
    )
    cosine, sine = jnp.cos(radians) * inverse, jnp.sin(radians) * inverse
    turn = affine_maps(cosine, sine, 0.0, -sine, cosine, 0.0)
    sources = compose(turn, affine_maps(across, 0.0, 0.0, 0.0, down, 0.0))
    planes = jax.nn.one_hot(ids, num_classes)
    moved = warp(jnp.concatenate([images, planes.reshape(*images.shape[:-1], -1)], axis=-1), sources)
    channels = images.shape[-1]
    return moved[..., :channels], moved[..., channels:].reshape(planes.shape).argmax(axis=-1).astype(ids.dtype)


def _add_noise(augmentation: SegmentationAugmentation, images: Images, key: PRNGKeyArray) -> Images:
    drawing, noising = jax.random.split(key)
    applied, shares = _draw(augmentation, drawing, len(images), augmentation.noise, 0.0, augmentation.deviation)
    deviations = images.std(axis=(1, 2, 3)) * jnp.where(applied, shares, 0.0)
    return images + _pixels(deviations) * jax.random.normal(noising, images.shape)


def _soften(
    augmentation: SegmentationAugmentation, images: Images, blur_key: PRNGKeyArray, low_key: PRNGKeyArray
) -> Images:
    """Blur and low resolution are linear along rows and along columns: each is a matrix on either side."""
    count, height, width, _ = images.shape
    blurred, sigmas = _draw(augmentation, blur_key, count, augmentation.blur, *augmentation.sigma)
    lowered, factors = _draw(augmentation, low_key, count, augmentation.low_resolution, augmentation.shrink, 1.0)

    def matrices(size: int) -> Float[Array, 'batch size size']:
        whole = jnp.eye(size)
        blur = jnp.where(blurred[:, None, None], blur_matrix(sigmas, size), whole)
        low = jnp.where(lowered[:, None, None], low_resolution_matrix(factors, size), whole)
        return jnp.matmul(low, blur, precision=jax.lax.Precision.HIGHEST)

    softened = jnp.einsum(
        'bij,bjkc,blk->bilc', matrices(height), images, matrices(width), precision=jax.lax.Precision.HIGHEST
    )
    return jnp.where(_pixels(blurred | lowered), softened, images)


def blur_matrix(sigmas: Row, size: int) -> Float[Array, 'batch size size']:
    """Along a line: a mean of the pixels with Gaussian weights, of those within the image."""
    apart = jnp.arange(size)[:, None] - jnp.arange(size)
    weights = jnp.exp(-0.5 * (apart / sigmas[:, None, None]) ** 2)
    return weights / weights.sum(axis=-1, keepdims=True)


def low_resolution_matrix(factors: Row, size: int) -> Float[Array, 'batch size size']:
    """Along a line: the nearest pixels of a coarser grid, linear between these.

    Args:
      factors: size of the coarser grid as a share of the line's.
      size: pixels of the line.
    """
    places = (jnp.arange(size) + 0.5) * factors[:, None] - 0.5
    below = jnp.floor(places)
    share = places - below
    last = jnp.maximum(jnp.round(size * factors) - 1, 0)[:, None]

    def nearest(coarse: Float[Array, 'batch size']) -> Float[Array, 'batch size size']:
        inside = jnp.clip(coarse, 0, last)
        pixel = jnp.clip(jnp.round((inside + 0.5) / factors[:, None] - 0.5), 0, size - 1)
        return jax.nn.one_hot(pixel.astype(jnp.int32), size)

    return (1 - share)[..., None] * nearest(below) + share[..., None] * nearest(below + 1)


def _brighten(augmentation: SegmentationAugmentation, images: Images, key: PRNGKeyArray) -> Images:
    applied, factors = _draw(
        augmentation, key, len(images), augmentation.brightness, *augmentation.brightness_range
    )
    return images * _pixels(jnp.where(applied, factors, 1.0))


def _contrast(augmentation: SegmentationAugmentation, images: Images, key: PRNGKeyArray) -> Images:
    """Stretched or squeezed about the mean, within the range that the image had."""
    applied, factors = _draw(augmentation, key, len(images), augmentation.contrast, *augmentation.contrast_range)
    mean, low, high = (f(images, axis=(1, 2, 3), keepdims=True) for f in (jnp.mean, jnp.min, jnp.max))
    changed = jnp.clip(mean + _pixels(factors) * (images - mean), low, high)
    return jnp.where(_pixels(applied), changed, images)


def _bend(augmentation: SegmentationAugmentation, images: Images, key: PRNGKeyArray) -> Images:
    """Intensity to a power, between the darkest and the brightest pixel, which stay."""
    applied, exponents = _draw(augmentation, key, len(images), augmentation.gamma, *augmentation.gamma_range)
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    span = jnp.maximum(high - low, 1e-6)
    bent = low + span * ((images - low) / span) ** _pixels(exponents)
    return jnp.where(_pixels(applied), bent, images)
