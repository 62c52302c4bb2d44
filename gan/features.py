"""Features of images from a convolutional network that was never trained.

Distances in random features tell a good generator from a bad one, though they do not compare with those of a
trained extractor (Naeem et al. 2020, arXiv:2002.09797, section 4). They need no weights and suit all images.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan.layers import downsample, upsample

LARGEST = 64  # pixels; larger images are reduced, which keeps this inexpensive
_WIDTHS = (16, 16, 16)
SEED = 0  # of the weights, the same for all runs, so that their distances compare


def random_features(images: Float[Array, 'batch height width channel']) -> Float[Array, 'batch feature']:
    """Three convolutions with He weights, each halved; their means, and the last one's on a grid of 2x2.

    Args:
      images: in [-1, 1], square, at least 16 pixels a side.
    """
    keys = jax.random.split(jax.random.key(SEED), len(_WIDTHS))
    x, features = images, []
    for key, width in zip(keys, _WIDTHS, strict=True):
        deviation = (2 / (9 * x.shape[-1])) ** 0.5
        kernel = deviation * jax.random.normal(key, (3, 3, x.shape[-1], width))
        layout = ('NHWC', 'HWIO', 'NHWC')
        x = downsample(
            jax.nn.relu(jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=layout))
        )
        features.append(x.mean(axis=(1, 2)))
    batch, height, width, channels = x.shape
    quarters = x.reshape(batch, 2, height // 2, 2, width // 2, channels).mean(axis=(2, 4))
    return jnp.concatenate([*features[:-1], quarters.reshape(batch, -1)], axis=-1)


def resized(
    images: Float[Array, 'batch height width channel'], size: int
) -> Float[Array, 'batch size size channel']:
    """Halved by means or doubled by repetition until they have that size, a power of two times theirs."""
    while images.shape[1] > size:
        images = downsample(images)
    while images.shape[1] < size:
        images = upsample(images)
    return images


def create_extractor(resolution: int) -> Callable[..., Float[Array, 'batch feature']]:
    """Returns the compiled extractor for a run whose final images have this resolution."""
    size = max(min(resolution, LARGEST), 16)
    return jax.jit(lambda images: random_features(resized(jnp.clip(images, -1, 1), size)))
