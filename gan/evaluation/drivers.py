"""Which measured features set generated images apart from real ones, and the logarithm of their distance."""

import math
from typing import Any

import numpy as np

from backbones.radiomics import describe_feature
from foundation.statistics.jackknife import Missing, Score
from gan.evaluation.statistics import ImageStatistics, Units

_SHOWN = 12


def describe_drivers(
    generated: ImageStatistics, reference: ImageStatistics, units: Units, measures: tuple[str, ...]
) -> list[dict[str, Any]]:
    """The features that add most to the distance if they are taken one by one, most first.

    One feature alone adds (m1 - m2)^2 + (s1 - s2)^2 for means m and deviations s, in deviations of the reference.

    Args:
      generated, reference: described in these units.
      units: of the features.
      measures: names of all features.
    """
    judged, real = (
        each.features[each.finite].astype(np.float64).reshape(-1, len(units.kept))
        for each in (generated, reference)
    )
    if not len(judged):
        return []
    shifts = judged.mean(axis=0) - real.mean(axis=0)
    ratios = judged.std(axis=0) / real.std(axis=0)
    order = np.argsort(-(shifts**2 + (ratios - 1) ** 2))[:_SHOWN]
    names = [measures[number] for number in units.kept]
    return [
        {
            'feature': names[number],
            'words': describe_feature(names[number]),
            'shift': float(shifts[number]),
            'spread': float(ratios[number]),
        }
        for number in order
    ]


def describe_logarithm(score: Score) -> dict[str, Any] | None:
    """The logarithm of the distance with its interval (Konz et al. 2026, equation 3); None where there is none."""
    if isinstance(score, Missing) or score.value <= 0:
        return None
    low, high = score.interval()
    return {
        'value': math.log(score.value) / 2,
        'interval': [math.log(low) / 2 if low > 0 else None, math.log(high) / 2],
    }
