"""A GAN trained by the clock: its schedule fits the time; each stage leaves a generator, a grid and a row."""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from backbones.images import read_facts
from benchmarks.accelerator import timetable
from benchmarks.accelerator.first_stage import measure_first_stage
from benchmarks.accelerator.sheet import Strip, draw_sheet
from benchmarks.accelerator.tasks import Context, Row
from foundation.training import compute, logs
from foundation.training import workdir as workdirs
from foundation.training.loop import Outcome, PhaseEnd
from foundation.training.phases import Phase
from gan import setup
from gan.train import replan_phase, train
from gan.weights import write_exported

SHEET_FILE = 'grids.png'
_WAITING = ('compile', 'growing', 'sample', 'checkpoint', 'data')  # activities of the loop that are no training


@dataclasses.dataclass(frozen=True)
class TimedRun:
    """What is trained, and for how long.

    Attributes:
      name: for rows and captions.
      config: of the run; its schedule is made here.
      batch_sizes: by resolution, of all stages.
      seconds: for training alone, after which it ends.
      longest_schedule: seconds that the schedule is made for, at most.
      generator: the folder that the averaged generator is exported to.
    """

    name: str
    config: ConfigDict
    batch_sizes: dict[int, int]
    seconds: float
    longest_schedule: float
    generator: Path


def train_by_the_clock(run: TimedRun, context: Context) -> Iterator[Row]:
    """Trains, and yields a row for the schedule and for each stage; ends by itself when the time is over."""
    end = time.monotonic() + run.seconds
    schedule = _Schedule(run, context)
    for stage in schedule.stages:
        yield {
            'table': 'schedule',
            'network': run.name,
            'resolution': stage.resolution,
            'batch': stage.batch_size,
            'fading images': stage.fade_images,
            'stable images': stage.stable_images,
            'seconds planned': stage.seconds,
        }
    workdir = context.scratch / 'trained' / run.name
    recorder = _Recorder(run, context, workdir)

    def work(tell: Callable[[Row], None]) -> Outcome:
        def stage_done(stage_end: PhaseEnd) -> Sequence[Phase]:
            row = recorder.record(stage_end)
            tell(row)
            return schedule.replan(stage_end, row['images/s'])

        return train(run.config, workdir, deadline=end, stage_done=stage_done)

    outcome = yield from _in_background(work)
    yield {
        'table': 'runs',
        'network': run.name,
        'seconds given': run.seconds,
        'seconds trained': outcome.seconds['total'],
        'ended by': outcome.stopped_by or 'its schedule',
        'stage reached': outcome.position.phase,
        'images seen': outcome.position.images_seen,
        'steps': outcome.position.step,
    }


class _Schedule:
    """The stages of a run, those that are left planned anew whenever one has shown how fast it was.

    Puts them into the config, whose schedule is thus always that of the run.
    """

    def __init__(self, run: TimedRun, context: Context) -> None:
        self._run, self._end = run, time.monotonic() + run.seconds
        self._steps = compute.steps_per_call(run.config.run.steps_per_call, setup.cycle_length(run.config))
        self.stages: tuple[timetable.PlannedStage, ...] = ()
        resolutions = sorted(run.batch_sizes)
        known = timetable.find_speeds(context.rows(part='speed'), run.name)
        if resolutions[0] not in known:
            self._plan(dict.fromkeys(resolutions, 1.0), done=0)
            known[resolutions[0]] = measure_first_stage(run.config, self._steps)
        self._speeds = timetable.fill_speeds(known, resolutions)
        self._plan(self._speeds, done=0)

    def replan(self, end: PhaseEnd, speed: float) -> Sequence[Phase]:
        """The later phases, on the supposition that they are as much slower than expected as this one was."""
        done = len(self.stages) - len(end.later)
        ratio = speed / self._speeds[self.stages[done - 1].resolution]
        if end.later:
            self._plan({r: ratio * expected for r, expected in self._speeds.items()}, done)
        stages = setup.create_stages_of(self._run.config, num_examples=1)
        return [replan_phase(phase, stage) for phase, stage in zip(end.later, stages[done:], strict=True)]

    def _plan(self, speeds: Mapping[int, float], done: int) -> None:
        left = {resolution: speeds[resolution] for resolution in sorted(self._run.batch_sizes)[done:]}
        seconds = min(max(self._end - time.monotonic(), 0.0), self._run.longest_schedule)
        planned = timetable.plan_stages(left, self._run.batch_sizes, seconds, self._steps, grown=done > 0)
        self.stages = (*self.stages[:done], *planned)
        timetable.apply(self._run.config, self.stages)


