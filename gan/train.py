"""Training a GAN: the schedule's stages as phases of the loop."""

import contextlib
import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.grids import save_picture
from backbones.images import DataFacts, batch_shapes, facts_of, open_feed, read_facts
from foundation.training import launch, logs, loop, parallel
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Checkpoints
from foundation.training.errors import UserError
from foundation.training.phases import Phase
from gan import data as training_data
from gan import setup
from gan.samples import Sampler, draw_reals
from gan.schedule import Stage, fade_in
from gan.state import GanState, grow
from gan.step import create_cycle
from gan.transfer import adopt_from, check_source
from gan.watch import SCORE, create_watch
from gan.weights import is_exported

_LOGGER = logging.getLogger(__name__)
# Fields that decide the architecture, the data and the position in them; a run cannot go on with others.
FIXED_FIELDS = (
    'architecture',
    'channels',
    'conditional',
    'data.classes',
    'data.fit',
    'data.modalities',
    'data.split',
    'data.window',
    'data.window_range',
    'discriminator',
    'generator',
    'mask_classes',
    'resolution',
    'schedule.batch_size',
    'schedule.fade_images',
    'schedule.initial_resolution',
    'schedule.stable_images',
    'seed',
)
_CURVES = {
    'losses': ('generator_loss', 'discriminator_loss', 'penalty', 'real_class_loss', 'fake_class_loss'),
    'distance to real images (random features)': ('distance',),
    'coverage of real images, overfitting': ('coverage', 'real_signs', 'augmentation_probability'),
    'logits': ('real_logits', 'fake_logits'),
    'gradient norms': ('generator_gradient_norm', 'discriminator_gradient_norm'),
    'images a second': ('images_per_second',),
}


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped, and says what to do next.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    outcome = train(config, workdir, deadline=math.inf, stage_done=None)
    if parallel.is_first_process():
        stages = setup.create_stages_of(config, read_facts(workdir).num_examples)
        _say_goodbye(workdir, outcome, stages)


