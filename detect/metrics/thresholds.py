"""Thresholds, fitted on validation alone."""

import dataclasses
import math

import numpy as np

from detect.metrics.ranking import Roc, trace_roc
from detect.metrics.samples import RATES, Labels, Scores, check_scores, weigh_once
from foundation.training.errors import UserError


@dataclasses.dataclass(frozen=True)
class DecisionThresholds:
    """An image is called fake where its score is no less than the threshold.

    For JSON: `dataclasses.asdict(thresholds)` and `DecisionThresholds(**loaded)`.

    Attributes:
      youden: of the largest true minus false positive rate (Youden 1950).
      equal_error: where as many fakes are missed as reals are called fake, or nearly so.
      fpr_1_percent, fpr_0_1_percent: the lowest with no more than 1% and 0.1% of reals called fake. None where
        validation has fewer than 100 and 1,000 real images, which cannot tell.

    Raises:
      ValueError: for a threshold that is not a finite number.
    """

    youden: float
    equal_error: float
    fpr_1_percent: float | None
    fpr_0_1_percent: float | None

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is None and name in RATES:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f'The threshold {name} is {value!r}, not a finite number.')


def check_fit(what: str, scores: Scores, labels: Labels, *, split: str) -> None:
    """Whether scores may serve to fit something.

    Args:
      what: is to be fitted, as the beginning of a sentence.
      scores: of a detector.
      labels: 1 = fake.
      split: where the scores come from.

    Raises:
      ValueError: for another split than 'validation', and for bad scores or labels.
      UserError: without real or without fake images.
    """
    if split != 'validation':
        raise ValueError(f'{what} is fitted on the validation split alone, not on {split!r}.')
    check_scores(scores, labels)
    fakes = int(labels.astype(bool).sum())
    if fakes in (0, len(labels)):
        raise UserError(
            f'{what} is fitted on real and fake images of validation, of which {fakes} of {len(labels)} are fake: '
            'prepare a split that has both.'
        )


def fit_thresholds(scores: Scores, labels: Labels, *, split: str) -> DecisionThresholds:
    """The thresholds, midway between the scores that they part; the highest where several do equally well.

    Args:
      scores: the higher, the more like a fake.
      labels: 1 = fake.
      split: where the scores come from.

    Raises:
      ValueError: for another split than 'validation', and for bad scores or labels.
      UserError: without real or without fake images.
    """
    check_fit('A threshold', scores, labels, split=split)
    roc = trace_roc(scores, labels, weigh_once(len(scores)))
    true_rate, false_rate = roc.true_rate[0], roc.false_rate[0]
    limited = {
        name: _threshold_at(roc, int(roc.last_within(rate)[0])) if roc.resolves(rate) else None
        for name, rate in RATES.items()
    }
    return DecisionThresholds(
        youden=_threshold_at(roc, int(np.argmax(true_rate - false_rate))),
        equal_error=_threshold_at(roc, int(np.argmin(np.abs(1 - true_rate - false_rate)))),
        **limited,
    )


def _threshold_at(roc: Roc, point: int) -> float:
    """Midway between the last level that is called fake and the next one."""
    levels = roc.levels
    if point == 0:
        return float(np.nextafter(levels[0], np.inf))
    if point == len(levels):
        return float(levels[-1])
    above, below = levels[point - 1], levels[point]
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)  # neighbouring numbers have nothing between them
