"""Training a segmenter: a fingerprint, one phase of the loop, the best by validation Dice."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import Float, PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.encoders import Encoder, begin_with, find_begun_encoder, write_encoder
from backbones.grids import draw_grid, save_picture
from backbones.images import batch_shapes, facts_of, open_feed
from configs.schema import fixed_fields
from configs.segment.schema import UNET
from foundation.training import launch, logs, loop, parallel
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState
from segment import setup
from segment.fingerprint import FINGERPRINT_FILE, Fingerprint, take_fingerprint
from segment.inference import Images, Probabilities, create_predictor
from segment.segmenter import name_classes
from segment.step import make_train_step

_BATCH = 32


def measure_dice(
    predict: Callable[[Variables, Images], Probabilities],
    variables: Variables,
    images: input_pipeline.ImageData,
    resolution: int,
    mask_classes: int,
) -> Float[np.ndarray, ' classes']:
    """Dice of each foreground class: the mean over patients, of all pixels of each.

    A patient who has none of a class counts 0 where some of it is predicted, and else is left out (nnU-Net); a
    class that no patient has is NaN.

    Args:
      predict, variables: the segmenter.
      images: a split.
      resolution, mask_classes: of its images.
    """
    size = int(images.patients.max()) + 1
    counts = np.zeros((3, size, mask_classes))  # of true, predicted and both
    with contextlib.closing(images.in_order(resolution, _BATCH)) as batches:
        for batch in batches:
            pictures, truth = input_pipeline.split_masks(batch['image'], images.channels, mask_classes)
            predicted = predict(variables, np.ascontiguousarray(pictures)).argmax(axis=-1)
            for patient, own, other in zip(batch['patient'], truth[..., 0], predicted, strict=True):
                for index in range(mask_classes):
                    is_true, is_predicted = own == index + 1, other == index + 1
                    both = np.count_nonzero(is_true & is_predicted)
                    counts[:, patient, index] += np.count_nonzero(is_true), np.count_nonzero(is_predicted), both
    true, predicted_count, both_count = counts
    total = true + predicted_count
    dice = np.divide(2 * both_count, total, out=np.full_like(total, np.nan), where=total > 0)
    counted = ~np.isnan(dice)
    return np.divide(
        np.nansum(dice, axis=0), counted.sum(axis=0), out=np.full(mask_classes, np.nan), where=counted.any(axis=0)
    )


_LOGGER = logging.getLogger(__name__)
_SCORE = '1 - dice'
_CURVES = {
    'loss': ('loss', _SCORE),
    'dice': ('dice', 'soft_dice'),
    'gradient norm': ('gradient_norm',),
    'images a second': ('images_per_second',),
}
_SHOWN = 8  # images in a picture


def train_and_evaluate(config: ConfigDict, workdir: Path) -> None:
    """Trains as configured, from where `workdir` stopped, and says what to do next.

    Raises:
      UserError, DataError: for a config or data that cannot be used.
    """
    mesh, first = parallel.create_mesh(), parallel.is_first_process()
    fingerprint = _resolve(config)
    setup.check_config(config)
    parallel.check_batch_size(mesh, config.schedule.batch_size, 'config.schedule.batch_size')
    images = setup.open_images(config, 'train', train=True)
    validation = setup.open_images(config, 'validation', train=False)
    setup.check_fits(config, images, validation)
    setup.check_shown(config, images, validation)
    facts = facts_of(images)
    facts.check_same(workdir)
    encoder = _find_encoder(config, workdir)
    workdirs.prepare_workdir(workdir, config, fixed=fixed_fields(UNET, config), write=first)
    if first:
        facts.write(workdir)
        workdirs.write_json(workdir / FINGERPRINT_FILE, dataclasses.asdict(fingerprint))
        logs.log_to_file(workdir)
        if encoder is not None:
            write_encoder(workdir, encoder)
    _log_start(config, images, mesh, encoder)
    run = _SegmenterRun(config, workdir, images, validation, mesh, encoder)
    outcome = run.train()
    if first:
        _say_goodbye(config, workdir, outcome)


def _resolve(config: ConfigDict) -> Fingerprint:
    """Looks at the training images, and fills in what the config leaves open."""
    setup.check_before(config)
    fingerprint = take_fingerprint(setup.open_plain(config))
    with config.unlocked():
        setup.resolve(config, fingerprint)
    return fingerprint


def _find_encoder(config: ConfigDict, workdir: Path) -> Encoder | None:
    """The encoder of the config, once it is known to fit."""
    encoder = find_begun_encoder(workdir, config.network.encoder, setup.all_channels(config))
    if encoder is not None:
        setup.check_encoder(config, encoder)
    return encoder


@dataclasses.dataclass(frozen=True)
class _SegmenterRun:
    """What all parts of one training share."""

    config: ConfigDict
    workdir: Path
    images: input_pipeline.ImageData
    validation: input_pipeline.ImageData
    mesh: Mesh
    encoder: Encoder | None

    def train(self) -> loop.Outcome:
        """Runs the loop."""
        config = self.config
        return loop.run_phase(
            self._create_phase(),
            self.workdir,
            config,
            self.mesh,
            measure=self._make_measure(),
            score=_SCORE,
            every=config.watch.steps * config.schedule.batch_size,
            sample=self._make_sample(),
            sample_images=config.run.sample_images,
        )

    def _create_phase(self) -> Phase:
        config = self.config
        batch_size, resolution = config.schedule.batch_size, config.resolution
        step = make_train_step(
            setup.create_network(config, self.encoder),
            setup.create_optimizer(config),
            setup.create_loss(config),
            setup.create_augmentation(config),
            patch=config.patch,
            foreground_share=config.schedule.foreground_share,
        )

        def enter(previous: SupervisedState | None, key: PRNGKeyArray) -> SupervisedState:
            return setup.create_state_of(config, self.encoder, key)

        return Phase(
            name='segmenter',
            start=0,
            end=config.schedule.steps * batch_size,
            batch_size=batch_size,
            enter=enter,
            adopt=lambda previous, entered: self._adopt(entered),
            cycle=(step,),
            controls=lambda images_seen: {'images_seen': images_seen},
            open_feed=functools.partial(
                open_feed, self.images, resolution, batch_size, self.mesh, config.data.device_memory_gib
            ),
            batch=batch_shapes(resolution, batch_size, self.images.channels + config.mask_classes),
        )

    def _adopt(self, state: SupervisedState) -> SupervisedState:
        """Gives a fresh network the weights of its encoder; later they are in the checkpoints."""
        config = self.config
        return begin_with(state, config.network.encoder, setup.all_channels(config), ['encoder'])

    @functools.cached_property
    def _predict(self) -> Callable:
        """One for the watch and the pictures, so that it is compiled once."""
        config = self.config
        network, batch_size = setup.create_network(config, self.encoder), config.schedule.batch_size
        return create_predictor(network, self.mesh, patch=config.patch, batch_size=batch_size, mirror=())

    def _make_measure(self) -> Callable[..., dict[str, float]]:
        """Returns what the watch measures: Dice on the validation split, of each class and their mean."""
        predict, config = self._predict, self.config
        names = name_classes(config)

        def measure(state: SupervisedState, phase: Phase, images_seen: int) -> dict[str, float]:
            if parallel.is_first_process():
                logs.draw_curves(self.workdir, _CURVES, {})
            dice = measure_dice(
                predict, state.network.variables, self.validation, config.resolution, config.mask_classes
            )
            if np.isnan(dice).all():
                raise UserError('No validation image shows any foreground; give that split some that do.')
            own = {f'dice {name}': float(value) for name, value in zip(names, dice, strict=True)}
            mean = float(np.nanmean(dice))
            return own | {'dice': mean, _SCORE: 1 - mean}

        return measure

    def _make_sample(self) -> Callable[..., np.ndarray]:
        """Returns what draws some validation images: above as they are marked, below as they are segmented."""
        config, predict = self.config, self._predict
        channels, classes = self.validation.channels, config.mask_classes
        joined = _choose_shown(self.validation, config.resolution)
        middle = config.context * config.channels
        pictures = joined[..., middle : middle + config.channels]

        def sample(state: SupervisedState, phase: Phase, images_seen: int) -> np.ndarray:
            ids = predict(state.network.variables, np.ascontiguousarray(joined[..., :channels])).argmax(axis=-1)
            predicted = input_pipeline.join_masks(pictures, ids[..., None].astype(np.uint8), classes)
            marked = np.concatenate([pictures, joined[..., channels:]], axis=-1)
            grid = draw_grid(np.concatenate([marked, predicted]), len(joined), config.channels, classes)
            if parallel.is_first_process():
                save_picture(grid, self.workdir / 'samples' / f'{images_seen:09d}.png')
            return grid

        return sample


def _choose_shown(images: input_pipeline.ImageData, resolution: int) -> np.ndarray:
    """Some images of the split that show foreground, evenly spread; any where none does."""
    first: list[np.ndarray] = []
    marked: list[np.ndarray] = []
    with contextlib.closing(images.in_order(resolution, _SHOWN)) as batches:
        for batch in batches:
            first = first or list(batch['image'])
            marked += [image for image in batch['image'] if (image[..., images.channels :] > 0).any()]
    shown = marked or first
    return np.stack(shown)[np.linspace(0, len(shown) - 1, min(_SHOWN, len(shown))).astype(int)]


def _log_start(config: ConfigDict, images: input_pipeline.ImageData, mesh: Mesh, encoder: Encoder | None) -> None:
    _LOGGER.info('%s', logs.describe_run(mesh.size))
    _LOGGER.info('Config:\n%s', config)
    state = jax.eval_shape(functools.partial(setup.create_state_of, config, encoder), jax.random.key(0))
    table = parameter_overview.get_parameter_overview(state.network.params, include_stats=False)
    _LOGGER.info('Network:\n%s', table)
    _LOGGER.info(
        'Data: %s, %d images of %d patients, classes: %s.',
        images.name, images.num_examples, images.num_patients, ', '.join(name_classes(config)),
    )  # fmt: skip


def _say_goodbye(config: ConfigDict, workdir: Path, outcome: loop.Outcome) -> None:
    """The best by validation, and what to run next."""
    logs.draw_curves(workdir, _CURVES, {})
    if outcome.best is not None and outcome.best.score is not None:
        dice, seen = 1 - outcome.best.score, outcome.best.images_seen
        print(f'Best: validation Dice {dice:.3f} at {seen // config.schedule.batch_size} steps.')
    if outcome.stopped_by:
        print(f'Stopped by {outcome.stopped_by}; all is saved in {workdir}.')
        print('Next: the same command goes on from here.')
        return
    print(f'Pictures: {workdir / "samples"}   curves: {workdir / "curves.png"}')
    print(f'Next: {launch.python()} -m segment.evaluate --workdir={workdir}')
    print(f'      {launch.python()} -m segment.predict --workdir={workdir} --out=masks IMAGES...')