def train(
    config: ConfigDict,
    workdir: Path,
    *,
    deadline: float,
    stage_done: Callable[[loop.PhaseEnd], Sequence[Phase]] | None,
) -> loop.Outcome:
    """Trains as configured, from where `workdir` stopped, until all is done or the deadline has come.

    Args:
      config, workdir: of the run.
      deadline, stage_done: see `loop.run`, whose phases are the stages.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    setup.check_config(config)
    check_source(config, workdir)
    if is_exported(workdir):
        raise UserError(f'{workdir} is an exported generator, which cannot train on; give another --workdir.')
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    images = training_data.open_images(config)
    facts = facts_of(images)
    facts.check_same(workdir)
    stages = setup.create_stages_of(config, facts.num_examples)
    for stage in stages:
        parallel.check_batch_size(mesh, stage.batch_size, f'config.schedule.batch_size.at_{stage.resolution}')
    workdirs.prepare_workdir(workdir, config, fixed=FIXED_FIELDS, write=first)
    if first:
        facts.write(workdir)
        logs.log_to_file(workdir)
    image_format = training_data.image_format(config, facts.classes)
    _log_start(config, facts, mesh, image_format)
    if not (workdir / 'real.png').exists():
        draw_reals(config, images, image_format, workdir / 'real.png', write=first)
    sampler = Sampler(config, image_format, mesh, stages)
    phases = [create_phase(config, stage, image_format, images, mesh) for stage in stages]
    with contextlib.closing(Checkpoints(workdir / 'checkpoints', config.run.checkpoints_to_keep)) as checkpoints:
        return loop.run(
            phases,
            workdir,
            checkpoints,
            mesh,
            loop.periods_of(config.run, setup.cycle_length(config), config.run.sample_images),
            seed=config.seed,
            sample=_make_sample(workdir, sampler, stages),
            watch=create_watch(config, images, image_format, sampler),
            deadline=deadline,
            phase_done=stage_done,
        )


def create_phase(
    config: ConfigDict,
    stage: Stage,
    image_format: setup.ImageFormat,
    images: input_pipeline.ImageData,
    mesh: Mesh,
) -> Phase:
    """A stage as a phase of the loop."""
    recipe = setup.create_recipe(config, stage.resolution, image_format)

    def enter(previous: GanState | None, key: PRNGKeyArray) -> GanState:
        fresh = setup.create_state_of(config, recipe, key)
        return fresh if previous is None else grow(previous, fresh)

    return Phase(
        name=stage.name,
        start=stage.start,
        end=stage.end,
        batch_size=stage.batch_size,
        enter=enter,
        adopt=functools.partial(adopt_from, config),
        cycle=create_cycle(recipe),
        controls=functools.partial(_controls, stage),
        open_feed=functools.partial(
            open_feed, images, stage.resolution, stage.batch_size, mesh, config.data.device_memory_gib
        ),
        batch=batch_shapes(stage.resolution, stage.batch_size, image_format.all_channels),
    )


def replan_phase(phase: Phase, stage: Stage) -> Phase:
    """The phase of a stage that has not begun, moved to where `stage`, of the same size and batch, is."""
    controls = functools.partial(_controls, stage)
    return dataclasses.replace(phase, start=stage.start, end=stage.end, controls=controls)


def _controls(stage: Stage, images_seen: int) -> dict[str, float]:
    return {'alpha': fade_in(stage, images_seen), 'images_seen': images_seen}


def _make_sample(workdir: Path, sampler: Sampler, stages: tuple[Stage, ...]) -> Callable[..., np.ndarray]:
    """Returns the function that draws a grid into samples/*.png, and the curves."""
    marks = {stage.name: stage.start for stage in stages}

    def sample(state: GanState, phase: Phase, images_seen: int) -> np.ndarray:
        grid = sampler.draw_picture(state, phase, images_seen)
        if parallel.is_first_process():
            save_picture(grid, workdir / 'samples' / f'{images_seen:09d}_{phase.name}.png')
            logs.draw_curves(workdir, _CURVES, marks)
        return grid

    return sample


def _log_start(config: ConfigDict, facts: DataFacts, mesh: Mesh, image_format: setup.ImageFormat) -> None:
    _LOGGER.info('%s', logs.describe_run(mesh.size))
    _LOGGER.info('Config:\n%s', config)
    recipe = setup.create_recipe(config, config.resolution, image_format)
    state = jax.eval_shape(functools.partial(setup.create_state_of, config, recipe), jax.random.key(0))
    for name, network in state.networks.items():
        table = parameter_overview.get_parameter_overview(network.params, include_stats=False)
        _LOGGER.info('%s at %d x %d:\n%s', name.capitalize(), config.resolution, config.resolution, table)
    _LOGGER.info(
        'Data: %s, %d images of %d patients, %s, classes: %s.',
        facts.name,
        facts.num_examples,
        facts.num_patients,
        facts.dtype,
        ', '.join(facts.classes) or 'none',
    )


def _say_goodbye(workdir: Path, outcome: loop.Outcome, stages: tuple[Stage, ...]) -> None:
    """Where the time went, the last grid, and what to run next."""
    seconds = dict(outcome.seconds)
    total = max(seconds.pop('total'), 1e-9)
    shares = ', '.join(f'{name} {value / total:.1%}' for name, value in sorted(seconds.items()))
    _LOGGER.info('%.0f s in all, of which waiting for: %s.', total, shares)
    grids = sorted((workdir / 'samples').glob('*.png'))
    seen = outcome.position.images_seen
    best = outcome.best
    if best is not None:
        print(f'Best: {SCORE} {best.score:.4g} at {best.images_seen} images, kept in {workdir / BEST}.')
    if outcome.stopped_by:
        print(f'Stopped by {outcome.stopped_by} at {seen} of {stages[-1].end} images; all is saved in {workdir}.')
    if outcome.stopped_by and outcome.stopped_by != 'collapse':
        print('Next: the same command goes on from here.')
        return
    if not outcome.stopped_by:
        print(f'Done: {seen} images, in {workdir}.')
    if grids:
        print(f'Pictures: {grids[-1]}   curves: {workdir / "curves.png"}')
    print(f'Real images to compare with: {workdir / "real.png"}')
    print(
        f'Next: {launch.python()} -m gan.generate '
        f'--workdir={workdir} --num=1000 --out={workdir}/generated --seed=1{" --best" if best else ""}'
    )
    print(f'      {launch.python()} -m gan.evaluate --workdir={workdir} --extractor=random')
    print(f'      {launch.python()} -m gan.report --workdir={workdir}')
