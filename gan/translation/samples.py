"""Images that a run in training translates: grids for people, and sets to be measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt8

import input_pipeline
from backbones.grids import draw_grid, draw_rows, title_classes
from foundation.training.mapping import create_mapper
from foundation.training.phases import Phase
from foundation.training.state import Variables
from gan.recipe import GanRecipe, ImageFormat
from gan.samples import TrainingSamples, read_reals
from gan.state import GanState

_PARTS = 3  # rows of a grid that belong together


class TranslatedSamples:
    """Training images of the source, translated, and back again, or beside their counterparts.

    Called as `TrainingSamples` is, but what it draws depends on images of the source in place of latents.

    Args:
      recipe: of the run.
      images: its training images.
      image_format: the channels of the images.
      mesh: the devices.
    """

    def __init__(
        self, recipe: GanRecipe, images: input_pipeline.Domains, image_format: ImageFormat, mesh: Mesh
    ) -> None:
        self._grid, self._form = recipe.samples, image_format
        networks = recipe.networks_at(recipe.resolution, image_format)
        shown = self._grid.columns * max(self._grid.rows // _PARTS, 1)
        count = max(shown, recipe.watch.samples if recipe.watch.images else 0)
        self._sources, _ = read_reals(images.source, recipe.resolution, count)
        self._truths = read_reals(images.target, recipe.resolution, shown)[0]
        self._shown, self._returns = self._sources[:shown], 'inverse' in networks

        def translate(variables: Variables, images: Array) -> Array:
            return networks['generator'].apply(variables, images)

        def go_and_return(variables: Mapping[str, Variables], images: Array) -> tuple[Array, Array]:
            there = translate(variables['generator'], images)
            return there, networks['inverse'].apply(variables['inverse'], there)

        self._translate: Any = create_mapper(translate, mesh, shown)
        self._go_and_return: Any = create_mapper(go_and_return, mesh, shown)

    def draw(
        self, state: GanState, phase: Phase, images_seen: int, labels: Int[np.ndarray, 'count']
    ) -> Float[np.ndarray, 'count height width channel']:
        """As many translated images as there are labels, always of the same images."""
        del phase, images_seen
        return self._translate(state.averaged('generator'), self._sources[: len(labels)])

    def draw_picture(self, state: GanState, phase: Phase, images_seen: int) -> UInt8[np.ndarray, 'height width 3']:
        """Rows of images, under each what it becomes, and what that becomes again, or should be."""
        if self._returns:
            variables = {'generator': state.averaged('generator'), 'inverse': state.networks['inverse'].variables}
            translated, last = self._go_and_return(variables, self._shown)
        else:
            translated, last = self.draw(state, phase, images_seen, np.zeros(len(self._shown), int)), self._truths
        return draw_rows(
            (self._shown, translated, last), self._grid.columns, self._form.channels, self._form.mask_classes
        )


class ClassSamples:
    """Training images, translated to each of their classes; called as `TrainingSamples` is.

    Args:
      recipe: of the run.
      images: its training images.
      image_format: the channels and classes of the images.
      mesh: the devices.
    """

    def __init__(
        self, recipe: GanRecipe, images: input_pipeline.ImageData, image_format: ImageFormat, mesh: Mesh
    ) -> None:
        self._form, self._names = image_format, ('source', *images.classes)
        self._repeats = max(recipe.samples.columns // len(self._names), 1)
        self._shown = recipe.samples.rows * self._repeats
        count = max(self._shown, min(recipe.watch.samples, images.num_examples) if recipe.watch.images else 0)
        self._sources, _ = read_reals(images, recipe.resolution, count)
        network = recipe.networks_at(recipe.resolution, image_format)['generator']

        def translate(variables: Variables, images: Array, labels: Array) -> Array:
            return network.apply(variables, images, labels)

        self._translate: Any = create_mapper(translate, mesh, self._shown)

    def draw(
        self, state: GanState, phase: Phase, images_seen: int, labels: Int[np.ndarray, 'count']
    ) -> Float[np.ndarray, 'count height width channel']:
        """An image of each class that is named, of images of other classes; labels are those of the sources."""
        del phase, images_seen
        sources = self._sources[find_others(labels)]
        return self._translate(state.averaged('generator'), sources, labels.astype(np.int32))

    def draw_picture(self, state: GanState, phase: Phase, images_seen: int) -> UInt8[np.ndarray, 'height width 3']:
        """In each row images and, behind each, what it becomes of every class."""
        del phase, images_seen
        sources, variables = self._sources[: self._shown], state.averaged('generator')
        drawn = [
            self._translate(variables, sources, np.full(len(sources), label, np.int32))
            for label in range(self._form.num_classes)
        ]
        shown = np.stack([sources, *drawn], axis=1).reshape(-1, *sources.shape[1:])
        columns = self._repeats * len(self._names)
        grid = draw_grid(shown, columns, self._form.channels, self._form.mask_classes)
        return title_classes(grid, self._names, columns)


def find_others(labels: Int[np.ndarray, 'count']) -> Int[np.ndarray, 'count']:
    """For each place another of a different label, each once; of the same where one label has more than half."""
    order, most = np.argsort(labels, kind='stable'), np.bincount(labels).max()
    others = np.empty_like(order)
    others[order] = np.roll(order, -most)
    return others


Samples = TrainingSamples | TranslatedSamples | ClassSamples
