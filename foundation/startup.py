"""While a command starts, Ctrl-C, SIGTERM and a closed terminal end it in one line, not in the trace of an import.

The first import of every package that holds commands; it imports next to nothing itself. Before it, while Python
itself starts, signals do what Python makes of them.
"""

import os
import signal
import sys

_SCRIPTS = ('enhanced-gan', 'enhanced_gan')


def end_in_one_line() -> None:
    """From now on a signal ends the process with one line."""
    for number in ending_signals():
        signal.signal(number, _end)


def ending_signals() -> list[int]:
    """Signals that ask a process to end; not that of the terminal after `nohup`."""
    hang_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def tell(text: str) -> None:
    """Writes to standard error; not through `sys.stderr`, which does not bear a signal while it is written to."""
    try:  # noqa: SIM105  (contextlib takes time)
        os.write(2, text.encode())
    except OSError:  # nobody is there to be told
        pass


def _end(number: int, _frame: object) -> None:
    """Signal handler."""
    tell('Interrupted.\n')
    os._exit(128 + number)


# `-m` stands there while Python imports the package of the module that it is about to start.
if sys.argv[0] == '-m' or os.path.basename(sys.argv[0]).startswith(_SCRIPTS):
    end_in_one_line()
