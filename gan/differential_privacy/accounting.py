"""What noise proves: epsilon of so many steps, and the noise that an epsilon asks for.

Privacy loss distributions (Koskela et al. 2020, arXiv:1906.03049), as Google's dp-accounting has them; what it
rounds makes epsilon larger. Two data sets are neighbours where an image, or a patient, of one is blank in the
other: their number is no secret. `PoissonSampling` says why there is no more to account for than coins and noise.
"""

import dataclasses
import importlib.util
import math
from collections.abc import Sequence

from foundation.software import software_version
from foundation.training.errors import UserError

_GRID = 1e-3  # of privacy loss
_ROUGH = 1000.0  # epsilon beyond which a bound is enough: the grid would need memory without end
_ORDERS = (*range(2, 64), 128, 256, 512)  # of Renyi divergences: those of fractions do not always converge
_LOWEST, _HIGHEST, _PRECISION = 0.2, 2_000.0, 1e-3  # of the noise multiplier: where it is looked for, how closely


@dataclasses.dataclass(frozen=True)
class SampledSteps:
    """Steps of one kind.

    Attributes:
      probability: with which a unit is in a batch.
      count: steps.
    """

    probability: float
    count: int


def require_accountant() -> None:
    """Raises UserError when the package that counts is missing."""
    if importlib.util.find_spec('dp_accounting') is None:
        raise UserError(
            'config.privacy needs the package dp-accounting, which is not installed: '
            'pip install "enhanced-gan[privacy]"'
        )


def compute_epsilon(steps: Sequence[SampledSteps], noise_multiplier: float, delta: float) -> float:
    """Epsilon of all steps together, infinite without noise; above 1,000 a bound of it, by Renyi divergences.

    Args:
      steps: of each kind.
      noise_multiplier: standard deviation of the noise on the sum, in clip norms.
      delta: above 0 and below 1.
    """
    import dp_accounting
    from dp_accounting import pld

    if not any(kind.count for kind in steps):
        return 0.0
    if noise_multiplier <= 0:
        return math.inf
    bound = _bound_epsilon(steps, noise_multiplier, delta)
    if bound > _ROUGH:
        return bound
    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_SPECIAL, _GRID)
    noise = dp_accounting.GaussianDpEvent(noise_multiplier)
    for kind in steps:
        if kind.count:
            accountant.compose(dp_accounting.PoissonSampledDpEvent(kind.probability, noise), kind.count)
    return float(accountant.get_epsilon(delta))


def find_noise(steps: Sequence[SampledSteps], epsilon: float, delta: float) -> float:
    """The smallest noise multiplier, to a thousandth of it, with which all steps need at most `epsilon`.

    Raises:
      UserError: when none is in reach.
    """
    high = _bracket(steps, epsilon, delta)
    if compute_epsilon(steps, high, delta) > epsilon:
        raise UserError(
            f'config.privacy.epsilon is {epsilon:g}, which needs noise of more than {_HIGHEST:g} times '
            'config.privacy.clip_norm; allow more, or train fewer steps.'
        )
    low = 0.8 * high
    while low > _LOWEST and compute_epsilon(steps, low, delta) <= epsilon:
        low, high = 0.8 * low, low
    while high / low > 1 + _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if compute_epsilon(steps, middle, delta) <= epsilon else (middle, high)
    return high


def _bracket(steps: Sequence[SampledSteps], epsilon: float, delta: float) -> float:
    """Noise that is more than enough, by `_bound_epsilon`."""
    low, high = _LOWEST, _HIGHEST
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _bound_epsilon(steps, middle, delta) <= epsilon else (middle, high)
    return high


def _bound_epsilon(steps: Sequence[SampledSteps], noise_multiplier: float, delta: float) -> float:
    """Not less than epsilon, by Renyi divergences (Mironov 2017, arXiv:1702.07476): quick, whatever the noise."""
    import dp_accounting
    from dp_accounting import rdp

    accountant, noise = rdp.RdpAccountant(_ORDERS), dp_accounting.GaussianDpEvent(noise_multiplier)
    for kind in steps:
        if kind.count:
            accountant.compose(dp_accounting.PoissonSampledDpEvent(kind.probability, noise), kind.count)
    return float(accountant.get_epsilon(delta))


def name_accountant() -> str:
    """Who counts, and in which version."""
    return f'privacy loss distributions, dp-accounting {software_version("dp-accounting")}'
