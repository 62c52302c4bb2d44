"""Whether p(fake) means what it says."""

import numpy as np
from jaxtyping import Float64

from detect.metrics.samples import Labels, Probabilities, Scores, Values, Weights, ratio
from foundation.statistics.calibration import BINS, Bins


def mean_gaps(
    probabilities: Probabilities, labels: Labels, bins: Bins, weights: Weights
) -> Float64[np.ndarray, 'draw bin']:
    """Label less p(fake) of the images of each bin, summed, over all images."""
    gaps = np.zeros((len(labels), BINS))
    gaps[np.arange(len(labels)), bins] = labels.astype(np.float64) - probabilities
    return ratio(weights @ gaps, weights.sum(axis=1, keepdims=True))


def calibration_error(gaps: Float64[np.ndarray, 'draw bin']) -> Values:
    """Expected calibration error: mean distance, over bins, of p(fake) and the share of fakes, 0 to 1.

    Naeini et al. 2015, in the form for the probability of one class. Chance alone makes it larger than 0, the more
    so the fewer the images.
    """
    return np.abs(gaps).sum(axis=1)


def log_loss(logits: Scores, labels: Labels) -> float:
    """Mean of -log p(label), in nats, where p(fake) is the sigmoid of a logit."""
    return float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean())


def brier(probabilities: Probabilities, labels: Labels, weights: Weights) -> Values:
    """Mean squared difference of p(fake) and the label, 0 to 1, lower is better (Brier 1950)."""
    return ratio(weights @ np.square(labels.astype(np.float64) - probabilities), weights.sum(axis=1))
