"""Whether p(fake) means what it says."""

import dataclasses

import numpy as np
import scipy.stats
from jaxtyping import Float64, Int64

from backbones.calibration import BINS, bin_of
from detect.metrics.samples import Labels, Probabilities, Scores, Values, Weights, ratio

Bins = Int64[np.ndarray, ' image']


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """A point of a reliability plot.

    Attributes:
      images: in the bin.
      probability: mean p(fake).
      share: of the images that are fake.
    """

    images: int
    probability: float
    share: float


def bins_of_equal_width(probabilities: Probabilities) -> Bins:
    """The bin, 0 to 14, of p(fake), each as wide as the others."""
    return bin_of(np.asarray(probabilities, np.float64))


def bins_of_equal_mass(probabilities: Probabilities) -> Bins:
    """The bin, 0 to 14, of p(fake) by its rank: each holds as many images, but for ties, which stay together.

    Nguyen and O'Connor 2015, arXiv:1508.05154.
    """
    ranks = scipy.stats.rankdata(probabilities) - 0.5  # between 0 and the number of images
    return bin_of(ranks / len(probabilities))


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


def tabulate_reliability(probabilities: Probabilities, labels: Labels, bins: Bins) -> list[ReliabilityBin]:
    """The bins that hold an image, in rising order."""
    members = [bins == number for number in np.unique(bins)]
    return [
        ReliabilityBin(int(each.sum()), float(probabilities[each].mean()), float(labels[each].mean()))
        for each in members
    ]
