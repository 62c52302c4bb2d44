"""What an attacker may do to images, and what every attack keeps: the worst image that it has seen.

A detector is a function of images in [-1, 1] to one logit each, positive for fake, with all normalisation inside
and in evaluation mode. Pass `jax.tree_util.Partial(function, parameters)`, and other parameters need no new
compilation; a plain function is compiled once for each function object.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

Images = Float[Array, 'batch height width channel']
Row = Float[Array, 'batch']
Labels = Bool[Array, 'batch'] | Int[Array, 'batch']
LogitsOf = Callable[[Images], Row]


@dataclasses.dataclass(frozen=True)
class Threat:
    """How far each value of an image may be changed (L-inf), and what storing the image leaves of the change.

    Attributes:
      eps: in units of the images, whose range is 2; see `eps_of_grey_steps` and `eps_of_hounsfield`.
      levels: number of evenly spaced values in [-1, 1] that an image is stored with, 256 for 8 bits and
        `hounsfield_levels` for integer Hounsfield units; None for real numbers. Images that are not on this grid
        are first rounded to it, and eps is counted from there.
    """

    eps: float
    levels: int | None

    @property
    def reach(self) -> float:
        """The part of eps that survives rounding: a whole number of steps between levels."""
        if self.levels is None:
            return self.eps
        step = 2 / (self.levels - 1)
        return math.floor(self.eps / step + 1e-6) * step


def eps_of_grey_steps(count: float, levels: int) -> float:
    """The eps of so many steps between grey levels: 8 and 256 for the usual 8/255."""
    return 2 * count / (levels - 1)


def eps_of_hounsfield(units: float, window_width: float) -> float:
    """The eps of so many Hounsfield units, when images show a window of that width."""
    return 2 * units / window_width


def hounsfield_levels(window_width: int) -> int:
    """The levels of integer Hounsfield units in a window of that width, both ends included."""
    return window_width + 1


class Box(NamedTuple):
    """The images that an attacker can reach, value by value; all three can be stored as they are."""

    clean: Images
    low: Images
    high: Images


class Worst(NamedTuple):
    """The images seen so far with the smallest margins."""

    images: Images
    margins: Row


def create_box(threat: Threat, images: Images) -> Box:
    """The images as they are stored, and how far they may be changed within [-1, 1]."""
    clean = store(images, threat.levels)
    ends = (jnp.clip(clean + change, -1, 1) for change in (-threat.reach, threat.reach))
    return Box(clean, *(store(end, threat.levels) for end in ends))


@functools.partial(jax.jit, static_argnames='levels')
def store(images: Images, levels: int | None) -> Images:
    """Images rounded to the grid, which takes none out of a box whose ends are on the grid."""
    if levels is None:
        return images
    return jnp.round((images + 1) * ((levels - 1) / 2)) / ((levels - 1) / 2) - 1


def margins_of(logits: Row, labels: Labels) -> Row:
    """The logits with the sign that is positive where the detector is right."""
    return jnp.where(labels != 0, logits, -logits)


@jax.jit
def keep_worst(worst: Worst, images: Images, margins: Row) -> Worst:
    """The images with the smaller margins, each by itself."""
    worse = margins < worst.margins
    return Worst(
        jnp.where(worse[:, None, None, None], images, worst.images), jnp.where(worse, margins, worst.margins)
    )


def find_logits(logits_of: LogitsOf, images: Images) -> Row:
    """The logits, by one compiled function for each detector and shape."""
    return _logits(as_argument(logits_of), images)


def differentiate(logits_of: LogitsOf, images: Images) -> tuple[Row, Images]:
    """The logits, and the gradient of each with respect to its image, by one compiled function."""
    return _logits_and_gradients(as_argument(logits_of), images)


def as_argument(logits_of: LogitsOf) -> Partial:
    """What `jax.jit` takes as an argument: parameters are traced, the function is compared by identity."""
    return logits_of if isinstance(logits_of, Partial) else Partial(logits_of)


@jax.jit
def _logits(logits_of: Partial, images: Images) -> Row:
    return logits_of(images)


@jax.jit
def _logits_and_gradients(logits_of: Partial, images: Images) -> tuple[Row, Images]:
    def total(inputs: Images) -> tuple[Array, Row]:
        logits = logits_of(inputs)
        return logits.sum(), logits

    gradients, logits = jax.grad(total, has_aux=True)(images)
    return logits, gradients
