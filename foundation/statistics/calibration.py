"""Probabilities that mean what they say: a temperature for the logits, and how far they are off."""

import dataclasses

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Bool, Float, Int, Integer

BINS = 15  # of confidence, all of the same width
Logits = Float[np.ndarray, 'count class']
Labels = Int[np.ndarray, 'count']
Bins = Int[np.ndarray, ' image']
Probabilities = Float[np.ndarray, ' image']
_LARGEST = 100.0  # of a temperature, and the inverse of the smallest


def probabilities_of(logits: Logits, temperature: float) -> Float[np.ndarray, 'count class']:
    """Softmax of the logits over the temperature, in float64."""
    return scipy.special.softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def losses(logits: Logits, labels: Labels, temperature: float) -> Float[np.ndarray, 'count']:
    """-log p(label) of every image, in nats."""
    return -_log_probabilities(logits, temperature)[np.arange(len(labels)), labels]


def log_loss(logits: Logits, labels: Labels, temperature: float) -> float:
    """Mean of -log p(label), in nats."""
    return float(losses(logits, labels, temperature).mean())


def _log_probabilities(logits: Logits, temperature: float) -> Float[np.ndarray, 'count class']:
    return scipy.special.log_softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature with the lowest log loss (Guo et al. 2017, arXiv:1706.04599, section 4.2), from 0.01 to 100.

    Where every image is classified rightly, ever lower temperatures would always be better, and the first error
    on another patient would be thought impossible. Therefore the targets of n images among k classes are not 1 and
    0, but (n + 1) / (n + k) and 1 / (n + k) (after Platt 1999, section 2.2).
    """
    count, classes = logits.shape
    doubt = classes / (count + classes)

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        even = -_log_probabilities(logits, temperature).mean()
        return (1 - doubt) * log_loss(logits, labels, temperature) + doubt * float(even)

    limit = np.log(_LARGEST)
    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=(-limit, limit), method='bounded').x))


def bin_of(confidence: Float[np.ndarray, 'count']) -> Int[np.ndarray, 'count']:
    """The bin, from 0 to BINS - 1, of each confidence in [0, 1]."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def calibration_gaps(
    probabilities: Float[np.ndarray, 'count class'], labels: Labels
) -> Float[np.ndarray, 'count bin']:
    """1 where an image is classified rightly, 0 otherwise, less its confidence, in the column of its bin."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gaps = np.zeros((len(labels), BINS))
    gaps[np.arange(len(labels)), bin_of(confidence)] = right - confidence
    return gaps


def error_interval(
    gaps: Float[np.ndarray, ' bin'], draws: Float[np.ndarray, 'draw bin'], tail: float
) -> tuple[float, float]:
    """The interval of a calibration error, the sum of the bins' absolute mean gaps.

    What chance adds to this score, resampling adds once more, so that percentiles would lie too high. The upper
    end is that of the basic bootstrap (Davison and Hinkley 1997, equation 5.6), and no less than the value. The
    lower end takes off what chance alone may make: the score differs from the true one by no more than the sum of
    the errors of all bins. It is 0 where chance alone explains the value.

    Args:
      gaps: mean gap of each bin, of all images.
      draws: the same of resampled patients.
      tail: share of the draws beyond each end.
    """
    value = float(np.abs(gaps).sum())
    chance = float(np.quantile(np.abs(draws - gaps).sum(axis=1), 1 - tail))
    lowest = float(np.quantile(np.abs(draws).sum(axis=1), tail))
    return max(value - chance, 0.0), max(2 * value - lowest, value)


def calibration_error(probabilities: Float[np.ndarray, 'count class'], labels: Labels) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins of equal width.

    Naeini et al. 2015; as in Guo et al. 2017, equation 3. Chance alone makes it larger than 0, the more so the
    fewer the images.
    """
    return float(np.abs(calibration_gaps(probabilities, labels).sum(axis=0)).sum() / len(labels))


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """A point of a reliability plot.

    Attributes:
      images: in the bin.
      probability: mean of what was predicted.
      share: of the images of which it was true.
    """

    images: int
    probability: float
    share: float


def bins_of_equal_width(probabilities: Probabilities) -> Bins:
    """The bin, 0 to 14, of each probability, each as wide as the others."""
    return bin_of(np.asarray(probabilities, np.float64))


def bins_of_equal_mass(probabilities: Probabilities) -> Bins:
    """The bin, 0 to 14, of each probability by its rank: each holds as many images, but ties stay together.

    Nguyen and O'Connor 2015, arXiv:1508.05154.
    """
    ranks = scipy.stats.rankdata(probabilities) - 0.5  # between 0 and the number of images
    return bin_of(ranks / len(probabilities))


def tabulate_reliability(
    probabilities: Probabilities, truths: Integer[np.ndarray, ' image'] | Bool[np.ndarray, ' image'], bins: Bins
) -> list[ReliabilityBin]:
    """The bins that hold an image, in rising order."""
    members = [bins == number for number in np.unique(bins)]
    return [
        ReliabilityBin(int(each.sum()), float(probabilities[each].mean()), float(truths[each].mean()))
        for each in members
    ]
