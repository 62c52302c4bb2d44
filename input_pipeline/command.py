"""How a command ends that makes a folder: well, with one sentence for bad input, interrupted, or by a fault."""

import io
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from foundation.files import is_full, refuses_writing
from foundation.training.interrupts import interrupt_once
from input_pipeline.atomic import describe_outcome, identity
from input_pipeline.errors import DataError


def run(
    name: str, work: Callable[[], None], folder: Path | None, *, user_errors: tuple[type[Exception], ...] = ()
) -> int:
    """Does a command's work; returns the exit status: 0, 1 for bad input or a fault, 130 when interrupted.

    Args:
      name: of the command, before what is told of errors.
      work: all of it.
      folder: what it makes; an interruption tells what is in its place.
      user_errors: exceptions, besides DataError, whose message is meant for the user.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # file names need not fit the terminal's encoding
    before = None if folder is None else identity(folder)
    expected: tuple[type[Exception], ...] = (DataError, *user_errors)
    with interrupt_once():
        try:
            work()
        except expected as error:
            print(f'{name}: {error}', file=sys.stderr)
            return 1
        except OSError as error:
            if folder is None or not refuses_writing(error):
                return _fault(name, error)
            advice = '; free some space and run the same command again' if is_full(error) else ''
            outcome = describe_outcome(folder, before)
            print(f'{name}: {folder} cannot be written ({error.strerror}); {outcome}{advice}.', file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            outcome = '' if folder is None else f'; {describe_outcome(folder, before)}'
            print(f'{name}: interrupted{outcome}.', file=sys.stderr)
            return 130
        except Exception as error:
            return _fault(name, error)
    return 0


def _fault(name: str, error: Exception) -> int:
    """Tells where the program is wrong; the text of the error may quote headers of patients, which no log gets."""
    traceback.print_tb(error.__traceback__)
    print(f'{name}: a fault of this program ({type(error).__name__}), at the place above.', file=sys.stderr)
    return 1
