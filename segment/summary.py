"""Scores of a split from those of its cases: means over patients, then over classes, with intervals."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from foundation.statistics.resampling import Mean, bootstrap_mean
from segment.metrics import KINDS, PLAIN_METRICS, POLICIES, POLICY_METRICS, CaseMeasures

RESAMPLES = 4000
_UNIT_RANGE = {'dice', 'iou', 'nsd', 'sensitivity'}  # the others have no upper limit


@dataclasses.dataclass(frozen=True)
class MeasuredCase:
    """One class of one case.

    Attributes:
      case: its name.
      patient: the unit of the means.
      class_name: of the class.
      measured: by `measure`.
      expected_dice: of the segmenter; None where it found nothing.
    """

    case: str
    patient: str
    class_name: str
    measured: CaseMeasures
    expected_dice: float | None


def summarise(cases: Sequence[MeasuredCase], *, level: float, seed: int) -> dict[str, Any]:
    """Scores of each class and over all classes.

    `classes` and `overall` hold `kinds` (cases by kind) and, by metric, a score: `value`, `interval`, `patients`
    with a value, `touched` (cases in which a mask is empty, so that the policy decides), `skipped` (cases without
    a value), `left_out` (classes without a value) and `reason` where value or interval is None. Scores of
    POLICY_METRICS come by the name of the policy. HD95 and volumes have a `unit`, NSD is `within` a tolerance. A
    case counts once a class.

    Args:
      cases: a row a case and class.
      level: coverage of the intervals.
      seed: of the bootstrap of patients.
    """
    names = list(dict.fromkeys(case.class_name for case in cases))
    by_class = {name: [case for case in cases if case.class_name == name] for name in names}
    return {
        'level': level,
        'cases': len({(case.patient, case.case) for case in cases}),
        'patients': len({case.patient for case in cases}),
        'classes': {name: _summarise_rows(rows, level, seed) for name, rows in by_class.items()},
        'overall': _summarise_rows(cases, level, seed),
    }


def _summarise_rows(rows: Sequence[MeasuredCase], level: float, seed: int) -> dict[str, Any]:
    kinds = {kind: sum(row.measured.kind == kind for row in rows) for kind in KINDS}
    with_policy = {
        metric: {policy: _score(rows, metric, policy, level, seed) for policy in POLICIES}
        for metric in POLICY_METRICS
    }
    plain = {metric: _score(rows, metric, POLICIES[0], level, seed) for metric in PLAIN_METRICS}
    return {'kinds': kinds, **with_policy, **plain}


def _score(rows: Sequence[MeasuredCase], metric: str, policy: str, level: float, seed: int) -> dict[str, Any]:
    """One score, see `summarise`."""
    values = [row.measured.score(metric, policy) for row in rows]
    valued = {row.class_name for row, value in zip(rows, values, strict=True) if value is not None}
    units = _units(rows, metric)
    if len(units) > 1:
        mean = Mean(None, None, 0, f'cases in {" and in ".join(units)} have no mean in common.')
    else:
        mean = bootstrap_mean(tabulate(rows, values), resamples=RESAMPLES, seed=seed)
    score = {
        'value': mean.value,
        'interval': _interval(mean, metric, level),
        'patients': mean.patients,
        'touched': sum(row.measured.kind != 'both' for row in rows) if metric in POLICY_METRICS else 0,
        'skipped': values.count(None),
        'left_out': [name for name in dict.fromkeys(row.class_name for row in rows) if name not in valued],
        'reason': mean.reason,
    }
    if metric == 'nsd':
        return score | {'within': ' or '.join(units)}
    return score | {'unit': ' or '.join(units)} if metric in ('hd95', 'false_positive_volume') else score


def _units(rows: Sequence[MeasuredCase], metric: str) -> list[str]:
    """What the values of a metric are measured in, or with: one entry where they may be averaged."""
    if metric == 'hd95':
        return sorted({row.measured.unit for row in rows})
    if metric == 'nsd':
        return sorted({f'{row.measured.tolerance:g} {row.measured.unit}' for row in rows})
    if metric == 'false_positive_volume':
        return sorted({row.measured.volume_unit for row in rows})
    return ['1']


def _interval(mean: Mean, metric: str, level: float) -> list[float] | None:
    """Within the range of the metric, which a calibrated distribution may leave."""
    if mean.distribution is None:
        return None
    highest = 1.0 if metric in _UNIT_RANGE else np.inf
    return [float(np.clip(end, 0.0, highest)) for end in mean.distribution.interval(level)]


def tabulate(
    rows: Sequence[MeasuredCase], values: Sequence[float | None]
) -> Float64[np.ndarray, 'patients classes']:
    """Means over a patient's cases; NaN where a patient has no value of a class.

    Args:
      rows: patients and classes, which come in the order in which they are first named.
      values: of the rows; None where there is none.
    """
    patients = {name: place for place, name in enumerate(dict.fromkeys(row.patient for row in rows))}
    classes = {name: place for place, name in enumerate(dict.fromkeys(row.class_name for row in rows))}
    sums, counts = np.zeros((2, len(patients), len(classes)))
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            place = patients[row.patient], classes[row.class_name]
            sums[place] += value
            counts[place] += 1
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
