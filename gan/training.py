"""Training a progressive GAN: the schedule's stages as phases of the loop."""

import contextlib
import functools
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from gan import data as training_data
from gan import setup
from gan.pictures import draw_grid, save_picture
from gan.schedule import Stage, fade_in
from gan.state import GanState, create_state, grow
from gan.step import create_cycle, create_sampler, draw_latents
from training import launch, logs, loop, parallel
from training import workdir as workdirs
from training.checkpoints import Checkpoints
from training.phases import Phase

_LOGGER = logging.getLogger(__name__)
# Fields that decide the architecture, the data and the position in them; a run cannot go on with others.
FIXED_FIELDS = (
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
    'losses': ('generator_loss', 'discriminator_loss', 'penalty'),
    'logits': ('real_logits', 'fake_logits'),
    'gradient norms': ('generator_gradient_norm', 'discriminator_gradient_norm'),
    'images a second': ('images_per_second',),
}


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped, and says what to do next.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    setup.check_config(config)
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    stages = setup.create_stages_of(config)
    for stage in stages:
        parallel.check_batch_size(mesh, stage.batch_size, f'config.schedule.batch_size.at_{stage.resolution}')
    images = training_data.open_images(config)
    facts = training_data.facts_of(images)
    facts.check_same(workdir)
    workdirs.prepare_workdir(workdir, config, fixed=FIXED_FIELDS, write=first)
    if first:
        facts.write(workdir)
        logs.log_to_file(workdir)
    image_format = training_data.image_format(config, facts.classes)
    _log_start(config, facts, mesh, image_format)
    if not (workdir / 'real.png').exists():
        _draw_reals(config, images, image_format, workdir / 'real.png', write=first)
    phases = [create_phase(config, stage, image_format, images, mesh) for stage in stages]
    with contextlib.closing(Checkpoints(workdir / 'checkpoints', config.run.checkpoints_to_keep)) as checkpoints:
        outcome = loop.run(
            phases,
            workdir,
            checkpoints,
            mesh,
            _periods(config),
            seed=config.seed,
            sample=_make_sample(config, workdir, image_format, mesh, stages),
        )
    if first:
        _say_goodbye(workdir, outcome, stages)


def create_phase(
    config: ConfigDict,
    stage: Stage,
    image_format: setup.ImageFormat,
    images: input_pipeline.ImageData,
    mesh: Mesh,
) -> Phase:
    """A stage as a phase of the loop."""
    networks = setup.create_networks(config, stage.resolution, image_format)
    optimizers = setup.create_optimizers(config)

    def enter(previous: GanState | None, key: PRNGKeyArray) -> GanState:
        fresh = create_state(*networks, optimizers, key)
        return fresh if previous is None else grow(previous, fresh)

    def controls(images_seen: int) -> dict[str, float]:
        return {'alpha': fade_in(stage, images_seen), 'images_seen': images_seen}

    return Phase(
        name=stage.name,
        start=stage.start,
        end=stage.end,
        batch_size=stage.batch_size,
        enter=enter,
        cycle=create_cycle(*networks, optimizers, setup.create_objective(config), setup.create_averaging(config)),
        controls=controls,
        open_feed=functools.partial(training_data.open_feed, images, stage, mesh, config.data.device_memory_gib),
        batch=training_data.batch_shapes(stage, image_format.all_channels),
    )


def _periods(config: ConfigDict) -> loop.Periods:
    return loop.Periods(
        log=config.run.log_images,
        sample=config.run.sample_images,
        checkpoint=config.run.checkpoint_images,
        steps_per_call=setup.steps_per_call(config),
        max_skipped_in_a_row=config.run.max_skipped_in_a_row,
    )