class _Recorder:
    """Keeps what a stage leaves behind: generator, grid, row."""

    def __init__(self, run: TimedRun, context: Context, workdir: Path) -> None:
        self._run, self._context, self._workdir = run, context, workdir
        self._seconds: dict[str, float] = {}
        self._images = 0

    def record(self, end: PhaseEnd) -> Row:
        """Exports the generator, draws the sheet anew, and returns the row of the stage."""
        facts, images = read_facts(self._workdir), end.position.images_seen - self._images
        variables = jax.device_get(end.state.averaged('generator'))
        write_exported(
            self._run.generator,
            self._run.config,
            facts,
            end.position,
            variables,
            dtype='bfloat16',
            overwrite=True,
        )
        spent = {name: value - self._seconds.get(name, 0.0) for name, value in end.seconds.items()}
        training = spent['total'] - sum(spent.get(name, 0.0) for name in _WAITING)
        self._seconds, self._images = end.seconds, end.position.images_seen
        caption = f'{self._run.name} {end.phase.name}: {end.position.images_seen:,} images'
        workdirs.write_json(self._workdir / f'{end.position.images_seen:09d}.json', {'caption': caption})
        draw_sheet(list(_find_strips(self._context.scratch / 'trained')), self._context.out / SHEET_FILE)
        return {
            'table': 'stages',
            'network': self._run.name,
            'stage': end.phase.name,
            'batch': end.phase.batch_size,
            'images': images,
            'seconds': spent['total'],
            'images/s': images / max(training, 1e-9),
            'seconds compiling, hidden or not': end.compiling,
            'seconds waited for it': spent.get('compile', 0.0),
            **_last_losses(self._workdir),
            'finished': end.position.images_seen == end.phase.end,
        }


def _find_strips(folder: Path) -> Iterator[Strip]:
    """All grids drawn so far, in the order in which the runs began."""
    configs = sorted(folder.glob(f'*/{workdirs.CONFIG_FILE}'), key=lambda path: path.stat().st_mtime)
    for workdir in (path.parent for path in configs):
        for note in sorted(workdir.glob('*.json')):
            if note.stem.isdigit():
                (grid,) = (workdir / 'samples').glob(f'{note.stem}_*.png')
                yield Strip(workdirs.read_json(workdir, note.name)['caption'], np.asarray(Image.open(grid)))


def _last_losses(workdir: Path) -> dict[str, Any]:
    line = logs.read_metrics(workdir)[-1]
    return {
        name.replace('_', ' '): line[name] for name in ('generator_loss', 'discriminator_loss') if name in line
    }


def _in_background(work: Callable[[Callable[[Row], None]], Outcome]) -> Generator[Row, None, Outcome]:
    """Yields what `work(tell)` tells, as soon as it is told; returns what it returns.

    In a thread of its own, since rows must be written while training goes on.
    """
    told: queue.Queue[Any] = queue.Queue()
    over = object()
    result: list[Outcome | BaseException] = []

    def call() -> None:
        try:
            result.append(work(told.put))
        except BaseException as error:
            result.append(error)
        told.put(over)

    thread = threading.Thread(target=call, daemon=True, name='training')
    thread.start()
    while (row := told.get()) is not over:
        yield row
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]
