"""Training an encoder on one's own images without labels, and what is known of it at the end."""

import contextlib
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.contrastive.encoder import (
    COLLAPSED,
    CONTRASTIVE_FILE,
    ContrastiveFacts,
    encoder_variables,
    restore_contrastive,
)
from backbones.contrastive.loss import alignment, contrast, uniformity
from backbones.contrastive.probe import NEIGHBOURS, right_neighbours
from backbones.contrastive.recipe import ContrastiveRecipe, create_contrastive_recipe
from backbones.contrastive.views import draw_views
from backbones.evaluation import describe_score
from backbones.images import ImageRequest, batch_shapes, facts_of, open_feed, settle_data
from backbones.networks.normalization import BATCH_STATS
from configs.backbones.schema import SELF_SUPERVISED
from configs.schema import as_begun, run_record
from foundation.statistics.proportions import share_interval
from foundation.training import launch, parallel
from foundation.training.errors import UserError
from foundation.training.fit import Validation, create_phase, fit, keep_state, tabulate_network
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Params, Variables
from foundation.training.supervised import Batch, Metrics, SupervisedState, make_supervised_step
from foundation.training.workdir import RunRecord

_LOGGER = logging.getLogger(__name__)
_VALIDATED, _KNOWN = 2_048, 5_000  # images of the validation and of the training split that are looked at
_BATCH = 128  # of images that are looked at
_CURVES = {
    'loss': ('loss', 'contrast'),
    'views of an image: squared distance': ('alignment',),
    'uniformity (0: collapsed)': ('uniformity',),
    'class of the nearest neighbours is right': ('neighbours',),
    'gradient norm': ('gradient_norm',),
    'images a second': ('images_per_second',),
}


class Described(NamedTuple):
    """Features of some images, with what is known of these."""

    features: Float[np.ndarray, 'count feature']
    labels: Int[np.ndarray, 'count']
    patients: Int[np.ndarray, 'count']


