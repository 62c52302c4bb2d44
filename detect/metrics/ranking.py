"""Scores of how fakes are ranked above reals, whatever the threshold, from the ROC curve.

An image is called fake where its score is no less than the threshold; images with the same score are called
together. Without a real or without a fake image every score here is NaN.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int

from detect.metrics.samples import Labels, Scores, Values, Weights, ratio, weigh_once

_ROUNDING = 1e-9  # of a rate times a count, which may be meant to be an integer


@dataclasses.dataclass(frozen=True, eq=False)
class Roc:
    """The points of ROC curves, from nothing called fake to everything called fake.

    Attributes:
      levels: the scores that occur, falling. At point k the images of the first k levels are called fake.
      fakes, reals: sums of weights that are called fake, true and false.
      real_count: of images, without weights.
    """

    levels: Float64[np.ndarray, ' level']
    fakes: Float64[np.ndarray, 'draw point']
    reals: Float64[np.ndarray, 'draw point']
    real_count: int

    @property
    def true_rate(self) -> Float64[np.ndarray, 'draw point']:
        """Share of the fakes that are called fake."""
        return ratio(self.fakes, self.fakes[:, -1:])

    @property
    def false_rate(self) -> Float64[np.ndarray, 'draw point']:
        """Share of the reals that are called fake."""
        return ratio(self.reals, self.reals[:, -1:])

    @property
    def complete(self) -> Bool[np.ndarray, ' draw']:
        """Whether there are both fakes and reals."""
        return (self.fakes[:, -1] > 0) & (self.reals[:, -1] > 0)

    def resolves(self, rate: float) -> bool:
        """Whether there are 1 / rate real images or more, so that one false positive is not above the rate."""
        return rate * self.real_count >= 1 - _ROUNDING

    def last_within(self, rate: float) -> Int[np.ndarray, ' draw']:
        """The last point at which no more than this share of the reals is called fake."""
        return (self.reals <= rate * self.reals[:, -1:] + _ROUNDING).sum(axis=1) - 1


def trace_roc(scores: Scores, labels: Labels, weights: Weights) -> Roc:
    """The ROC curves of draws.

    Args:
      scores: the higher, the more like a fake.
      labels: 1 = fake.
      weights: how often each image counts.
    """
    order = np.argsort(-scores, kind='stable')
    ordered, fake, weights = np.asarray(scores, np.float64)[order], labels[order].astype(bool), weights[:, order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # the last image of each level

    def accumulate(called: Weights) -> Float64[np.ndarray, 'draw point']:
        return np.pad(called.cumsum(axis=1)[:, ends], ((0, 0), (1, 0)))

    return Roc(ordered[ends], accumulate(weights * fake), accumulate(weights * ~fake), int((~fake).sum()))


def auroc(roc: Roc) -> Values:
    """Probability that a fake has a higher score than a real image, ties counted half, 0 to 1 (chance 0.5)."""
    heights = roc.fakes[:, 1:] + roc.fakes[:, :-1]
    area = (np.diff(roc.reals, axis=1) * heights).sum(axis=1) / 2
    return ratio(area, roc.fakes[:, -1] * roc.reals[:, -1])


def auroc_of(scores: Scores, labels: Labels) -> float:
    """`auroc` of images that count once each, as one number."""
    return auroc(trace_roc(scores, labels, weigh_once(len(labels)))).item()


def average_precision(roc: Roc) -> Values:
    """Precision averaged over the fakes, in steps as in scikit-learn, 0 to 1. Chance is the share of fakes."""
    called = roc.fakes[:, 1:] + roc.reals[:, 1:]
    precision = roc.fakes[:, 1:] / np.where(called, called, 1.0)  # before the first weight it counts for nothing
    average = ratio((np.diff(roc.fakes, axis=1) * precision).sum(axis=1), roc.fakes[:, -1])
    return np.where(roc.complete, average, np.nan)


def equal_error_rate(roc: Roc) -> Values:
    """The rate at which as many fakes are missed as reals are called fake, between points linear, 0 to 1."""
    false_rate = roc.false_rate
    gap = 1 - roc.true_rate - false_rate  # falls from 1 to -1
    after = np.maximum((gap <= 0).argmax(axis=1), 1)[:, None]
    gaps = [np.take_along_axis(gap, place, axis=1)[:, 0] for place in (after - 1, after)]
    rates = [np.take_along_axis(false_rate, place, axis=1)[:, 0] for place in (after - 1, after)]
    return rates[0] + (rates[1] - rates[0]) * ratio(gaps[0], gaps[0] - gaps[1])


def true_rate_at(roc: Roc, rate: float) -> Values:
    """The largest share of fakes found at a threshold that calls no more than `rate` of the reals fake, 0 to 1.

    NaN with fewer than 1 / rate real images, which cannot tell such a rate from a smaller one. Where there are
    enough, a draw with fewer of them is left with the thresholds that call none fake.
    """
    place = roc.last_within(rate)[:, None]
    found = np.take_along_axis(roc.true_rate, place, axis=1)[:, 0]
    return np.where(roc.complete & roc.resolves(rate), found, np.nan)
