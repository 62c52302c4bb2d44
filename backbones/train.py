"""Training a classifier in one's own domain, and the figures of its end."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int
from matplotlib.axes import Axes
from ml_collections import ConfigDict

import input_pipeline
from backbones.classifier import CLASSIFIER_FILE, ClassifierFacts, restore_best
from backbones.evaluation import ClassifiedImages, assess, count_confusion, describe_score
from backbones.images import batch_shapes, facts_of, open_feed, settle_data
from backbones.recipe import ClassifierRecipe, create_recipe
from backbones.splits import Splits, count_labels, open_splits
from backbones.step import make_describe, make_train_step
from configs.backbones.schema import CLASSIFIER
from configs.schema import as_begun, run_record
from foundation.report.figures import create_figure, write_figure
from foundation.report.reliability import draw_reliability
from foundation.statistics.calibration import (
    bins_of_equal_width,
    fit_temperature,
    log_loss,
    probabilities_of,
    tabulate_reliability,
)
from foundation.training import launch, parallel
from foundation.training.fit import Validation, create_phase, fit, keep_state, tabulate_network
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.workdir import RunRecord


def draw_assessment(described: ClassifiedImages, temperature: float, classes: Sequence[str], path: Path) -> None:
    """Draws the confusion matrix, and accuracy against confidence, into a PNG."""
    probabilities = probabilities_of(described.logits, temperature)
    predicted = probabilities.argmax(axis=1)
    figure = create_figure(1100, 500, layout='constrained')
    left, right = figure.subplots(1, 2)
    _draw_confusion(left, count_confusion(described.labels, predicted, len(classes)), classes)
    confidence = probabilities.max(axis=1)
    bins = tabulate_reliability(confidence, predicted == described.labels, bins_of_equal_width(confidence))
    draw_reliability(right, bins)
    right.set(xlabel='confidence (numbers: images)', ylabel='share that is right')
    right.set_title(f'calibration, temperature {temperature:.2f}', fontsize=10)
    write_figure(figure, path)


def _draw_confusion(axis: Axes, confusion: Int[np.ndarray, 'true predicted'], classes: Sequence[str]) -> None:
    axis.imshow(np.sqrt(confusion), cmap='Blues')
    for row, column in np.ndindex(confusion.shape):
        dark = np.sqrt(confusion[row, column]) > np.sqrt(confusion.max()) / 2
        colour = 'w' if dark else 'k'
        axis.text(column, row, str(confusion[row, column]), ha='center', va='center', color=colour, fontsize=8)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha='right', fontsize=8)
    axis.set_yticks(range(len(classes)), classes, fontsize=8)
    axis.set(xlabel='predicted', ylabel='true')
    axis.set_title('test images', fontsize=10)


_CURVES = {
    'loss': ('loss', 'log_loss'),
    'accuracy': ('accuracy', 'validation_accuracy'),
    'gradient norm': ('gradient_norm',),
    'images a second': ('images_per_second',),
}
Describe = Callable[[Variables, input_pipeline.ImageData], ClassifiedImages]


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped; then calibrates and assesses the best checkpoint.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    config = as_begun(CLASSIFIER, config, workdir)
    config, found = settle_data(config, workdir)
    recipe = create_recipe(found)
    record = run_record(CLASSIFIER, config)
    _train(recipe, workdir, record)


def _train(recipe: ClassifierRecipe, workdir: Path, record: RunRecord) -> None:
    mesh = parallel.create_mesh()
    parallel.check_batch_size(mesh, recipe.schedule.batch_size, 'config.schedule.batch_size')
    splits = open_splits(recipe.images)
    facts = facts_of(splits.train)
    facts.check_same(workdir)
    recipe = recipe.with_classes(len(splits.train.classes))
    steps = recipe.schedule.steps(splits.train.num_examples)
    describe = _make_describe_split(recipe, mesh)
    fit(
        _create_phase(recipe, splits.train, mesh, steps),
        workdir,
        mesh,
        recipe.pace,
        record=record,
        files=facts.files(recipe.images.data_dir),
        told=[_describe_data(splits.train)],
        details=[tabulate_network(functools.partial(recipe.create_state, steps))],
        validation=Validation(
            measure=functools.partial(_measure, describe, splits.validation),
            score='log_loss',
            every=recipe.schedule.images_between_looks(splits.train.num_examples),
            curves=_CURVES,
        ),
        sample=None,
        finish=functools.partial(_finish, recipe, workdir, splits, describe),
    )


def _create_phase(recipe: ClassifierRecipe, images: input_pipeline.ImageData, mesh: Mesh, steps: int) -> Phase:
    batch_size, resolution = recipe.schedule.batch_size, recipe.resolution
    return create_phase(
        'classifier',
        steps=steps,
        batch_size=batch_size,
        step=make_train_step(
            recipe.network, recipe.optimizer.create(steps), recipe.augmentation, recipe.label_smoothing
        ),
        create_state=functools.partial(recipe.create_state, steps),
        adopt=keep_state,
        open_feed=functools.partial(open_feed, images, resolution, batch_size, mesh, recipe.device_memory_gib),
        batch=batch_shapes(resolution, batch_size, recipe.channels),
    )


def _make_describe_split(recipe: ClassifierRecipe, mesh: Mesh) -> Describe:
    """Returns `describe(variables, images)`: what the network says of a whole split, in batches as in training."""
    describe_batch, batch_size = make_describe(recipe.network), recipe.schedule.batch_size

    def logits_of(variables: Variables, images: Array) -> Array:
        return describe_batch(variables, images).logits

    mapped = create_mapper(logits_of, mesh, batch_size)

    def describe(variables: Variables, images: input_pipeline.ImageData) -> ClassifiedImages:
        with contextlib.closing(images.in_order(recipe.resolution, batch_size)) as batches:
            rows = [(mapped(variables, batch['image']), batch['label'], batch['patient']) for batch in batches]
        return ClassifiedImages(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    return describe


def _measure(describe: Describe, validation: input_pipeline.ImageData, variables: Variables) -> dict[str, float]:
    """Log loss in nats and accuracy on the validation split."""
    described = describe(variables, validation)
    right = described.logits.argmax(axis=1) == described.labels
    return {
        'log_loss': log_loss(described.logits, described.labels, 1.0),
        'validation_accuracy': float(right.mean()),
    }


def _finish(recipe: ClassifierRecipe, workdir: Path, splits: Splits, describe: Describe) -> None:
    """Calibrates on the validation split, assesses on the test split, and says so."""
    classes = tuple(splits.train.classes)
    variables, position = restore_best(recipe, workdir, step=None)
    described = describe(variables, splits.validation)
    temperature = fit_temperature(described.logits, described.labels)
    test = describe(variables, splits.test)
    scores = assess(test, temperature, classes)
    if not parallel.is_first_process():
        return
    draw_assessment(test, temperature, classes, workdir / 'assessment.png')
    ClassifierFacts(classes, recipe.images.target, temperature, position.step).write(workdir, scores)
    for name in ('accuracy', 'log_loss', 'calibration_error'):
        print(f'Test {name.replace("_", " ")}: {describe_score(scores[name])}')
    print(f'{scores["images"]} images of {scores["patients"]} patients, temperature {temperature:.3f}.')
    print(
        f'Pictures: {workdir / "assessment.png"}   {workdir / "curves.png"}   numbers: {workdir / CLASSIFIER_FILE}'
    )
    print(f'Next: {launch.python()} -m gan.evaluate --workdir=RUN --extractor={workdir}')


def _describe_data(images: input_pipeline.ImageData) -> str:
    """What is told apart, for the log."""
    counts = zip(images.classes, count_labels(images), strict=True)
    told = ', '.join(f'{name} ({count})' for name, count in counts)
    return (
        f'Data: {images.name}, {images.num_examples} images of {images.num_patients} patients, told apart: {told}.'
    )
