"""Phases of training: stretches with one compiled step, one batch size and one shape of data."""

import collections
import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from foundation.training import compute, parallel
from foundation.training.feed import Batches

State = PyTree
Controls = dict[str, np.ndarray]
Step = Callable[..., tuple[State, dict[str, jax.Array]]]

_LOGGER = logging.getLogger(__name__)
# Keeps the keys of entering phases apart from those of steps, which are numbered from 0.
_ENTERING = 2**31


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
      name: for logs and file names.
      start, end: images seen at its two ends; whole batches apart.
      batch_size: images of the global batch.
      enter: what the state becomes on entering: `enter(previous, key)`, compiled; None precedes the first.
      adopt: what is then taken over from elsewhere: `adopt(previous, entered)`, not compiled.
      cycle: `step(state, batch, key, controls) -> (state, metrics)`, repeated in turn; mostly one function.
      controls: traced scalars by images seen before the step.
      open_feed: `open_feed(position, sizes)` yields the batches of each call from that position on.
      batch: shapes and types of one global batch.
      cost: of an image beside one in other phases, for what is told of the time left.
    """

    name: str
    start: int
    end: int
    batch_size: int
    enter: Callable[[State | None, PRNGKeyArray], State]
    adopt: Callable[[State | None, State], State]
    cycle: tuple[Step, ...]
    controls: Callable[[int], dict[str, float]]
    open_feed: Callable[[int, Iterator[int]], Iterator[Batches]]
    batch: dict[str, jax.ShapeDtypeStruct]
    cost: float

    @property
    def steps(self) -> int:
        """Steps of the whole phase."""
        return (self.end - self.start) // self.batch_size

    def call_sizes(self, images_seen: int, steps_per_call: int) -> list[int]:
        """Steps of each call from `images_seen` to the end.

        Full calls first, then single steps; the cut depends on the phase alone, so that a run that was
        stopped makes the same calls as one that never was.
        """
        remaining = (self.end - images_seen) // self.batch_size
        tail = self.steps % steps_per_call
        full, odd = divmod(max(remaining - tail, 0), steps_per_call)
        return [1] * odd + [steps_per_call] * full + [1] * min(tail, remaining)


def find_phase(phases: Sequence[Phase], images_seen: int) -> int:
    """Index of the phase that goes on at `images_seen`; the last one where all is done."""
    return next((i for i, phase in enumerate(phases) if images_seen < phase.end), len(phases) - 1)


def abstract_states(phases: Sequence[Phase], mesh: Mesh) -> list[State]:
    """Shapes, types and sharding of the state within each phase, without computing any."""
    states: list[State] = []
    for phase in phases:
        previous = states[-1] if states else None
        state = jax.eval_shape(phase.enter, previous, jax.random.key(0))
        states.append(parallel.abstract(state, parallel.replicated(mesh)))
    return states


def make_call(pattern: tuple[Step, ...]) -> Step:
    """Returns the function that makes the steps of one call, in order.

    It takes (state, batches, seed, controls, numbers), with a leading axis of steps on all but the first and the
    seed. Repeated cycles become a `lax.scan`, and so do runs of one function within a cycle; a call of a single
    step has no loop, because XLA runs convolutions within loops very slowly on CPUs.
    """
    length = len(pattern)
    period = next(n for n in range(1, length + 1) if length % n == 0 and pattern[:n] * (length // n) == pattern)
    runs = [(step, len(list(group))) for step, group in itertools.groupby(pattern[:period])]

    def call(state: State, batches: Batches, seed: jax.Array, controls: Batches, numbers: jax.Array):
        xs, key = (batches, controls, numbers), jax.random.key(seed)
        if period == length:
            return _run_cycle(runs, key, state, xs)
        cycles = jax.tree.map(lambda a: a.reshape(length // period, period, *a.shape[1:]), xs)
        state, metrics = jax.lax.scan(functools.partial(_run_cycle, runs, key), state, cycles)
        return state, jax.tree.map(lambda a: a.reshape(-1), metrics)

    return call


def _run_cycle(
    runs: list[tuple[Step, int]], key: PRNGKeyArray, state: State, xs: Any
) -> tuple[State, dict[str, jax.Array]]:
    """Runs of equal steps, in order; metrics get an axis of steps."""
    collected, done = [], 0
    for step, length in runs:
        part = jax.tree.map(lambda a, d=done, n=length: a[d : d + n], xs)
        state, metrics = _run(step, length, state, part, key)
        collected.append(metrics)
        done += length
    return state, _join(collected)


def _run(step: Step, length: int, state: State, xs: Any, key: PRNGKeyArray) -> tuple[State, dict[str, jax.Array]]:
    def body(state: State, x: Any) -> tuple[State, dict[str, jax.Array]]:
        batch, controls, number = x
        return step(state, batch, jax.random.fold_in(key, number), controls)

    if length > 1:
        return jax.lax.scan(body, state, xs)
    state, metrics = body(state, jax.tree.map(lambda a: a[0], xs))
    return state, jax.tree.map(lambda a: a[None], metrics)


def _join(collected: list[dict[str, jax.Array]]) -> dict[str, jax.Array]:
    """Each metric's values over all steps that have it."""
    names = {name: None for metrics in collected for name in metrics}
    return {
        name: jax.numpy.concatenate([metrics[name] for metrics in collected if name in metrics]) for name in names
    }


