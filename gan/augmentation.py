"""Differentiable augmentation of what the discriminator sees, so that it cannot learn few images by heart.

Each operation is applied to each image with a given probability. While that is below 1, a generator can only match
the augmented images by matching the images themselves: the augmentation does not leak into what is generated
(Karras et al. 2020, "ADA", arXiv:2006.06676, section 2.2; Zhao et al. 2020, "DiffAugment", arXiv:2006.10738).
"""

import dataclasses
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gan.warping import AffineMaps, affine_maps, compose, warp

Images = Float[Array, 'batch height width channel']

# DiffAugment, official implementation: all of these.
TRANSLATION = 1 / 8  # largest shift, in whole pixels, as a share of the height or width
BRIGHTNESS = 0.5  # largest offset, on a scale where black is -1 and white 1
CONTRAST = 0.5  # the factor is drawn from 1 - CONTRAST to 1 + CONTRAST
CUTOUT = 1 / 2  # side of the covered square, as a share of the height or width

# ADA turns by any angle and scales by 2^N(0, 0.2). Milder here: patients lie straight, organs have their size.
ROTATION = jnp.pi / 18  # largest angle, 10 degrees
SCALING = 0.1  # standard deviation of log2 of the factor
GAMMA = 0.2  # standard deviation of log of the exponent; in neither paper: windows and scanners differ so
NOISE = 0.1  # standard deviation of the standard deviation: ADA, appendix B

# Below this intensity (0 black, 1 white) gamma is a line, or an exponent under 1 would be infinitely steep at 0.
GAMMA_LINE = 0.01


