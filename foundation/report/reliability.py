"""The reliability plot: how often what was predicted was true."""

from collections.abc import Sequence
from typing import Any

from foundation.statistics.calibration import ReliabilityBin


def draw_reliability(axis: Any, bins: Sequence[ReliabilityBin]) -> None:
    """A point for each bin, of what was predicted and how often it was true, with its number of images."""
    axis.plot([0, 1], [0, 1], color='grey', linestyle=':')
    axis.plot([one.probability for one in bins], [one.share for one in bins], marker='o')
    for one in bins:
        place = (one.probability, one.share)
        axis.annotate(str(one.images), place, (0, 6), textcoords='offset points', fontsize=7, ha='center')
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.08))
