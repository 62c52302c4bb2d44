"""Of a reader whose many tasks fail together, the first error is told; the others are dropped where nobody waits.

Python prints those in two ways, at whatever time their memory is given back: asyncio logs errors of tasks that
nobody asked, and coroutines that turn their closing into another error end in `sys.unraisablehook`.
"""

import contextlib
import inspect
import logging
import sys
from collections.abc import Iterator

import orbax.checkpoint as ocp

_ASYNCIO_LOGGER = logging.getLogger('asyncio')
_READER = ocp.__path__[0]


@contextlib.contextmanager
def first_error_alone() -> Iterator[None]:
    """Hides errors of the reader's other tasks within the block, and from then on where the block fails."""
    if _is_waited_for in _ASYNCIO_LOGGER.filters:
        yield
        return
    previous_hook = sys.unraisablehook

    def tell_unless_of_the_reader(unraisable: 'sys.UnraisableHookArgs') -> None:
        if not _is_of_the_reader(unraisable.object):
            previous_hook(unraisable)

    _ASYNCIO_LOGGER.addFilter(_is_waited_for)
    sys.unraisablehook = tell_unless_of_the_reader
    yield
    sys.unraisablehook = previous_hook
    _ASYNCIO_LOGGER.removeFilter(_is_waited_for)


def _is_waited_for(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return 'exception was never retrieved' not in message and 'Task was destroyed' not in message


def _is_of_the_reader(dropped: object) -> bool:
    return inspect.iscoroutine(dropped) and dropped.cr_code.co_filename.startswith(_READER)
