"""A GAN trained by the clock: its schedule fits the time; each stage leaves a generator, a grid and a row."""

import contextlib
import dataclasses
import logging
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

from backbones.images import read_facts, settle_data
from benchmarks.accelerator import timetable
from benchmarks.accelerator.first_stage import measure_first_stage
from benchmarks.accelerator.sheet import Strip, draw_sheet
from benchmarks.accelerator.tasks import Context, Row
from configs.gan.schema import GAN
from configs.schema import as_begun, run_record
from foundation.training import logs, phases
from foundation.training import workdir as workdirs
from foundation.training.loop import Outcome, PhaseEnd
from foundation.training.phases import Phase
from gan.recipe import create_recipe
from gan.train import prepare, replan_phase, train
from gan.weights import write_exported

SHEET_FILE = 'grids.png'
_WAIT = 0.6  # of the time, for the first program; then training begins at a speed that is supposed
_SUPPOSED = 1000.0  # images a second of the first stage
_EVERY = 20.0  # seconds between two looks at what is done
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
    """Trains, and yields a row for each program, for the schedule, now and then, and for each stage.

    Ends by itself when the time is over.
    """
    end = time.monotonic() + run.seconds
    workdir = context.scratch / 'trained' / run.name
    recorder = _Recorder(run, context, workdir)

    def work(tell: Callable[[Row], None]) -> Outcome:
        schedule = _Schedule(run, context, tell)
        for stage in schedule.stages:
            tell(_describe_stage(run.name, stage))

        def stage_done(stage_end: PhaseEnd) -> Sequence[Phase]:
            row = recorder.record(stage_end)
            tell(row)
            return schedule.replan(stage_end, row['images/s'])

        config, found = settle_data(as_begun(GAN, run.config, workdir), workdir)
        training = prepare(create_recipe(found), workdir, run_record(GAN, config))
        return train(training, deadline=end, stage_done=stage_done)

    with _programs_told(run.name) as programs:
        outcome = yield from _in_background(work, programs, recorder.tell_progress)
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


def _describe_stage(name: str, stage: timetable.PlannedStage) -> Row:
    return {
        'table': 'schedule',
        'network': name,
        'resolution': stage.resolution,
        'batch': stage.batch_size,
        'fading images': stage.fade_images,
        'stable images': stage.stable_images,
        'seconds planned': stage.seconds,
    }


class _Schedule:
    """The stages of a run, those that are left planned anew whenever one has shown how fast it was.

    Puts them into the config, whose schedule is thus always that of the run.
    """

    def __init__(self, run: TimedRun, context: Context, tell: Callable[[Row], None]) -> None:
        self._run, self._end = run, time.monotonic() + run.seconds
        self._steps = create_recipe(run.config).periods.steps_per_call
        self.stages: tuple[timetable.PlannedStage, ...] = ()
        resolutions = sorted(run.batch_sizes)
        known = timetable.find_speeds([*context.rows(part='compiling'), *context.rows(part='speed')], run.name)
        if resolutions[0] not in known:
            self._plan(dict.fromkeys(resolutions, 1.0), done=0)
            found = measure_first_stage(
                run.config, self._steps, _WAIT * run.seconds, lambda row: tell({'network': run.name} | row)
            )
            known[resolutions[0]] = found or _SUPPOSED
        self._speeds = timetable.fill_speeds(known, resolutions)
        self._plan(self._speeds, done=0)

    def replan(self, end: PhaseEnd, speed: float) -> Sequence[Phase]:
        """The later phases, on the supposition that they are as much slower than expected as this one was."""
        done = len(self.stages) - len(end.later)
        ratio = speed / self._speeds[self.stages[done - 1].resolution]
        if end.later:
            self._plan({r: ratio * expected for r, expected in self._speeds.items()}, done)
        stages = create_recipe(self._run.config).stages(num_examples=1)
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
        self._images, self._began, self._drawn = 0, time.monotonic(), 0
        self._drawing = threading.Lock()

    def record(self, end: PhaseEnd) -> Row:
        """Exports the generator, draws the sheet anew, and returns the row of the stage."""
        facts, images = read_facts(self._workdir), end.position.images_seen - self._images
        variables = jax.device_get(end.state.averaged('generator'))
        write_exported(
            self._run.generator,
            create_recipe(self._run.config),
            facts,
            end.position,
            variables,
            dtype='bfloat16',
            beside={},
            overwrite=True,
        )
        spent = {name: value - self._seconds.get(name, 0.0) for name, value in end.seconds.items()}
        training = spent['total'] - sum(spent.get(name, 0.0) for name in _WAITING)
        self._seconds, self._images = end.seconds, end.position.images_seen
        self._draw_sheet()
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

    def tell_progress(self) -> Row:
        """A row of where training is; the sheet gets grids that were drawn meanwhile."""
        self._draw_sheet()
        row: Row = {'table': 'progress', 'network': self._run.name, 'seconds': time.monotonic() - self._began}
        lines = logs.read_metrics(self._workdir)
        if not lines:
            return row | {'stage': 'not begun: compiling', 'images seen': 0}
        known = {'stage': lines[-1]['phase'], 'images seen': lines[-1]['images_seen']}
        return row | known | {'images/s': lines[-1]['images_per_second'], **_last_losses(self._workdir)}

    def _draw_sheet(self) -> None:
        folder = self._context.scratch / 'trained'
        with self._drawing:
            count = len(list(folder.glob('*/samples/*.png')))
            if count > self._drawn:
                draw_sheet(list(_find_strips(folder)), self._context.out / SHEET_FILE)
                self._drawn = count


