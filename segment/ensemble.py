"""Networks of several runs as one segmenter: their probabilities are averaged."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import input_pipeline
from foundation.training.errors import UserError
from segment.parts import read_parts
from segment.segmentation import Segmentation, decide
from segment.segmenter import TrainedSegmenter


@dataclasses.dataclass(frozen=True, eq=False)
class SegmenterEnsemble:
    """One network or several, of the same classes.

    Attributes:
      members: the networks; what is asked of all is asked of the first where they agree.
      largest_alone: ids of the classes of which one part stays, the largest; see `segment.parts`.
    """

    members: tuple[TrainedSegmenter, ...]
    largest_alone: tuple[int, ...] = ()

    @classmethod
    def load(
        cls, workdirs: Sequence[Path], step: int | None, *, best: bool, mirror: bool, all_parts: bool
    ) -> 'SegmenterEnsemble':
        """The segmenters of some runs.

        Args:
          workdirs: of the runs, one at least.
          step, best, mirror: see `TrainedSegmenter.load`.
          all_parts: whether every part of a mask stays; else what all runs have chosen to take away goes.

        Raises:
          UserError: when one cannot be restored, or another than the first has other classes or channels.
        """
        if step is not None and len(workdirs) > 1:
            raise UserError('--step names a checkpoint of one run; leave it out, or --ensemble.')
        if len({workdir.resolve() for workdir in workdirs}) < len(workdirs):
            raise UserError('--ensemble names a run twice; each counts once.')
        members = [TrainedSegmenter.load(workdir, step, best=best, mirror=mirror) for workdir in workdirs]
        first = members[0]
        for workdir, other in zip(workdirs[1:], members[1:], strict=True):
            if (other.classes, other.channels) != (first.classes, first.channels):
                raise UserError(
                    f'{workdir} segments {", ".join(other.classes)} in images of {other.channels} channels, and '
                    f'{workdirs[0]} {", ".join(first.classes)} in {first.channels}; average runs that do the same.'
                )
        chosen = [set(read_parts(workdir, first.classes)) for workdir in workdirs]
        return cls(tuple(members), () if all_parts else tuple(sorted(set.intersection(*chosen))))

    @property
    def first(self) -> TrainedSegmenter:
        """Whose data and settings stand for all."""
        return self.members[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the foreground classes, that of id 1 first."""
        return self.first.classes

    @property
    def one_part_classes(self) -> tuple[str, ...]:
        """Names of the classes of which the largest part alone stays."""
        return tuple(self.classes[number - 1] for number in self.largest_alone)

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of the weights of one; of several, that of their checksums in order."""
        own = [member.checksum for member in self.members]
        return own[0] if len(own) == 1 else hashlib.sha256('\n'.join(own).encode()).hexdigest()

    def segment(self, case: input_pipeline.Case) -> Segmentation:
        """The class of every pixel of a volume or image, on its own grid, and how sure the networks are.

        Raises:
          DataError: when the images cannot be made what the networks see.
        """
        slices = zip(*(member.probabilities(case) for member in self.members), strict=True)
        found = decide(sum(own[1:], start=own[0]) / len(own) for own in slices)
        return found.with_largest_parts(self.largest_alone)

    def note_on(self, case: input_pipeline.Case) -> str:
        """What is to be said of the windows in which the networks see a case; '' for nothing."""
        return ' '.join(dict.fromkeys(filter(None, (member.note_on(case) for member in self.members))))
