"""Which generated images are nearer to a training image than real patients are."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

from gan.release.likeness import Distances

MEASURES = ('pixels', 'features')


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Distances below or at which an image is withheld.

    Attributes:
      pixels, features: see `Distances`.
      quantile: share of real held-out images that would be withheld.
      held_out: images that it was found with.
    """

    pixels: float
    features: float
    quantile: float
    held_out: int

    def too_near(self, distances: Distances) -> dict[str, Bool[np.ndarray, 'count']]:
        """For each measure, which images are too near."""
        return {name: getattr(distances, name) <= getattr(self, name) for name in MEASURES}


def find_thresholds(held_out: Distances, quantile: float) -> Thresholds:
    """Thresholds under which about a share of `quantile` of real held-out images lies, in either measure.

    Each measure gets half of it. Of n distances the ceil(n q)-th smallest is taken, so that one image at least is
    below: with few held-out images the gate withholds more, not less.

    Raises:
      ValueError: for a quantile that is not above 0 and below 1, or without images.
    """
    if not 0 < quantile < 1:
        raise ValueError(f'A quantile of {quantile} is not above 0 and below 1.')
    if not len(held_out.pixels):
        raise ValueError('There is no held-out image.')
    share = quantile / len(MEASURES)
    values = {name: _smallest(getattr(held_out, name), share) for name in MEASURES}
    return Thresholds(**values, quantile=quantile, held_out=len(held_out.pixels))


def _smallest(distances: Float[np.ndarray, 'count'], share: float) -> float:
    place = max(math.ceil(share * len(distances) - 1e-9), 1) - 1
    return float(np.partition(distances, place)[place])


@dataclasses.dataclass
class Tally:
    """How many candidates there were, and how many were withheld, by measure and in all."""

    candidates: int = 0
    withheld: int = 0
    by_measure: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(MEASURES, 0))

    def add(self, near: dict[str, Bool[np.ndarray, 'count']]) -> Bool[np.ndarray, 'count']:
        """Counts a batch; returns which images pass."""
        passed = ~np.logical_or.reduce(list(near.values()))
        self.candidates += len(passed)
        self.withheld += int((~passed).sum())
        for name, chosen in near.items():
            self.by_measure[name] += int(chosen.sum())
        return passed

    @property
    def share(self) -> float:
        """Of the candidates that were withheld; 0 before the first."""
        return self.withheld / self.candidates if self.candidates else 0.0
