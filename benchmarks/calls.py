"""Calls of the training loop, with its own feed and compiled programs, timed."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from foundation.training.phases import Compiler, Phase


def time_calls(phase: Phase, compiler: Compiler, size: int, calls: int) -> tuple[float, float]:
    """Seconds of all calls but a first one, and of them those spent waiting for batches.

    Args:
      phase: the only one of the compiler.
      size: steps of a call.
      calls: besides the first.
    """
    programs = [compiler.call(0, size, number * size) for number in range(calls + 1)]  # ready before time counts
    feed: Any = phase.open_feed(phase.start, iter([size] * (calls + 1)))
    state, seed, waiting, start = compiler.enter(0)(None, np.uint32(0)), np.uint32(0), 0.0, 0.0
    for number, controls in enumerate(_controls(phase, size, calls + 1)):
        asked = time.perf_counter()
        batches = next(feed)
        waiting += time.perf_counter() - asked
        numbers = np.arange(number * size, (number + 1) * size, dtype=np.int32)
        state, _ = programs[number](state, batches, seed, controls, numbers)
        if number == 0:
            jax.block_until_ready(state)
            waiting, start = 0.0, time.perf_counter()
    jax.block_until_ready(state)
    feed.close()
    return time.perf_counter() - start, waiting


def _controls(phase: Phase, size: int, calls: int) -> Iterator[dict[str, np.ndarray]]:
    for call in range(calls):
        seen = [phase.start + (call * size + step) * phase.batch_size for step in range(size)]
        rows = [phase.controls(images) for images in seen]
        yield {name: np.asarray([row[name] for row in rows], np.float32) for name in rows[0]}
