"""Reads damaged files in a process that is watched: it may not end, nor take too long, nor grow too large."""

import multiprocessing
import resource
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.targets import Case, Outcome, Target

_KIB = 1024
_START = 60  # seconds that the imports of a process may take


def watch(target: Target, numbers: range, seconds: float, mebibytes: int) -> Iterator[tuple[int, Outcome]]:
    """The outcome of each case: also that it ended its process, took too long, or too much memory."""
    position = numbers.start
    while position < numbers.stop:
        context = multiprocessing.get_context('spawn')
        ours, theirs = context.Pipe()
        folder = tempfile.mkdtemp(prefix='fuzz-')
        child = context.Process(
            target=_serve, args=(target, range(position, numbers.stop), mebibytes, folder, theirs)
        )
        child.start()
        theirs.close()
        patience = seconds + _START
        try:
            while position < numbers.stop:
                if not ours.poll(patience):
                    yield position, Outcome('too slow', f'not done after {seconds:g} s')
                    position += 1
                    break
                outcome, patience = ours.recv(), seconds
                yield position, outcome
                position += 1
                if outcome.kind == 'too large':
                    break
        except EOFError:
            yield position, Outcome('process ended', f'exit code {_exit_code(child)}')
            position += 1
        finally:
            child.kill()
            child.join()
            shutil.rmtree(folder, ignore_errors=True)


def _exit_code(child: multiprocessing.process.BaseProcess) -> int | None:
    child.join(5)
    return child.exitcode


def _serve(target: Target, numbers: range, mebibytes: int, folder: str, answers: Connection) -> None:
    """Runs cases one after the other, and sends each outcome."""
    case = Case(target, Path(folder))
    case.run(numbers.start)
    at_rest = _peak()
    for number in numbers:
        outcome = case.run(number)
        grown = (_peak() - at_rest) // _KIB
        if grown > mebibytes:
            outcome = Outcome('too large', f'the process grew by {grown} MiB')
        answers.send(outcome)


def _peak() -> int:
    """KiB. What `getrusage` tells begins, on Linux, with the largest size of the process that started this one."""
    status = Path('/proc/self/status')
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in status.read_text().splitlines() if line.startswith('VmHWM:'))
    return int(line.split()[1])
