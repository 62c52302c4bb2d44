"""Training a GAN: the schedule's stages as phases of the loop."""

import contextlib
import dataclasses
import functools
import logging
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.extractors import Extractor
from backbones.grids import save_picture
from backbones.images import DataFacts, batch_shapes, facts_of, open_feed, sampled_shapes, settle_data
from configs.gan.schema import GAN
from configs.schema import as_begun, run_record
from foundation.training import launch, logs, loop, parallel
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Checkpoints
from foundation.training.errors import UserError
from foundation.training.feed import Batches
from foundation.training.fit import begin_run
from foundation.training.phases import Phase
from foundation.training.workdir import RunRecord
from gan.differential_privacy.ledger import (
    PRIVACY_FILE,
    PrivacyLedger,
    check_not_private,
    keep_secret,
    open_ledger,
)
from gan.domains import TrainingImages, domain_files
from gan.recipe import GanRecipe, ImageFormat, create_recipe
from gan.samples import TrainingSamples, draw_reals
from gan.schedule import Stage, fade_in
from gan.state import GanState, grow
from gan.step import create_cycle
from gan.transfer import adopt_from, check_source, check_source_data
from gan.translation.samples import ClassSamples, Samples, TranslatedSamples
from gan.watch import SCORE, create_watch, open_extractor
from gan.weights import is_exported

_LOGGER = logging.getLogger(__name__)
_CURVES = {
    'losses': ('generator_loss', 'discriminator_loss', 'penalty', 'real_class_loss', 'fake_class_loss'),
    'distance to real images (features of the watch)': ('distance',),
    'coverage of real images, overfitting': ('coverage', 'real_signs', 'augmentation_probability'),
    'logits': ('real_logits', 'fake_logits'),
    'gradient norms': ('generator_gradient_norm', 'discriminator_gradient_norm'),
    'images a second': ('images_per_second',),
}


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """A run whose workdir and data are ready.

    Attributes:
      recipe: of the run.
      workdir: its folder.
      images: to train on.
      image_format: the channels and classes of the images.
      stages: of its growth.
      mesh: the devices.
      extractor: of the watch; None where nothing is watched.
      ledger: of the privacy budget; None without one.
    """

    recipe: GanRecipe
    workdir: Path
    images: TrainingImages
    image_format: ImageFormat
    stages: tuple[Stage, ...]
    mesh: Mesh
    extractor: Extractor | None
    ledger: PrivacyLedger | None


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped, and says what to do next.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    config, found = settle_data(as_begun(GAN, config, workdir), workdir)
    training = prepare(create_recipe(found), workdir, run_record(GAN, config))
    outcome = train(training, deadline=math.inf, stage_done=None)
    if parallel.is_first_process():
        _say_goodbye(training, outcome)


def prepare(recipe: GanRecipe, workdir: Path, record: RunRecord) -> PreparedRun:
    """Opens the data, and begins the workdir or finds it as it was.

    Args:
      recipe: of the run.
      workdir: its folder.
      record: of its config.

    Raises:
      UserError, DataError: for a workdir or data that cannot be used.
    """
    check_source(recipe.start_from, workdir)
    if is_exported(workdir):
        raise UserError(f'{workdir} is an exported generator, which cannot train on; give another --workdir.')
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    images = recipe.open_training()
    facts = facts_of(images)
    facts.check_same(workdir)
    stages = recipe.stages(facts.num_examples)
    for stage in stages:
        parallel.check_batch_size(mesh, stage.batch_size, f'config.schedule.batch_size.at_{stage.resolution}')
    image_format = recipe.image_format(len(facts.classes))
    extractor = open_extractor(recipe.watch, image_format)
    ledger, files = None, facts.files(recipe.images.data_dir) | domain_files(images, recipe.family.translates)
    told = [_describe_data(facts, recipe), *_describe_unused(facts, recipe)]
    if recipe.privacy is not None and isinstance(images, input_pipeline.ImageData):
        ledger = open_ledger(recipe.privacy, workdir, images, stages)
        check_source_data(recipe.start_from, facts)
        recipe = dataclasses.replace(recipe, privacy=ledger.terms)
        files |= {PRIVACY_FILE: ledger.content()}
        told.append(ledger.describe())
    else:
        check_not_private(workdir)
    begin_run(
        workdir,
        mesh,
        record=record,
        files=files,
        told=told,
        details=[*_tabulate_networks(recipe, image_format)],
    )
    if ledger is not None and first:
        keep_secret(ledger, workdir)
    if not (workdir / 'real.png').exists():
        draw_reals(recipe, images, image_format, workdir / 'real.png', write=first)
    return PreparedRun(recipe, workdir, images, image_format, stages, mesh, extractor, ledger)


