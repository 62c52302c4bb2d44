"""Parts of an evaluation that are finished, so that a command that was stopped goes on from them."""

import dataclasses
import json
import logging
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from foundation.export.manifest import content_checksum
from input_pipeline.journal import AnswerJournal

_LOGGER = logging.getLogger(__name__)
_BAR = '{desc}{percentage:3.0f}%|{bar}| [{elapsed}, about {remaining} left]'


@dataclasses.dataclass(frozen=True)
class Piece:
    """Something that takes its time to measure.

    Attributes:
      name: of it.
      depends: what decides the result, beside what all parts depend on, as JSON has it.
      cost: how long it takes, beside the other parts, roughly.
      measure: gives the result, as JSON has it.
      files: that it writes to the folder of the finished parts.
    """

    name: str
    depends: Mapping[str, Any]
    cost: float
    measure: Callable[[], Any]
    files: tuple[str, ...] = ()


class FinishedParts:
    """Keeps results in a folder until all are there; one that depends on something else is measured anew.

    Args:
      folder: of its own; what a killed process left in it is used.
      common: what all results depend on, as JSON has it.

    Attributes:
      files: folder that parts write to.
    """

    def __init__(self, folder: Path, common: Mapping[str, Any]) -> None:
        self.files, self._folder, self._common = folder / 'files', folder, dict(common)
        self.files.mkdir(parents=True, exist_ok=True)
        self._journal = AnswerJournal(folder / 'journal', self.files, {'command': 'detect.evaluate'})
        if len(self._journal):
            _LOGGER.info('Going on with %d finished parts of an evaluation that was stopped.', len(self._journal))

    def measure(self, parts: Sequence[Piece]) -> dict[str, Any]:
        """The result of each by its name, from its file where it is finished; a bar tells how much is left."""
        results = {}
        total = sum(part.cost for part in parts)
        with tqdm.tqdm(total=total, smoothing=0, bar_format=_BAR, file=sys.stderr) as bar:
            for part in parts:
                bar.set_description(part.name)
                results[part.name] = self._measure(part)
                bar.update(part.cost)
        return results

    def _measure(self, part: Piece) -> Any:
        name = f'{part.name} {content_checksum({**self._common, **part.depends})}'
        found = self._journal.find(name)
        if found is None:
            found = {'result': json.dumps(part.measure())}  # text, for results may hold NaN
            self._journal.keep(name, found, part.files)
        return json.loads(found['result'])

    def remove(self) -> None:
        """Clears the folder, when the report is there."""
        shutil.rmtree(self._folder, ignore_errors=True)
