"""SIGTERM, Ctrl-C and a time limit ask training to stop after saving; a second signal ends it at once."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

TIME_LIMIT = 'time limit'


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
            os._exit(128 + number)
        self.signal_name = signal.Signals(number).name
        # Not through sys.stderr: the signal may have come while it was being written to, which it does not bear.
        text = f'\n{self.signal_name}: saving, then stopping. A second signal stops at once.\n'
        with contextlib.suppress(OSError):
            os.write(2, text.encode())


@contextlib.contextmanager
def stop_when_asked(deadline: float) -> Iterator[StopRequest]:
    """Handles SIGTERM and SIGINT within the block, where Python lets it: in the main thread."""
    request = StopRequest(deadline)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.signal(number, request.handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