def train(
    training: PreparedRun, *, deadline: float, stage_done: Callable[[loop.PhaseEnd], Sequence[Phase]] | None
) -> loop.Outcome:
    """Trains from where the workdir stopped, until all is done or the deadline has come.

    Args:
      training: see `prepare`.
      deadline, stage_done: see `loop.run`, whose phases are the stages.

    Raises:
      UserError: see `loop.run`.
    """
    recipe, workdir, stages, mesh = training.recipe, training.workdir, training.stages, training.mesh
    samples = _create_samples(training)
    phases = [create_phase(recipe, stage, training.images, mesh, training.ledger) for stage in stages]
    with contextlib.closing(Checkpoints(workdir / 'checkpoints', recipe.checkpoints_to_keep)) as checkpoints:
        return loop.run(
            phases,
            workdir,
            checkpoints,
            mesh,
            recipe.periods,
            seed=recipe.seed,
            sample=_make_sample(recipe, workdir, samples, stages),
            watch=create_watch(recipe, training.images, training.image_format, samples, training.extractor),
            deadline=deadline,
            phase_done=stage_done,
        )


def _create_samples(training: PreparedRun) -> Samples:
    recipe, images, form = training.recipe, training.images, training.image_format
    if isinstance(images, input_pipeline.Domains):
        return TranslatedSamples(recipe, images, form, training.mesh)
    if recipe.family.translates:
        return ClassSamples(recipe, images, form, training.mesh)
    return TrainingSamples(recipe, form, images.classes, training.mesh, training.stages)


def create_phase(
    recipe: GanRecipe, stage: Stage, images: TrainingImages, mesh: Mesh, ledger: PrivacyLedger | None = None
) -> Phase:
    """A stage as a phase of the loop; with a ledger its batches are drawn by chance."""
    image_format = recipe.image_format(len(images.classes))
    step, reals = recipe.step_at(stage.resolution, image_format), recipe.reals_per_image

    def enter(previous: GanState | None, key: PRNGKeyArray) -> GanState:
        fresh = recipe.create_state(step, key)
        return fresh if previous is None else grow(previous, fresh)

    return Phase(
        name=stage.name,
        start=stage.start,
        end=stage.end,
        batch_size=stage.batch_size,
        enter=enter,
        adopt=functools.partial(adopt_from, recipe.start_from, recipe.family.sides),
        cycle=create_cycle(step),
        controls=functools.partial(_controls, stage, ledger),
        open_feed=functools.partial(_open_feed, recipe, stage, images, mesh, ledger),
        batch=batch_shapes(stage.resolution, reals * stage.batch_size, image_format.all_channels)
        | ({} if ledger is None else sampled_shapes(stage.batch_size)),
        cost=recipe.relative_cost(stage.resolution),
    )


def _open_feed(
    recipe: GanRecipe,
    stage: Stage,
    images: TrainingImages,
    mesh: Mesh,
    ledger: PrivacyLedger | None,
    images_seen: int,
    sizes: Iterator[int],
) -> Iterator[Batches]:
    reals = recipe.reals_per_image
    position, batch_size = reals * images_seen, reals * stage.batch_size
    shown = recipe.hide_labels(images)
    if ledger is not None and isinstance(shown, input_pipeline.ImageData):
        shown = shown.sampled(ledger.sampling(stage))
    return open_feed(shown, stage.resolution, batch_size, mesh, recipe.device_memory_gib, position, sizes)


