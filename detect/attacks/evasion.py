"""Attacks: along the gradient, projected descent and its form that finds its own steps; and by the logits alone.

With one logit for two classes, both objectives fall with the margin (the logit, signed by the label), and attacks
that move by the sign of a gradient take the same way with either. They differ where cross-entropy is so near to 0
that its gradient vanishes in float32: there only the margin tells a detector that withstands from one that
saturates. DLR (Croce and Hein 2020) needs three classes. The square attack needs no gradient: where it succeeds
more often than one that follows it, that one has failed, as the gradient is masked.

Images are rounded before each look at the detector, and the gradient there is taken for that before rounding: what
is kept has been tested as it will be stored. The loops are in Python, as XLA's CPU backend is slow within its own.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from detect.attacks.threat import (
    Box,
    Images,
    Labels,
    LogitsOf,
    Row,
    Threat,
    Worst,
    create_box,
    differentiate,
    find_logits,
    keep_worst,
    margins_of,
    store,
)

Scalar = Float[Array, '']
# What an attack increases, for each image.
OBJECTIVES: dict[str, Callable[[Scalar], Scalar]] = {
    'cross_entropy': lambda margin: jax.nn.softplus(-margin),
    'margin': lambda margin: -margin,
}
_MOMENTUM = 0.75  # alpha of APGD: the share of the new direction
_RISES = 0.75  # rho of APGD: the share of steps that must have increased the objective
_SHARE = 0.8  # of an image's area that the first square covers, as in AutoAttack
# The share is halved after each of these, of 10,000 queries.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class Point(NamedTuple):
    """Images before rounding, with the objective and its gradient after it."""

    images: Images
    values: Row
    gradients: Images


class Walk(NamedTuple):
    """The state of APGD, of each image by itself."""

    current: Point
    previous: Images
    best: Point
    size: Row  # of the steps
    rises: Int[Array, 'batch']  # steps since the last checkpoint that increased the objective
    halved: Bool[Array, 'batch']  # whether the last checkpoint halved the size
    milestone: Row  # the best value at the last checkpoint


def pgd(
    logits_of: LogitsOf,
    images: Images,
    labels: Labels,
    key: PRNGKeyArray,
    *,
    threat: Threat,
    objective: str,
    steps: int,
    restarts: int,
) -> Images:
    """Projected gradient descent (Madry et al. 2018, arXiv:1706.06083) with steps of 2.5 eps / steps.

    Args:
      logits_of: see `detect.attacks.threat`.
      images: in [-1, 1].
      labels: 1 for fake.
      key: decides the starts, anywhere within reach.
      threat: what may be changed.
      objective: one of OBJECTIVES.
      steps: gradients for each start.
      restarts: number of starts.

    Returns:
      The images with the smallest margins of all that were seen, of the clean ones too.
    """
    box = create_box(threat, images)
    look = functools.partial(_look, logits_of, labels, threat.levels, objective)
    size = 2.5 * threat.reach / steps
    _, worst = look(box.clean, None)
    for restart in range(restarts):
        point, worst = look(_scatter(box, jax.random.fold_in(key, restart)), worst)
        for _ in range(steps):
            point, worst = look(_step(point.images, point.gradients, size, box), worst)
    return worst.images


def apgd(
    logits_of: LogitsOf,
    images: Images,
    labels: Labels,
    key: PRNGKeyArray,
    *,
    threat: Threat,
    objective: str,
    steps: int,
    restarts: int,
) -> Images:
    """Auto-PGD (Croce and Hein 2020, arXiv:2003.01690, algorithm 1): steps of 2 eps, halved where they do not pay.

    Arguments and result are those of `pgd`.
    """
    box = create_box(threat, images)
    look = functools.partial(_look, logits_of, labels, threat.levels, objective)
    marks = checkpoints(steps)
    _, worst = look(box.clean, None)
    for restart in range(restarts):
        point, worst = look(_scatter(box, jax.random.fold_in(key, restart)), worst)
        walk, last = _start_walk(point, 2 * threat.reach), 0
        for step in range(1, steps + 1):
            share = 1.0 if step == 1 else _MOMENTUM
            point, worst = look(_move(walk, share, box), worst)
            walk = _arrive(walk, point)
            if step in marks:
                walk, last = adapt(walk, step - last), step
    return worst.images


def checkpoints(steps: int) -> tuple[int, ...]:
    """After which steps APGD reconsiders its step size (section 3.1 of the paper)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    return tuple(math.ceil(share * steps - 1e-9) for share in shares[1:] if share < 1)


