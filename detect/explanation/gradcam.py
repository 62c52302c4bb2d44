"""Grad-CAM: the places of the image that a logit comes from (Selvaraju et al. 2017, arXiv:1610.02391)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from foundation.training.errors import UserError

# From the last feature maps of images to their logits, higher for fake; each logit depends on its own image alone.
Decide = Callable[[Float[Array, 'batch row column channel']], Float[Array, ' batch']]


def grad_cam(
    decide: Decide, maps: Float[Array, 'batch row column channel'], height: int, width: int
) -> Float32[Array, 'batch {height} {width}']:
    """ReLU(sum_k mean(dy/dA_k) A_k) of each image, enlarged bilinearly (equations 1 and 2).

    In units of the logit times those of its slope; see `fit_scale`. An image without any evidence of being fake
    is 0 everywhere.

    Args:
      decide: the part of the network behind the maps, in evaluation mode.
      maps: the A_k.
      height, width: of the images.
    """
    weights = jax.grad(lambda points: decide(points).sum())(maps).mean(axis=(1, 2), keepdims=True)
    evidence = jax.nn.relu((weights * maps).astype(jnp.float32).sum(axis=-1))
    return jax.image.resize(evidence, (len(maps), height, width), 'bilinear')


def fit_scale(maps: Float[np.ndarray, 'count height width'], quantile: float) -> float:
    """The value that is shown as the hottest, one for a whole data set: a high quantile of all its pixels.

    A scale of each image's own would make a real image look as hot as a fake one.

    Args:
      maps: of training images, not below 0.
      quantile: such as 0.999.

    Raises:
      UserError: when that quantile is 0 or not finite.
    """
    scale = float(np.quantile(maps, quantile))
    if not np.isfinite(scale) or scale <= 0:
        raise UserError(
            f'The {quantile} quantile of {len(maps)} training maps is {scale}, which is no scale; '
            'take a higher one, or maps with evidence in them.'
        )
    return scale


def scale_maps(
    maps: Float[np.ndarray, 'count height width'], scale: float
) -> Float[np.ndarray, 'count height width']:
    """Maps from 0 to 1, where 1 is the scale or more."""
    return np.clip(maps / scale, 0, 1)
