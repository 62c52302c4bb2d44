"""Metrics on their way from the device to the log, and where the time goes."""

import collections
import time
from collections.abc import Callable

import jax
import numpy as np

_CALLS_IN_FLIGHT = 2  # enough to keep the device busy without queueing batches without end


class Stopwatch:
    """Seconds by activity, and in all."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._started = time.perf_counter()

    def timed(self, activity: str, function: Callable, *arguments):
        """Calls `function` and adds its time to `activity`."""
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.seconds[activity] += time.perf_counter() - start

    def totals(self) -> dict[str, float]:
        """Seconds by activity, and as `total` since the stopwatch was made."""
        return {**self.seconds, 'total': time.perf_counter() - self._started}


class Meter:
    """Gathers the metrics of all steps between two lines of the log.

    Args:
      images_seen: at the start.
    """

    def __init__(self, images_seen: int):
        self._pending: collections.deque[dict[str, jax.Array]] = collections.deque()
        self._unlogged: list[dict[str, np.ndarray]] = []
        self._last = (time.perf_counter(), images_seen)

    def add(self, metrics: dict[str, jax.Array]) -> None:
        """Takes one call's metrics, (steps,) each; waits only when too many calls are under way."""
        self._pending.append(metrics)
        while len(self._pending) > _CALLS_IN_FLIGHT:
            self._unlogged.append(jax.device_get(self._pending.popleft()))

    def flush(self) -> None:
        """Waits for the device, so that what follows is not timed as training, nor training as what follows."""
        while self._pending:
            self._unlogged.append(jax.device_get(self._pending.popleft()))

    def averages(self, images_seen: int) -> dict[str, float]:
        """Means since the last time, `images_per_second` among them; empty where nothing came."""
        self.flush()
        if not self._unlogged:
            return {}
        unlogged, self._unlogged = self._unlogged, []
        names = {name: None for metrics in unlogged for name in metrics}
        values = {name: np.concatenate([m[name] for m in unlogged if name in m]) for name in names}
        # Skipped steps have no loss; JSON has no NaN.
        finite = {name: value[np.isfinite(value)] for name, value in values.items()}
        averages = {name: float(np.mean(value)) for name, value in finite.items() if value.size}
        averages |= {name: int(value.max()) for name, value in values.items() if name.startswith('skipped')}
        now = time.perf_counter()
        (then, images_then), self._last = self._last, (now, images_seen)
        return {'images_per_second': (images_seen - images_then) / (now - then), **averages}
