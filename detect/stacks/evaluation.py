"""How well a stack network and its alternatives tell fake volumes from real ones."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Float32, Float64

from detect.fusion import fit_logit_temperature, probability_of_fake
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import Judged
from detect.metrics.table import score_table
from detect.metrics.thresholds import fit_thresholds
from detect.stacks.data import Stacks
from detect.stacks.detector import TrainedStack

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


ATTENTION = 'attention'
_VALIDATION = 'validation'
_RESAMPLES = 2000
Scores = Float64[np.ndarray, ' stack']


def measure(trained: TrainedStack, validation: Stacks, test: Stacks, *, seed: int) -> dict[str, Any]:
    """Thresholds and temperature from validation, scores of test patients with 95% intervals, as JSON has them.

    Args:
      trained: the network.
      validation, test: volumes of both splits.
      seed: of the bootstrap.
    """
    fitting, _ = score_stacks(trained, validation)
    scores, weights = score_stacks(trained, test)
    temperature = fit_logit_temperature(fitting[ATTENTION], validation.labels, split=_VALIDATION)
    thresholds = {name: fit_thresholds(own, validation.labels, split=_VALIDATION) for name, own in fitting.items()}
    prevalence = float(validation.labels.mean())
    tables = {}
    for name, own in scores.items():
        probabilities = probability_of_fake(own, temperature) if name == ATTENTION else None
        judged = Judged(own, probabilities, test.labels, test.patients)
        table = score_table(judged, thresholds[name], prevalence=prevalence, resamples=_RESAMPLES, seed=seed)
        tables[name] = {score: dataclasses.asdict(value) for score, value in table.items()}
    return {
        'checksum': trained.checksum,
        'slices_checksum': trained.slices_checksum,
        'step': trained.position.step,
        'temperature': temperature,
        'prevalence': prevalence,
        'thresholds': {name: dataclasses.asdict(own) for name, own in thresholds.items()},
        'volumes': {'test': len(test.labels), 'altered': int(test.labels.sum())},
        'patients': len(np.unique(test.patients)),
        'scores': tables,
        'slices': score_slices(test),
        'heaviest_slice': _hint(test, weights),
    }


def score_stacks(
    trained: TrainedStack, stacks: Stacks
) -> tuple[dict[str, Scores], Float64[np.ndarray, 'stack slice']]:
    """All scores of volumes by name, and the weights of their slices."""
    logits, weights = trained.describe(stacks.features, stacks.valid)
    pooled = {name: pool(stacks.log_odds, stacks.valid) for name, pool in POOLINGS.items()}
    return {ATTENTION: np.asarray(logits, np.float64), **pooled}, np.asarray(weights, np.float64)


def score_slices(stacks: Stacks) -> dict[str, Any]:
    """AUROC of the slices' odds: among all slices, and against the same slices of what the volumes were before.

    Where something is altered is not chance, so that odds which follow the anatomy alone do well among all slices.
    Against slices of the same place they must follow what was altered.
    """
    valid = stacks.valid
    before, after = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for number in np.flatnonzero(stacks.labels):
        same = (stacks.patients == stacks.patients[number]) & (valid == valid[number]).all(axis=1)
        for original in np.flatnonzero(same & (stacks.labels == 0)):
            before.append(stacks.log_odds[original, stacks.altered[number]])
            after.append(stacks.log_odds[number, stacks.altered[number]])
    fakes, reals = np.concatenate(after), np.concatenate(before)
    return {
        'auroc': _rank(stacks.log_odds[valid], stacks.altered[valid]),
        'auroc_in_the_same_place': _rank(np.append(fakes, reals), np.arange(2 * len(fakes)) < len(fakes)),
    }


def _rank(scores: Float32[np.ndarray, ' slice'], altered: Bool[np.ndarray, ' slice']) -> float | None:
    if not 0 < altered.sum() < len(altered):
        return None
    return auroc_of(scores, altered)


def _hint(stacks: Stacks, weights: Float64[np.ndarray, 'stack slice']) -> dict[str, Any]:
    """How often the slice that weighs most, and the most suspicious one, are altered, where some slices are."""
    altered = stacks.altered & stacks.valid
    partly = altered.any(axis=1) & (stacks.valid & ~altered).any(axis=1)
    if not partly.any():
        return {'volumes': 0, 'altered': None, 'most_suspicious_altered': None, 'by_chance': None}
    rows, hits = np.flatnonzero(partly), altered[partly]
    suspicion = np.where(stacks.valid, stacks.log_odds, -np.inf)[partly]
    return {
        'volumes': len(rows),
        'altered': float(hits[np.arange(len(rows)), weights[partly].argmax(axis=1)].mean()),
        'most_suspicious_altered': float(hits[np.arange(len(rows)), suspicion.argmax(axis=1)].mean()),
        'by_chance': float((hits.sum(axis=1) / stacks.valid[partly].sum(axis=1)).mean()),
    }


def describe(report: Mapping[str, Any]) -> str:
    """The report in a few lines."""
    counts = report['volumes']
    lines = [
        f'{counts["test"]} test volumes of {report["patients"]} patients, {counts["altered"]} altered '
        '(95% intervals over patients; threshold from validation):',
        f'  {"":12}{"AUROC":>22}{"balanced accuracy":>24}',
    ]
    for name, table in report['scores'].items():
        shown = [_show(table[score]) for score in ('auroc', 'youden/balanced_accuracy')]
        lines.append(f'  {name:12}{shown[0]:>22}{shown[1]:>24}')
    hint, slices = report['heaviest_slice'], report['slices']
    if slices['auroc_in_the_same_place'] is not None:
        lines.append(
            f'Slices: AUROC {slices["auroc"]:.3f} among all, {slices["auroc_in_the_same_place"]:.3f} against the '
            'same ones before they were altered.'
        )
    if hint['volumes']:
        lines.append(
            f'The slice that weighs most is altered in {hint["altered"]:.0%} of the volumes altered in part, the '
            f'most suspicious one in {hint["most_suspicious_altered"]:.0%}; by chance {hint["by_chance"]:.0%}.'
        )
    return '\n'.join(lines)


def _show(score: Mapping[str, float | None]) -> str:
    if score['value'] is None:
        return '-'
    if score['low'] is None or score['high'] is None:
        return f'{score["value"]:.3f}'
    return f'{score["value"]:.3f} ({score["low"]:.3f}-{score["high"]:.3f})'