def _draw_flip(key: PRNGKeyArray, count: int, height: int, width: int) -> AffineMaps:
    """Left to right for every second image: were it for all, they could not be told from mirrored ones."""
    return affine_maps(jnp.where(jax.random.bernoulli(key, 0.5, (count,)), -1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0)


def _draw_scaling(key: PRNGKeyArray, count: int, height: int, width: int) -> AffineMaps:
    """Larger or smaller, alike in both directions."""
    inverse = jnp.exp2(-SCALING * jax.random.normal(key, (count,), jnp.float32))
    return affine_maps(inverse, 0.0, 0.0, 0.0, inverse, 0.0)


def _draw_rotation(key: PRNGKeyArray, count: int, height: int, width: int) -> AffineMaps:
    """About the middle."""
    angle = jax.random.uniform(key, (count,), jnp.float32, -ROTATION, ROTATION)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return affine_maps(cosine, sine, 0.0, -sine, cosine, 0.0)


def _draw_translation(key: PRNGKeyArray, count: int, height: int, width: int) -> AffineMaps:
    """By whole pixels, which blurs nothing."""
    limits = jnp.asarray([int(width * TRANSLATION + 0.5), int(height * TRANSLATION + 0.5)])
    shifts = jax.random.randint(key, (count, 2), -limits, limits + 1).astype(jnp.float32)
    return affine_maps(1.0, 0.0, shifts[:, 0], 0.0, 1.0, shifts[:, 1])


def _change_gamma(key: PRNGKeyArray, images: Images) -> Images:
    """Intensity to the power of a positive exponent; black and white stay, what lies beyond keeps its distance."""
    exponents = jnp.exp(GAMMA * _draw_normal(key, images))
    intensities = (images + 1) / 2
    inside = jnp.clip(intensities, 0, 1)
    powers = inside * jnp.maximum(inside, GAMMA_LINE) ** (exponents - 1)
    return 2 * (powers + intensities - inside) - 1


def _change_brightness(key: PRNGKeyArray, images: Images) -> Images:
    """One offset for the whole image."""
    return images + _draw_uniform(key, images, BRIGHTNESS)


def _change_contrast(key: PRNGKeyArray, images: Images) -> Images:
    """Stretched or squeezed about the image's mean."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 + _draw_uniform(key, images, CONTRAST)) * (images - mean)


def _add_noise(key: PRNGKeyArray, images: Images) -> Images:
    """Gaussian noise, stronger in some images than in others."""
    strength_key, noise_key = jax.random.split(key)
    strengths = NOISE * jnp.abs(_draw_normal(strength_key, images))
    return images + strengths * jax.random.normal(noise_key, images.shape, jnp.float32)


def _draw_normal(key: PRNGKeyArray, images: Images) -> Float[Array, 'batch 1 1 1']:
    return jax.random.normal(key, (images.shape[0], 1, 1, 1), jnp.float32)


def _draw_uniform(key: PRNGKeyArray, images: Images, limit: float) -> Float[Array, 'batch 1 1 1']:
    return jax.random.uniform(key, (images.shape[0], 1, 1, 1), jnp.float32, -limit, limit)


def _draw_square(key: PRNGKeyArray, count: int, height: int, width: int) -> Bool[Array, 'batch height width 1']:
    """A square (of half the height and width, where these differ) about any pixel, cut off at the edges."""
    keys = jax.random.split(key)
    rows, columns = _draw_stretch(keys[0], count, height), _draw_stretch(keys[1], count, width)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _draw_stretch(key: PRNGKeyArray, count: int, size: int) -> Bool[Array, 'batch size']:
    length = int(size * CUTOUT + 0.5)
    # One more place for an even length, so that both ends of the image are covered equally often.
    starts = jax.random.randint(key, (count, 1), 0, size + 1 - length % 2) - length // 2
    places = jnp.arange(size)
    return (places >= starts) & (places < starts + length)


# In the order in which they are applied. Maps lead from a pixel to where it is taken from.
GEOMETRY: dict[str, Callable[[PRNGKeyArray, int, int, int], AffineMaps]] = {
    'flip': _draw_flip,
    'scaling': _draw_scaling,
    'rotation': _draw_rotation,
    'translation': _draw_translation,
}
INTENSITY: dict[str, Callable[[PRNGKeyArray, Images], Images]] = {
    'gamma': _change_gamma,  # first, while images lie between black and white
    'brightness': _change_brightness,
    'contrast': _change_contrast,
    'noise': _add_noise,
}
OPERATIONS: dict[str, Callable[..., Array]] = {**GEOMETRY, **INTENSITY, 'cutout': _draw_square}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may happen to an image.

    Attributes:
      operations: names out of `OPERATIONS`; their order does not matter.
      mask_classes: number of channels at the end that are masks, -1 (background) to 1: they move with their
        image, and their values stay.

    Raises:
      ValueError: for a name that is unknown or given twice, or a negative number of channels.
    """

    operations: tuple[str, ...]
    mask_classes: int

    def __post_init__(self) -> None:
        wrong = [name for name in self.operations if name not in OPERATIONS or self.operations.count(name) > 1]
        if wrong:
            raise ValueError(
                f'augment.operations names {wrong[0]!r}, which is unknown or given twice; '
                f'choose among {", ".join(sorted(OPERATIONS))}, each once.'
            )
        if self.mask_classes < 0:
            raise ValueError(f'mask_classes is {self.mask_classes}, but cannot be negative.')


def augment(
    augmentation: Augmentation, images: Images, key: PRNGKeyArray, probability: Float[Array, ''] | float
) -> Images:
    """Images after each operation happened to each of them with this probability.

    At probability 0 they are the same bit for bit; at 1 every operation happens to every image. Nothing is
    clipped, and gradients pass to `images`. An operation's draws depend on the key, its name and the images'
    shape, not on the other operations; those of the geometry and of the cutout not on the channels either.

    Args:
      augmentation: what may happen.
      images: about -1 to 1, masks in the last channels.
      key: of all draws.
      probability: in [0, 1]; may be traced.
    """
    batch, height, width, channels = images.shape
    draws = {name: _draw(key, name, batch, probability) for name in augmentation.operations}
    changed = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    changed = _move(draws, changed)
    picture, masks = jnp.split(changed, [channels - augmentation.mask_classes], axis=-1)
    for name, change in INTENSITY.items():
        if name in draws:
            applied, own_key = draws[name]
            picture = jnp.where(applied[:, None, None, None], change(own_key, picture), picture)
    if 'cutout' in draws:
        applied, own_key = draws['cutout']
        covered = _draw_square(own_key, batch, height, width) & applied[:, None, None, None]
        picture, masks = jnp.where(covered, 0, picture), jnp.where(covered, -1, masks)
    return jnp.concatenate([picture, masks], axis=-1).astype(images.dtype)


Draws = dict[str, tuple[Bool[Array, 'batch'], PRNGKeyArray]]


def _draw(
    key: PRNGKeyArray, name: str, count: int, probability: Float[Array, ''] | float
) -> tuple[Bool[Array, 'batch'], PRNGKeyArray]:
    """To which images an operation happens, and the key of its strengths."""
    # By name, so that a new operation, or another choice of them, leaves the rest of the draws as they are.
    applied_key, own_key = jax.random.split(jax.random.fold_in(key, zlib.crc32(name.encode())))
    return jax.random.uniform(applied_key, (count,), jnp.float32) < probability, own_key


def _move(draws: Draws, images: Images) -> Images:
    """All geometry at once: an image is resampled once, or not at all."""
    batch, height, width, _ = images.shape
    chosen = [name for name in GEOMETRY if name in draws]
    if not chosen:
        return images
    sources = jnp.broadcast_to(jnp.eye(3), (batch, 3, 3))
    moved = jnp.zeros((batch,), bool)
    for name in chosen:
        applied, own_key = draws[name]
        maps = GEOMETRY[name](own_key, batch, height, width)
        sources = jnp.where(applied[:, None, None], compose(sources, maps), sources)
        moved |= applied
    return jnp.where(moved[:, None, None, None], warp(images, sources), images)
