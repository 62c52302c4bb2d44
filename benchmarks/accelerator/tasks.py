"""What a part of the benchmark is made of: tasks that tell their cost, and what they are given."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class NotHere(Exception):
    """A task that this machine cannot do, with the reason."""


@dataclasses.dataclass(frozen=True)
class Context:
    """What a task may use.

    Attributes:
      out: the folder that comes home, see `ledger`.
      scratch: for everything else; kept until the whole run ends.
      data: a prepared data set; '' for phantoms.
      data_dir: folder of all sets; '' for $TFDS_DATA_DIR.
      rehearse: toy sizes, to see whether everything runs.
      deadline: when this part must have ended, on the clock of `time.monotonic`.
      rows: `rows(part=...)` finds the rows that earlier tasks wrote.
    """

    out: Path
    scratch: Path
    data: str
    data_dir: str
    rehearse: bool
    deadline: float
    rows: Callable[..., list[Row]]

    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


@dataclasses.dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
      name: unique within its part.
      seconds: what it will cost on an accelerator, its compilations included.
      run: yields rows, each of which is written at once.
      most: seconds after which it is ended; 0 for some times what it should cost, and for half of what its part
        has left where other tasks come after it.
    """

    name: str
    seconds: float
    run: Callable[[Context], Iterator[Row]]
    most: float = 0.0
