"""The training loop: phases, calls, checkpoints and periodic work. Knows no task."""

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from foundation.training import compute, logs, parallel
from foundation.training.best import Best, Watch
from foundation.training.checkpoints import Checkpoints, Position
from foundation.training.errors import UserError
from foundation.training.interrupts import TIME_LIMIT, StopRequest, stop_when_asked
from foundation.training.logs import Meter, Stopwatch
from foundation.training.phases import Compiler, Phase, State, abstract_states, find_phase
from foundation.training.speed import Forecast, describe_time


@dataclasses.dataclass(frozen=True)
class Periods:
    """How often things happen, in images, and how calls are cut.

    Attributes:
      log, sample, checkpoint: images between two of them.
      steps_per_call: steps in one call of the device.
      max_skipped_in_a_row: the run ends with an error after so many skipped updates.
    """

    log: int
    sample: int
    checkpoint: int
    steps_per_call: int
    max_skipped_in_a_row: int


def periods_of(run: ConfigDict, cycle: int, sample: int) -> Periods:
    """The periods that a config's `run` asks for.

    Args:
      run: that part of the config.
      cycle: steps that repeat, see `compute.steps_per_call`.
      sample: images between two pictures.
    """
    return Periods(
        log=run.log_images,
        sample=sample,
        checkpoint=run.checkpoint_images,
        steps_per_call=compute.steps_per_call(run.steps_per_call, cycle),
        max_skipped_in_a_row=run.max_skipped_in_a_row,
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      state, position: the last ones.
      best: position of the best state of the last phase; None where none was measured.
      stopped_by: the signal, `time limit`, `collapse`, `another` (process that was asked to stop), or ''.
      seconds: where its time went.
    """

    state: State
    position: Position
    best: Position | None
    stopped_by: str
    seconds: dict[str, float]


@dataclasses.dataclass(frozen=True)
class PhaseEnd:
    """A phase that is over, or that was stopped.

    Attributes:
      phase: which one.
      state, position: at its end; the state is donated when training goes on.
      seconds: where the time of the run has gone so far, see `Outcome`.
      compiling: seconds that its programs took to compile, in the background or not.
      later: the phases after it.
    """

    phase: Phase
    state: State
    position: Position
    seconds: dict[str, float]
    compiling: float
    later: Sequence[Phase]


_LOGGER = logging.getLogger(__name__)


def run(
    phases: Sequence[Phase],
    workdir: Path,
    checkpoints: Checkpoints,
    mesh: Mesh,
    periods: Periods,
    *,
    seed: int,
    sample: Callable[[State, Phase, int], np.ndarray] | None,
    watch: Watch | None,
    deadline: float,
    phase_done: Callable[[PhaseEnd], Sequence[Phase]] | None,
) -> Outcome:
    """Trains through all phases, from the newest readable checkpoint on.

    Args:
      phases: contiguous stretches of training.
      workdir: where metrics go.
      checkpoints: of this workdir.
      mesh: the devices.
      periods: see there.
      seed: of all randomness; step n uses fold_in(key(seed), n).
      sample: `sample(state, phase, images_seen)` draws what people look at, a (height, width, channels) uint8
        picture; called on every process. None draws nothing.
      watch: what to measure; None nothing.
      deadline: when training stops as at the end of a phase, on the clock of `time.monotonic`; infinite for never.
      phase_done: called at the end of each phase, also where it was stopped; gives the later phases, maybe moved.

    Raises:
      UserError: when too many updates in a row had gradients that are not finite, or the disk is full.
    """
    runner = _Runner(phases, workdir, checkpoints, mesh, periods, seed, sample, watch, phase_done)
    try:
        with stop_when_asked(deadline) as stop:
            return runner.run(stop)
    finally:
        runner.close()


def train_phase(
    phase: Phase,
    workdir: Path,
    mesh: Mesh,
    periods: Periods,
    *,
    checkpoints_to_keep: int,
    seed: int,
    measure: Callable[[State, Phase, int], dict[str, float]],
    score: str,
    every: int,
    sample: Callable[[State, Phase, int], np.ndarray] | None,
) -> Outcome:
    """Trains one network in one phase; the best state by validation is kept, whatever comes after it.

    Args:
      phase: all of the training.
      workdir, mesh, periods, seed, sample: see `run`.
      checkpoints_to_keep: the newest ones.
      measure, score, every: of the watch, see there.

    Raises:
      UserError: see `run`.
    """
    watch = Watch(every, measure, score, on_collapse='go_on', collapse_ratio=math.inf)
    with contextlib.closing(Checkpoints(workdir / 'checkpoints', checkpoints_to_keep)) as checkpoints:
        return run(
            [phase],
            workdir,
            checkpoints,
            mesh,
            periods,
            seed=seed,
            sample=sample,
            watch=watch,
            deadline=math.inf,
            phase_done=None,
        )


class _Runner:
    """One run's moving parts."""

    def __init__(self, phases, workdir, checkpoints, mesh, periods, seed, sample, watch, phase_done):
        phases = list(phases)  # shared with the compiler
        self._phases, self._checkpoints, self._mesh, self._phase_done = phases, checkpoints, mesh, phase_done
        self._periods, self._seed, self._sample = periods, np.uint32(seed), sample
        self._abstract = abstract_states(phases, mesh)
        self._compiler = Compiler(phases, self._abstract, mesh, periods.steps_per_call)
        self._clock = Stopwatch()
        self._state, self._position = self._start()
        first, seen = parallel.is_first_process(), self._position.images_seen
        self._log = logs.MetricsLog(workdir, enabled=first, last_step=self._position.step)
        self._bar = logs.progress_bar(phases[-1].end, seen, enabled=first)
        self._meter, self._forecast = Meter(seen, self._read_unlogged()), Forecast(phases)
        self._best = None if watch is None else Best(workdir, watch, self._position)
        self._collapsed, self._stopped_by, self._saved_step = False, '', self._position.step

    def _start(self) -> tuple[State, Position]:
        """The newest readable state, or a fresh one."""
        names = [phase.name for phase in self._phases]
        restored = self._checkpoints.restore(lambda position: self._abstract[names.index(position.phase)])
        if restored is None:
            self._compiler.ahead(0)
            return self._enter(0, None), Position(0, 0, names[0])
        state, position = restored
        self._checkpoints.set_aside_after(position.step)
        _LOGGER.info('Going on from step %d, %d images seen.', position.step, position.images_seen)
        return state, position

    def _read_unlogged(self) -> dict[str, list[float]]:
        step = self._position.step
        return self._checkpoints.read_unlogged(step) if step else {}

    def _enter(self, index: int, state: State | None) -> State:
        enter = self._clock.timed('compile', self._compiler.enter, index)
        entered = self._clock.timed('growing', jax.block_until_ready, enter(state, self._seed))
        return self._phases[index].adopt(state, entered)

    def run(self, stop: StopRequest) -> Outcome:
        """All remaining phases, or up to a signal."""
        left = self._forecast.seconds_left(self._position.images_seen)
        if left is None:
            _LOGGER.info('How long it takes is not known yet; the bar tells when steps have been measured.')
        elif left:
            _LOGGER.info(
                'Training takes about %s, as its steps were measured on this machine.', describe_time(left)
            )
        first = find_phase(self._phases, self._position.images_seen)
        for index in range(first, len(self._phases)):
            if self._position.phase != self._phases[index].name:
                self._state = self._enter(index, self._state)
                self._position = dataclasses.replace(self._position, phase=self._phases[index].name)
            self._run_phase(index, stop)
            if self._stopped_by:
                break
        self._meter.flush()
        if self._position.images_seen > 0:
            self._clock.timed('checkpoint', self._save)
        self._clock.timed('checkpoint', self._checkpoints.wait)
        best = None
        if self._best is not None:
            self._clock.timed('checkpoint', self._best.wait)
            best = self._best.position
        return Outcome(self._state, self._position, best, self._stopped_by, self._clock.totals())

    def _run_phase(self, index: int, stop: StopRequest) -> None:
        """The rest of one phase, unless something, on whichever process, ends it early."""
        phase = self._phases[index]
        sizes = phase.call_sizes(self._position.images_seen, self._periods.steps_per_call)
        if not sizes:  # the run was finished before
            return
        feed = self._clock.timed('data', phase.open_feed, self._position.images_seen, iter(sizes))
        self._compiler.ahead(index)
        for number, size in enumerate(sizes):
            in_phase = (self._position.images_seen - phase.start) // phase.batch_size
            call = self._clock.timed('compile', self._compiler.call, index, size, in_phase)
            if number == 0:
                self._compiler.ahead(index + 1)
            self._call(call, phase, size, feed)
            reason = stop.reason
            if parallel.any_process(bool(reason)) or self._collapsed:
                late = parallel.any_process(reason == TIME_LIMIT)  # on all, since all draw samples together
                self._stopped_by = TIME_LIMIT if late else reason or ('collapse' if self._collapsed else 'another')
                break
        feed.close()
        if parallel.is_first_process():
            self._forecast.keep()
        seen = self._position.images_seen
        if self._stopped_by == TIME_LIMIT and seen < phase.end:
            self._periodic(seen, seen, phase, last=True)
        if self._phase_done is not None:
            seconds, compiling = self._clock.totals(), self._compiler.seconds[index]
            ended = (phase, self._state, self._position, seconds, compiling, self._phases[index + 1 :])
            self._phases[index + 1 :] = self._phase_done(PhaseEnd(*ended))

    def _call(self, call: Callable, phase: Phase, size: int, feed: Iterator) -> None:
        """Makes one call, then whatever falls due."""
        begin = time.perf_counter()
        batches = self._clock.timed('input', next, feed)
        before = self._position.images_seen
        seen = before + phase.batch_size * np.arange(size)
        rows = [phase.controls(int(images)) for images in seen]
        controls = {name: np.asarray([row[name] for row in rows], np.float32) for name in rows[0]}
        numbers = np.arange(self._position.step, self._position.step + size, dtype=np.int32)
        self._state, metrics = call(self._state, batches, self._seed, controls, numbers)
        self._meter.add(metrics)
        self._forecast.add(size, time.perf_counter() - begin)
        images = before + size * phase.batch_size
        self._position = Position(self._position.step + size, images, phase.name)
        self._bar.update(images - before)
        self._periodic(before, images, phase, last=images == phase.end)

    def _periodic(self, before: int, images: int, phase: Phase, *, last: bool) -> None:
        def due(every: int) -> bool:
            return before // every != images // every or last

        # A checkpoint of this step holds what was not logged: a line now would count it twice after going on.
        if due(self._periods.log) and self._saved_step != self._position.step:
            self._clock_steps(phase)
            self._write_metrics(phase)
        if self._best is not None and due(self._best.watch.every):
            self._look(self._best, phase)
        if self._sample is not None and due(self._periods.sample):
            self._meter.flush()
            picture = self._clock.timed('sample', self._sample, self._state, phase, images)
            self._log.image(self._position.step, 'samples', picture)
        if due(self._periods.checkpoint):
            self._clock.timed('checkpoint', self._save)

    def _clock_steps(self, phase: Phase) -> None:
        """Waits for all steps, so that their time is known, and tells the time left."""
        begin = time.perf_counter()
        self._meter.flush()
        self._forecast.settle(phase, time.perf_counter() - begin)
        left = self._forecast.seconds_left(self._position.images_seen)
        self._bar.set_postfix_str('' if left is None else f'{describe_time(left)} left', refresh=False)

    def _look(self, best: Best, phase: Phase) -> None:
        """Measures; in the last phase, keeps the best state and meets a collapse."""
        self._meter.flush()
        seen, watch = self._position.images_seen, best.watch
        values = self._clock.timed('watch', watch.measure, self._state, phase, seen)
        collapsed = phase is self._phases[-1] and best.judge(values, self._state, self._position)
        finite = {name: value for name, value in values.items() if np.isfinite(value)}
        self._log.scalars(
            self._position.step,
            {'phase': phase.name, 'images_seen': seen, **finite, 'collapsed': int(collapsed)},
        )
        self._collapsed = collapsed and watch.on_collapse == 'stop'
        if collapsed and watch.on_collapse == 'roll_back':
            self._state = best.restore(self._abstract[-1]) or self._state

    def _save(self) -> None:
        self._checkpoints.save(self._state, self._position, self._meter.unlogged())
        self._saved_step = self._position.step

    def _write_metrics(self, phase: Phase) -> None:
        images = self._position.images_seen
        averages = self._meter.averages(images)
        if not averages:
            return
        controls = phase.controls(images)
        self._log.scalars(
            self._position.step, {'phase': phase.name, **controls, 'images_seen': images, **averages}
        )
        shown = ' '.join(f'{name} {value:.2f}' for name, value in controls.items() if name != 'images_seen')
        self._bar.set_description(f'{phase.name} {shown}'.strip())
        self._stop_if_hopeless(int(averages.get('skipped_in_a_row', 0)))

    def _stop_if_hopeless(self, skipped_in_a_row: int) -> None:
        """Raises UserError after too many skipped updates, and where all were skipped, however few, at the end."""
        step, seen = self._position.step, self._position.images_seen
        nothing_learnt = seen == self._phases[-1].end and skipped_in_a_row >= step
        if nothing_learnt or skipped_in_a_row >= self._periods.max_skipped_in_a_row:
            which = 'Every one of the' if nothing_learnt else 'The last'
            raise UserError(
                f'{which} {skipped_in_a_row} updates had gradients that are not finite, so training stopped at '
                f'{seen} images; lower the learning rates or change the loss, and start again from the last '
                'checkpoint or in a new workdir.'
            )

    def close(self) -> None:
        """Ends threads and closes files."""
        if self._best is not None:
            self._best.close()
        self._bar.close()
        self._compiler.close(wait=self._stopped_by != TIME_LIMIT)
        self._log.close()
