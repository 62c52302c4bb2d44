"""Runs the parts of the benchmark in processes of their own, which may fail or hang without ending the others."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accelerator import ledger, plan

CHILD = 'benchmarks.accelerator.child'  # run as a module; it imports JAX, this process stays free of it
PROGRESS_FILE = 'progress.json'
_GRACE = 5.0  # seconds that a process may take beyond its limit
_START = 90.0  # seconds that a process may take before its first task


@dataclasses.dataclass(frozen=True)
class Run:
    """What is asked for; see child.Order.

    Attributes:
      profile: of plan.PROFILES.
      parts: names of those to run, in order.
      minutes: for all of them.
      out, scratch, data, data_dir, rehearse: see Context.
    """

    profile: str
    parts: tuple[str, ...]
    minutes: float
    out: Path
    scratch: Path
    data: str
    data_dir: str
    rehearse: bool


def run_all(run: Run) -> bool:
    """Runs all parts; every task ends as a row, whatever becomes of its process. False when one failed or hung."""
    end = time.monotonic() + 60 * run.minutes
    began = time.strftime('%Y-%m-%d %H:%M:%S')
    book = ledger.Ledger(run.out, plan.titles())
    part, task = 0, 0
    while part < len(run.parts) and time.monotonic() < end:
        progress, reason = _run_process(run, part, task, end, began)
        if not reason:
            part, task = part + len(_together(run, part)), 0
            continue
        if progress is None:
            progress = {'part': run.parts[part], 'number': -1, 'task': 'start', 'over': False, 'device': ''}
            progress['xla_flags'] = ''
        if not progress['over']:
            status = ledger.TIMED_OUT if reason.startswith('it was still') else ledger.FAILED
            print(f'  {progress["part"]} {progress["task"]}: {status}; {reason}', flush=True)
            own = {name: progress[name] for name in ('part', 'task', 'device', 'xla_flags')}
            book.write(**own, run=began, status=status, reason=progress.get('reason', reason))
        part, task = run.parts.index(progress['part']), progress['number'] + 1
        if progress['number'] < 0:  # it did not even begin; the next process may
            part, task = part + len(_together(run, part)), 0
    for name in run.parts[part:]:
        own = {'part': name, 'task': 'the rest' if task and name == run.parts[part] else 'all', 'device': ''}
        book.write(**own, xla_flags='', run=began, status=ledger.LEFT_OUT, reason='no time was left')
    bad = [row for row in book.rows(run=began) if row['status'] in (ledger.FAILED, ledger.TIMED_OUT)]
    return not bad


def _together(run: Run, first: int) -> tuple[str, ...]:
    """The parts from `first` on that share a process."""
    parts, names = plan.PROFILES[run.profile], run.parts[first:]
    process = parts[names[0]].process
    count = next((i for i, name in enumerate(names) if parts[name].process != process), len(names))
    return names[:count]


def _run_process(run: Run, part: int, task: int, end: float, began: str) -> tuple[dict[str, Any] | None, str]:
    """What the process was doing last, and why it ended; '' when it did all."""
    names = _together(run, part)
    order = {
        'profile': run.profile,
        'parts': names,
        'later': run.parts[part + len(names) :],
        'first_task': task,
        'end': end,
        'whole': 60 * run.minutes,
        'run': began,
        'out': str(run.out),
        'scratch': str(run.scratch),
        'data': run.data,
        'data_dir': run.data_dir,
        'rehearse': run.rehearse,
    }
    path = run.scratch / PROGRESS_FILE
    path.unlink(missing_ok=True)
    command = [sys.executable, '-m', CHILD, json.dumps(order)]
    environment = _environment(plan.PROFILES[run.profile][names[0]].process)
    with _started(command, environment) as process:
        reason = _watch(process, path, end)
    _end_strays(run.scratch)
    progress = json.loads(path.read_text()) if path.exists() else None
    return progress, reason


def _environment(process: str) -> dict[str, str]:
    environment = dict(os.environ)
    for name, value in plan.environment_of(process, with_gpu=_has_gpu()).items():
        if name.startswith('+'):
            environment[name[1:]] = f'{environment.get(name[1:], "")} {value}'.strip()
        else:
            environment[name] = value
    platforms = environment.get('JAX_PLATFORMS', '')
    if platforms and 'cpu' not in platforms.split(','):
        environment['JAX_PLATFORMS'] = f'{platforms},cpu'  # the device is compared with the CPU
    return environment


def _has_gpu() -> bool:
    """Whether there is an NVIDIA GPU, as far as one can tell without JAX."""
    return Path('/dev/nvidia0').exists() or shutil.which('nvidia-smi') is not None


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A process in a group of its own, of which nothing is left afterwards."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_strays(scratch: Path) -> None:
    """Ends processes that a part started in groups of their own; their commands name the scratch folder."""
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if int(path.parent.name) != os.getpid() and str(scratch).encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


def _watch(process: subprocess.Popen, path: Path, end: float) -> str:
    """Waits for the process; why it ended before all was done, or ''."""
    first = time.monotonic() + _START
    while process.poll() is None:
        limit = json.loads(path.read_text())['limit'] if path.exists() else min(first, end)
        if time.monotonic() > limit + _GRACE:
            return 'it was still running when its time was over'
        time.sleep(0.1)
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f'its process was ended by {name}' + ' (out of memory?)' * (name == 'SIGKILL')
    return '' if process.returncode == 0 else f'its process ended with status {process.returncode}'