def _make_sample(
    config: ConfigDict, workdir: Path, image_format: setup.ImageFormat, mesh: Mesh, stages: tuple[Stage, ...]
) -> Callable[[GanState, Phase, int], np.ndarray]:
    """Returns the function that draws the same latents at every stage, into samples/*.png."""
    columns, count = config.samples.columns, config.samples.rows * config.samples.columns
    latents = draw_latents(jax.random.key(config.seed), count, config.generator.latent_size)
    labels = np.arange(count, dtype=np.int32) % max(image_format.num_classes, 1)
    marks = {stage.name: stage.start for stage in stages}
    samplers = {
        stage.name: create_sampler(
            setup.create_networks(config, stage.resolution, image_format)[0], parallel.replicated(mesh)
        )
        for stage in stages
    }

    def sample(state: GanState, phase: Phase, images_seen: int) -> np.ndarray:
        alpha = np.float32(phase.controls(images_seen)['alpha'])
        images = samplers[phase.name](state.ema_variables, np.asarray(latents), labels, alpha)
        grid = draw_grid(np.asarray(images), columns, image_format.channels, image_format.mask_classes)
        if parallel.is_first_process():
            save_picture(grid, workdir / 'samples' / f'{images_seen:09d}_{phase.name}.png')
            logs.draw_curves(workdir, _CURVES, marks)
        return grid

    return sample


def _draw_reals(
    config: ConfigDict,
    images: input_pipeline.ImageData,
    image_format: setup.ImageFormat,
    path: Path,
    *,
    write: bool,
) -> None:
    """Training images as the networks see them, in a grid like those of the samples.

    Processes that do not write call it too: it decodes the data, for which they would otherwise wait in vain.
    """
    count = config.samples.rows * config.samples.columns
    batches = images.batches(config.resolution, 0, count, process_index=0, process_count=1)
    with contextlib.closing(batches):
        real = next(batches)['image']
    grid = draw_grid(real, config.samples.columns, image_format.channels, image_format.mask_classes)
    if write:
        save_picture(grid, path)


def _log_start(
    config: ConfigDict, facts: training_data.DataFacts, mesh: Mesh, image_format: setup.ImageFormat
) -> None:
    _LOGGER.info('%s', logs.describe_run(mesh.size))
    _LOGGER.info('Config:\n%s', config)
    for network in setup.create_networks(config, config.resolution, image_format):
        variables = jax.eval_shape(
            functools.partial(_initialise, network, config.generator.latent_size), jax.random.key(0)
        )
        table = parameter_overview.get_parameter_overview(variables['params'], include_stats=False)
        _LOGGER.info('%s at %d x %d:\n%s', type(network).__name__, config.resolution, config.resolution, table)
    _LOGGER.info(
        'Data: %s, %d images of %d patients, %s, classes: %s.',
        facts.name,
        facts.num_examples,
        facts.num_patients,
        facts.dtype,
        ', '.join(facts.classes) or 'none',
    )


def _initialise(network: setup.Generator | setup.Discriminator, latent_size: int, key: PRNGKeyArray):
    shape = (1, network.resolution, network.resolution, network.channels)
    example = jnp.zeros((1, latent_size) if isinstance(network, setup.Generator) else shape)
    return network.init(key, example, jnp.zeros((1,), jnp.int32))


def _say_goodbye(workdir: Path, outcome: loop.Outcome, stages: tuple[Stage, ...]) -> None:
    """Where the time went, the last grid, and what to run next."""
    seconds = dict(outcome.seconds)
    total = max(seconds.pop('total'), 1e-9)
    shares = ', '.join(f'{name} {value / total:.1%}' for name, value in sorted(seconds.items()))
    _LOGGER.info('%.0f s in all, of which waiting for: %s.', total, shares)
    grids = sorted((workdir / 'samples').glob('*.png'))
    seen = outcome.position.images_seen
    if outcome.stopped_by:
        print(f'Stopped by {outcome.stopped_by} at {seen} of {stages[-1].end} images; all is saved in {workdir}.')
        print('Next: the same command goes on from here.')
        return
    print(f'Done: {seen} images, in {workdir}.')
    if grids:
        print(f'Pictures: {grids[-1]}   curves: {workdir / "curves.png"}')
    print(f'Real images to compare with: {workdir / "real.png"}')
    print(
        f'Next: {launch.python()} -m gan.generate '
        f'--workdir={workdir} --num=1000 --out={workdir}/generated --seed=1'
    )
