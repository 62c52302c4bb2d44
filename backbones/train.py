"""Training a classifier in one's own domain, and the figures of its end."""

import contextlib
import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict

import input_pipeline
from backbones import setup
from backbones.calibration import BINS, bin_of, fit_temperature, log_loss, probabilities_of
from backbones.classifier import CLASSIFIER_FILE, Classifier, restore_network, write_classifier
from backbones.evaluation import ClassifiedImages, assess, count_confusion, describe_score
from backbones.images import batch_shapes, facts_of, open_feed
from backbones.splits import Splits, count_labels, open_splits
from backbones.step import make_describe, make_train_step
from foundation.training import launch, logs, loop, parallel
from foundation.training import workdir as workdirs
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState


def draw_assessment(described: ClassifiedImages, temperature: float, classes: Sequence[str], path: Path) -> None:
    """Draws the confusion matrix, and accuracy against confidence, into a PNG."""
    probabilities = probabilities_of(described.logits, temperature)
    predicted = probabilities.argmax(axis=1)
    figure = Figure(figsize=(11, 5), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_confusion(left, count_confusion(described.labels, predicted, len(classes)), classes)
    _draw_reliability(right, probabilities.max(axis=1), predicted == described.labels)
    right.set_title(f'calibration, temperature {temperature:.2f}', fontsize=10)
    temporary = path.with_name(f'{path.name}.tmp')
    figure.savefig(temporary, dpi=100, format='png')
    os.replace(temporary, path)


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


def _draw_reliability(axis: Axes, confidence: Float[np.ndarray, 'count'], right: np.ndarray) -> None:
    """A point for each bin that has images, and how many these are."""
    axis.plot([0, 1], [0, 1], color='grey', linestyle=':')
    points = reliability(confidence, right)
    axis.plot([point[0] for point in points], [point[1] for point in points], marker='o')
    for mean, share, count in points:
        axis.annotate(str(count), (mean, share), (0, 6), textcoords='offset points', fontsize=7, ha='center')
    axis.set(xlabel='confidence (numbers: images)', ylabel='share that is right', xlim=(0, 1.03), ylim=(0, 1.08))


def reliability(confidence: Float[np.ndarray, 'count'], right: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean confidence, share that is right, and number of images, of each bin that has any."""
    place = bin_of(confidence)
    members = [place == number for number in range(BINS)]
    return [(float(confidence[m].mean()), float(right[m].mean()), int(m.sum())) for m in members if m.any()]


_LOGGER = logging.getLogger(__name__)
# Fields that decide the architecture, the data and the position in them; a run cannot go on with others.
FIXED_FIELDS = (
    'architecture', 'channels', 'data.classes', 'data.fit', 'data.modalities', 'data.window', 'data.window_range',
    'network', 'optimizer', 'resolution', 'schedule', 'seed', 'target',
)  # fmt: skip
_CURVES = {
    'loss': ('loss', 'log_loss'),
    'accuracy': ('accuracy', 'validation_accuracy'),
    'gradient norm': ('gradient_norm',),
    'images a second': ('images_per_second',),
}


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped; then calibrates and assesses the best checkpoint.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    setup.check_config(config)
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    parallel.check_batch_size(mesh, config.schedule.batch_size, 'config.schedule.batch_size')
    splits = open_splits(config)
    facts = facts_of(splits.train)
    facts.check_same(workdir)
    steps, _ = setup.steps_in(config, splits.train.num_examples)
    workdirs.prepare_workdir(workdir, config, fixed=FIXED_FIELDS, write=first)
    if first:
        facts.write(workdir)
        logs.log_to_file(workdir)
    _log_start(config, splits.train, mesh, steps)
    outcome = _train(config, workdir, splits, mesh)
    if not outcome.stopped_by:
        _finish(config, workdir, splits, mesh)
    elif first:
        print(f'Stopped by {outcome.stopped_by}; all is saved in {workdir}.')
        print('Next: the same command goes on from here.')


def _train(config: ConfigDict, workdir: Path, splits: Splits, mesh: Mesh) -> loop.Outcome:
    steps, epoch = setup.steps_in(config, splits.train.num_examples)
    return loop.run_phase(
        _create_phase(config, splits.train, mesh, steps),
        workdir,
        config,
        mesh,
        measure=_make_measure(config, workdir, splits.validation, mesh),
        score='log_loss',
        every=config.watch.epochs * epoch * config.schedule.batch_size,
        sample=None,
        sample_images=config.run.checkpoint_images,
    )


def _create_phase(config: ConfigDict, images: input_pipeline.ImageData, mesh: Mesh, steps: int) -> Phase:
    network = setup.create_network(config, len(images.classes))
    optimizer = setup.create_optimizer(config, steps)
    batch_size = config.schedule.batch_size

    def enter(previous: SupervisedState | None, key: PRNGKeyArray) -> SupervisedState:
        return setup.create_state_of(config, len(images.classes), steps, key)

    return Phase(
        name='classifier',
        start=0,
        end=steps * batch_size,
        batch_size=batch_size,
        enter=enter,
        adopt=lambda previous, entered: entered,
        cycle=(
            make_train_step(
                network, optimizer, setup.create_augmentation(config), config.optimizer.label_smoothing
            ),
        ),
        controls=lambda images_seen: {'images_seen': images_seen},
        open_feed=functools.partial(
            open_feed, images, config.resolution, batch_size, mesh, config.data.device_memory_gib
        ),
        batch=batch_shapes(config.resolution, batch_size, config.channels),
    )


def _make_describe_split(config: ConfigDict, num_classes: int, mesh: Mesh):
    """Returns `describe(variables, images)`: what the network says of a whole split, in batches as in training."""
    describe_batch, batch_size = (
        make_describe(setup.create_network(config, num_classes)),
        config.schedule.batch_size,
    )

    def logits_of(variables: Variables, images: Array) -> Array:
        return describe_batch(variables, images).logits

    mapped = create_mapper(logits_of, mesh, batch_size)

    def describe(variables: Variables, images: input_pipeline.ImageData) -> ClassifiedImages:
        with contextlib.closing(images.in_order(config.resolution, batch_size)) as batches:
            rows = [(mapped(variables, batch['image']), batch['label'], batch['patient']) for batch in batches]
        return ClassifiedImages(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    return describe


def _make_measure(config: ConfigDict, workdir: Path, validation: input_pipeline.ImageData, mesh: Mesh):
    """Returns what the watch measures: log loss in nats and accuracy on the validation split."""
    describe = _make_describe_split(config, len(validation.classes), mesh)

    def measure(state: SupervisedState, phase: Phase, images_seen: int) -> dict[str, float]:
        if parallel.is_first_process():
            logs.draw_curves(workdir, _CURVES, {})
        described = describe(state.network.variables, validation)
        right = described.logits.argmax(axis=1) == described.labels
        return {
            'log_loss': log_loss(described.logits, described.labels, 1.0),
            'validation_accuracy': float(right.mean()),
        }

    return measure


def _finish(config: ConfigDict, workdir: Path, splits: Splits, mesh: Mesh) -> None:
    """Calibrates on the validation split, assesses on the test split, and says so."""
    classes = tuple(splits.train.classes)
    variables, position = restore_network(config, workdir, len(classes), step=None)
    describe = _make_describe_split(config, len(classes), mesh)
    described = describe(variables, splits.validation)
    temperature = fit_temperature(described.logits, described.labels)
    test = describe(variables, splits.test)
    scores = assess(test, temperature, classes)
    if not parallel.is_first_process():
        return
    draw_assessment(test, temperature, classes, workdir / 'assessment.png')
    logs.draw_curves(workdir, _CURVES, {})
    write_classifier(workdir, Classifier(classes, config.target, temperature, position.step), scores)
    for name in ('accuracy', 'log_loss', 'calibration_error'):
        print(f'Test {name.replace("_", " ")}: {describe_score(scores[name])}')
    print(f'{scores["images"]} images of {scores["patients"]} patients, temperature {temperature:.3f}.')
    print(
        f'Pictures: {workdir / "assessment.png"}   {workdir / "curves.png"}   numbers: {workdir / CLASSIFIER_FILE}'
    )
    print(f'Next: {launch.python()} -m gan.evaluate --workdir=RUN --extractor={workdir}')


def _log_start(config: ConfigDict, images: input_pipeline.ImageData, mesh: Mesh, steps: int) -> None:
    _LOGGER.info('%s', logs.describe_run(mesh.size))
    _LOGGER.info('Config:\n%s', config)
    create = functools.partial(setup.create_state_of, config, len(images.classes), steps)
    state = jax.eval_shape(create, jax.random.key(0))
    table = parameter_overview.get_parameter_overview(state.network.params, include_stats=False)
    _LOGGER.info('Network:\n%s', table)
    _LOGGER.info(
        'Data: %s, %d images of %d patients, told apart: %s.',
        images.name,
        images.num_examples,
        images.num_patients,
        ', '.join(f'{name} ({count})' for name, count in zip(images.classes, count_labels(images), strict=True)),
    )
