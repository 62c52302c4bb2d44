"""SIGTERM and Ctrl-C: the first asks training to stop after saving, the second ends at once."""

import contextlib
import os
import signal
from collections.abc import Iterator


class StopRequest:
    """Whether, and by which signal, training was asked to stop."""

    def __init__(self) -> None:
        self.signal_name = ''

    def __bool__(self) -> bool:
        return bool(self.signal_name)

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
def stop_on_signals() -> Iterator[StopRequest]:
    """Handles SIGTERM and SIGINT within the block."""
    request = StopRequest()
    previous = {number: signal.signal(number, request.handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
