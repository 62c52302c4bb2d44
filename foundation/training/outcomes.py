"""How a phase and a run of training ended."""

import dataclasses
from collections.abc import Sequence

from foundation.training.checkpoints import Position
from foundation.training.phases import Phase, State


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      state, position: the last ones.
      best: position of the best state of the last phase; None where none was measured.
      stopped_by: the signal, `time limit`, `collapse`, `another` (process that was asked to stop), or ''.
      seconds: where its time went.
    """

    state: State
    position: Position
    best: Position | None
    stopped_by: str
    seconds: dict[str, float]


@dataclasses.dataclass(frozen=True)
class PhaseEnd:
    """A phase that is over, or that was stopped.

    Attributes:
      phase: which one.
      state, position: at its end; the state is donated when training goes on.
      seconds: where the time of the run has gone so far, see `Outcome`.
      compiling: seconds that its programs took to compile, in the background or not.
      later: the phases after it.
    """

    phase: Phase
    state: State
    position: Position
    seconds: dict[str, float]
    compiling: float
    later: Sequence[Phase]
