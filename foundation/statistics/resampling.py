"""Bootstrap distributions whose spread is calibrated, and intervals and p values that agree with each other.

Percentile intervals of few patients or seeds are too narrow: of nominal 95% intervals, 76% hold the mean of 3
crossed seeds that differ much and 86% that of 5, and 88% to 91% that of 10 patients' Dice. A calibrated
distribution keeps the shape of the resampled one and takes its width from the standard error and Student's t, as
the expanded percentile interval does (Hesterberg 2014, arXiv:1411.5279). Then 93% of intervals or more
hold the mean of crossed seeds, and 92% to 95% that of 10 to 50 patients' Dice where few of them are missed. Where
one in ten structures is missed altogether, no such interval is right for 10 patients, of which none may have been
missed: two thirds hold the mean.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import scipy.stats
from jaxtyping import Float, Float64, Int64

_CELLS = 2**21  # drawn at a time, so that memory is bounded


@dataclasses.dataclass(frozen=True, eq=False)
class Distribution:
    """Where an estimate may lie.

    Attributes:
      replicates: in rising order.
    """

    replicates: Float64[np.ndarray, ' resample']

    def interval(self, level: float) -> tuple[float, float]:
        """Lower and upper end: percentiles that are values of replicates.

        Args:
          level: coverage, above 0.

        Raises:
          ValueError: for a level that the number of replicates does not resolve.
        """
        count = len(self.replicates)
        if not 0 < level <= 1 - 2 / count:
            raise ValueError(f'{count} resamples give no interval at the level {level}.')
        place = math.ceil(count * (1 - level) / 2 * (1 - 1e-9))  # from 1; rounding must not push it up
        return float(self.replicates[place - 1]), float(self.replicates[count - place])

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the truth is 0, no less than 1 over the number of replicates.

        It is below 1 - level exactly where the interval at that level leaves 0 out.
        """
        count = len(self.replicates)
        tail = min(int((self.replicates <= 0).sum()), int((self.replicates >= 0).sum()))
        return float(min(1, 2 * max(tail, 0.5) / count))


def calibrate(
    replicates: Float[np.ndarray, ' resample'], estimate: float, standard_error: float, freedom: float
) -> Distribution:
    """Stretches replicates about the estimate to a standard error and the tails of Student's t.

    Args:
      replicates: resampled estimates.
      estimate: of the data.
      standard_error: of the estimate.
      freedom: degrees of freedom of the standard error.
    """
    ordered = np.sort(np.asarray(replicates, np.float64))
    spread = ordered.std()
    if spread == 0 or standard_error == 0:
        return Distribution(np.full(len(ordered), estimate))
    shares = (np.arange(len(ordered)) + 0.5) / len(ordered)
    normal, student = scipy.stats.norm.ppf(shares), scipy.stats.t.ppf(shares, freedom)
    stretch = np.divide(student, normal, out=np.ones(len(ordered)), where=normal != 0)
    return Distribution(np.sort(estimate + (ordered - estimate) * stretch * (standard_error / spread)))


def draw_counts(
    generator: np.random.Generator, resamples: int, *sizes: int
) -> Iterator[tuple[Int64[np.ndarray, 'resample item'], ...]]:
    """How often each item is drawn in a resample, for collections that are drawn independently, in blocks.

    Args:
      generator: advanced by the draws.
      resamples: over all blocks.
      sizes: items of each collection; as many are drawn, with replacement.
    """
    block = max(1, _CELLS // max(*sizes, 1))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        yield tuple(count_draws(generator, rows, size) for size in sizes)


def count_draws(generator: np.random.Generator, rows: int, size: int) -> Int64[np.ndarray, 'row item']:
    """How often each of so many items is drawn, in each of some draws of as many with replacement."""
    places = generator.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(places.ravel(), minlength=rows * size).reshape(rows, size)
