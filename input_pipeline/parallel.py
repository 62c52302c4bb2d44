"""A parallel map over threads that keeps the order and holds few results at a time."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Argument = TypeVar('Argument')
Result = TypeVar('Result')


def available_cores() -> int:
    """Cores this process may use (a container or a cluster's scheduler may grant fewer than there are)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def ordered_map(
    function: Callable[[Argument], Result], arguments: Iterable[Argument]
) -> Iterator[tuple[Argument, 'Future[Result]']]:
    """Yields each argument with its finished future, in order; asking the future raises what the call raised.

    At most two calls a core are in flight or waiting to be taken, so memory stays bounded.
    """
    workers = available_cores()
    waiting: collections.deque[tuple[Argument, Future[Result]]] = collections.deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for argument in arguments:
            waiting.append((argument, pool.submit(function, argument)))
            if len(waiting) >= 2 * workers:
                yield _finished(waiting)
        while waiting:
            yield _finished(waiting)
    finally:  # also when the consumer stops early: do not start what nobody will take
        pool.shutdown(cancel_futures=True)


def _finished(
    waiting: 'collections.deque[tuple[Argument, Future[Result]]]',
) -> tuple[Argument, 'Future[Result]']:
    argument, future = waiting.popleft()
    future.exception()  # waits, and leaves raising to the caller
    return argument, future
