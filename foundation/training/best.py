"""Watching a score while training goes on: the best state is kept apart, and a collapse is noticed."""

import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path

from foundation.training import parallel
from foundation.training.checkpoints import Checkpoints, Position
from foundation.training.phases import Phase, State

FOLDER = 'best_checkpoints'
_ACTIONS = {'go_on': 'goes on', 'stop': 'stops here', 'roll_back': 'goes on from the best state'}
ON_COLLAPSE = tuple(_ACTIONS)
_LOGGER = logging.getLogger(__name__)
_KEEP = 2  # the best, and the one before, should training go on from before the best


@dataclasses.dataclass(frozen=True)
class Watch:
    """What is watched.

    Attributes:
      every: images between two looks.
      measure: `measure(state, phase, images_seen)` returns values by name; called on every process.
      score: the name of the value that should be low.
      on_collapse: `go_on`, `stop`, or `roll_back` to the best state and go on from there with new draws.
      collapse_ratio: a score so many times the best of its phase is a collapse.
    """

    every: int
    measure: Callable[[State, Phase, int], dict[str, float]]
    score: str
    on_collapse: str
    collapse_ratio: float


class Best:
    """The checkpoint with the lowest score of the last phase.

    Attributes:
      position: of that checkpoint, with its score; None while there is none.

    Args:
      workdir: the run.
      watch: what is watched.
      start: where training begins; bests from beyond will be found again.
    """

    def __init__(self, workdir: Path, watch: Watch, start: Position):
        self.watch = watch
        self._checkpoints = Checkpoints(workdir / FOLDER, keep=_KEEP)
        self._checkpoints.delete_after(start.step)
        self.position = self._checkpoints.newest()
        score = None if self.position is None else self.position.score
        self._score = math.inf if score is None else score

    def judge(self, values: dict[str, float], state: State, position: Position) -> bool:
        """Keeps the state where it is the best so far; returns whether it has collapsed, and says so.

        A score that is not finite is a collapse.
        """
        score, best = values[self.watch.score], self._score
        if parallel.any_process(score < best):
            self._score, self.position = score, dataclasses.replace(position, score=score)
            self._checkpoints.save(state, self.position)
            return False
        collapsed = not math.isfinite(score) or score > self.watch.collapse_ratio * best
        if not parallel.any_process(collapsed):
            return False
        _LOGGER.warning(
            'Collapse at %d images: %s is %.4g, the best was %.4g%s. Training %s.',
            position.images_seen,
            self.watch.score,
            score,
            best,
            '' if self.position is None else f' at {self.position.images_seen} images',
            _ACTIONS[self.watch.on_collapse],
        )
        return True

    def restore(self, abstract: State) -> State | None:
        """The best state, or None where there is none yet."""
        self._checkpoints.wait()
        restored = self._checkpoints.restore(lambda position: abstract)
        return None if restored is None else restored[0]

    def wait(self) -> None:
        """Returns when all is on disk."""
        self._checkpoints.wait()

    def close(self) -> None:
        """Waits for writing to end."""
        self._checkpoints.close()