def replan_phase(phase: Phase, stage: Stage) -> Phase:
    """The phase of a stage that has not begun, moved to where `stage`, of the same size and batch, is."""
    controls = functools.partial(_controls, stage, None)
    return dataclasses.replace(phase, start=stage.start, end=stage.end, controls=controls)


def _controls(stage: Stage, ledger: PrivacyLedger | None, images_seen: int) -> dict[str, float]:
    spent = {} if ledger is None else {'epsilon': ledger.spent(images_seen)}
    return {'alpha': fade_in(stage, images_seen), **spent, 'images_seen': images_seen}


def _make_sample(
    recipe: GanRecipe, workdir: Path, samples: Samples, stages: tuple[Stage, ...]
) -> Callable[..., np.ndarray]:
    """Returns the function that draws a grid into samples/*.png, and the curves."""
    marks = {stage.name: stage.start for stage in stages}
    family_curves = dict(recipe.family.curves)

    def sample(state: GanState, phase: Phase, images_seen: int) -> np.ndarray:
        grid = samples.draw_picture(state, phase, images_seen)
        if parallel.is_first_process():
            save_picture(grid, workdir / 'samples' / f'{images_seen:09d}_{phase.name}.png')
            logs.draw_curves(workdir, _CURVES | family_curves, marks)
        return grid

    return sample


def _tabulate_networks(recipe: GanRecipe, image_format: ImageFormat) -> Iterator[str]:
    """All parameters of each network with their shapes, for the log."""
    state, size = recipe.abstract_state(recipe.resolution, image_format), recipe.resolution
    for name, network in state.networks.items():
        table = parameter_overview.get_parameter_overview(network.params, include_stats=False)
        yield f'{name.capitalize()} at {size} x {size}:\n{table}'


def _describe_data(facts: DataFacts, recipe: GanRecipe) -> str:
    size, channels = recipe.resolution, recipe.images.preprocessing.channels
    colour = {1: 'grey', 3: 'in colour'}.get(channels, f'of {channels} channels')
    return (
        f'Data: {facts.name}, {facts.num_examples} images of {facts.num_patients} patients, {facts.dtype}, '
        f'classes: {", ".join(facts.classes) or "none"}. Images are drawn at {size} x {size}, {colour}.'
    )


def _describe_unused(facts: DataFacts, recipe: GanRecipe) -> Iterator[str]:
    """A line for each thing that the data have and the run leaves aside."""
    if recipe.family.translates:  # domains are made of classes, and have no masks
        return
    content = input_pipeline.find_content(facts.name, recipe.images.data_dir)
    if content is None:
        return
    form = recipe.images.preprocessing
    if content.channels == 3 and form.channels == 1:
        yield 'The data are in colour, and are made grey: --config.channels=3 keeps it.'
    if content.mask_classes and not form.mask_classes:
        yield (
            f'The data have masks (class ids up to {content.mask_classes}), which are not used: '
            f'--config.mask_classes={content.mask_classes} draws each image with its mask.'
        )
    if len(facts.classes) > 1 and not recipe.conditional:
        yield f'The {len(facts.classes)} classes are not used: --config.conditional=True draws each by its name.'


def _say_goodbye(training: PreparedRun, outcome: loop.Outcome) -> None:
    """Where the time went, the last grid, and what to run next."""
    workdir, stages = training.workdir, training.stages
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
    if training.recipe.family.translates:
        to = ''
        if training.recipe.family.translates == 'classes':
            to = f' --to={shlex.quote(training.images.classes[0])}'
        print(f'Next: {launch.python()} -m gan.translate --workdir={workdir} --out={workdir}/translated{to} PATHS')
        return
    print(
        f'Next: {launch.python()} -m gan.generate '
        f'--workdir={workdir} --num=1000 --out={workdir}/generated --seed=1{" --best" if best else ""}'
    )
    print(f'      {launch.python()} -m gan.evaluate --workdir={workdir} --extractor=random')
    print(f'      {launch.python()} -m gan.report --workdir={workdir}')
