"""A trained translator, brought back from its workdir without its data."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

import input_pipeline
from backbones.classifier import variables_checksum
from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from foundation.training.state import Variables
from gan.domains import Domain, read_domains
from gan.generator import RestoredRun, read_recipe, restore_state
from gan.translation.windows import Images, in_windows
from input_pipeline import depth

SLICES = 16  # translated at a time: memory does not grow with a volume


@dataclasses.dataclass(frozen=True)
class Translator:
    """A generator of images from images, with its averaged weights.

    Attributes:
      run: that it was trained by.
      source, target: what it was trained on.
      variables: of the network.
      translate_squares: images in [-1, 1] of the size that it was trained on.
    """

    run: RestoredRun
    source: Domain
    target: Domain
    variables: Variables
    translate_squares: Callable[[Images], Images]

    @classmethod
    def load(cls, workdir: Path, step: int | None, *, best: bool, to: str | None = None) -> 'Translator':
        """The translator of a run, to a class where it knows several; see `restore_state` and `read_domains`.

        Raises:
          UserError: when there is none, or it cannot be read, or it was trained on images that were cropped.
        """
        recipe = read_recipe(workdir)
        if not recipe.family.translates:
            raise UserError(
                f'{workdir} holds a generator of {recipe.architecture}, which translates nothing; give a run '
                'of cyclegan, pix2pix or stargan.'
            )
        run = restore_state(workdir, step, best=best)
        if recipe.images.preprocessing.fit == 'crop':
            raise UserError(
                f"{workdir}: its images were cut (config.data.fit is 'crop'), so that whole ones cannot be "
                'translated; train with pad.'
            )
        source, target = read_domains(workdir, to)
        network, names = recipe.networks_at(recipe.resolution, run.image_format)['generator'], run.facts.classes

        def apply(variables: Variables, images: Array) -> Array:
            labels = () if to is None else (jnp.full(len(images), names.index(to), jnp.int32),)
            return network.apply(variables, images, *labels)

        variables, mapped = run.state.averaged('generator'), create_mapper(apply, parallel.create_mesh(), SLICES)
        return cls(run, source, target, variables, functools.partial(mapped, variables))

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of all weights."""
        return variables_checksum(self.variables)

    def translate(
        self, case: input_pipeline.Case
    ) -> Iterator[Float32[np.ndarray, 'slices height width channels']]:
        """Slices of a volume, or one picture, in [-1, 1] of the target, on their own pixels, some at a time.

        Raises:
          DataError: when the images cannot be made what the network sees.
          UserError: when a result is not finite.
        """
        preprocessing = self._preprocessing(case)
        for start in range(0, len(case.records), SLICES):
            records = case.records[start : start + SLICES]
            part = dataclasses.replace(case, records=records)
            seen = input_pipeline.preprocess_case(part, preprocessing, None)
            drawn = in_windows(self.translate_squares, seen, self.run.recipe.resolution)
            if not np.isfinite(drawn).all():
                raise UserError(
                    'the network gives values that are not finite: use an earlier checkpoint (--step).'
                )
            restored = []
            for record, own in zip(records, drawn, strict=True):
                height, width = record.image.shape[:2]
                scale = preprocessing.scale(record.spacing)
                restored.append(input_pipeline.restore_size(own, height, width, preprocessing.fit, scale))
            yield np.clip(np.stack(restored), -1, 1)

    def _preprocessing(self, case: input_pipeline.Case) -> input_pipeline.Preprocessing:
        """As in training; where pixels have a fixed size, larger images stay so."""
        trained, first = self.run.recipe.images.preprocessing, case.records[0]
        if 'unknown' not in (first.modality, self.source.modality) and first.modality != self.source.modality:
            raise input_pipeline.DataError(
                f'is {first.modality}, and the network translates {self.source.modality}; leave it out'
            )
        low, high = sorted(self.source.window)
        stored = (self.source.facts.stored,) if self.source.facts.stored else ()
        if not depth.is_shown(first, (low, high), stored):
            raise input_pipeline.DataError(
                'its values are not those of the images that the network was trained on, '
                f'{low:g} to {high:g} in their units; translate images of the same kind and depth'
            )
        resolution = trained.resolution
        scales = [trained.scale(record.spacing) for record in case.records]
        if trained.fit == 'native' or any(scale.is_fixed for scale in scales):
            shapes = [record.image.shape[:2] for record in case.records]
            sides = [scale.sides(*shape) for scale, shape in zip(scales, shapes, strict=True)]
            resolution = max(resolution, *(math.ceil(side) for own in sides for side in own))
        return dataclasses.replace(trained, resolution=resolution, window=(low, high))
