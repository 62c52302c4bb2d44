"""What Ctrl-C, SIGTERM, a terminal that is closed and a time limit do: nothing is lost, no stack trace is shown.

While a command starts, they end it in one line. While it works, the first raises KeyboardInterrupt, so that what
is half done is removed; while it trains, the first asks it to stop after saving. A second one always ends the
process at once, past all of Python's own clearing up, which does not bear threads that still compile.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

TIME_LIMIT = 'time limit'


def end_in_one_line() -> None:
    """From now on a signal ends the process with one line. Call it before imports that take seconds."""
    for number in _ending():
        signal.signal(number, _end)


def _end(number: int, _frame: object) -> NoReturn:
    """Signal handler."""
    end_process('Interrupted.', 128 + number)


def end_process(text: str, code: int) -> NoReturn:
    """Ends the process as it is, with a last line on standard error and an exit code."""
    _tell(f'{text}\n')
    os._exit(code)


def _tell(text: str) -> None:
    # Not through sys.stderr: the signal may have come while it was being written to, which it does not bear.
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


@contextlib.contextmanager
def interrupt_once() -> Iterator[None]:
    """Within the block the first signal raises KeyboardInterrupt, and the next one ends the process."""

    def handle(_number: int, _frame: object) -> NoReturn:
        end_in_one_line()
        raise KeyboardInterrupt

    with _handling(handle):
        yield


class StopRequest:
    """Whether, and by what, training was asked to stop.

    Args:
      deadline: when its time is over, on the clock of `time.monotonic`; infinite without a limit.
    """

    def __init__(self, deadline: float) -> None:
        self.signal_name = ''
        self._deadline = deadline

    @property
    def reason(self) -> str:
        """The signal's name, or TIME_LIMIT, or ''."""
        return self.signal_name or (TIME_LIMIT if time.monotonic() >= self._deadline else '')

    def handle(self, number: int, _frame: object) -> None:
        """Signal handler."""
        if self.signal_name:
            end_process('Stopped at once; the same command goes on from the last checkpoint.', 128 + number)
        self.signal_name = signal.Signals(number).name
        _tell(f'\n{self.signal_name}: saving, then stopping. A second signal stops at once.\n')


@contextlib.contextmanager
def stop_when_asked(deadline: float) -> Iterator[StopRequest]:
    """Handles signals within the block, where Python lets it: in the main thread."""
    request = StopRequest(deadline)
    with _handling(request.handle):
        yield request


def _ending() -> list[int]:
    """Signals that ask a process to end; not that of the terminal after `nohup`."""
    hang_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


@contextlib.contextmanager
def _handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Within the block, and in the main thread alone, as Python has it."""
    main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, handler) for number in _ending() if main}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former)
