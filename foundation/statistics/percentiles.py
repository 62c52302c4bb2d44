"""Percentile intervals of scores whose draws may be undefined or all alike."""

import dataclasses

import numpy as np
from jaxtyping import Float64

TAIL = 0.025  # at each end of a 95% interval
_DEFINED = 0.9  # share of the draws in which a score must be defined


@dataclasses.dataclass(frozen=True)
class Score:
    """A score with its 95% interval, for JSON.

    Attributes:
      value: None where it is undefined.
      low, high: ends of the interval; None where it cannot be told.
    """

    value: float | None
    low: float | None
    high: float | None


def percentile_interval(value: float, replicates: Float64[np.ndarray, ' draw'], patients: int) -> Score:
    """The percentile interval (Efron and Tibshirani 1993, section 13.3).

    Where all draws give 1 the lower end is the share p with p^patients = 2.5%: resampled, faultless images would
    be faultless again, and 0 errors in 5 patients would look like 0 in 5,000. For the shares of a class that is
    exact with one image a patient; for AUROC it is safe, since as many pairs of patients were ranked rightly; for
    other scores it is of the right size. Where all draws give 0, the upper end likewise.

    Args:
      value: of the data, without weights.
      replicates: of the draws; NaN where undefined.
      patients: of the class that the score is about; pairs of them where it is about both.
    """
    defined = replicates[np.isfinite(replicates)]
    if np.isnan(value) or len(defined) < max(_DEFINED * len(replicates), 1):
        return Score(None if np.isnan(value) else value, None, None)
    low, high = (float(end) for end in np.quantile(defined, [TAIL, 1 - TAIL]))
    if defined.min() == defined.max() == 1:
        low = faultless_share(patients)
    if defined.min() == defined.max() == 0:
        high = 1 - faultless_share(patients)
    return Score(value, low, high)


def faultless_share(patients: int) -> float:
    """The smallest share that lets this many patients all be right with a probability of 2.5%."""
    return TAIL ** (1 / patients)
