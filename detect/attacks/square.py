"""Square attack (Andriushchenko et al. 2020, arXiv:1912.00049): a search that needs the logits only.

Where it succeeds more often than an attack that follows the gradient, that one has failed: the gradient is masked.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from detect.attacks.threat import (
    Box,
    Images,
    Labels,
    LogitsOf,
    Threat,
    Worst,
    create_box,
    find_logits,
    keep_worst,
    margins_of,
)

_SHARE = 0.8  # of an image's area that the first square covers, as in AutoAttack
# The share is halved after each of these, of 10,000 queries.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def square(
    logits_of: LogitsOf, images: Images, labels: Labels, key: PRNGKeyArray, *, threat: Threat, queries: int
) -> Images:
    """Squares at random places, ever smaller, go to an end of what is allowed, and stay there if that helps.

    Args:
      logits_of: see `detect.attacks.threat`.
      images: in [-1, 1].
      labels: 1 for fake.
      key: decides stripes and squares, for each image its own.
      threat: what may be changed.
      queries: looks at the detector for each image, at least 1; that at the clean image is not counted.

    Returns:
      The images with the smallest margins of all that were seen, of the clean ones too.
    """
    box = create_box(threat, images)

    def look(tried: Images) -> Worst:
        return Worst(tried, margins_of(find_logits(logits_of, tried), labels))

    current = look(_stripes(box, jax.random.fold_in(key, 0)))
    for query in range(1, queries):
        side = side_of_square(images.shape[1:3], query, queries)
        current = keep_worst(current, *look(_paint(current.images, box, jax.random.fold_in(key, query), side)))
    return keep_worst(look(box.clean), *current).images


def side_of_square(size: tuple[int, ...], query: int, queries: int) -> int:
    """Pixels along the side of the square that a query changes; the schedule is stretched to all queries."""
    halvings = sum(10_000 * query > after * queries for after in _HALVINGS)
    side = round(math.sqrt(_SHARE / 2**halvings * math.prod(size)))
    return max(1, min(side, min(size) - 1))


@jax.jit
def _stripes(box: Box, key: PRNGKeyArray) -> Images:
    """Columns, of a channel each, at one end or the other."""
    count, _, width, channels = box.clean.shape
    return jnp.where(jax.random.bernoulli(key, shape=(count, 1, width, channels)), box.high, box.low)


@jax.jit
def _paint(images: Images, box: Box, key: PRNGKeyArray, side: Int[Array, ''] | int) -> Images:
    """A square of each image, at one end in each channel; at the other ends where that would change nothing."""
    count, height, width, channels = images.shape
    rows, columns, signs = jax.random.split(key, 3)

    def line(key: PRNGKeyArray, size: int) -> Bool[Array, 'batch size']:
        first = jax.random.randint(key, (count, 1), 0, size - side + 1)
        return (jnp.arange(size) >= first) & (jnp.arange(size) < first + side)

    within = (line(rows, height)[:, :, None] & line(columns, width)[:, None, :])[..., None]
    up = jax.random.bernoulli(signs, shape=(count, 1, 1, channels))

    def painted(up: Bool[Array, 'batch _ _ channel']) -> Images:
        return jnp.where(within, jnp.where(up, box.high, box.low), images)

    same = (painted(up) == images).all(axis=(1, 2, 3), keepdims=True)
    return painted(up ^ same)
