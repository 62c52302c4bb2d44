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
import scipy.special
from jaxtyping import Float, Float64, Int64

_CELLS = 2**21  # drawn at a time, so that memory is bounded
_USED = 0.1  # share of the draws that must hold all classes


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
    normal, student = scipy.special.ndtri(shares), scipy.special.stdtrit(freedom, shares)
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


@dataclasses.dataclass(frozen=True, eq=False)
class Mean:
    """A mean over patients.

    Attributes:
      value: None where no patient has one.
      distribution: of the value; None where it cannot be told.
      patients: with a value.
      reason: one sentence where value or distribution is missing.
    """

    value: float | None
    distribution: Distribution | None
    patients: int
    reason: str | None


def bootstrap_mean(values: Float[np.ndarray, 'patients classes'], *, resamples: int, seed: int) -> Mean:
    """The mean over the classes of their means over patients, who are drawn with all their classes.

    Args:
      values: NaN where a patient has none of a class. A class that no patient has is left out.
      resamples: draws of patients; those in which a class is left without a patient are not used.
      seed: of the draws.

    Raises:
      ValueError: for infinite values.
    """
    if np.isinf(values).any():
        raise ValueError('Values to be averaged are finite, or NaN where there is none.')
    known = np.isfinite(values)
    values, known = values[known.any(axis=1)][:, known.any(axis=0)], known[known.any(axis=1)][:, known.any(axis=0)]
    patients = len(values)
    if not patients:
        return Mean(None, None, 0, 'no patient has a value.')
    filled, counts = np.where(known, values, 0.0), known.sum(axis=0)
    means = filled.sum(axis=0) / counts
    value = float(means.mean())
    if counts.min() < 2:
        return Mean(value, None, patients, 'an interval needs two patients or more of each class.')
    replicates = _replicates(filled, known, np.random.default_rng(seed), resamples)
    if len(replicates) < _USED * resamples:
        return Mean(value, None, patients, 'an interval needs more patients of the rare classes.')
    error, freedom = _standard_error(np.where(known, values - means, 0.0), counts)
    return Mean(value, calibrate(replicates, value, error, freedom), patients, None)


def _replicates(
    filled: np.ndarray, known: np.ndarray, generator: np.random.Generator, resamples: int
) -> Float64[np.ndarray, ' resample']:
    means = []
    for (drawn,) in draw_counts(generator, resamples, len(filled)):
        left = drawn @ known
        whole = (left > 0).all(axis=1)
        means.append(((drawn @ filled)[whole] / left[whole]).mean(axis=1))
    return np.concatenate(means)


def _standard_error(centred: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Of the mean over classes, and its degrees of freedom (Satterthwaite), no more than the largest class has."""
    shares = centred / np.sqrt(counts * (counts - 1)) / len(counts)  # of each patient in each mean
    variances = np.square(shares).sum(axis=0)
    total = np.square(variances).dot(1 / (counts - 1))
    freedom = variances.sum() ** 2 / total if total > 0 else np.inf
    return float(np.sqrt(np.square(shares.sum(axis=1)).sum())), float(min(freedom, counts.max() - 1))
