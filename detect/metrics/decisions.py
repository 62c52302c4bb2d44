"""Scores of the decisions that a threshold makes. Fake is the positive class; what is undefined is NaN."""

import dataclasses
from collections.abc import Callable

import numpy as np

from detect.metrics.samples import Labels, Scores, Values, Weights, ratio


@dataclasses.dataclass(frozen=True, eq=False)
class Decisions:
    """Sums of weights.

    Attributes:
      true_fakes, missed_fakes: fakes called fake, and called real.
      true_reals, false_fakes: reals called real, and called fake.
    """

    true_fakes: Values
    missed_fakes: Values
    true_reals: Values
    false_fakes: Values


def decide(scores: Scores, labels: Labels, weights: Weights, *, threshold: float) -> Decisions:
    """Calls images fake where their score is no less than the threshold.

    Args:
      scores: the higher, the more like a fake.
      labels: 1 = fake.
      weights: how often each image counts.
      threshold: from validation.
    """
    called, fake = scores >= threshold, labels.astype(bool)
    kinds = np.stack([called & fake, ~called & fake, ~called & ~fake, called & ~fake], axis=1)
    return Decisions(*(weights @ kinds.astype(np.float64)).T)


def accuracy(made: Decisions) -> Values:
    """Share of the images called rightly, 0 to 1."""
    right = made.true_fakes + made.true_reals
    return ratio(right, right + made.missed_fakes + made.false_fakes)


def recall(made: Decisions) -> Values:
    """Share of the fakes called fake, 0 to 1: the accuracy on fakes, sensitivity, or true positive rate."""
    return ratio(made.true_fakes, made.true_fakes + made.missed_fakes)


def real_accuracy(made: Decisions) -> Values:
    """Share of the reals called real, 0 to 1: specificity, or 1 - false positive rate."""
    return ratio(made.true_reals, made.true_reals + made.false_fakes)


def balanced_accuracy(made: Decisions) -> Values:
    """Mean of the accuracies on fakes and on reals, 0 to 1 (chance 0.5)."""
    return (recall(made) + real_accuracy(made)) / 2


def precision(made: Decisions) -> Values:
    """Share of fakes among the images called fake, 0 to 1, at the share of fakes in these images."""
    return ratio(made.true_fakes, made.true_fakes + made.false_fakes)


def f1(made: Decisions) -> Values:
    """Harmonic mean of precision and recall, 0 to 1: 0 where fakes are there and none is found."""
    errors = made.missed_fakes + made.false_fakes
    value = ratio(2 * made.true_fakes, 2 * made.true_fakes + errors)
    return np.where(made.true_fakes + made.missed_fakes > 0, value, np.nan)


def matthews(made: Decisions) -> Values:
    """Correlation of decisions with labels, -1 to 1 (Matthews 1975); undefined where either is constant."""
    fakes, reals = made.true_fakes + made.missed_fakes, made.true_reals + made.false_fakes
    called, passed = made.true_fakes + made.false_fakes, made.true_reals + made.missed_fakes
    covariance = made.true_fakes * made.true_reals - made.false_fakes * made.missed_fakes
    return ratio(covariance, np.sqrt(fakes * reals * called * passed))


def predictive_value(made: Decisions, prevalence: float) -> Values:
    """Probability that an image called fake is fake where `prevalence` of the images are, 0 to 1 (Bayes)."""
    found, alarms = prevalence * recall(made), (1 - prevalence) * (1 - real_accuracy(made))
    return ratio(found, found + alarms)


DECISION_SCORES: dict[str, Callable[[Decisions], Values]] = {
    'accuracy': accuracy,
    'balanced_accuracy': balanced_accuracy,
    'real_accuracy': real_accuracy,
    'fake_accuracy': recall,
    'precision': precision,
    'recall': recall,
    'f1': f1,
    'matthews': matthews,
}
