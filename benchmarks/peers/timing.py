"""Timing two programs in turn, so that what else a machine does meets both."""

import dataclasses
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class PeerRun:
    """A training step, a prediction or the like, which returns when all is computed.

    Attributes:
      run: does it once.
      form: how it is done, for a table.
      parameters: of the trained networks together; 0 where nothing is trained.
    """

    run: Callable[[], None]
    form: str
    parameters: int

    def __call__(self) -> None:
        self.run()


def interleave(
    ours: Callable[[], None], peer: Callable[[], None], repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of so many runs of each, in turn, after one of each that is not timed."""
    ours()
    peer()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for run, own in zip((ours, peer), seconds, strict=True):
            own.append(measure(run))
    return seconds


def measure(run: Callable[[], None]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@dataclasses.dataclass(frozen=True)
class Compared:
    """What was measured of a pair.

    Attributes:
      ours, peer: seconds of each run.
    """

    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> float:
        """Median of the peer over ours: above 1 ours is faster."""
        return statistics.median(self.peer) / statistics.median(self.ours)

    @property
    def ratios(self) -> tuple[float, float]:
        """The lowest and highest ratio of two runs that followed each other."""
        each = [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]
        return min(each), max(each)
