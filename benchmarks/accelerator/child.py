"""The process that runs parts of the benchmark, started by `supervisor` with an Order.

It writes every row at once, and into `progress.json` what it is doing and until when, so that whoever watches it
can end it, tell what hung, and start another process behind that task.
"""

import dataclasses
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.accelerator import ledger, plan
from benchmarks.accelerator.supervisor import PROGRESS_FILE
from benchmarks.accelerator.tasks import Context, NotHere, Task
from foundation.training.canary import check_arithmetic
from foundation.training.errors import UserError

BROKEN = 3  # the exit status that asks for a new process behind the task that failed
_PATIENCE = 3.0  # a task may take so many times what it said,
_LEAST = 25.0  # and so many seconds at least,
_SHARE = 0.5  # but no more of what its part has left, where other tasks come after it
_XLA_FLAGS = os.environ.get('XLA_FLAGS', '')


@dataclasses.dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
      profile: of plan.PROFILES.
      parts: names of the parts, the first ones of those that are left.
      later: names of the parts of other processes after them.
      first_task: of the first part; those before it are over.
      end: of the whole run, on the clock of `time.monotonic`, which all processes share.
      whole: seconds of the whole run.
      run: when the run began, to tell its rows from others.
      out, scratch, data, data_dir, rehearse: see Context.
    """

    profile: str
    parts: tuple[str, ...]
    later: tuple[str, ...]
    first_task: int
    end: float
    whole: float
    run: str
    out: str
    scratch: str
    data: str
    data_dir: str
    rehearse: bool


def main() -> None:
    """Runs the parts in order, from the given task on."""
    order = Order(**json.loads(sys.argv[1]))
    logging.basicConfig(level=logging.ERROR)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    jax.config.update('jax_compilation_cache_dir', str(Path(order.scratch) / 'compiled'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    # Toys are compiled often and run for moments.
    jax.config.update('jax_disable_most_optimizations', order.rehearse)
    try:
        check_arithmetic()
    except UserError as error:
        _tell_start(order, str(error))
        sys.exit(f'Error: {error}')
    for number in range(len(order.parts)):
        _PartRunner(order, number).run(order.first_task if number == 0 else 0)


def describe_conditions(order: Order) -> str:
    """The device, what runs on it, and on which data, in one line: rows of other conditions are not the same."""
    versions = f'JAX {jax.__version__}, Python {sys.version.split()[0]}'
    told = [jax.devices()[0].device_kind, versions, f'data {order.data or "phantoms"}']
    return ', '.join([*told, *['REHEARSED at toy size'] * order.rehearse])


def _tell_start(order: Order, reason: str) -> None:
    """Leaves the reason for which nothing could begin."""
    progress = {'part': order.parts[0], 'number': -1, 'task': 'start', 'over': False, 'limit': order.end}
    told = json.dumps(progress | {'device': '', 'xla_flags': _XLA_FLAGS, 'reason': reason})
    (Path(order.scratch) / PROGRESS_FILE).write_text(told)


class _PartRunner:
    """One part."""

    def __init__(self, order: Order, number: int):
        self._order, self._name = order, order.parts[number]
        self._device = describe_conditions(order)
        parts = plan.PROFILES[order.profile]
        self._ledger = ledger.Ledger(Path(order.out), plan.titles())
        left = [parts[name] for name in (*order.parts[number:], *order.later)]
        deadline = plan.limit(left, time.monotonic(), order.end, order.whole)
        self._context = Context(
            Path(order.out), Path(order.scratch), order.data, order.data_dir, order.rehearse, deadline,
            rows=lambda **wanted: self._ledger.rows(status=ledger.DONE, **wanted),
        )  # fmt: skip
        self._tasks, self._reserved = parts[self._name].create_tasks(order.rehearse), parts[self._name].reserved

    def run(self, first: int) -> None:
        """All tasks from the first on."""
        for number, task in enumerate(self._tasks[first:], start=first):
            self._tell_progress(number, task, over=False)
            if not self._ledger.is_done(self._name, task.name, self._device, _XLA_FLAGS):
                self._run_task(task)
            self._tell_progress(number, task, over=True)

    def _run_task(self, task: Task) -> None:
        left, cost = self._context.seconds_left(), 0.0 if self._order.rehearse else task.seconds
        if left < cost or left <= 0:
            reason = f'it takes about {task.seconds:.0f} s, {max(left, 0):.0f} s were left'
            self._write(task, ledger.LEFT_OUT, reason=reason)
            return
        print(f'{self._name} {task.name}: about {task.seconds:.0f} s, {left:.0f} s for this part', flush=True)
        try:
            start = time.monotonic()
            for row in task.run(self._context):
                self._write(task, ledger.DONE, **row)
            self._write(task, ledger.OVER, seconds=round(time.monotonic() - start, 1))
        except NotHere as reason:
            self._write(task, ledger.LEFT_OUT, reason=str(reason))
        except Exception as error:  # the other tasks go on
            traceback.print_exc()
            self._write(task, ledger.FAILED, reason=_tell(error))
            self._tell_progress(self._tasks.index(task), task, over=True)
            _leave_if_broken()

    def _write(self, task: Task, status: str, **figures) -> None:
        shown = ', '.join(f'{name} {ledger.cell(value)}' for name, value in figures.items())
        print(f'  {self._name} {task.name}: {status}{": " * bool(shown)}{shown}', flush=True)
        self._ledger.write(
            part=self._name,
            task=task.name,
            device=self._device,
            xla_flags=_XLA_FLAGS,
            run=self._order.run,
            status=status,
            **figures,
        )

    def _tell_progress(self, number: int, task: Task, *, over: bool) -> None:
        limit = self._limit(number, task)
        faulthandler.cancel_dump_traceback_later()
        if not over:  # whoever reads the log sees where it hung
            faulthandler.dump_traceback_later(max(limit - time.monotonic(), 0.1))
        progress = {'part': self._name, 'number': number, 'task': task.name, 'over': over, 'limit': limit}
        path = Path(self._order.scratch) / PROGRESS_FILE
        path.with_suffix('.new').write_text(
            json.dumps(progress | {'device': self._device, 'xla_flags': _XLA_FLAGS})
        )
        path.with_suffix('.new').replace(path)

    def _limit(self, number: int, task: Task) -> float:
        """When a task that begins now must have ended."""
        now, left = time.monotonic(), self._context.seconds_left()
        if self._order.rehearse:
            return now + left
        most = task.most or max(_PATIENCE * task.seconds, _LEAST)
        if not task.most and number + 1 < len(self._tasks) and not self._reserved:
            most = min(most, max(_SHARE * left, task.seconds))
        return now + min(left, most)


def _tell(error: Exception) -> str:
    """One line."""
    lines = str(error).strip().splitlines() or ['']
    text = lines[0][:200]
    if 'RESOURCE_EXHAUSTED' in text or isinstance(error, MemoryError):
        text = f'out of memory: {text}'
    return text if isinstance(error, UserError) else f'{type(error).__name__}: {text}'


def _leave_if_broken() -> None:
    """Some errors of a device spoil all that comes after them in the same process."""
    try:
        healthy = bool((jnp.ones(4) + 1 == 2).all())
    except Exception:
        healthy = False
    if not healthy:
        os._exit(BROKEN)


def _end_with(parent: int) -> None:
    """Ends this process and all it started when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == '__main__':
    main()
