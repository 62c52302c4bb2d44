"""Training a detector: one phase of the loop, the best by validation; then what its answers mean is fitted."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array
from ml_collections import ConfigDict

import input_pipeline
from backbones.encoders import ENCODER_FILE, begin_with, find_begun_encoder
from backbones.images import batch_shapes, facts_of, open_feed, settle_data
from backbones.splits import count_labels
from configs.detect.schema import DETECTOR, STACK
from configs.schema import as_begun, run_record
from detect.calibration import calibrate
from detect.data import binary_labels, describe_split
from detect.metrics.calibration import log_loss
from detect.metrics.ranking import auroc_of
from detect.recipe import DetectorRecipe, check_named, create_recipe
from detect.stacks.recipe import create_recipe as create_stack_recipe
from detect.stacks.train import train_stack
from detect.step import make_describe, make_train_step
from foundation.training import launch, parallel
from foundation.training.errors import UserError
from foundation.training.fit import Validation, create_phase, fit, tabulate_network
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState
from foundation.training.workdir import RunRecord, has_begun

_CURVES = {
    'loss': ('loss', 'log_loss'),
    'accuracy': ('accuracy', 'validation_accuracy'),
    'area under the ROC': ('auroc',),
    'gradient norm': ('gradient_norm',),
    'images a second': ('images_per_second',),
}


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains the detector of images, or of volumes, that is configured, from where `workdir` stopped.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    kind = STACK if 'stack' in config else DETECTOR
    config = as_begun(kind, config, workdir)
    check_named(config.data.name)
    config, found = settle_data(config, workdir)
    record = run_record(kind, config)
    if kind is STACK:
        train_stack(create_stack_recipe(found), workdir, record)
    else:
        _train(create_recipe(found), workdir, record)


def _train(recipe: DetectorRecipe, workdir: Path, record: RunRecord) -> None:
    mesh = parallel.create_mesh()
    parallel.check_batch_size(mesh, recipe.schedule.batch_size, 'config.schedule.batch_size')
    images, validation = (recipe.data.open(split, train=split == 'train') for split in ('train', 'validation'))
    if not has_begun(workdir):
        _check_sides(recipe, images)
    facts = facts_of(images)
    facts.check_same(workdir)
    encoder = find_begun_encoder(workdir, recipe.start_from, recipe.channels)
    recipe = recipe.with_encoder(encoder)
    files: Mapping[str, Mapping[str, Any]] = {
        **facts.files(recipe.data.request.data_dir),
        **({} if encoder is None else {ENCODER_FILE: dataclasses.asdict(encoder)}),
    }
    steps = recipe.schedule.steps(images.num_examples)
    _check_maps(recipe)
    fit(
        _create_phase(recipe, images, mesh, steps),
        workdir,
        mesh,
        recipe.pace,
        record=record,
        files=files,
        told=[_describe_data(images)],
        details=[tabulate_network(functools.partial(recipe.create_state, steps))],
        validation=Validation(
            measure=_make_measure(recipe, validation, mesh),
            score='log_loss',
            every=recipe.schedule.images_between_looks(images.num_examples),
            curves=_CURVES,
        ),
        sample=None,
        finish=functools.partial(_finish, workdir, images, validation),
    )


def _check_sides(recipe: DetectorRecipe, images: input_pipeline.ImageData) -> None:
    """Raises UserError where images would be enlarged: files like them would be too small to be judged."""
    if recipe.sheet is None and 0 < images.largest_side < recipe.resolution:
        raise UserError(
            f'config.resolution is {recipe.resolution}, but no image of {images.name} has more than '
            f'{images.largest_side} pixels a side, and a detector enlarges none; '
            f'use --config.resolution={images.largest_side}.'
        )


def _check_maps(recipe: DetectorRecipe) -> None:
    """Raises UserError for a network that cannot be made, or too narrow for anomaly scores."""
    state = jax.eval_shape(functools.partial(recipe.create_state, 1), jax.random.key(0))
    images = batch_shapes(recipe.resolution, 1, recipe.channels)['image']
    stages = jax.eval_shape(make_describe(recipe.network), state.network.variables, images).stages
    recipe.anomaly.check_channels(sum(stage.shape[-1] for stage in stages))


def _create_phase(recipe: DetectorRecipe, images: input_pipeline.ImageData, mesh: Mesh, steps: int) -> Phase:
    batch_size, resolution = recipe.schedule.batch_size, recipe.data.training_side
    shown = recipe.data.for_training(images)
    return create_phase(
        'detector',
        steps=steps,
        batch_size=batch_size,
        step=make_train_step(
            recipe.network,
            recipe.optimizer.create(steps),
            recipe.augmentation,
            recipe.degradation,
            eps=recipe.attack.eps,
            attack_steps=recipe.attack.steps,
        ),
        create_state=functools.partial(recipe.create_state, steps),
        adopt=functools.partial(_begin_branches, recipe),
        open_feed=functools.partial(open_feed, shown, resolution, batch_size, mesh, recipe.device_memory_gib),
        batch=batch_shapes(resolution, batch_size, recipe.channels),
    )


def _begin_branches(recipe: DetectorRecipe, state: SupervisedState) -> SupervisedState:
    """Gives the branches of a fresh network the weights they begin with; later they are in the checkpoints."""
    branches = [f'encoders_{number}' for number in range(len(recipe.network.inputs))]
    return begin_with(state, recipe.start_from, recipe.channels, branches)


def _make_measure(
    recipe: DetectorRecipe, validation: input_pipeline.ImageData, mesh: Mesh
) -> Callable[[Variables], dict[str, float]]:
    """Returns what is measured of the validation split: log loss in nats, accuracy and AUROC."""
    describe, batch_size = make_describe(recipe.network), recipe.schedule.batch_size

    def logits_of(variables: Variables, images: Array) -> Array:
        return describe(variables, images).logits

    mapped, labels = create_mapper(logits_of, mesh, batch_size), binary_labels(validation)

    def measure(variables: Variables) -> dict[str, float]:
        judge = functools.partial(mapped, variables)
        logits = describe_split(judge, validation, recipe.resolution, batch_size).astype(np.float64)
        return {
            'log_loss': log_loss(logits, labels),
            'validation_accuracy': float(((logits > 0) == (labels == 1)).mean()),
            'auroc': auroc_of(logits, labels),
        }

    return measure


def _describe_data(images: input_pipeline.ImageData) -> str:
    """What is told apart, for the log."""
    counts = zip(images.classes, count_labels(images), strict=True)
    told = ', '.join(f'{name} ({count})' for name, count in counts)
    return f'Data: {images.name}, {images.num_examples} images: {told}.'


def _finish(workdir: Path, images: input_pipeline.ImageData, validation: input_pipeline.ImageData) -> None:
    """Fits what its answers mean, and says what to do next."""
    calibrate(workdir, images, validation)
    if parallel.is_first_process():
        print(f'Curves: {workdir / "curves.png"}')
        print(f'Next: {launch.python()} -m detect.evaluate --workdir={workdir}')
        print(f'      {launch.python()} -m detect.predict --workdir={workdir} IMAGES...')
