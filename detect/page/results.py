"""Asks the detector about files that were sent, in the names that they came with."""

import collections
import dataclasses
import logging
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.judge import Judge
from detect.page.uploads import STORED
from detect.predictions import answer_one
from foundation.training.errors import UserError
from input_pipeline.errors import DataError, Refusals
from input_pipeline.inputs import Incoming, find_incoming
from input_pipeline.records import ReaderOptions

_MOST_CASES = 50  # of one page; each has a picture
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Answered:
    """What is said of one picture, series or volume.

    Attributes:
      label: what it is called on the page.
      answer: see `detect.predictions.answer_one`.
      picture: of where it is strange, PNG; None where nothing can be said.
    """

    label: str
    answer: dict[str, Any]
    picture: bytes | None


@dataclasses.dataclass(frozen=True)
class PageResults:
    """What is said of all files.

    Attributes:
      cases: that were judged.
      refused: names of files that could not be, and why.
    """

    cases: tuple[Answered, ...]
    refused: tuple[tuple[str, str], ...]


def read_prevalence(percent: str) -> float | None:
    """The share that a field in percent tells; None for an empty one.

    Raises:
      UserError: when it is no number above 0 and below 100.
    """
    if not percent.strip():
        return None
    try:
        share = float(percent.replace(',', '.')) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UserError('The expected share of synthetic images must be a number above 0 and below 100 percent.')
    return share


def warm_up(judge: Judge) -> None:
    """Does what takes long the first time before anyone waits for it."""
    detector = judge.detector
    side = detector.recipe.resolution
    blank = np.zeros((1, side, side, detector.recipe.channels), np.float32)
    detector.anomalies.score(detector.describe(blank), side, side)


def answer_files(files: Mapping[Path, str], judge: Judge, reading: ReaderOptions) -> PageResults:
    """Judges all that was sent; one bad file never stops the others.

    Args:
      files: in one folder, with the names to be shown; pictures are drawn below it.
      judge: the detector.
      reading: how files are read.

    Raises:
      UserError: when there is nothing, or too much.
    """
    if not files:
        raise UserError('No file was chosen.')
    refusals = Refusals(skip=True)
    found = find_incoming(list(files), reading, refusals)
    if len(found) > _MOST_CASES:
        raise UserError(
            f'These are {len(found)} images or series, and the page shows {_MOST_CASES} at a time; '
            'python -m detect.predict answers any number.'
        )
    names = _Names(files, found)
    cases = []
    for incoming in found:
        try:
            cases.append(_answer(incoming, judge, names))
        except (DataError, UserError) as error:
            refusals.add(incoming.source, str(error))
        except Exception as error:  # the page promises a sentence for each file; its text may quote that of a file
            place = ''.join(traceback.format_tb(error.__traceback__))
            _LOGGER.error('A file could not be judged (%s), at\n%s', type(error).__name__, place)
            refusals.add(incoming.source, 'cannot be judged; the terminal of detect.app tells why')
    refused = [(names.restore(source), names.restore(reason)) for source, reason in refusals.reasons.items()]
    return PageResults(tuple(cases), tuple(refused))


def _answer(incoming: Incoming, judge: Judge, names: '_Names') -> Answered:
    answer = answer_one(incoming, judge, incoming.files[0].parent / 'overlays')
    picture = Path(answer['overlay']).read_bytes() if 'overlay' in answer else None
    return Answered(names.label(incoming), answer, picture)


class _Names:
    """From our names of files to those they came with.

    Args:
      files: see `answer_files`.
      found: what they hold.
    """

    def __init__(self, files: Mapping[Path, str], found: Sequence[Incoming]):
        self._files = files
        self._volumes = collections.Counter(incoming.source for incoming in found)
        self._labels = {incoming.source: self._describe(incoming) for incoming in found}

    def label(self, incoming: Incoming) -> str:
        """Of a case: its file, the first of its files, or its place in a file of several volumes."""
        label = self._labels[incoming.source]
        if self._volumes[incoming.source] == 1:
            return label
        return f'{label}, volume {int(incoming.name.rpartition("_volume")[2]) + 1}'

    def restore(self, text: str) -> str:
        """A sentence about our files, told about theirs."""
        if text in self._labels:
            return self._labels[text]
        shown = {path.name: name for path, name in self._files.items()}
        inside = text.replace(f'{next(iter(self._files)).parent}/', '')
        return STORED.sub(lambda found: shown.get(found[0], found[0]), inside)

    def _describe(self, incoming: Incoming) -> str:
        first = self._files[incoming.files[0]]
        others = len(incoming.files) - 1
        return f'{first} and {others} more of its series' if others else first
