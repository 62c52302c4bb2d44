"""Which views belong together: the loss of SimCLR, and two numbers that tell whether features collapse.

Rows 2 i and 2 i + 1 are the two views of image i, so that devices that share a batch hold both.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_UNIFORMITY = 2.0  # t of Wang and Isola
Rows = Float[Array, 'rows feature']


def to_sphere(rows: Rows) -> Rows:
    """Rows of length 1; what is all but 0 stays near 0."""
    # A length of 0 would have no slope.
    return rows * jax.lax.rsqrt(jnp.maximum(jnp.square(rows).sum(axis=-1, keepdims=True), 1e-12))


def contrast(projections: Rows, kin: Int[Array, 'rows'], temperature: float) -> Float[Array, '']:
    """NT-Xent in nats (Chen et al. 2020, arXiv:2002.05709, equation 1), mean over all views.

    Views of other images that are kin are left out: neither drawn together nor pushed apart.

    Args:
      projections: of all views of the batch, of any length.
      kin: the number of each view's patient, or of its image.
      temperature: by which cosines are divided.
    """
    rows = to_sphere(projections.astype(jnp.float32))
    cosines = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST) / temperature
    number = jnp.arange(len(rows))
    partners = number[:, None] == number[None] ^ 1
    compared = partners | (kin[:, None] != kin[None])
    together = jnp.take_along_axis(cosines, (number ^ 1)[:, None], axis=1)[:, 0]
    return (jax.nn.logsumexp(cosines, axis=1, where=compared) - together).mean()


def alignment(projections: Rows) -> Float[Array, '']:
    """Mean squared distance of an image's two views on the sphere, 0 to 4 (Wang and Isola 2020, equation 7)."""
    pairs = to_sphere(projections.astype(jnp.float32)).reshape(-1, 2, projections.shape[-1])
    return jnp.square(pairs[:, 0] - pairs[:, 1]).sum(axis=-1).mean()


def uniformity(projections: Rows) -> Float[Array, '']:
    """log mean exp(-2 d^2) over pairs of images on the sphere, from -8 to 0 (arXiv:2005.10242, equation 8).

    It is 0 where all images have the same place: the features have collapsed. Of each image the first view counts.
    """
    rows = to_sphere(projections[::2].astype(jnp.float32))
    cosines = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
    squares = jnp.maximum(2 - 2 * cosines, 0)
    others = ~jnp.eye(len(rows), dtype=bool)
    pairs = len(rows) * (len(rows) - 1)
    return jax.nn.logsumexp(-_UNIFORMITY * squares, where=others) - jnp.log(pairs)
