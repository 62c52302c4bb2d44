"""Means over patients, then over classes, with the interval of a bootstrap of patients."""

import dataclasses

import numpy as np
from jaxtyping import Float, Float64

from foundation.statistics.resampling import Distribution, calibrate, draw_counts

_USED = 0.1  # share of the draws that must hold all classes


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