def train_contrastive(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped; then tells what the features are worth.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    config = as_begun(SELF_SUPERVISED, config, workdir)
    config, found = settle_data(config, workdir)
    _train(create_contrastive_recipe(found), workdir, run_record(SELF_SUPERVISED, config))


def _train(recipe: ContrastiveRecipe, workdir: Path, record: RunRecord) -> None:
    mesh = parallel.create_mesh()
    parallel.check_batch_size(mesh, recipe.batch_size, 'config.schedule.batch_size')
    train, validation = _open(recipe, 'train'), _open(recipe, 'validation')
    facts = facts_of(train)
    facts.check_same(workdir)
    look = Look(recipe, mesh, train, validation)
    fit(
        _create_phase(recipe, _told_apart(train, recipe.spare_patients), mesh),
        workdir,
        mesh,
        recipe.pace,
        record=record,
        files=facts.files(recipe.images.data_dir),
        told=[
            f'Data: {train.name}, {train.num_examples} images of {train.num_patients} patients, without labels.'
        ],
        details=[tabulate_network(recipe.create_state)],
        validation=Validation(measure=look.measure, score='contrast', every=recipe.watched, curves=_CURVES),
        sample=None,
        finish=functools.partial(_finish, recipe, workdir, look),
    )


def _open(recipe: ContrastiveRecipe, split: str) -> input_pipeline.ImageData:
    """A split; views mirror its images themselves.

    Raises:
      DataError, UserError: when it cannot be read, or has nothing that can be told apart.
    """
    request: ImageRequest = recipe.images
    images, train = request.open(split, flip=False, in_memory=split == 'train'), split == 'train'
    if train and images.num_examples < recipe.batch_size:
        raise UserError(
            f'config.schedule.batch_size is {recipe.batch_size}, but there are {images.num_examples} training '
            'images; make it smaller.'
        )
    apart = images.num_patients if recipe.spare_patients else images.num_examples
    if apart < 2:
        raise UserError(
            f'{images.name} has one {"patient" if recipe.spare_patients else "image"} in its {split} split, so '
            'that nothing can be told apart; prepare it with more, or set config.contrast.spare_patients to False.'
        )
    return images


def _told_apart(images: input_pipeline.ImageData, spare_patients: bool) -> input_pipeline.ImageData:
    """The images with labels that are equal where views are kin: those of a patient, or of the image alone."""
    return images.relabelled(_find_kin(images, spare_patients), ())


def _find_kin(images: input_pipeline.ImageData, spare_patients: bool) -> Int[np.ndarray, ' examples']:
    return (images.patients if spare_patients else np.arange(images.num_examples)).astype(np.int32)


def _create_phase(recipe: ContrastiveRecipe, images: input_pipeline.ImageData, mesh: Mesh) -> Phase:
    batch_size, resolution = recipe.batch_size, recipe.resolution
    return create_phase(
        'self_supervised',
        steps=recipe.steps,
        batch_size=batch_size,
        step=make_contrastive_step(recipe),
        create_state=recipe.create_state,
        adopt=keep_state,
        open_feed=functools.partial(open_feed, images, resolution, batch_size, mesh, recipe.device_memory_gib),
        batch=batch_shapes(resolution, batch_size, recipe.channels),
    )


def make_contrastive_step(recipe: ContrastiveRecipe) -> Callable[..., tuple[SupervisedState, Metrics]]:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`; labels tell which images are kin."""

    def loss(params: Params, model_state: Variables, batch: Batch, key: PRNGKeyArray):
        views = draw_views(recipe.views, jnp.repeat(batch['image'], 2, axis=0), key)
        variables = {'params': params, **model_state}
        projections, moved = recipe.network.apply(variables, views, train=True, mutable=[BATCH_STATS])
        value = contrast(projections, jnp.repeat(batch['label'], 2), recipe.temperature)
        return value, (moved, {'batch_alignment': alignment(projections)})

    return make_supervised_step(loss, recipe.optimizer.create(recipe.steps))


class Look:
    """What is known of the validation split while training goes on, and of its classes where there are any.

    Args:
      recipe: of the run.
      mesh: the devices.
      train, validation: the splits, with their own labels.
    """

    def __init__(
        self,
        recipe: ContrastiveRecipe,
        mesh: Mesh,
        train: input_pipeline.ImageData,
        validation: input_pipeline.ImageData,
    ) -> None:
        self._recipe = recipe
        self._known, self._asked = _spread(train, _KNOWN), _spread(validation, _VALIDATED)
        self._has_classes = len(train.classes) > 1
        self._kin = _find_kin(self._asked, recipe.spare_patients)
        network, views, key = recipe.network, recipe.views, jax.random.key(recipe.pace.seed)

        def project(variables: Variables, images: Array, numbers: Array) -> Array:
            keys = jax.vmap(functools.partial(jax.random.fold_in, key))(numbers)
            drawn = jax.vmap(lambda image, own: draw_views(views, image[None], own)[0])(images, keys)
            return network.apply(variables, drawn, train=False)

        def describe(variables: Variables, images: Array) -> Array:
            return network.encoder.apply(encoder_variables(variables), images, train=False).pooled

        self._project, self._features = (create_mapper(each, mesh, _BATCH) for each in (project, describe))
        self._loss = jax.jit(functools.partial(contrast, temperature=recipe.temperature))

    def measure(self, variables: Variables) -> dict[str, float]:
        """The loss in nats, alignment and uniformity of the same views each time; and the neighbours' share."""
        rows = self._project_all(variables)
        count = len(rows) // 2
        size = min(self._recipe.batch_size, count)
        order = np.random.default_rng(0).permutation(count)
        losses = []
        for start in range(0, count - size + 1, size):  # as many to be told apart as in training
            chosen = order[start : start + size]
            views = np.stack([2 * chosen, 2 * chosen + 1], axis=1).ravel()
            losses.append(float(self._loss(rows[views], np.repeat(self._kin[chosen], 2))))
        values = {
            'contrast': float(np.mean(losses)),
            'alignment': float(alignment(jnp.asarray(rows))),
            'uniformity': float(uniformity(jnp.asarray(rows))),
        }
        if values['uniformity'] > COLLAPSED:
            _LOGGER.warning(
                'The features have collapsed: uniformity is %.2f (0: all images have one place); lower '
                'config.optimizer.learning_rate, or make views differ less (config.views).',
                values['uniformity'],
            )
        probed = self.probe(variables)
        return values if probed is None else values | {'neighbours': float(probed[0].mean())}

    def probe(self, variables: Variables) -> tuple[np.ndarray, np.ndarray] | None:
        """Whether neighbours know the class of each validation image that has one, and patients; None without."""
        if not self._has_classes:
            return None
        known, asked = (self._describe(variables, images) for images in (self._known, self._asked))
        if not len(known.labels) or not len(asked.labels):
            return None
        return right_neighbours(known.features, known.labels, asked.features, asked.labels), asked.patients

    def _project_all(self, variables: Variables) -> Float[np.ndarray, 'rows projected']:
        rows, first = [], 0
        for batch in _read(self._asked, self._recipe.resolution):
            images = np.repeat(batch['image'], 2, axis=0)
            rows.append(self._project(variables, images, np.arange(first, first + len(images))))
            first += len(images)
        return np.concatenate(rows)

    def _describe(self, variables: Variables, images: input_pipeline.ImageData) -> Described:
        batches = _read(images, self._recipe.resolution)
        rows = [(self._features(variables, each['image']), each['label'], each['patient']) for each in batches]
        described = Described(*(np.concatenate(column) for column in zip(*rows, strict=True)))
        classed = described.labels >= 0
        return Described(*(column[classed] for column in described))


def _spread(images: input_pipeline.ImageData, count: int) -> input_pipeline.ImageData:
    """So many images at most, evenly spread."""
    if images.num_examples <= count:
        return images
    return images.choosing(np.linspace(0, images.num_examples - 1, count).astype(np.int64))


def _read(images: input_pipeline.ImageData, resolution: int):
    with contextlib.closing(images.in_order(resolution, _BATCH)) as batches:
        yield from batches


def _finish(recipe: ContrastiveRecipe, workdir: Path, look: Look) -> None:
    """Looks at the best state once more, and says what it is worth."""
    variables, position = restore_contrastive(recipe, workdir, step=None)
    values = look.measure(variables)
    values.pop('neighbours', None)
    facts = ContrastiveFacts(step=position.step, **values)
    probed = look.probe(variables)
    neighbours: dict[str, Any] | None = None
    if probed is not None:
        right, patients = probed
        interval = share_interval(right, patients)
        neighbours = {
            'accuracy': {'value': float(right.mean()), 'interval': interval and list(interval)},
            'images': len(right),
            'patients': len(np.unique(patients)),
        }
    if not parallel.is_first_process():
        return
    facts.write(workdir, neighbours)
    print(
        f'Views of validation images: loss {facts.contrast:.3f} nats, alignment {facts.alignment:.3f}, '
        f'uniformity {facts.uniformity:.2f}{", COLLAPSED" if facts.has_collapsed else ""}.'
    )
    if neighbours is None:
        print('There are no classes by which the features could be probed.')
    else:
        print(
            f'The {NEIGHBOURS} nearest training images know the class of validation images: '
            f'{describe_score(neighbours["accuracy"])}, {neighbours["images"]} images of '
            f'{neighbours["patients"]} patients.'
        )
    print(f'Pictures: {workdir / "curves.png"}   numbers: {workdir / CONTRASTIVE_FILE}')
    print(f'Next: {launch.python()} -m gan.evaluate --workdir=RUN --extractor={workdir}')
