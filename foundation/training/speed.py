"""What a step takes on this machine: measured by runs, kept for those to come, and what a run will take by it."""

import collections
import contextlib
import contextvars
import datetime as dt
import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from foundation.files import CACHE, write_file
from foundation.training.compute import on_cpu
from foundation.training.phases import Phase

_FILE = 'speeds.json'
_FEWEST_STEPS = 10  # of a measurement
_KEPT = 1_000  # steps whose time is remembered
# Fields that leave a step as long as it is; its batch and its sides are known apart.
_WITHOUT_EFFECT = (
    'average', 'channels', 'conditional', 'data', 'mask_classes', 'run', 'samples', 'schedule', 'seed',
    'start_from', 'watch',
)  # fmt: skip
_command: contextvars.ContextVar[str] = contextvars.ContextVar('command', default='')


def name_command(file: str, changes: Mapping[str, Any]) -> str:
    """What speeds are kept under: a config, and those of the changed fields that steps may feel.

    Args:
      file: of the config, `.../configs/gan/small.py`, perhaps with a variant behind a colon.
      changes: values by dotted names of fields.
    """
    place = file.rfind('configs/')
    felt = [
        f'{name}={value}' for name, value in sorted(changes.items()) if name.split('.')[0] not in _WITHOUT_EFFECT
    ]
    return ' '.join([file[max(place, 0) :], *felt])


@contextlib.contextmanager
def measuring(command: str) -> Iterator[None]:
    """Within it, runs keep what they measure under this name; elsewhere they keep nothing."""
    token = _command.set(command)
    try:
        yield
    finally:
        _command.reset(token)


def name_device() -> str:
    """The devices of this machine; of CPUs, how many may be used."""
    device = jax.local_devices()[0]
    if on_cpu():
        usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
        return f'CPU of {usable} core{"s" * (usable > 1)}'
    return f'{jax.local_device_count()} x {device.device_kind}'


def name_step(batch_size: int, side: int) -> str:
    """A step by its global batch, and by the height and width of its images."""
    return f'{batch_size} x {side} x {side}'


def read_speeds(command: str) -> dict[str, float]:
    """Seconds of each step that was measured on this machine; none where the file is missing or damaged."""
    known = _read().get(name_device(), {}).get(command, {})
    return {step: entry['seconds'] for step, entry in known.items()}


def write_speeds(command: str, speeds: Mapping[str, float]) -> None:
    """Keeps seconds by step; where that is not possible, nothing happens: it only costs an estimate."""
    everything, today = _read(), dt.date.today().isoformat()
    own = everything.setdefault(name_device(), {}).setdefault(command, {})
    own |= {step: {'seconds': seconds, 'date': today} for step, seconds in speeds.items()}
    with contextlib.suppress(OSError):
        write_file(CACHE / _FILE, json.dumps(everything, indent=1, sort_keys=True).encode())


def _read() -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Seconds and date by device, command and step."""
    try:
        content = json.loads((CACHE / _FILE).read_text(encoding='utf-8'))
        for commands in content.values():
            for steps in commands.values():
                if not all(0 < float(entry['seconds']) < math.inf for entry in steps.values()):
                    return {}
        return content
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


class Forecast:
    """How long the rest of a run takes, from the steps that it, or another run here, has measured.

    A phase that nobody measured is reckoned from the last one that somebody did, by their costs.

    Args:
      phases: of the run.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self._phases, self._command = phases, _command.get()
        self._earlier = read_speeds(self._command) if self._command else {}
        self._calls: dict[str, collections.deque[float]] = {}
        self._open = (0, 0.0)

    def add(self, steps: int, seconds: float) -> None:
        """Takes what one call took, which need not wait for the device."""
        self._open = self._open[0] + steps, self._open[1] + seconds

    def settle(self, phase: Phase, seconds: float) -> None:
        """Takes what the device still needed for all calls that were added, which belong to this phase."""
        steps, total = self._open[0], self._open[1] + seconds
        if steps:
            self._calls.setdefault(phase.name, collections.deque(maxlen=_KEPT)).extend([total / steps] * steps)
        self._open = 0, 0.0

    def seconds_left(self, images_seen: int) -> float | None:
        """Of all training after so many images; None where nothing was measured."""
        speeds = [self._measured(phase) for phase in self._phases]
        known = [index for index, speed in enumerate(speeds) if speed is not None]
        if not known:
            return None
        total = 0.0
        for index, phase in enumerate(self._phases):
            steps = max(phase.end - max(images_seen, phase.start), 0) / phase.batch_size
            reference = min(known, key=lambda other: (abs(other - index), -other))
            total += steps * (speeds[reference] or 0.0) * _cost(phase) / _cost(self._phases[reference])
        return total

    def keep(self) -> None:
        """Keeps what was measured for other runs, see `measuring`."""
        measured = {
            _step_of(phase): statistics.median(self._calls[phase.name])
            for phase in self._phases
            if len(self._calls.get(phase.name, ())) >= _FEWEST_STEPS
        }
        if self._command and measured:
            write_speeds(self._command, measured)

    def _measured(self, phase: Phase) -> float | None:
        calls = self._calls.get(phase.name, ())
        if len(calls) >= _FEWEST_STEPS:
            return statistics.median(calls)
        return self._earlier.get(_step_of(phase))


def _cost(phase: Phase) -> float:
    return phase.cost * phase.batch_size


def _step_of(phase: Phase) -> str:
    shape = next(iter(phase.batch.values())).shape
    return name_step(phase.batch_size, shape[1] if len(shape) > 1 else 1)


def describe_time(seconds: float) -> str:
    """A time as people say it: minutes under two hours, hours under two days, then days."""
    if seconds < 90:
        return f'{max(round(seconds), 1)} s'
    for unit, length in (('minutes', 60), ('hours', 3_600)):
        if seconds < 2 * length * (60 if unit == 'minutes' else 24):
            return f'{seconds / length:.{1 if seconds < 10 * length else 0}f} {unit}'.replace('.0 ', ' ')
    return f'{seconds / 86_400:.0f} days'
