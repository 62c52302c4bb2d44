"""A reader's answers: a line each, on disk before the next case is shown."""

import dataclasses
import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.training.errors import UserError
from gan.reading.plan import ANSWERS, StudyPlan

SCALE = (
    'definitely real',
    'probably real',
    'possibly real',
    'possibly generated',
    'probably generated',
    'definitely generated',
)
LONGEST = 86_400.0  # seconds of one case
_MOST = 2**27  # bytes of a file


@dataclasses.dataclass(frozen=True)
class CaseAnswer:
    """What a reader said of a case.

    Attributes:
      case: its number.
      confidence: 1 to 6, see `SCALE`; from 4 on the case is called generated.
      seconds: that it was looked at, pauses left out.
    """

    case: int
    confidence: int
    seconds: float


class AnswerSheet:
    """The answers of one reader, in their order.

    A last line that was cut short, as a power failure leaves it, is no answer; it is removed before the next one.

    Args:
      folder: of the study.
      plan: of the study.
      reader: number from 0.

    Raises:
      UserError: when the file holds anything but answers of this reader to this plan.
    """

    def __init__(self, folder: Path, plan: StudyPlan, reader: int) -> None:
        self._path = folder / ANSWERS / f'reader_{reader + 1}.jsonl'
        self.order: Sequence[int] = plan.orders[reader]
        self._owner = {'plan': plan.checksum, 'reader': reader + 1}
        self.answers: list[CaseAnswer] = []
        self._size = 0
        if self._path.is_file():
            self._read()

    @property
    def is_complete(self) -> bool:
        """Whether every case was judged, repeated ones twice."""
        return len(self.answers) == len(self.order)

    def add(self, confidence: Any, seconds: Any) -> None:
        """Keeps the answer to the next case; when this returns, it is on the disk.

        Args:
          confidence, seconds: see `CaseAnswer`; whatever a page sent.

        Raises:
          ValueError: when they are no answer, or no case is left.
          OSError: when it cannot be written; then it is not kept.
        """
        if self.is_complete:
            raise ValueError('All cases are judged.')
        _check(confidence, seconds)
        answer = CaseAnswer(self.order[len(self.answers)], confidence, round(float(seconds), 3))
        lines = [] if self._size else [self._owner]
        when = dt.datetime.now(dt.UTC).isoformat(timespec='seconds')
        lines.append({**dataclasses.asdict(answer), 'when': when})
        content = ''.join(json.dumps(line) + '\n' for line in lines).encode()
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), 'r+b') as file:
            file.truncate(self._size)
            file.seek(self._size)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._size)
                raise
        self._size += len(content)
        self.answers.append(answer)

    def _read(self) -> None:
        if self._path.stat().st_size > _MOST:
            raise self._damaged(1)
        whole = self._path.read_bytes().rpartition(b'\n')[0]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._take(json.loads(line), is_first=number == 1)
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise self._damaged(number) from error
        self._size = len(whole) + bool(whole)

    def _take(self, content: Any, *, is_first: bool) -> None:
        if is_first:
            if content != self._owner:
                raise ValueError('of another study')
            return
        _check(content['confidence'], content['seconds'])
        answer = CaseAnswer(content['case'], content['confidence'], float(content['seconds']))
        if self.is_complete or answer.case != self.order[len(self.answers)]:
            raise ValueError('not the case that came')
        self.answers.append(answer)

    def _damaged(self, line: int) -> UserError:
        return UserError(
            f'{self._path}, line {line}: is no answer to this study; restore the file from a copy, or remove it '
            'for the reader to begin anew.'
        )


def _check(confidence: Any, seconds: Any) -> None:
    if type(confidence) is not int or not 1 <= confidence <= len(SCALE):
        raise ValueError(f'A confidence is a number from 1 to {len(SCALE)}.')
    if type(seconds) not in (int, float) or not 0 <= seconds <= LONGEST:  # nor NaN
        raise ValueError(f'Seconds are from 0 to {LONGEST:.0f}.')
