"""What happens to images on their way: turns, cuts, resampling, blur, noise, JPEG; for training, and to test with.

Pure functions of images in [-1, 1], with a strength for each image, made of matrix products: they are cheap inside
a compiled training step. None of them looks at the label, so none can give it away.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Images = Float[Array, 'batch height width channel']
Row = Float[Array, 'batch']
Lines = Float[Array, 'batch size size']
_EXACT = jax.lax.Precision.HIGHEST  # accelerators would otherwise multiply in lower precision
_BLOCK = 8  # pixels along each side of a JPEG block
# Quantisation steps of the luminance at quality 50 (ITU-T T.81, table K.1).
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.int32,
)


@dataclasses.dataclass(frozen=True)
class Degradation:
    """How training images are degraded: each operation happens to each image with a probability of its own.

    Wang et al. 2020 (arXiv:1912.11035, section 3.2) blur with probability 0.5 and sigma 0 to 3, and compress with
    probability 0.5 and quality 30 to 100. CT and MR are rather resampled and noisy than compressed.

    Attributes:
      turning: probability of a turn by one, two or three quarters.
      cutting, part: probability that a part is enlarged to the whole; its lowest and highest share of the side.
      resampling, factor: probability; lowest and highest size in between, as a share of the image's.
      blur, sigma: probability; lowest and highest standard deviation, in pixels.
      noise, deviation: probability; lowest and highest standard deviation, in units of the images.
      compression, quality: probability; lowest and highest quality of JPEG, both included.
    """

    turning: float
    cutting: float
    part: tuple[float, float]
    resampling: float
    factor: tuple[float, float]
    blur: float
    sigma: tuple[float, float]
    noise: float
    deviation: tuple[float, float]
    compression: float
    quality: tuple[int, int]


NO_DEGRADATION = Degradation(
    turning=0.0, cutting=0.0, part=(1.0, 1.0), resampling=0.0, factor=(1.0, 1.0), blur=0.0, sigma=(0.0, 0.0),
    noise=0.0, deviation=(0.0, 0.0), compression=0.0, quality=(100, 100),
)  # fmt: skip


def degrade(degradation: Degradation, images: Images, key: PRNGKeyArray) -> Images:
    """Images after what chance decides for each, in the order of a scanner and an archive: JPEG comes last."""
    count = len(images)
    if degradation.turning:
        happens, quarters = _draw(jax.random.fold_in(key, 1), count, degradation.turning, (1.0, 4.0))
        images = turn(images, jnp.where(happens, jnp.floor(quarters), 0).astype(jnp.int32))
    if degradation.cutting:
        drawing, placing = jax.random.split(jax.random.fold_in(key, 2))
        happens, parts = _draw(drawing, count, degradation.cutting, degradation.part)
        places = jax.random.uniform(placing, (count, 2))
        images = enlarge(images, jnp.where(happens, parts, 1.0), places)
    resampling, blurring, noising, grain, compressing, grade = jax.random.split(key, 6)
    if degradation.resampling:
        happens, factors = _draw(resampling, count, degradation.resampling, degradation.factor)
        images = resample(images, jnp.where(happens, factors, 1.0))
    if degradation.blur:
        happens, sigmas = _draw(blurring, count, degradation.blur, degradation.sigma)
        images = gaussian_blur(images, jnp.where(happens, sigmas, 0.0))
    if degradation.noise:
        happens, deviations = _draw(noising, count, degradation.noise, degradation.deviation)
        images = gaussian_noise(images, jnp.where(happens, deviations, 0.0), grain)
    if degradation.compression:
        low, high = degradation.quality
        happens = jax.random.uniform(compressing, (count,)) < degradation.compression
        compressed = jpeg(images, jax.random.randint(grade, (count,), low, high + 1))
        images = jnp.where(happens[:, None, None, None], compressed, images)
    return images


def _draw(
    key: PRNGKeyArray, count: int, probability: float, ends: tuple[float, float]
) -> tuple[Bool[Array, 'batch'], Row]:
    """To which images it happens, and how strongly, uniform between the ends."""
    happens, strength = jax.random.split(key)
    applied = jax.random.uniform(happens, (count,)) < probability
    return applied, jax.random.uniform(strength, (count,), minval=ends[0], maxval=ends[1])


def turn(images: Images, quarters: Int[Array, 'batch']) -> Images:
    """Square images, each turned by so many quarters against the clock; no pixel changes."""
    turned = [jnp.rot90(images, number, axes=(1, 2)) for number in range(4)]
    return jnp.select([(quarters == number)[:, None, None, None] for number in range(4)], turned)


def enlarge(images: Images, part: Row, places: Float[Array, 'batch 2']) -> Images:
    """A part of each image as large as the whole, by linear weights.

    Args:
      images: in [-1, 1].
      part: its share of both sides, more than 0 and at most 1, which changes nothing.
      places: of the part from the top and from the left, as shares of what is left over.
    """
    lines = [_enlarging_matrix(part, place, size) for place, size in zip(places.T, images.shape[1:3], strict=True)]
    return _along_lines(images, *lines)


def _enlarging_matrix(part: Row, place: Row, size: int) -> Lines:
    start, step = (place * (1 - part) * size)[:, None, None], part[:, None, None]
    wanted = start + (jnp.arange(size)[:, None] + 0.5) * step - 0.5
    return jnp.maximum(1 - jnp.abs(jnp.clip(wanted, 0, size - 1) - jnp.arange(size)), 0)


def jpeg(images: Images, quality: Int[Array, 'batch']) -> Images:
    """What 8-bit baseline JPEG leaves of images; its rounding has a gradient of 0.

    Each channel is coded as luminance, without the colour transform and the coarser colour of usual colour files.

    Args:
      images: in [-1, 1], rounded to 256 levels first.
      quality: 1 to 100, which scales table K.1 as libjpeg does.
    """
    _, height, width, _ = images.shape
    below, right = -height % _BLOCK, -width % _BLOCK
    levels = jnp.pad(jnp.round((images + 1) * 127.5) - 128, ((0, 0), (0, below), (0, right), (0, 0)), mode='edge')
    batch, rows, columns, channels = levels.shape
    blocks = levels.reshape(batch, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK, channels)
    steps = quantisation_steps(quality)[:, None, :, None, :, None]
    cosines = _cosine_matrix()
    frequencies = jnp.einsum('ui,bhiwjc,vj->bhuwvc', cosines, blocks, cosines, precision=_EXACT)
    frequencies = jnp.round(frequencies / steps) * steps
    decoded = jnp.einsum('ui,bhuwvc,vj->bhiwjc', cosines, frequencies, cosines, precision=_EXACT)
    pixels = jnp.clip(jnp.round(decoded.reshape(levels.shape)) + 128, 0, 255)
    return pixels[:, :height, :width] / 127.5 - 1


def quantisation_steps(quality: Int[Array, 'batch']) -> Float[Array, 'batch 8 8']:
    """libjpeg's steps: table K.1 scaled by 50 / quality below 50 and by 2 - quality / 50 above, 1 to 255."""
    percent = jnp.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return jnp.clip((_LUMINANCE * percent[:, None, None] + 50) // 100, 1, 255).astype(jnp.float32)


def _cosine_matrix() -> Float[np.ndarray, '8 8']:
    """Orthonormal DCT-II of a line of 8 (T.81, A.3.3): frequencies by pixels."""
    frequency, pixel = np.arange(_BLOCK)[:, None], np.arange(_BLOCK)
    cosines = np.sqrt(2 / _BLOCK) * np.cos((2 * pixel + 1) * frequency * np.pi / (2 * _BLOCK))
    cosines[0] /= np.sqrt(2)
    return cosines.astype(np.float32)


def gaussian_blur(images: Images, sigma: Row) -> Images:
    """Means of the pixels with Gaussian weights, of those within the image.

    Args:
      images: in [-1, 1].
      sigma: standard deviation in pixels; 0 changes nothing.
    """
    _, height, width, _ = images.shape
    return _along_lines(images, _blur_matrix(sigma, height), _blur_matrix(sigma, width))


def _blur_matrix(sigma: Row, size: int) -> Lines:
    apart = jnp.arange(size)[:, None] - jnp.arange(size)
    least = jnp.maximum(sigma, 1e-2)[:, None, None]  # at which all weights but a pixel's own are 0
    return _normalized(jnp.exp(-0.5 * (apart / least) ** 2))


def gaussian_noise(images: Images, sigma: Row, key: PRNGKeyArray) -> Images:
    """Images with independent noise on each value, clipped to [-1, 1]; sigma is in units of the images."""
    noise = jax.random.normal(key, images.shape)
    return jnp.clip(images + sigma[:, None, None, None] * noise, -1, 1)


def resample(images: Images, factor: Row) -> Images:
    """Images made smaller by triangle weights (Pillow's `BILINEAR`), then as large as before by linear ones.

    Args:
      images: in [-1, 1].
      factor: the size in between as a share of the images', more than 0 and at most 1; sides are rounded to
        pixels, 1 changes nothing.
    """
    _, height, width, _ = images.shape
    return _along_lines(images, _resampling_matrix(factor, height), _resampling_matrix(factor, width))


def _resampling_matrix(factor: Row, size: int) -> Lines:
    """Down to the coarse line and up again; the coarse line's pixels are the first of `size`."""
    count = jnp.clip(jnp.round(factor * size), 1, size)[:, None, None]
    fine, coarse = jnp.arange(size), jnp.arange(size)[:, None]
    places = (fine + 0.5) * count / size - 0.5  # of the fine pixels, on the coarse line
    down = _normalized(jnp.maximum(1 - jnp.abs(places - coarse), 0))
    up = jnp.maximum(1 - jnp.abs(jnp.clip(places, 0, count - 1) - coarse), 0)  # 0 beyond the last
    return jnp.einsum('bki,bkj->bij', up, down, precision=_EXACT)


def _normalized(weights: Lines) -> Lines:
    """Rows that add up to 1, but for those of zeros."""
    return weights / jnp.maximum(weights.sum(axis=-1, keepdims=True), 1e-6)


def _along_lines(
    images: Images, down: Float[Array, 'batch height height'], across: Float[Array, 'batch width width']
) -> Images:
    """One matrix along columns and one along rows, for each image."""
    changed = jnp.einsum('bij,bjkc,blk->bilc', down, images, across, precision=_EXACT)
    return jnp.clip(changed, -1, 1)
