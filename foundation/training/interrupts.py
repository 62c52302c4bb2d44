"""What Ctrl-C, SIGTERM, a terminal that is closed and a time limit do: nothing is lost, no stack trace is shown.

While a command starts, they end it in one line. While it works, the first raises KeyboardInterrupt, so that what
is half done is removed; while it trains, the first asks it to stop after saving. A second one always ends the
process at once, past all of Python's own clearing up, which does not bear threads that still compile.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from foundation.startup import end_in_one_line, ending_signals, tell

TIME_LIMIT = 'time limit'
_AGAIN = 0.05  # seconds


def end_process(text: str, code: int) -> NoReturn:
    """Ends the process as it is, with a last line on standard error and an exit code."""
    tell(f'{text}\n')
    os._exit(code)


@contextlib.contextmanager
def interrupt_once() -> Iterator[None]:
    """Within the block the first signal raises KeyboardInterrupt, and the next one ends the process.

    What is raised in a callback of the garbage collector, as JAX has one, Python drops; then it is raised again.
    """

    def handle(number: int, _frame: object) -> NoReturn:
        end_in_one_line()
        raised.append(number)
        raise KeyboardInterrupt

    def report(event: Any) -> None:
        if not (raised and isinstance(event.exc_value, KeyboardInterrupt)):
            former(event)
            return
        signal.signal(raised[-1], handle)
        threading.Timer(_AGAIN, os.kill, (os.getpid(), raised[-1])).start()

    raised: list[int] = []
    former = sys.unraisablehook
    with _handling(handle):
        sys.unraisablehook = report
        try:
            yield
        finally:
            sys.unraisablehook = former


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
        tell(f'\n{self.signal_name}: saving, then stopping. A second signal stops at once.\n')


@contextlib.contextmanager
def stop_when_asked(deadline: float) -> Iterator[StopRequest]:
    """Handles signals within the block, where Python lets it: in the main thread."""
    request = StopRequest(deadline)
    with _handling(request.handle):
        yield request


@contextlib.contextmanager
def _handling(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Within the block, and in the main thread alone, as Python has it."""
    main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, handler) for number in ending_signals() if main}
    try:
        yield
    finally:
        for number, former in previous.items():
            signal.signal(number, former)
