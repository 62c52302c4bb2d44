"""How many cases a reader must judge, told before the first one.

The test is the one of the report: Clopper and Pearson's interval of a reader's accuracy against 0.5 +- margin.
With as many real as generated cases the right answers vary no more than a binomial number does, whatever the
shares of either kind are (Hoeffding 1956), so that the chances here are those of a reader or a little too low.
"""

import math

import numpy as np
import scipy.special
import scipy.stats

from foundation.statistics.proportions import exact_intervals
from foundation.training.errors import UserError


def equivalence_power(cases: int, margin: float, alpha: float) -> float:
    """The chance that a reader who guesses is found equivalent to chance.

    The interval at the level 1 - 2 alpha lies within the margin: two one-sided tests (Schuirmann 1987).

    Args:
      cases: that the reader judges, once each.
      margin: smallest distance of accuracy from 0.5 that matters.
      alpha: chance that a reader at the margin is found equivalent, at most.
    """
    right = np.arange(cases + 1)
    low, high = exact_intervals(right, cases - right, alpha)
    inside = (low > 0.5 - margin) & (high < 0.5 + margin)
    return float(scipy.stats.binom.pmf(right, cases, 0.5)[inside].sum())


def difference_power(cases: int, margin: float, alpha: float) -> float:
    """The chance that a reader of accuracy 0.5 + margin is found to differ from chance, at the level alpha."""
    right = np.arange(cases + 1)
    low, high = exact_intervals(right, cases - right, alpha / 2)
    apart = (low > 0.5) | (high < 0.5)
    return float(scipy.stats.binom.pmf(right, cases, 0.5 + margin)[apart].sum())


def needed_cases(margin: float, alpha: float, power: float) -> int:
    """The smallest even number of cases that reaches a power, see `equivalence_power`.

    It is looked for from nine tenths of (z(1 - alpha) + z((1 + power) / 2))^2 / (4 margin^2) on, which normal
    numbers would need: an exact interval is wider.
    """
    quantiles = scipy.special.ndtri([1 - alpha, (1 + power) / 2]).sum()
    cases = 2 * math.ceil(0.9 * (quantiles / margin) ** 2 / 8)
    while equivalence_power(cases, margin, alpha) < power:
        cases += 2
    return cases


def check_cases(cases: int, patients: int, margin: float, alpha: float) -> None:
    """Raises UserError where cases are odd, or half of them are more than there are real patients."""
    if cases % 2:
        raise UserError(f'--cases={cases} cannot be halved into real and generated ones; give an even number.')
    if cases // 2 > patients:
        raise UserError(
            f'{cases} cases need {cases // 2} real patients, and the split has {patients}; with '
            f'--cases={2 * patients} a reader who guesses is found equivalent to chance with a chance of '
            f'{equivalence_power(2 * patients, margin, alpha):.0%}: hold out more patients, or widen --margin.'
        )
