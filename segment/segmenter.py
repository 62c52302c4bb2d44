"""A trained segmenter, brought back from its workdir without its data."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

import input_pipeline
from backbones.classifier import variables_checksum
from backbones.encoders import read_encoder
from backbones.images import DataFacts, read_facts
from backbones.windows import Window, choose_window, trained_types
from foundation.training import compute, parallel
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position, restore_state
from foundation.training.errors import UserError
from foundation.training.state import Variables
from segment.inference import create_predictor
from segment.recipe import Recipe, create_recipe
from segment.volumes import SliceProbabilities, create_volume_predictor, read_in_order

_SLICES_AT_A_TIME = 32
_BATCH_SIZE = 16  # windows at a time on accelerators; CPUs gain nothing by more than one


@dataclasses.dataclass(frozen=True)
class TrainedSegmenter:
    """A network with its weights, and what it must be given.

    Attributes:
      recipe: of the run.
      facts: the data it was trained on.
      variables: its weights.
      position: where in training they were saved.
      predict: see `create_predictor` and, for networks of volumes, `create_volume_predictor`.
    """

    recipe: Recipe
    facts: DataFacts
    variables: Variables
    position: Position
    predict: Callable[..., Iterable[SliceProbabilities]]

    @classmethod
    def load(cls, workdir: Path, step: int | None, *, best: bool, mirror: bool) -> 'TrainedSegmenter':
        """The segmenter of a run.

        Args:
          workdir: of the run.
          step: of the checkpoint; None for the newest.
          best: whether to take the best by the validation split instead.
          mirror: whether mirrored copies are averaged, along the axes that training mirrored.

        Raises:
          UserError: when there is none, or it cannot be read.
        """
        config = workdirs.read_config(workdir)
        if not {'patch', 'context', 'mask_classes', 'network'} <= set(config.keys()):
            raise UserError(f'{workdir} holds no segmenter; give the --workdir of a run of segment.main.')
        facts, recipe = read_facts(workdir), create_recipe(config).with_encoder(read_encoder(workdir))
        abstract = jax.eval_shape(recipe.create_state, jax.random.key(0))
        folder = workdir / (BEST if best else 'checkpoints')
        missing = f'{workdir} holds no checkpoint in {folder.name}; train longer first.'
        state, position = restore_state(folder, lambda position: abstract, step, missing=missing)
        batch_size, axes = 1 if compute.on_cpu() else _BATCH_SIZE, recipe.augmentation.mirror if mirror else ()
        mesh, network = parallel.create_mesh(), recipe.network
        predict: Callable[..., Iterable[SliceProbabilities]]
        if recipe.volume_patch is None:
            predict = create_predictor(network, mesh, patch=recipe.patch, batch_size=batch_size, mirror=axes)
        else:
            predict = create_volume_predictor(
                network, mesh, shape=recipe.volume_patch, batch_size=batch_size, mirror=axes
            )
        return cls(recipe, facts, state.network.variables, position, predict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the foreground classes, that of id 1 first."""
        return self.recipe.classes

    @property
    def channels(self) -> int:
        """Of the images, without their context."""
        return self.recipe.images.preprocessing.channels

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of all weights."""
        return variables_checksum(self.variables)

    def probabilities(self, case: input_pipeline.Case) -> Iterator[Float[np.ndarray, 'height width classes']]:
        """Of each class, the background first, at every pixel of a case, slice by slice on its own grid.

        Raises:
          DataError: when the images cannot be made what the network sees.
        """
        preprocessing = self._preprocessing(case)
        predict = self._predict_slices if self.recipe.volume_patch is None else self._predict_volume
        for record, own in zip(case.records, predict(case, preprocessing), strict=True):
            height, width = record.image.shape[:2]
            scale = preprocessing.scale(record.spacing)
            yield input_pipeline.restore_size(own, height, width, preprocessing.fit, scale)

    def _predict_slices(
        self, case: input_pipeline.Case, preprocessing: input_pipeline.Preprocessing
    ) -> Iterator[SliceProbabilities]:
        images = input_pipeline.preprocess_case(case, preprocessing, None)
        for start in range(0, len(images), _SLICES_AT_A_TIME):
            yield from self.predict(self.variables, images[start : start + _SLICES_AT_A_TIME])

    def _predict_volume(
        self, case: input_pipeline.Case, preprocessing: input_pipeline.Preprocessing
    ) -> Iterator[SliceProbabilities]:
        """On the stored slices, of a network that sees them at the distance of its training."""

        def read(place: int) -> np.ndarray:
            part = dataclasses.replace(case, records=case.records[place : place + 1])
            return input_pipeline.preprocess_case(part, preprocessing, None)[0]

        grid = input_pipeline.DepthGrid.create(len(case.records), case.spacing[0], self.recipe.distance)
        slices = input_pipeline.mix_slices(grid.places(0, grid.count), read)
        predicted = self.predict(self.variables, slices, grid.count)
        yield from input_pipeline.mix_slices(grid.places_of_stored(), read_in_order(predicted))

    def _preprocessing(self, case: input_pipeline.Case) -> input_pipeline.Preprocessing:
        """As in training; images larger than there stay as they are where none was resized."""
        trained, resolution = self.recipe.images.preprocessing, self.recipe.images.preprocessing.resolution
        scales = [trained.scale(record.spacing) for record in case.records]
        if trained.fit == 'native' or any(scale.is_fixed for scale in scales):
            shapes = [record.image.shape[:2] for record in case.records]
            sides = [scale.sides(*shape) for scale, shape in zip(scales, shapes, strict=True)]
            resolution = max(resolution, *(math.ceil(side) for own in sides for side in own))
        window, _ = self._choose_window(case)
        return dataclasses.replace(trained, resolution=resolution, window=window, mask_classes=0)

    def note_on(self, case: input_pipeline.Case) -> str:
        """What is to be said of the window of a case; '' where it is that of the training images."""
        return self._choose_window(case)[1]

    def _choose_window(self, case: input_pipeline.Case) -> tuple[Window, str]:
        return choose_window(case.records[0], self.facts, self.recipe.images.preprocessing)

    @property
    def trained_types(self) -> tuple[str, ...]:
        """Stored types of the training images; () where nothing tells."""
        return trained_types(self.facts, self.recipe.images.preprocessing)
