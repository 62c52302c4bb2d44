"""How good a classifier is on patients it has never seen, with intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from foundation.statistics.calibration import calibration_gaps, error_interval, log_loss, losses, probabilities_of
from foundation.statistics.percentiles import TAIL
from foundation.statistics.proportions import share_interval
from foundation.statistics.resampling import draw_counts

_DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class ClassifiedImages:
    """What a network says of all images of a split.

    Attributes:
      logits, labels: of every image.
      patients: the number of each image's patient.
    """

    logits: Float[np.ndarray, 'count class']
    labels: Int[np.ndarray, 'count']
    patients: Int[np.ndarray, 'count']


def assess(described: ClassifiedImages, temperature: float, classes: Sequence[str]) -> dict[str, Any]:
    """Scores for JSON: each with its 95% interval from resampled patients, and the confusion counts.

    Log loss in nats; `calibration_error` see there; recall by class is None for classes without an image; rows of
    `confusion` are true classes, columns predicted ones. An interval is None where there is one patient only.
    """
    labels, logits = described.labels, described.logits
    probabilities = probabilities_of(logits, temperature)
    predicted = probabilities.argmax(axis=1)
    confusion = count_confusion(labels, predicted, len(classes))
    totals = confusion.sum(axis=1)
    patients = np.unique(described.patients, return_inverse=True)[1]
    num_patients = int(patients.max()) + 1
    right, loss = (predicted == labels).astype(float), losses(logits, labels, temperature)
    gaps = calibration_gaps(probabilities, labels)
    means = _resample_means(np.column_stack([right, loss, gaps]), patients)
    return {
        'images': len(labels),
        'patients': num_patients,
        'accuracy': {'value': float(right.mean()), 'interval': _as_list(share_interval(right == 1, patients))},
        'log_loss': _assess_mean(loss, None if means is None else means[:, 1]),
        'calibration_error': _assess_calibration(gaps, None if means is None else means[:, 2:]),
        'log_loss_uncalibrated': log_loss(logits, labels, 1.0),
        'recall': {
            name: float(confusion[number, number] / totals[number]) if totals[number] else None
            for number, name in enumerate(classes)
        },
        'confusion': confusion.tolist(),
    }


def count_confusion(
    labels: Int[np.ndarray, 'count'], predicted: Int[np.ndarray, 'count'], num_classes: int
) -> Int[np.ndarray, 'true predicted']:
    """Images by true and by predicted class."""
    confusion = np.zeros((num_classes, num_classes), int)
    np.add.at(confusion, (labels, predicted), 1)
    return confusion


def describe_score(score: dict[str, Any]) -> str:
    """A value with its interval, for people."""
    if score['interval'] is None:
        return f'{score["value"]:.4f} (one patient has no interval)'
    low, high = score['interval']
    return f'{score["value"]:.4f} [{low:.4f}, {high:.4f}]'


def _resample_means(
    columns: Float[np.ndarray, 'count column'], patients: Int[np.ndarray, 'count']
) -> Float64[np.ndarray, 'draw column'] | None:
    """Means of the columns over patients, numbered from 0, drawn with replacement; None for one patient."""
    sizes = np.bincount(patients).astype(float)
    if len(sizes) < 2:
        return None
    # Sums of each patient are enough: images are not gathered again for every draw.
    sums = np.stack([np.bincount(patients, column) for column in columns.T], axis=1)
    drawn = draw_counts(np.random.default_rng(0), _DRAWS, len(sizes))
    return np.concatenate([times @ sums / (times @ sizes)[:, None] for (times,) in drawn])


def _assess_mean(values: Float[np.ndarray, 'count'], means: Float64[np.ndarray, ' draw'] | None) -> dict[str, Any]:
    """The mean, and the percentile interval (Efron and Tibshirani 1993, section 13.3)."""
    interval = None if means is None else np.quantile(means, [TAIL, 1 - TAIL]).tolist()
    return {'value': float(values.mean()), 'interval': interval}


def _as_list(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _assess_calibration(
    gaps: Float[np.ndarray, 'count bin'], means: Float64[np.ndarray, 'draw bin'] | None
) -> dict[str, Any]:
    observed = gaps.mean(axis=0)
    interval = None if means is None else list(error_interval(observed, means, TAIL))
    return {'value': float(np.abs(observed).sum()), 'interval': interval}
