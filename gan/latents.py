"""What generators draw images from."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

DISTRIBUTIONS = ('normal', 'uniform')


def draw_latents(
    key: PRNGKeyArray, count: int, size: int, distribution: str, truncation: float = math.inf
) -> Float[Array, 'count size']:
    """Latents from N(0, 1) (`normal`) or from [-1, 1) (`uniform`, as in Radford et al. 2016, arXiv:1511.06434).

    Args:
      key, count, size, distribution: of the latents.
      truncation: numbers further from 0 are drawn again (Brock et al. 2019, arXiv:1809.11096, section 3.1); of
        `normal` alone.
    """
    if distribution == 'uniform':
        return jax.random.uniform(key, (count, size), jnp.float32, -1.0, 1.0)
    if truncation < math.inf:
        return jax.random.truncated_normal(key, -truncation, truncation, (count, size), jnp.float32)
    return jax.random.normal(key, (count, size), jnp.float32)


def draw_numbered(
    key: PRNGKeyArray, numbers: Int[Array, 'count'], size: int, distribution: str, truncation: float = math.inf
) -> Float[Array, 'count size']:
    """Latents that have a key each, folded from their number: they do not depend on how many are drawn."""
    draw = functools.partial(draw_latents, count=1, size=size, distribution=distribution, truncation=truncation)
    return jax.vmap(lambda number: draw(jax.random.fold_in(key, number)))(numbers)[:, 0]


def interpolate(
    first: Float[Array, 'count size'],
    last: Float[Array, 'count size'],
    shares: Float[Array, 'count'],
    distribution: str,
) -> Float[Array, 'count size']:
    """Latents on the way from `first`, at a share of 0, to `last`, at 1.

    Along a great circle for normal latents, whose lengths are all alike (White 2016, arXiv:1609.04468,
    section 2.1); along a line for uniform ones, which keeps them in their cube.
    """
    shares = shares[:, None]
    line = (1 - shares) * first + shares * last
    if distribution == 'uniform':
        return line
    lengths = jnp.linalg.norm(first, axis=1) * jnp.linalg.norm(last, axis=1)
    cosine = (first * last).sum(axis=1) / jnp.maximum(lengths, 1e-12)
    angle = jnp.arccos(jnp.clip(cosine, -1, 1))[:, None]
    sine = jnp.sin(angle)
    apart = jnp.abs(sine) > 1e-6  # else they lie on one line, and there is no circle
    circle = (jnp.sin((1 - shares) * angle) * first + jnp.sin(shares * angle) * last) / jnp.where(apart, sine, 1)
    return jnp.where(apart, circle, line)