def _find_strips(folder: Path) -> Iterator[Strip]:
    """The last grid of each stage so far, in the order in which the runs began."""
    configs = sorted(folder.glob(f'*/{workdirs.CONFIG_FILE}'), key=lambda path: path.stat().st_mtime)
    for workdir in (path.parent for path in configs):
        grids = {path.stem.split('_', 1)[1]: path for path in sorted((workdir / 'samples').glob('*_*.png'))}
        for stage, grid in grids.items():
            images = int(grid.stem.split('_')[0])
            yield Strip(f'{workdir.name} {stage}: {images:,} images', np.asarray(Image.open(grid)))


def _last_losses(workdir: Path) -> dict[str, Any]:
    line = logs.read_metrics(workdir)[-1]
    return {
        name.replace('_', ' '): line[name] for name in ('generator_loss', 'discriminator_loss') if name in line
    }


class _Programs(logging.Handler):
    """Rows of programs that became ready, as the compiler of the training loop tells them."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.DEBUG)
        self._name, self._began = name, time.monotonic()
        self.told: Callable[[Row], None] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Tells one."""
        if self.told is None or not isinstance(record.args, tuple):
            return
        told: Any = record.args
        program, stage, trace, compiling = told
        if time.monotonic() - trace - compiling < self._began:  # of a run that has ended
            return
        row = {'table': 'programs', 'network': self._name, 'program': program, 'stage': stage, 'trace s': trace}
        self.told(row | {'compile s': compiling, 'ready after s': time.monotonic() - self._began})


@contextlib.contextmanager
def _programs_told(name: str) -> Iterator[_Programs]:
    """Listens to the compiler."""
    logger, handler = logging.getLogger(phases.__name__), _Programs(name)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _in_background(
    work: Callable[[Callable[[Row], None]], Outcome], programs: _Programs, look: Callable[[], Row]
) -> Generator[Row, None, Outcome]:
    """Yields what `work(tell)` and `programs` tell, as soon as it is told, and looks every _EVERY seconds.

    Returns what `work` returns. It runs in a thread of its own, since rows must be written while training goes on.
    """
    told: queue.Queue[Any] = queue.Queue()
    over, programs.told = object(), told.put
    result: list[Outcome | BaseException] = []

    def call() -> None:
        try:
            result.append(work(told.put))
        except BaseException as error:
            result.append(error)
        told.put(over)

    threading.Thread(target=call, daemon=True, name='training').start()
    row, due = None, time.monotonic() + _EVERY
    while row is not over:
        try:
            row = told.get(timeout=max(due - time.monotonic(), 0.0))
            if row is not over:
                yield row
        except queue.Empty:
            due += _EVERY
            yield look()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]
