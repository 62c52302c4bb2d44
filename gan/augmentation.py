"""Differentiable augmentation of what the discriminator sees, so that it cannot learn few images by heart.

Each operation is applied to each image with a given probability. While that is below 1, a generator can only match
the augmented images by matching the images themselves: the augmentation does not leak into what is generated
(Karras et al. 2020, "ADA", arXiv:2006.06676, section 2.2; Zhao et al. 2020, "DiffAugment", arXiv:2006.10738).
"""

import dataclasses
import functools
import operator
import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped, UInt32

from backbones.warping import AffineMaps, affine_maps, compose, warp

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


@dataclasses.dataclass(frozen=True)
class Draw:
    """What chance decided about one operation.

    Attributes:
      applied: to which images it happens.
      numbers: for its strengths, uniform between -1 and 1, both excluded.
      key: for what is drawn for every pixel.
    """

    applied: Bool[Array, 'batch']
    numbers: Float[Array, '2 batch']
    key: PRNGKeyArray


def _draw_all(
    names: tuple[str, ...], key: PRNGKeyArray, count: int, probability: Float[Array, ''] | float
) -> dict[str, Draw]:
    """Keyed by name, so that a new operation, or another choice of them, leaves the other draws as they are."""

    def draw(code: UInt32[Array, '']) -> tuple[Float[Array, '3 count'], PRNGKeyArray]:
        numbers_key, own_key = jax.random.split(jax.random.fold_in(key, code))
        just_above = float(np.nextafter(np.float32(-1), np.float32(0)))
        return jax.random.uniform(numbers_key, (3, count), jnp.float32, just_above, 1), own_key

    # All at once: compiling a generator of random numbers takes long, and each operation would have its own.
    codes = np.asarray([zlib.crc32(name.encode()) for name in names], np.uint32)
    drawn = zip(names, *jax.vmap(draw)(jnp.asarray(codes)), strict=True)
    return {name: Draw((numbers[0] + 1) / 2 < probability, numbers[1:], own) for name, numbers, own in drawn}


def _normal(numbers: Float[Array, '*shape']) -> Float[Array, '*shape']:
    """Standard normal numbers out of uniform ones between -1 and 1."""
    return jnp.sqrt(2) * jax.scipy.special.erfinv(numbers)


def _whole(numbers: Float[Array, '*shape'], count: int) -> Float[Array, '*shape']:
    """0, 1, ..., count - 1, equally often, out of uniform numbers between -1 and 1."""
    return jnp.floor((numbers + 1) / 2 * count)


