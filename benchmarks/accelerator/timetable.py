"""How long each resolution is trained, so that the time given is used and the last one gets most of it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from benchmarks.accelerator.tasks import Row

GROWTH = 1 / 0.7  # a stage gets so many times the time of the one before
GROWTH_OF_TIME = 1.2  # layers are half as wide where images are twice as large, so it is nearer to 1 than to 2
_FAR = 20.0
_FADING = 0.4  # of a stage
_PLANNED = 0.85  # of the time; the rest is for compiling the first stage, growing, pictures and checkpoints
_OPEN_END = 3  # the last stage is so many times as long as planned: the time limit ends it


@dataclasses.dataclass(frozen=True)
class PlannedStage:
    """Training at one resolution.

    Attributes:
      resolution, batch_size: of its images.
      fade_images, stable_images: of its two parts, whole calls together.
      seconds: that it is planned to take; the last one ends with the time.
    """

    resolution: int
    batch_size: int
    fade_images: int
    stable_images: int
    seconds: float


def plan_stages(
    speeds: Mapping[int, float],
    batch_sizes: Mapping[int, int],
    seconds: float,
    steps_per_call: int,
    *,
    grown: bool,
) -> tuple[PlannedStage, ...]:
    """Shares the time among the resolutions of `speeds`, in rising order.

    Args:
      speeds: images a second by resolution.
      batch_sizes: by resolution.
      seconds: for all.
      grown: whether a lower resolution was trained before, from which the first of these fades in.
      steps_per_call: a stage is cut into calls of so many steps, so that one program makes all of them.
    """
    resolutions = sorted(speeds)
    weights = [GROWTH**number for number in range(len(resolutions))]
    stages: list[PlannedStage] = []
    for resolution, weight in zip(resolutions, weights, strict=True):
        share = _PLANNED * seconds * weight / sum(weights)
        call = batch_sizes[resolution] * steps_per_call
        calls = max(round(share * speeds[resolution] / call), 2)
        fade = max(round(_FADING * calls), 1) if stages or grown else 0
        if resolution == resolutions[-1]:
            calls *= _OPEN_END
        stages.append(PlannedStage(resolution, batch_sizes[resolution], fade * call, (calls - fade) * call, share))
    return tuple(stages)


def apply(config: ConfigDict, stages: Sequence[PlannedStage]) -> None:
    """Makes them the schedule of the config."""
    config.schedule.initial_resolution = stages[0].resolution
    with config.ignore_type():
        config.schedule.batch_size = {f'at_{stage.resolution}': stage.batch_size for stage in stages}
        config.schedule.fade_images = {f'at_{stage.resolution}': stage.fade_images for stage in stages}
        config.schedule.stable_images = {f'at_{stage.resolution}': stage.stable_images for stage in stages}


def find_speeds(rows: Sequence[Row], network: str) -> dict[int, float]:
    """Images a second by resolution, as far as training steps of the network were measured."""
    own = [row for row in rows if row.get('network') == network and {'pixels', 'images/s'} <= set(row)]
    return {row['pixels']: row['images/s'] for row in own}


def fill_speeds(known: Mapping[int, float], resolutions: Sequence[int]) -> dict[int, float]:
    """Images a second at all resolutions, from some that are known.

    Between those the logarithms lie on straight lines; beyond, time grows with the resolution to the power of
    GROWTH_OF_TIME.
    """
    points = sorted((math.log(resolution), math.log(speed)) for resolution, speed in known.items())
    (lowest, fastest), (highest, slowest) = points[0], points[-1]
    below = (lowest - _FAR, fastest + GROWTH_OF_TIME * _FAR)
    beyond = (highest + _FAR, slowest - GROWTH_OF_TIME * _FAR)
    x, y = zip(below, *points, beyond, strict=True)
    return {resolution: math.exp(float(np.interp(math.log(resolution), x, y))) for resolution in resolutions}
