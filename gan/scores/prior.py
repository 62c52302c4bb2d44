"""How far codes are from the distribution that they shall have: unbiased squared maximum mean discrepancy.

Kernel C / (C + |a - b|^2), C twice the mean squared length of the prior, as for Wasserstein autoencoders
(Tolstikhin et al. 2018, arXiv:1711.01558, section 4): other than a polynomial, it sees any difference.
"""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Float64

from gan.latents import draw_latents

MOST = 1_000  # codes that are compared
_DRAWS = 10  # of the prior
_VARIANCES = {'normal': 1.0, 'uniform': 1 / 3}
Codes = Float[np.ndarray, 'count size']


class PriorDistance(NamedTuple):
    """Of codes from their prior.

    Attributes:
      value: mean over draws of the prior; 0 is expected of codes that follow it.
      floor: lowest and highest value of as many pairs of draws of the prior.
    """

    value: float
    floor: tuple[float, float]


def measure_prior(codes: Codes, distribution: str) -> PriorDistance | None:
    """The distance of codes, of 1,000 evenly from all where there are more, from `normal` or `uniform` latents.

    None where there are fewer than two codes, or one is not finite.
    """
    if len(codes) < 2 or not np.isfinite(codes).all():
        return None
    codes = codes[np.linspace(0, len(codes) - 1, min(MOST, len(codes))).astype(int)]
    count, size = codes.shape
    scale = 2 * size * _VARIANCES[distribution]
    keys = jax.random.split(jax.random.key(0), _DRAWS)
    drawn = [np.asarray(draw_latents(key, count, size, distribution)) for key in keys]
    within, own = [_within(each, scale) for each in drawn], _within(codes, scale)
    values = [own + mean - 2 * _between(codes, prior, scale) for mean, prior in zip(within, drawn, strict=True)]
    floor = [
        within[draw - 1] + within[draw] - 2 * _between(drawn[draw - 1], drawn[draw], scale)
        for draw in range(_DRAWS)
    ]
    return PriorDistance(float(np.mean(values)), (min(floor), max(floor)))


def discrepancy(first: Codes, second: Codes, scale: float) -> float:
    """Unbiased MMD^2 of two sets of vectors (Gretton et al. 2012, equation 3); may be negative."""
    return _within(first, scale) + _within(second, scale) - 2 * _between(first, second, scale)


def _within(codes: Codes, scale: float) -> float:
    """Mean of the kernel over the pairs of a set."""
    count = len(codes)
    return float((_kernel(codes, codes, scale).sum() - count) / (count * (count - 1)))


def _between(first: Codes, second: Codes, scale: float) -> float:
    return float(_kernel(first, second, scale).mean())


def _kernel(first: Codes, second: Codes, scale: float) -> Float64[np.ndarray, 'row column']:
    one, other = first.astype(np.float64), second.astype(np.float64)
    squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
    return scale / (scale + np.maximum(squares, 0))