def _flip(draw: Draw, height: int, width: int) -> AffineMaps:
    """Left to right for every second image: were it for all, they could not be told from mirrored ones."""
    return affine_maps(jnp.where(draw.numbers[0] < 0, -1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0)


def _scale(draw: Draw, height: int, width: int) -> AffineMaps:
    """Larger or smaller, alike in both directions."""
    inverse = jnp.exp2(-SCALING * _normal(draw.numbers[0]))
    return affine_maps(inverse, 0.0, 0.0, 0.0, inverse, 0.0)


def _rotate(draw: Draw, height: int, width: int) -> AffineMaps:
    """About the middle."""
    angles = ROTATION * draw.numbers[0]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    return affine_maps(cosine, sine, 0.0, -sine, cosine, 0.0)


def _translate(draw: Draw, height: int, width: int) -> AffineMaps:
    """By whole pixels, which blurs nothing."""
    across, down = int(width * TRANSLATION + 0.5), int(height * TRANSLATION + 0.5)
    x, y = _whole(draw.numbers[0], 2 * across + 1) - across, _whole(draw.numbers[1], 2 * down + 1) - down
    return affine_maps(1.0, 0.0, x, 0.0, 1.0, y)


def _change_gamma(draw: Draw, images: Images) -> Images:
    """Intensity to the power of a positive exponent; black and white stay, what lies beyond keeps its distance."""
    exponents = jnp.exp(GAMMA * _normal(_for_pixels(draw.numbers[0])))
    intensities = (images + 1) / 2
    inside = jnp.clip(intensities, 0, 1)
    powers = inside * jnp.maximum(inside, GAMMA_LINE) ** (exponents - 1)
    return 2 * (powers + intensities - inside) - 1


def _change_brightness(draw: Draw, images: Images) -> Images:
    """One offset for the whole image."""
    return images + BRIGHTNESS * _for_pixels(draw.numbers[0])


def _change_contrast(draw: Draw, images: Images) -> Images:
    """Stretched or squeezed about the image's mean."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 + CONTRAST * _for_pixels(draw.numbers[0])) * (images - mean)


def _add_noise(draw: Draw, images: Images) -> Images:
    """Gaussian noise, stronger in some images than in others."""
    strengths = NOISE * _normal(_for_pixels(draw.numbers[0]))  # the noise is symmetric, so their sign is nothing
    return images + strengths * jax.random.normal(draw.key, images.shape, jnp.float32)


def _for_pixels(values: Shaped[Array, 'batch']) -> Shaped[Array, 'batch 1 1 1']:
    return values[:, None, None, None]


def _cut_out(draw: Draw, height: int, width: int) -> Bool[Array, 'batch height width 1']:
    """A square (of half the height and width, where these differ) about any pixel, cut off at the edges."""
    rows, columns = _stretch(draw.numbers[0], height), _stretch(draw.numbers[1], width)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _stretch(numbers: Float[Array, 'batch'], size: int) -> Bool[Array, 'batch size']:
    length = int(size * CUTOUT + 0.5)
    # One more place for an even length, so that both ends of the image are covered equally often.
    starts = _whole(numbers, size + 1 - length % 2)[:, None] - length // 2
    places = jnp.arange(size)
    return (places >= starts) & (places < starts + length)


# In the order in which they are applied. Maps lead from a pixel to where it is taken from.
GEOMETRY: dict[str, Callable[[Draw, int, int], AffineMaps]] = {
    'flip': _flip,
    'scaling': _scale,
    'rotation': _rotate,
    'translation': _translate,
}
INTENSITY: dict[str, Callable[[Draw, Images], Images]] = {
    'gamma': _change_gamma,  # first, while images lie between black and white
    'brightness': _change_brightness,
    'contrast': _change_contrast,
    'noise': _add_noise,
}
OPERATIONS: dict[str, Callable[..., Array]] = {**GEOMETRY, **INTENSITY, 'cutout': _cut_out}


@dataclasses.dataclass(frozen=True)
class DiscriminatorAugmentation:
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
    augmentation: DiscriminatorAugmentation,
    images: Images,
    key: PRNGKeyArray,
    probability: Float[Array, ''] | float,
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
    if not augmentation.operations:
        return images
    draws = _draw_all(augmentation.operations, key, batch, probability)
    changed = _move(draws, images.astype(jnp.promote_types(images.dtype, jnp.float32)))
    picture, masks = jnp.split(changed, [channels - augmentation.mask_classes], axis=-1)
    for name, change in INTENSITY.items():
        if name in draws:
            picture = jnp.where(_for_pixels(draws[name].applied), change(draws[name], picture), picture)
    if 'cutout' in draws:
        covered = _cut_out(draws['cutout'], height, width) & _for_pixels(draws['cutout'].applied)
        picture, masks = jnp.where(covered, 0, picture), jnp.where(covered, -1, masks)
    return jnp.concatenate([picture, masks], axis=-1).astype(images.dtype)


def _move(draws: dict[str, Draw], images: Images) -> Images:
    """All geometry at once: an image is resampled once, or not at all."""
    batch, height, width, _ = images.shape
    chosen = [name for name in GEOMETRY if name in draws]
    if not chosen:
        return images
    sources = jnp.broadcast_to(jnp.eye(3), (batch, 3, 3))
    for name in chosen:
        maps = GEOMETRY[name](draws[name], height, width)
        sources = jnp.where(draws[name].applied[:, None, None], compose(sources, maps), sources)
    moved = functools.reduce(operator.or_, [draws[name].applied for name in chosen])
    return jnp.where(_for_pixels(moved), warp(images, sources), images)
