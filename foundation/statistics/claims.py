"""What a paired difference allows to claim: several tests at once, equivalence, and the four answers."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

from foundation.statistics.differences import Difference

Answer = Literal['better', 'worse', 'equivalent', 'undecided']


@dataclasses.dataclass(frozen=True)
class StudyClaim:
    """What a difference says of the first of two arms.

    Attributes:
      answer: of the first arm, against the second.
      significant: the interval leaves 0 out, and so does the corrected p value.
      equivalent: see `is_equivalent`.
    """

    answer: Answer
    significant: bool
    equivalent: bool


def adjust_holm(p_values: Float[np.ndarray, ' tests']) -> Float64[np.ndarray, ' tests']:
    """P values corrected for their number, so that the chance of any false claim stays below their limit.

    Holm 1979, doi:10.2307/4615733, as step-down adjusted p values.

    Args:
      p_values: of one family. A test that could not be made has 1.

    Raises:
      ValueError: for p values that are not from 0 to 1.
    """
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f'P values lie between 0 and 1, unlike {p_values}.')
    order = np.argsort(p_values, kind='stable')
    scaled = np.asarray(p_values, np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def is_equivalent(difference: Difference, *, margin: float, alpha: float) -> bool:
    """Whether the difference is smaller than a margin, by two one-sided tests.

    They are both significant where the interval at the level 1 - 2 alpha lies within the margin (Schuirmann 1987,
    doi:10.1007/BF01068419). A difference without an interval is not equivalent.

    Args:
      difference: of two arms.
      margin: the smallest difference that matters, chosen before the data are seen.
      alpha: chance of calling a difference of the margin equivalent.

    Raises:
      ValueError: for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f'A margin of equivalence is positive, not {margin}.')
    if difference.distribution is None:
        return False
    low, high = difference.distribution.interval(1 - 2 * alpha)
    return -margin < low and high < margin


def judge(difference: Difference, adjusted_p: float, *, margin: float, alpha: float) -> StudyClaim:
    """The verdict on the first of two arms, where higher is better.

    A difference that is not 0 but smaller than the margin is 'equivalent': the margin was said to be the smallest
    that matters. Equivalence is not corrected for the number of comparisons.

    Args:
      difference: first arm minus second.
      adjusted_p: its p value after `adjust_holm`.
      margin, alpha: see `is_equivalent`; alpha is the limit of p values, too.
    """
    if difference.estimate is None or difference.distribution is None:
        return StudyClaim('undecided', significant=False, equivalent=False)
    low, high = difference.distribution.interval(1 - alpha)
    significant = bool((low > 0 or high < 0) and adjusted_p < alpha)
    if is_equivalent(difference, margin=margin, alpha=alpha):
        return StudyClaim('equivalent', significant, equivalent=True)
    if significant:
        return StudyClaim('better' if difference.estimate > 0 else 'worse', significant, equivalent=False)
    return StudyClaim('undecided', significant, equivalent=False)
