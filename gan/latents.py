"""What generators draw images from."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

DISTRIBUTIONS = ('normal', 'uniform')


def draw_latents(key: PRNGKeyArray, count: int, size: int, distribution: str) -> Float[Array, 'count size']:
    """Latents from N(0, 1) (`normal`) or from [-1, 1) (`uniform`, as in Radford et al. 2016, arXiv:1511.06434)."""
    if distribution == 'uniform':
        return jax.random.uniform(key, (count, size), jnp.float32, -1.0, 1.0)
    return jax.random.normal(key, (count, size), jnp.float32)


def draw_numbered(
    key: PRNGKeyArray, numbers: Int[Array, 'count'], size: int, distribution: str
) -> Float[Array, 'count size']:
    """Latents that have a key each, folded from their number: they do not depend on how many are drawn."""
    draw = functools.partial(draw_latents, count=1, size=size, distribution=distribution)
    return jax.vmap(lambda number: draw(jax.random.fold_in(key, number)))(numbers)[:, 0]
