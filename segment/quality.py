"""Whether the Dice that a segmenter expects of its masks tells the Dice that they reach."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float64, Int

from foundation.statistics.percentiles import Score, percentile_interval
from foundation.statistics.resampling import count_draws
from segment.summary import MeasuredCase

_RESAMPLES = 1000
_FEWEST = 3  # cases of which a rank correlation says anything


@dataclasses.dataclass(frozen=True)
class QualityCheck:
    """Expected against true Dice of one class, over cases that have both; intervals of 95%, by patient.

    Attributes:
      cases, patients: that have both.
      rank_correlation: Spearman's.
      difference: mean of expected less true Dice: above 0 where the segmenter thinks too well of itself.
      distance: mean of its absolute value.
    """

    cases: int
    patients: int
    rank_correlation: Score
    difference: Score
    distance: Score

    def describe(self) -> str:
        """One line."""
        if self.cases < _FEWEST:
            return f'only {self.cases} cases have both'
        own, off, far = map(_describe, (self.rank_correlation, self.difference, self.distance))
        return f'rank correlation {own}, expected less true {off}, on average off by {far}'


def check_quality(rows: Sequence[MeasuredCase], policy: str, *, seed: int) -> dict[str, dict[str, Any]]:
    """A `QualityCheck` of each class, as JSON has it, and what it says.

    Args:
      rows: cases and classes that were measured.
      policy: of Dice for empty masks.
      seed: of the bootstrap of patients.
    """
    checks = {}
    for name in dict.fromkeys(row.class_name for row in rows):
        own = [row for row in rows if row.class_name == name and row.expected_dice is not None]
        pairs = [(row.patient, row.expected_dice, row.measured.score('dice', policy)) for row in own]
        check = _check([pair for pair in pairs if pair[2] is not None], seed)
        checks[name] = dataclasses.asdict(check) | {'text': check.describe()}
    return checks


def _check(pairs: Sequence[tuple[str, Any, Any]], seed: int) -> QualityCheck:
    patients = {name: place for place, name in enumerate(dict.fromkeys(patient for patient, *_ in pairs))}
    if len(pairs) < _FEWEST:
        nothing = Score(None, None, None)
        return QualityCheck(len(pairs), len(patients), nothing, nothing, nothing)
    owners, cases = np.array([patients[patient] for patient, *_ in pairs]), np.arange(len(pairs))
    values = np.array([pair[1:] for pair in pairs], np.float64)
    draws = count_draws(np.random.default_rng(seed), _RESAMPLES, len(patients))
    replicates = np.array([_statistics(values, np.repeat(cases, counts[owners])) for counts in draws])
    scores = [
        percentile_interval(value, own, len(patients))
        for value, own in zip(_statistics(values, cases), replicates.T, strict=True)
    ]
    return QualityCheck(len(pairs), len(patients), *scores)


def _statistics(
    values: Float64[np.ndarray, 'case 2'], chosen: Int[np.ndarray, ' some']
) -> tuple[float, float, float]:
    expected, true = values[chosen].T
    ranks = [scipy.stats.rankdata(side) for side in (expected, true)]
    spread = np.prod([np.std(side) for side in ranks])
    correlation = float(np.cov(np.stack(ranks), ddof=0)[0, 1] / spread) if spread else float('nan')
    return correlation, float(np.mean(expected - true)), float(np.mean(abs(expected - true)))


def _describe(score: Score) -> str:
    if score.value is None:
        return 'undefined'
    return f'{score.value:.2f}' + ('' if score.low is None else f' [{score.low:.2f}, {score.high:.2f}]')
