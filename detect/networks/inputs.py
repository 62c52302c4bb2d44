"""What a branch of a detector is shown of an image: pixels, residual, spectrum, or which levels are neighbours."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, 'batch height width channel']

_FLOOR = 1e-3  # added to magnitudes before the logarithm
_PERCENTILES = np.array([5.0, 95.0], np.float32)
_LEVELS = 64  # of grey, in co-occurrence matrices


def residual(images: Images) -> Images:
    """What is lost by halving an image and doubling it again, both by nearest pixel (Tan et al. 2024,
    arXiv:2312.10461, equation 2).

    Layers that double resolution leave traces between neighbouring pixels; what an image shows is mostly gone.
    """
    height, width = images.shape[1:3]
    doubled = images[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    return images - doubled[:, :height, :width]


def spectrum(images: Images) -> Images:
    """Log magnitudes of the Fourier transform of each channel, the mean in the middle (Zhang et al. 2019,
    arXiv:1907.06515, section 3.3).

    The 5th and 95th percentiles of each image become -1 and 1.
    """
    magnitudes = jnp.abs(jnp.fft.fft2(images.astype(jnp.float32), axes=(1, 2)))
    logs = jnp.fft.fftshift(jnp.log(magnitudes + _FLOOR), axes=(1, 2))
    low, high = jnp.percentile(logs, _PERCENTILES, axis=(1, 2), keepdims=True)
    return 2 * (logs - low) / jnp.maximum(high - low, _FLOOR) - 1


def cooccurrence(images: Images) -> Float[Array, 'batch level level channel']:
    """How often a grey level lies beside another one, of pixels and their right neighbours (Nataraj et al. 2019,
    arXiv:1903.06836), as an image of the logarithms of these counts.

    A pixel between two of the 64 levels counts for both in proportion, so that there are gradients.
    """
    levels = (jnp.clip(images, -1, 1) + 1) * ((_LEVELS - 1) / 2)
    shares = jax.nn.relu(1 - jnp.abs(levels[..., None] - jnp.arange(_LEVELS, dtype=levels.dtype)))
    left, right = shares[:, :, :-1], shares[:, :, 1:]
    counts = jnp.einsum('nhwca,nhwcb->nabc', left, right)
    return jnp.log1p(counts) / jnp.log1p(float(left.shape[1] * left.shape[2])) * 2 - 1


def pixels(images: Images) -> Images:
    """The image itself."""
    return images


INPUTS: dict[str, Callable[[Array], Array]] = {
    'residual': residual,
    'pixels': pixels,
    'spectrum': spectrum,
    'cooccurrence': cooccurrence,
}
