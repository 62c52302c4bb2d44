"""Phases of training: stretches with one compiled step, one batch size and one shape of data."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from training import parallel
from training.feed import Batches

State = PyTree
Controls = dict[str, np.ndarray]
Step = Callable[..., tuple[State, dict[str, jax.Array]]]


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
      name: for logs and file names.
      start, end: images seen at its two ends; whole batches apart.
      batch_size: images of the global batch.
      enter: what the state becomes on entering: `enter(previous, key)`; nothing precedes the first phase (None).
      cycle: `step(state, batch, key, controls) -> (state, metrics)`, repeated in turn; mostly one function.
      controls: traced scalars by images seen before the step.
      open_feed: `open_feed(position, sizes)` yields the batches of each call from that position on.
      batch: shapes and types of one global batch.
    """

    name: str
    start: int
    end: int
    batch_size: int
    enter: Callable[[State | None, PRNGKeyArray], State]
    cycle: tuple[Step, ...]
    controls: Callable[[int], dict[str, float]]
    open_feed: Callable[[int, Iterator[int]], Iterator[Batches]]
    batch: dict[str, jax.ShapeDtypeStruct]

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

    It takes (state, batches, seed, controls, numbers) with a leading axis of steps on batches, controls and step
    numbers. Runs of one function become a `lax.scan`; a call of a single step has no loop, because XLA runs
    convolutions within loops very slowly on CPUs.
    """
    runs = [(step, len(list(group))) for step, group in itertools.groupby(pattern)]

    def call(state: State, batches: Batches, seed: jax.Array, controls: Batches, numbers: jax.Array):
        xs, key = (batches, controls, numbers), jax.random.key(seed)
        collected, done = [], 0
        for step, length in runs:
            part = jax.tree.map(lambda a, d=done, n=length: a[d : d + n], xs)
            state, metrics = _run(step, length, state, part, key)
            collected.append(metrics)
            done += length
        return state, _join(collected)

    return call


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
        name: jax.numpy.concatenate([metrics[name] for metrics in collected if name in metrics])
        for name in names
    }


class CallCompiler:
    """Compiles the calls of a phase; the next phase's while the present one trains.

    Args:
      phases, abstract, mesh: the run and its states' shapes.
      steps_per_call: steps of a full call.
    """

    def __init__(self, phases: Sequence[Phase], abstract: Sequence[State], mesh: Mesh, steps_per_call: int):
        self._phases, self._abstract, self._mesh = phases, abstract, mesh
        self._steps_per_call = steps_per_call
        self._executor = ThreadPoolExecutor(1, thread_name_prefix='compile')
        self._compiled: dict[tuple, Future] = {}

    def ahead(self, index: int) -> None:
        """Starts to compile what phase `index` will need first."""
        if index < len(self._phases):
            sizes = set(self._phases[index].call_sizes(self._phases[index].start, self._steps_per_call))
            offsets = range(len(self._phases[index].cycle)) if 1 in sizes else ()
            for size, offset in [(n, 0) for n in sizes if n > 1] + [(1, offset) for offset in offsets]:
                self._submit(index, size, offset)

    def get(self, index: int, size: int, step_in_phase: int) -> Step:
        """The compiled call of `size` steps, the first being `step_in_phase`; waits where it is not ready."""
        return self._submit(index, size, step_in_phase % len(self._phases[index].cycle)).result()

    def close(self) -> None:
        """Waits for what is being compiled and drops the rest."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, index: int, size: int, offset: int) -> Future:
        cycle = self._phases[index].cycle
        pattern = tuple(cycle[(offset + i) % len(cycle)] for i in range(size))
        if (index, pattern) not in self._compiled:
            self._compiled[index, pattern] = self._executor.submit(self._compile, index, pattern)
        return self._compiled[index, pattern]

    def _compile(self, index: int, pattern: tuple[Step, ...]) -> Step:
        sharded, shared = parallel.batch_sharded(self._mesh), parallel.replicated(self._mesh)
        steps, phase = len(pattern), self._phases[index]
        batches = {
            name: jax.ShapeDtypeStruct((steps, *a.shape), a.dtype, sharding=sharded)
            for name, a in phase.batch.items()
        }
        controls = {name: jax.ShapeDtypeStruct((steps,), np.float32) for name in phase.controls(phase.start)}
        numbers = jax.ShapeDtypeStruct((steps,), np.int32)
        call = jax.jit(make_call(pattern), donate_argnums=0, out_shardings=(shared, shared))
        return call.lower(self._abstract[index], batches, np.uint32(0), controls, numbers).compile()
