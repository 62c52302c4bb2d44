"""Training by the clock that goes on after a kill: a plan is made once, from steps that were timed."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from backbones.images import settle_data
from benchmarks.accelerator import timetable
from benchmarks.calls import time_calls
from benchmarks.zoo.members import BATCH_SIZE
from configs.gan.schema import GAN
from configs.schema import as_begun, run_record
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.checkpoints import Checkpoints
from foundation.training.errors import UserError
from foundation.training.interrupts import TIME_LIMIT
from foundation.training.phases import Compiler, abstract_states
from gan.families import FAMILIES
from gan.recipe import create_recipe
from gan.reporting.runs import read_runs
from gan.train import create_phase, prepare, train

_PLAN = 'plan.json'
_DONE = 'trained.json'
_LOOKS = 12  # of the watch in the last stage, or twice as many in all
_SAVES = 10  # checkpoints, which take time
_LINES = 50  # of the log
_ANNEALED = 0.85  # of the images that are expected: what anneals is then at its end
_OPEN_END = 2**25  # images: time ends training before
_TIMED_STEPS = 12


def train_by_the_clock(config: ConfigDict, workdir: Path, seconds: float) -> None:
    """Trains for so long in all, of which earlier starts count; compiling for the timing of steps does not.

    Raises:
      UserError: when training was stopped before; the same call goes on.
    """
    if (workdir / _DONE).exists():
        return
    workdir.mkdir(parents=True, exist_ok=True)
    plan = workdir / _PLAN
    if not plan.exists():
        speeds = {str(size): measure_speed(config, size) for size in _resolutions(config)}
        workdirs.write_json(plan, {'images/s': speeds, 'seconds': seconds})
    known = workdirs.read_json(workdir, _PLAN)
    apply_plan(config, {int(size): speed for size, speed in known['images/s'].items()}, known['seconds'])
    spent = seconds_kept(workdir)
    config, found = settle_data(as_begun(GAN, config, workdir), workdir)
    training = prepare(create_recipe(found), workdir, run_record(GAN, config))
    outcome = train(training, deadline=time.monotonic() + max(seconds - spent, 0), stage_done=None)
    if outcome.stopped_by not in ('', TIME_LIMIT):
        raise UserError(f'{workdir} was stopped by {outcome.stopped_by}; the same command goes on from there.')
    workdirs.write_json(workdir / _DONE, {'images': outcome.position.images_seen, 'seconds': seconds})


def seconds_kept(workdir: Path) -> float:
    """Of training up to the newest checkpoint; what a kill lost is trained again."""
    if not workdirs.has_begun(workdir):
        return 0.0
    with contextlib.closing(Checkpoints(workdir / 'checkpoints', keep=1)) as checkpoints:
        newest = checkpoints.newest()
    seen = 0 if newest is None else newest.images_seen
    (run,) = read_runs([workdir])
    kept = tuple(line for line in run.lines if line['images_seen'] <= seen)
    return dataclasses.replace(run, lines=kept).seconds()


def images_trained(workdir: Path) -> int:
    """Images seen in all."""
    return workdirs.read_json(workdir, _DONE)['images']


def _resolutions(config: ConfigDict) -> list[int]:
    family = FAMILIES[config.architecture]
    if not family.grows:
        return [config.resolution]
    return [size for size in (4, 8, 16, 32) if family.smallest <= size <= config.resolution]


def measure_speed(config: ConfigDict, resolution: int) -> float:
    """Images a second of training at one size; its programs stay in the cache, where training finds them."""
    config = config.copy_and_resolve_references()
    config.schedule.stable_images, config.schedule.initial_resolution = _OPEN_END, resolution
    config.schedule.fade_images = 0
    recipe, mesh = create_recipe(config), parallel.create_mesh()
    images = recipe.open_training()
    phase = create_phase(recipe, recipe.stages(images.num_examples)[0], images, mesh)
    compiler, size = Compiler([phase], abstract_states([phase], mesh), mesh, recipe.periods.steps_per_call), 1
    calls = len(phase.cycle) * math.ceil(_TIMED_STEPS / len(phase.cycle))
    try:
        seconds, _ = time_calls(phase, compiler, size, calls)
    finally:
        compiler.close(wait=True)
    return calls * phase.batch_size / seconds


def apply_plan(config: ConfigDict, speeds: Mapping[int, float], seconds: float) -> None:
    """Makes a schedule of so many seconds, whose last stage is open, and puts looks and checkpoints into it."""
    sizes = dict.fromkeys(speeds, BATCH_SIZE)
    stages = timetable.plan_stages(speeds, sizes, seconds, 1, grown=False)
    if len(stages) > 1:
        timetable.apply(config, [*stages[:-1], dataclasses.replace(stages[-1], stable_images=_OPEN_END)])
    else:
        config.schedule.initial_resolution, config.schedule.fade_images = 0, 0
        config.schedule.stable_images = _OPEN_END
    by_stage = [max(int(speeds[stage.resolution] * stage.seconds), BATCH_SIZE) for stage in stages]
    expected, total = by_stage[-1], sum(by_stage)
    if config.anneal.images:
        config.anneal.images = max(int(_ANNEALED * expected), BATCH_SIZE)
    # Early stages of growth see many images in little time: all periods are in images, and must not fill it.
    config.watch.images, config.watch.samples = max(expected // _LOOKS, total // (2 * _LOOKS), 1), 500
    config.run.sample_images = max(total // 3, 1)
    config.run.checkpoint_images, config.run.log_images = max(total // _SAVES, 1), max(total // _LINES, 1)