class Compiler:
    """Compiles what phases need, in the background, while the present one trains: the next phase's programs, and
    on accelerators, whose hosts have little else to do and whose compilers are slow, those of all later ones.

    Attributes:
      seconds: that compiling has taken, by the index of the phase; two programs at once count twice.

    Args:
      phases, abstract, mesh: the run and its states' shapes.
      steps_per_call: steps of a full call.
    """

    def __init__(self, phases: Sequence[Phase], abstract: Sequence[State], mesh: Mesh, steps_per_call: int):
        self._phases, self._abstract = phases, abstract
        self._sharded, self._shared = parallel.batch_sharded(mesh), parallel.replicated(mesh)
        self._steps_per_call = steps_per_call
        self._reach, threads = (1, 2) if compute.on_cpu() else (len(phases), 4)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix='compile')
        self._programs: dict[Any, Future] = {}
        self.seconds: dict[int, float] = collections.defaultdict(float)

    def ahead(self, index: int) -> None:
        """Starts to compile what phase `index`, where there is such a phase, and maybe later ones will need."""
        for later in range(index, min(index + self._reach, len(self._phases))):
            self._prepare(later)

    def _prepare(self, index: int) -> None:
        phase = self._phases[index]
        self._submit(('enter', index), self._compile_enter, index)
        for size in sorted(set(phase.call_sizes(phase.start, self._steps_per_call))):
            for offset in range(len(phase.cycle)) if size == 1 else (0,):
                self._submit_call(index, size, offset)

    def enter(self, index: int) -> Step:
        """The compiled `enter(previous state, seed)` of a phase; waits where it is not ready."""
        return self._submit(('enter', index), self._compile_enter, index).result()

    def call(self, index: int, size: int, step_in_phase: int) -> Step:
        """The compiled call of `size` steps, the first being `step_in_phase`; waits where it is not ready."""
        return self._submit_call(index, size, step_in_phase % len(self._phases[index].cycle)).result()

    def close(self, *, wait: bool) -> None:
        """Drops what is not being compiled yet, and, where asked to, waits for what is."""
        self._executor.shutdown(wait=wait, cancel_futures=True)

    def _submit(self, key: Any, function: Callable, *arguments: Any) -> Future:
        if key not in self._programs:
            self._programs[key] = self._executor.submit(self._timed, function, *arguments)
        return self._programs[key]

    def _timed(self, function: Callable, index: int, *arguments: Any) -> Step:
        start = time.perf_counter()
        program = function(index, *arguments)
        self.seconds[index] += time.perf_counter() - start
        return program

    def _submit_call(self, index: int, size: int, offset: int) -> Future:
        cycle = self._phases[index].cycle
        pattern = tuple(cycle[(offset + i) % len(cycle)] for i in range(size))
        return self._submit((index, pattern), self._compile_call, index, pattern)

    def _compile_enter(self, index: int) -> Step:
        phase = self._phases[index]

        def enter(previous: State | None, seed: jax.Array) -> State:
            return phase.enter(previous, jax.random.fold_in(jax.random.key(seed), _ENTERING + index))

        previous = self._abstract[index - 1] if index else None
        # It runs once, so what counts is that it compiles fast: three times faster so on CPUs.
        options = {'xla_backend_optimization_level': 0} if jax.default_backend() == 'cpu' else None
        jitted = jax.jit(enter, out_shardings=self._shared, compiler_options=options)
        return self._compile('Entering', phase, jitted, previous, np.uint32(0))

    def _compile_call(self, index: int, pattern: tuple[Step, ...]) -> Step:
        steps, phase = len(pattern), self._phases[index]
        batches = {
            name: jax.ShapeDtypeStruct((steps, *a.shape), a.dtype, sharding=self._sharded)
            for name, a in phase.batch.items()
        }
        controls = {name: jax.ShapeDtypeStruct((steps,), np.float32) for name in phase.controls(phase.start)}
        numbers = jax.ShapeDtypeStruct((steps,), np.int32)
        call = jax.jit(make_call(pattern), donate_argnums=0, out_shardings=(self._shared, self._shared))
        return self._compile(
            f'Call of {steps}', phase, call, self._abstract[index], batches, np.uint32(0), controls, numbers
        )

    def _compile(self, what: str, phase: Phase, function: Any, *arguments: Any) -> Step:
        start = time.perf_counter()
        lowered = function.lower(*arguments)
        traced = time.perf_counter()
        program = lowered.compile()
        seconds = (traced - start, time.perf_counter() - traced)
        _LOGGER.debug('%s, %s: traced in %.1f s, compiled in %.1f s.', what, phase.name, *seconds)
        return program
