"""The most alike kind of each picture, or none."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8

from input_pipeline.identification.exemplars import Exemplars
from input_pipeline.identification.measures import MEASURES, Measure
from input_pipeline.parallel import ordered_map

NONE = 'none of these'
_CHUNK = 64  # pictures that one thread describes and compares at a time


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was recognised in some pictures.

    Attributes:
      kinds: names.
      scores: likeness to the most alike exemplar of each kind.
      thresholds: of each kind; a best kind below its own is none.
    """

    kinds: tuple[str, ...]
    scores: Float32[np.ndarray, 'pictures kinds']
    thresholds: Float64[np.ndarray, ' kinds']

    @functools.cached_property
    def best(self) -> Int[np.ndarray, ' pictures']:
        """The most alike kind of each picture, whatever its score."""
        return self.scores.argmax(axis=1)

    @functools.cached_property
    def kind(self) -> Int[np.ndarray, ' pictures']:
        """The kind of each picture, or -1 for none."""
        known = self.scores.max(axis=1) >= self.thresholds[self.best]
        return np.where(known, self.best, -1)

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """Pictures of every kind, the most frequent first, and of none where there are such."""
        found = {
            self.kinds[kind] if kind >= 0 else NONE: int((self.kind == kind).sum())
            for kind in set(self.kind.tolist())
        }
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))


class Recogniser:
    """Compares pictures with exemplars by one measure."""

    def __init__(self, exemplars: Exemplars, measure: str) -> None:
        self._exemplars = exemplars
        self._measure = MEASURES[measure]
        self._described = self._measure.describe(exemplars.pictures)
        self._thresholds = exemplars.thresholds[measure]

    def __call__(self, pictures: UInt8[np.ndarray, 'count 64 64']) -> Answers:
        """The likeness of pictures to the most alike exemplar of every kind."""
        likeness = compare(self._measure, pictures, self._described)
        owners, kinds = self._exemplars.owners, range(len(self._exemplars.kinds))
        scores = np.stack([likeness[:, owners == kind].max(axis=1) for kind in kinds], axis=1)
        return Answers(self._exemplars.kinds, scores, self._thresholds)


def compare(
    measure: Measure,
    pictures: UInt8[np.ndarray, 'pictures 64 64'],
    described: Float32[np.ndarray, 'exemplars *description'],
) -> Float32[np.ndarray, 'pictures exemplars']:
    """The likeness of every picture to every exemplar, computed in threads.

    Args:
      measure: which describes and compares.
      pictures: any number of them.
      described: exemplars as `measure.describe` gives them.
    """

    def of_chunk(start: int) -> Float32[np.ndarray, 'count exemplars']:
        return measure.compare(measure.describe(pictures[start : start + _CHUNK]), described)

    starts = range(0, len(pictures), _CHUNK)
    return np.concatenate([future.result() for _, future in ordered_map(of_chunk, starts)])


def join(answers: Iterable[Answers]) -> Answers:
    """Answers about several chunks of pictures as one; there must be at least one."""
    parts = list(answers)
    return dataclasses.replace(parts[0], scores=np.concatenate([part.scores for part in parts]))
