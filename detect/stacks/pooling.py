"""One score of a volume from the calibrated log odds of its slices, without learning anything.

All rise with how suspicious a volume is; padded slices count for nothing.
"""

from collections.abc import Callable

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Float64

LogOdds = Float[np.ndarray, 'stack slice']
Valid = Bool[np.ndarray, 'stack slice']
Pooled = Float64[np.ndarray, ' stack']
TOP_SHARE = 0.1  # of the slices of a volume, one at least


def noisy_or(log_odds: LogOdds, valid: Valid) -> Pooled:
    """-log(prod(1 - p)): how sure it is that one slice or more is altered, were slices independent."""
    return np.where(valid, np.logaddexp(0, log_odds.astype(np.float64)), 0).sum(axis=1)


def top_mean(log_odds: LogOdds, valid: Valid) -> Pooled:
    """Mean probability of the most suspicious tenth of the slices."""
    falling = -np.sort(-_probabilities(log_odds, valid), axis=1)
    taken = np.maximum(np.ceil(TOP_SHARE * valid.sum(axis=1)), 1)
    return np.where(np.arange(falling.shape[1]) < taken[:, None], falling, 0).sum(axis=1) / taken


def highest(log_odds: LogOdds, valid: Valid) -> Pooled:
    """Log odds of the most suspicious slice."""
    return np.where(valid, log_odds.astype(np.float64), -np.inf).max(axis=1)


def mean(log_odds: LogOdds, valid: Valid) -> Pooled:
    """Mean probability, for comparison: a few altered slices among many hardly move it."""
    return _probabilities(log_odds, valid).sum(axis=1) / valid.sum(axis=1)


POOLINGS: dict[str, Callable[[LogOdds, Valid], Pooled]] = {
    'noisy_or': noisy_or,
    'top_mean': top_mean,
    'max': highest,
    'mean': mean,
}


def _probabilities(log_odds: LogOdds, valid: Valid) -> Float64[np.ndarray, 'stack slice']:
    """0 for padding."""
    return np.where(valid, scipy.special.expit(log_odds.astype(np.float64)), 0)