def _look(
    logits_of: LogitsOf, labels: Labels, levels: int | None, objective: str, images: Images, worst: Worst | None
) -> tuple[Point, Worst]:
    """The objective and its gradient at the images as stored, which are kept where they are the worst so far."""
    stored = store(images, levels)
    logits, slopes = differentiate(logits_of, stored)
    margins, values, gradients = _objective(logits, slopes, labels, objective)
    worst = Worst(stored, margins) if worst is None else keep_worst(worst, stored, margins)
    return Point(images, values, gradients), worst


@functools.partial(jax.jit, static_argnames='objective')
def _objective(logits: Row, slopes: Images, labels: Labels, objective: str) -> tuple[Row, Row, Images]:
    """Margins, objective, and its gradient by the chain rule from that of the logits."""
    margins, signs = margins_of(logits, labels), margins_of(jnp.ones_like(logits), labels)
    values, derivatives = jax.vmap(jax.value_and_grad(OBJECTIVES[objective]))(margins)
    return margins, values, (derivatives * signs)[:, None, None, None] * slopes


@jax.jit
def _scatter(box: Box, key: PRNGKeyArray) -> Images:
    """Anywhere within reach."""
    return box.low + (box.high - box.low) * jax.random.uniform(key, box.low.shape)


@jax.jit
def _step(
    images: Images, gradients: Images, size: Scalar | Float[Array, 'batch 1 1 1'] | float, box: Box
) -> Images:
    return jnp.clip(images + size * jnp.sign(gradients), box.low, box.high)


@jax.jit
def _start_walk(point: Point, size: Scalar | float) -> Walk:
    zeros = jnp.zeros_like(point.values)
    rises, halved = zeros.astype(jnp.int32), zeros.astype(bool)
    return Walk(point, point.images, point, zeros + size, rises, halved, point.values)


@jax.jit
def _move(walk: Walk, share: Scalar | float, box: Box) -> Images:
    """A projected step, of which a share is taken, and the rest of the step before (equation 1 of algorithm 1)."""
    images = walk.current.images
    aim = _step(images, walk.current.gradients, walk.size[:, None, None, None], box)
    return jnp.clip(images + share * (aim - images) + (1 - share) * (images - walk.previous), box.low, box.high)


@jax.jit
def _arrive(walk: Walk, point: Point) -> Walk:
    return walk._replace(
        current=point,
        previous=walk.current.images,
        best=_choose(point.values > walk.best.values, point, walk.best),
        rises=walk.rises + (point.values > walk.current.values),
    )


@jax.jit
def adapt(walk: Walk, length: Int[Array, ''] | int) -> Walk:
    """Halves the step and goes back to the best point where too few steps helped (condition 1), or where nothing
    was gained since a checkpoint that did not halve (condition 2).
    """
    few = walk.rises < _RISES * length
    stuck = ~walk.halved & (walk.best.values <= walk.milestone)
    halved = few | stuck
    return walk._replace(
        current=_choose(halved, walk.best, walk.current),
        size=jnp.where(halved, walk.size / 2, walk.size),
        rises=jnp.zeros_like(walk.rises),
        halved=halved,
        milestone=walk.best.values,
    )


def _choose(chosen: Bool[Array, 'batch'], first: Point, second: Point) -> Point:
    """The first point for the images chosen, the second for the others."""

    def pick(one: Array, other: Array) -> Array:
        return jnp.where(chosen.reshape(-1, *[1] * (one.ndim - 1)), one, other)

    return jax.tree.map(pick, first, second)


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
