"""Certificates by randomised smoothing (Cohen et al. 2019, arXiv:1902.02918): no attack within a radius succeeds.

What is certified is the smoothed detector, which answers by the majority over Gaussian noise, and should have been
trained with such noise. The radius is Euclidean, in units of the images, over all values of an image together.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import scipy.special
import scipy.stats
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PRNGKeyArray

from detect.attacks.threat import LogitsOf, as_argument

Image = Float[Array, 'height width channel']
Scalar = Float[Array, '']


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What the smoothed detector says of an image.

    Attributes:
      fake: its answer; None where it abstains.
      radius: within which the answer stays the same, with confidence 1 - alpha; 0 where it abstains.
    """

    fake: bool | None
    radius: float


def certify(
    logits_of: LogitsOf,
    image: Image,
    key: PRNGKeyArray,
    *,
    threshold: float,
    sigma: float,
    selection: int,
    draws: int,
    alpha: float,
    batch: int,
) -> Certificate:
    """`CERTIFY` of the paper for two classes.

    Args:
      logits_of: see `detect.attacks.threat`; it gets images with noise, which leave [-1, 1].
      image: in [-1, 1].
      key: decides the noise.
      threshold: logits no less than it mean fake.
      sigma: standard deviation of the noise, in units of the image.
      selection: noisy images that decide which answer is to be certified (n0; 100 in the paper).
      draws: further noisy images that certify it (n; 100,000 in the paper).
      alpha: probability of a wrong certificate (0.001 in the paper).
      batch: noisy images at a time.
    """
    choosing, certifying = jax.random.split(key)
    first = _count_fakes(logits_of, image, choosing, threshold, sigma, selection, batch)
    fake = 2 * first > selection
    fakes = _count_fakes(logits_of, image, certifying, threshold, sigma, draws, batch)
    probability = lower_bound(fakes if fake else draws - fakes, draws, alpha)
    if probability <= 0.5:
        return Certificate(None, 0.0)
    return Certificate(fake, float(sigma * scipy.special.ndtri(probability)))


def lower_bound(successes: int, draws: int, alpha: float) -> float:
    """Clopper and Pearson's one-sided lower bound of a probability, with confidence 1 - alpha."""
    return float(scipy.stats.beta.ppf(alpha, successes, draws - successes + 1)) if successes else 0.0


def _count_fakes(
    logits_of: LogitsOf, image: Image, key: PRNGKeyArray, threshold: float, sigma: float, draws: int, batch: int
) -> int:
    """How many of so many noisy images are called fake."""
    detector = as_argument(logits_of)
    counts = [
        _count_batch(detector, image, jax.random.fold_in(key, done), threshold, sigma, draws - done, batch)
        for done in range(0, draws, batch)
    ]
    return sum(map(int, counts))


@functools.partial(jax.jit, static_argnames='batch')
def _count_batch(
    logits_of: Partial,
    image: Image,
    key: PRNGKeyArray,
    threshold: Scalar | float,
    sigma: Scalar | float,
    wanted: Int[Array, ''] | int,
    batch: int,
) -> Int[Array, '']:
    """How many are called fake of a whole batch, or of the part of it that is wanted."""
    noisy = image + sigma * jax.random.normal(key, (batch, *image.shape))
    return ((logits_of(noisy) >= threshold) & (jnp.arange(batch) < wanted)).sum()
