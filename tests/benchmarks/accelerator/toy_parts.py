"""Parts that take moments, and fail in every way."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accelerator import plan
from benchmarks.accelerator.supervisor import Run
from benchmarks.accelerator.tasks import Context, NotHere, Row, Task


def _measure(context: Context) -> Iterator[Row]:
    for number in range(3):
        time.sleep(0.02)
        yield {'number': number, 'seconds left': context.seconds_left() > 0}


def _fail(_: Context) -> Iterator[Row]:
    yield {'before': 1}
    raise ValueError('this went wrong\nin two lines')


def _lack(_: Context) -> Iterator[Row]:
    raise NotHere('a thing is missing')
    yield {}


def _exit(_: Context) -> Iterator[Row]:
    yield {'before': 1}
    os._exit(7)


def _die(_: Context) -> Iterator[Row]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield {}


def _hang(_: Context) -> Iterator[Row]:
    yield {'before': 1}
    time.sleep(600)


def _create_tasks(_: bool) -> Sequence[Task]:
    named = {'first': _measure, 'fails': _fail, 'lacks': _lack, 'exits': _exit, 'dies': _die, 'last': _measure}
    return [Task(name, 1.0, run) for name, run in named.items()]


def _create_last_tasks(_: bool) -> Sequence[Task]:
    return [Task('costly', 1e6, _measure), Task('flag', 0.1, lambda _: iter([{'given': os.environ['XLA_FLAGS']}]))]


PROFILES = {
    'proof': {
        'mixed': plan.Part('Mixed', 'Tasks that fail.', 'measuring', 20, False, _create_tasks),
        'hanging': plan.Part(
            'Hanging', 'A task that hangs.', 'sharing', 1, False, lambda _: [Task('hangs', 0, _hang)]
        ),
        'end': plan.Part('End', 'What comes last.', 'deterministic', 20, False, _create_last_tasks),
    }
}


def create_run(folder: Path, *, parts: tuple[str, ...] = tuple(PROFILES['proof'])) -> Run:
    """A run of these parts."""
    scratch = folder / 'scratch'
    scratch.mkdir(parents=True, exist_ok=True)
    return Run('proof', parts, 1.0, folder / 'out', scratch, data='', data_dir='', rehearse=False)
