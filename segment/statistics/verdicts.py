"""What may be claimed of differences: corrected for their number, tested for equivalence, said in a sentence."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

from segment.statistics.differences import Difference

Answer = Literal['better', 'worse', 'equivalent', 'undecided']


@dataclasses.dataclass(frozen=True)
class Verdict:
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


def judge(difference: Difference, adjusted_p: float, *, margin: float, alpha: float) -> Verdict:
    """The verdict on the first of two arms, where higher is better.

    A difference that is not 0 but smaller than the margin is 'equivalent': the margin was said to be the smallest
    that matters. Equivalence is not corrected for the number of comparisons.

    Args:
      difference: first arm minus second.
      adjusted_p: its p value after `adjust_holm`.
      margin, alpha: see `is_equivalent`; alpha is the limit of p values, too.
    """
    if difference.estimate is None or difference.distribution is None:
        return Verdict('undecided', significant=False, equivalent=False)
    low, high = difference.distribution.interval(1 - alpha)
    significant = bool((low > 0 or high < 0) and adjusted_p < alpha)
    if is_equivalent(difference, margin=margin, alpha=alpha):
        return Verdict('equivalent', significant, equivalent=True)
    if significant:
        return Verdict('better' if difference.estimate > 0 else 'worse', significant, equivalent=False)
    return Verdict('undecided', significant, equivalent=False)


def say(
    verdict: Verdict,
    difference: Difference,
    adjusted_p: float,
    *,
    arms: tuple[str, str],
    margin: float,
    alpha: float,
) -> str:
    """The verdict in plain words.

    Args:
      verdict: from `judge`, with the same difference, p value, margin and alpha.
      arms: names of the first and the second arm.
    """
    first, second = arms
    if difference.estimate is None or difference.distribution is None:
        return f'Nothing is claimed of {first} against {second}: {difference.reason}'
    low, high = difference.distribution.interval(1 - alpha)
    numbers = (
        f'mean difference in Dice {difference.estimate:+.4f} [{low:+.4f}, {high:+.4f}] at {1 - alpha:.0%}, '
        f'p = {adjusted_p:.2g} after Holm, {difference.seeds} seeds, {difference.patients} patients'
    )
    if verdict.answer == 'equivalent':
        slight = ' (it is not 0, but too small to matter)' if verdict.significant else ''
        return f'{first} and {second} are equivalent, within {margin:g}{slight}: {numbers}.'
    if verdict.answer == 'undecided':
        return f'No difference between {first} and {second} is claimed, nor that there is none: {numbers}.'
    return f'{first} is {verdict.answer} than {second}: {numbers}.'
