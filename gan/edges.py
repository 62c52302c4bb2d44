"""How alike the edges of two images are, whatever their grey levels."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, 'batch height width channel']
_LEAST = 1e-6  # added to squares, so that images without edges have a gradient


def gradient_correlation(one: Images, other: Images) -> Float[Array, '']:
    """The correlation of differences between neighbours, along columns and along rows, -1 to 1.

    Penney et al. 1998 (doi:10.1109/42.730403), for translation Hiasa et al. 2018 (arXiv:1803.06629): the mean of
    both directions, here of each image, over the batch. 0 where an image has no edges.
    """
    return jnp.mean(
        jnp.stack([_correlation(jnp.diff(one, axis=axis), jnp.diff(other, axis=axis)) for axis in (1, 2)])
    )


def _correlation(one: Images, other: Images) -> Float[Array, 'batch']:
    """Of the pixels of each image."""
    centred = [own - own.mean(axis=(1, 2, 3), keepdims=True) for own in (one, other)]
    products = (centred[0] * centred[1]).mean(axis=(1, 2, 3))
    squares = [jnp.square(own).mean(axis=(1, 2, 3)) + _LEAST for own in centred]
    return products / jnp.sqrt(squares[0] * squares[1])
