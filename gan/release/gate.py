"""Which generated images are nearer to a training image than real patients are."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from gan.release.nearest import Distances

MEASURES = ('pixels', 'features')
_COPY = 0.01  # distance in pixels below which images are the same but for rounding


@dataclasses.dataclass(frozen=True)
class GateThresholds:
    """Distances below or at which an image is withheld.

    Attributes:
      pixels, features: see `Distances`.
      quantile: share of real held-out images that would be withheld, where each patient has the same weight.
      held_out, patients: images that it was found with, and whose they are.
    """

    pixels: float
    features: float
    quantile: float
    held_out: int
    patients: int

    @property
    def are_of_copies(self) -> bool:
        """Whether held-out images are copies of training images, so that copies pass for other patients."""
        return self.pixels < _COPY

    def too_near(self, distances: Distances) -> dict[str, Bool[np.ndarray, 'count']]:
        """For each measure, which images are too near, or have no distance."""
        return {name: ~(getattr(distances, name) > getattr(self, name)) for name in MEASURES}


def find_thresholds(held_out: Distances, owners: Int[np.ndarray, 'count'], quantile: float) -> GateThresholds:
    """Thresholds under which about a share of `quantile` of real held-out patients lies, in either measure.

    Each patient has the same weight, which the images share: one of many slices does not decide alone. Each
    measure gets half of the quantile. The smallest distance at or below which that much weight lies is taken, so
    that one image at least is below: with few held-out images the gate withholds more, not less.

    Args:
      held_out: distances of real held-out images.
      owners: the number of each image's patient.
      quantile: see `GateThresholds`.

    Raises:
      ValueError: for a quantile that is not above 0 and below 1, or without images.
    """
    if not 0 < quantile < 1:
        raise ValueError(f'A quantile of {quantile} is not above 0 and below 1.')
    if not len(held_out.pixels):
        raise ValueError('There is no held-out image.')
    _, places, images = np.unique(owners, return_inverse=True, return_counts=True)
    weights = 1 / (images[places] * len(images))
    share = quantile / len(MEASURES)
    values = {name: _weighted_quantile(getattr(held_out, name), weights, share) for name in MEASURES}
    return GateThresholds(**values, quantile=quantile, held_out=len(owners), patients=len(images))


def _weighted_quantile(
    distances: Float[np.ndarray, 'count'], weights: Float[np.ndarray, 'count'], share: float
) -> float:
    """The smallest distance at or below which that share of the weights, 1 in all, lies."""
    order = np.argsort(distances)
    place = np.searchsorted(np.cumsum(weights[order]), share - 1e-9)
    return float(distances[order[place]])


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
