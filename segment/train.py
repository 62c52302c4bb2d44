"""Training a segmenter: a fingerprint, one phase of the loop, the best by validation Dice."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util
from jax.sharding import Mesh
from ml_collections import ConfigDict

import input_pipeline
from backbones.encoders import ENCODER_FILE, begin_with, find_begun_encoder
from backbones.grids import draw_grid, save_picture
from backbones.images import batch_shapes, facts_of, find_folder, open_feed
from configs.schema import as_begun, run_record
from configs.segment.schema import UNET
from foundation.training import compute, launch, loop, parallel
from foundation.training.errors import UserError
from foundation.training.fit import Validation, create_phase, fit, tabulate_network
from foundation.training.phases import Phase
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState
from foundation.training.workdir import RunRecord
from segment.data import check_images, open_images, open_stored
from segment.ensemble import SegmenterEnsemble
from segment.fingerprint import FINGERPRINT_FILE, Fingerprint, take_fingerprint
from segment.inference import create_predictor
from segment.parts import choose_parts, write_parts
from segment.recipe import Recipe, create_recipe
from segment.segmenter import TrainedSegmenter
from segment.step import make_train_step
from segment.suggestions import resolve
from segment.validation import choose_slices, measure_dice, measure_volume_dice
from segment.volumes import create_volume_predictor, open_patches, patch_shapes

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
    given = config.data.data_dir
    config = as_begun(UNET, config.copy_and_resolve_references(), workdir)
    config.data.data_dir = find_folder(config.data.name, given, workdir)
    fingerprint = resolve(config, lambda request: take_fingerprint(open_stored(request)))
    recipe = create_recipe(config)
    config.data.data_dir = given
    record = run_record(UNET, config)
    _train(recipe, workdir, record, fingerprint)


def _train(recipe: Recipe, workdir: Path, record: RunRecord, fingerprint: Fingerprint) -> None:
    mesh = parallel.create_mesh()
    parallel.check_batch_size(mesh, recipe.batch_size, 'config.schedule.batch_size')
    images = open_images(recipe, 'train', train=True)
    validation = open_images(recipe, 'validation', train=False)
    check_images(recipe, images, validation)
    facts = facts_of(images)
    facts.check_same(workdir)
    encoder = find_begun_encoder(workdir, recipe.encoder, recipe.all_channels)
    recipe = recipe.with_encoder(encoder)
    files: Mapping[str, Mapping[str, Any]] = {
        **facts.files(recipe.images.data_dir),
        FINGERPRINT_FILE: dataclasses.asdict(fingerprint),
        **({} if encoder is None else {ENCODER_FILE: dataclasses.asdict(encoder)}),
    }
    run = _SegmenterRun(recipe, workdir, images, validation, mesh)
    outcome = fit(
        run.create_phase(),
        workdir,
        mesh,
        recipe.pace,
        record=record,
        files=files,
        told=[_describe_data(recipe, images)],
        details=[tabulate_network(recipe.create_state)],
        validation=Validation(run.measure, _SCORE, recipe.watch_steps * recipe.batch_size, _CURVES),
        sample=run.make_sample(),
        finish=functools.partial(_choose_parts, recipe, workdir),
    )
    if parallel.is_first_process():
        _say_goodbye(recipe.batch_size, workdir, outcome)


@dataclasses.dataclass(frozen=True)
class _SegmenterRun:
    """What all parts of one training share."""

    recipe: Recipe
    workdir: Path
    images: input_pipeline.ImageData
    validation: input_pipeline.ImageData
    mesh: Mesh

    def create_phase(self) -> Phase:
        """All of the training."""
        recipe, wanted = self.recipe, self.recipe.images.preprocessing
        if recipe.volume_patch is None:
            feed = functools.partial(
                open_feed, self.images, wanted.resolution, recipe.batch_size, self.mesh, recipe.device_memory_gib
            )
            batch = batch_shapes(wanted.resolution, recipe.batch_size, self.images.channels + wanted.mask_classes)
        else:
            volumes = self.images.volumes(recipe.distance)
            feed = functools.partial(open_patches, volumes, recipe.volume_patch, recipe.batch_size, self.mesh)
            batch = patch_shapes(recipe.volume_patch, recipe.batch_size, self.images.channels)
        return create_phase(
            'segmenter',
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            step=make_train_step(recipe),
            create_state=recipe.create_state,
            adopt=self._adopt,
            open_feed=feed,
            batch=batch,
        )

    def _adopt(self, state: SupervisedState) -> SupervisedState:
        """Gives a fresh network the weights of its encoder or of another run; then they are in checkpoints."""
        if self.recipe.start_from:
            return _start_from(Path(self.recipe.start_from), state)
        return begin_with(state, self.recipe.encoder, self.recipe.all_channels, ['encoder'])

    @functools.cached_property
    def _predict(self) -> Callable:
        """One for the watch and the pictures, so that it is compiled once."""
        recipe = self.recipe
        if recipe.volume_patch is not None:
            windows = 1 if compute.on_cpu() else recipe.batch_size
            return create_volume_predictor(
                recipe.network, self.mesh, shape=recipe.volume_patch, batch_size=windows, mirror=()
            )
        return create_predictor(
            recipe.network, self.mesh, patch=recipe.patch, batch_size=recipe.batch_size, mirror=()
        )

    @functools.cached_property
    def _volumes(self) -> input_pipeline.VolumeData:
        return self.validation.volumes(self.recipe.distance)

    def measure(self, variables: Variables) -> dict[str, float]:
        """Dice on the validation split, of each class and their mean."""
        wanted = self.recipe.images.preprocessing
        if self.recipe.volume_patch is not None:
            dice = measure_volume_dice(self._predict, variables, self._volumes, wanted.mask_classes)
        else:
            dice = measure_dice(self._predict, variables, self.validation, wanted.resolution, wanted.mask_classes)
        if np.isnan(dice).all():
            raise UserError('No validation image shows any foreground; give that split some that do.')
        own = {f'dice {name}': float(value) for name, value in zip(self.recipe.classes, dice, strict=True)}
        mean = float(np.nanmean(dice))
        return own | {'dice': mean, _SCORE: 1 - mean}

    def make_sample(self) -> Callable[..., np.ndarray]:
        """Returns what draws some validation images: above as they are marked, below as they are segmented."""
        if self.recipe.volume_patch is not None:
            return self._make_volume_sample()
        wanted, predict = self.recipe.images.preprocessing, self._predict
        channels = self.validation.channels
        joined = _choose_shown(self.validation, wanted.resolution)
        middle = wanted.context * wanted.channels
        pictures = joined[..., middle : middle + wanted.channels]

        def sample(state: SupervisedState, phase: Phase, images_seen: int) -> np.ndarray:
            ids = predict(state.network.variables, np.ascontiguousarray(joined[..., :channels])).argmax(axis=-1)
            marked = np.concatenate([pictures, joined[..., channels:]], axis=-1)
            return self._draw(marked, pictures, ids, images_seen)

        return sample

    def _make_volume_sample(self) -> Callable[..., np.ndarray]:
        """The same of one validation volume: slices that show foreground, evenly spread."""
        volume, chosen = choose_slices(self._volumes, _SHOWN)
        classes = self.recipe.images.preprocessing.mask_classes
        pictures, truth = map(np.stack, zip(*map(volume.read, chosen), strict=True))
        truth = np.where(truth > classes, 0, truth)
        marked = input_pipeline.join_masks(pictures, truth[..., None], classes)

        def sample(state: SupervisedState, phase: Phase, images_seen: int) -> np.ndarray:
            slices = self._predict(state.network.variables, volume.images(), volume.count)
            ids = [own.argmax(axis=-1) for place, own in enumerate(slices) if place in chosen]
            return self._draw(marked, pictures, np.stack(ids), images_seen)

        return sample

    def _draw(self, marked: np.ndarray, pictures: np.ndarray, ids: np.ndarray, images_seen: int) -> np.ndarray:
        """Images with their masks above, with those of the network below."""
        wanted = self.recipe.images.preprocessing
        predicted = input_pipeline.join_masks(pictures, ids[..., None].astype(np.uint8), wanted.mask_classes)
        rows = np.concatenate([marked, predicted])
        grid = draw_grid(rows, len(marked), wanted.channels, wanted.mask_classes)
        if parallel.is_first_process():
            save_picture(grid, self.workdir / 'samples' / f'{images_seen:09d}.png')
        return grid


def _start_from(source: Path, state: SupervisedState) -> SupervisedState:
    """The fresh state with the best network of another run; its optimizer begins anew.

    Raises:
      UserError: when that run holds no segmenter, or one with other layers.
    """
    trained = TrainedSegmenter.load(source, None, best=True, mirror=False)
    fresh = state.network
    own, others = (
        {name: leaf.shape for name, leaf in traverse_util.flatten_dict(variables, sep='/').items()}
        for variables in (fresh.variables, trained.variables)
    )
    if own != others:
        name = sorted(name for name in own.keys() | others.keys() if own.get(name) != others.get(name))[0]
        raise UserError(
            f'config.start_from={source}: its network has other layers ({name}: {others.get(name)} there, '
            f'{own.get(name)} here); start from a run of the same network, channels, context and classes.'
        )
    _LOGGER.info('Begins with the best network of %s, of step %d.', source, trained.position.step)
    model_state = {name: trained.variables[name] for name in fresh.model_state}
    network = dataclasses.replace(fresh, params=trained.variables['params'], model_state=model_state)
    return dataclasses.replace(state, network=network)


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


def _describe_data(recipe: Recipe, images: input_pipeline.ImageData) -> str:
    """What is segmented, for the log."""
    count = f'{images.num_examples} images of {images.num_patients} patients'
    return f'Data: {images.name}, {count}, classes: {", ".join(recipe.classes)}.'


def _choose_parts(recipe: Recipe, workdir: Path) -> None:
    """Looks on validation patients whether the best network should keep the largest part alone of some classes."""
    images = open_images(recipe, 'validation', train=False)
    best = SegmenterEnsemble.load([workdir], None, best=True, mirror=False, all_parts=True)
    choices = choose_parts(best.segment, images.cases(1), recipe.classes, total=images.num_cases)
    if not parallel.is_first_process():
        return
    write_parts(workdir, choices)
    for choice in choices:
        if choice.largest_alone:
            print(
                f'Of {choice.class_name} the largest part alone is kept: validation Dice {choice.dice:.3f} '
                f'{choice.gain:+.3f}.'
            )


def _say_goodbye(batch_size: int, workdir: Path, outcome: loop.Outcome) -> None:
    """The best by validation, and what to run next."""
    if outcome.best is not None and outcome.best.score is not None:
        dice, seen = 1 - outcome.best.score, outcome.best.images_seen
        print(f'Best: validation Dice {dice:.3f} at {seen // batch_size} steps.')
    if outcome.stopped_by:
        return
    print(f'Pictures: {workdir / "samples"}   curves: {workdir / "curves.png"}')
    print(f'Next: {launch.python()} -m segment.evaluate --workdir={workdir}')
    print(f'      {launch.python()} -m segment.predict --workdir={workdir} --out=masks IMAGES...')
