"""Images from the averaged generator while it trains: grids for people, and sets to be measured."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int, UInt8

from backbones.grids import draw_grid, save_picture, title_classes
from foundation.training.phases import Phase
from gan.domains import TrainingImages
from gan.generator import Weights
from gan.recipe import GanRecipe, ImageFormat
from gan.sampler import Sampler, labels_in_turn
from gan.schedule import Stage
from gan.state import GanState


class TrainingSamples:
    """Samples at every stage, always as many at a time as a grid has, by one program a stage.

    Args:
      recipe: of the run.
      image_format: the channels and classes of the images.
      classes: their names, by label.
      mesh: the devices.
      stages: of the run.
    """

    def __init__(
        self,
        recipe: GanRecipe,
        image_format: ImageFormat,
        classes: Sequence[str],
        mesh: Mesh,
        stages: tuple[Stage, ...],
    ) -> None:
        self._seed, self._grid, self._image_format = recipe.seed, recipe.samples, image_format
        self._classes = classes if image_format.num_classes else ()
        self._samplers = {}
        for stage in stages:
            network = recipe.generator_at(stage.resolution, image_format)
            self._samplers[stage.name] = Sampler(network, image_format, mesh, self._grid.count)

    def draw(
        self, state: GanState, phase: Phase, images_seen: int, labels: Int[np.ndarray, 'count']
    ) -> Float[np.ndarray, 'count height width channel']:
        """Draws an image for each label; the latents are the same at every stage."""
        sampler = self._samplers[phase.name]
        weights = Weights(state.averaged('generator'), phase.controls(images_seen)['alpha'])
        return sampler.draw(weights, sampler.latents(self._seed, len(labels)), labels)

    def draw_picture(self, state: GanState, phase: Phase, images_seen: int) -> UInt8[np.ndarray, 'height width 3']:
        """A grid of the same latents at every stage, classes in columns."""
        labels, form = labels_in_turn(self._grid.count, self._image_format.num_classes, None), self._image_format
        images = self.draw(state, phase, images_seen, labels)
        grid = draw_grid(images, self._grid.columns, form.channels, form.mask_classes)
        return title_classes(grid, self._classes, self._grid.columns)


def read_reals(
    images: TrainingImages, resolution: int, count: int
) -> tuple[Float[np.ndarray, 'count height width channel'], Int[np.ndarray, 'count']]:
    """Training images and their labels, as the networks see them.

    All processes must call it: it decodes the data, for which others would otherwise wait in vain.
    """
    batches = images.batches(resolution, 0, count, process_index=0, process_count=1)
    with contextlib.closing(batches):
        batch = next(batches)
    return batch['image'], batch['label']


def draw_reals(recipe: GanRecipe, images: TrainingImages, form: ImageFormat, path: Path, *, write: bool) -> None:
    """Writes training images in a grid like those of the samples; see `read_reals`."""
    real, _ = read_reals(images, recipe.resolution, recipe.samples.count)
    if write:
        save_picture(draw_grid(real, recipe.samples.columns, form.channels, form.mask_classes), path)
