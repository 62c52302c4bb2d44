"""The images of a detector: real ones, those of chosen sources, and what is known of each beside its pixels."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt, UInt8

import input_pipeline
from backbones.images import ImageRequest
from detect.file_degradations import FileDegradation
from detect.sheets import PatchSheet, Picture
from foundation.training.errors import UserError
from input_pipeline.dataset.mixture import REAL

Masks = UInt8[np.ndarray, 'height width 1']


@dataclasses.dataclass(frozen=True)
class SheetShowing:
    """How stored images become sheets.

    Attributes:
      sheet: of what tiles.
      degradation: of images that are trained on, each time by chance; None for images as they are, whose patches
        have fixed places.
    """

    sheet: PatchSheet
    degradation: FileDegradation | None

    @property
    def side(self) -> int:
        """Of the sheet, in pixels."""
        return self.sheet.side

    @property
    def varies(self) -> bool:
        """Whether chance has a part."""
        return self.degradation is not None

    def __call__(
        self, image: Picture, mask: Masks | None, chance: int | None
    ) -> tuple[UInt[np.ndarray, 'side side channel'], UInt8[np.ndarray, 'side side 1'] | None]:
        """The sheet of an image, and that of its mask.

        Raises:
          DataError: when the image is smaller than a tile.
          ValueError: for a mask of an image that is degraded.
        """
        self.sheet.check_room(*image.shape[:2])
        if self.degradation is None or chance is None:
            places = self.sheet.choose(image, None)
            return self.sheet.create(image, places), None if mask is None else self.sheet.create_mask(mask, places)
        if mask is not None:
            raise ValueError('Images that are degraded have no masks.')
        random = np.random.default_rng(chance)
        image = self.degradation.apply(image, random)
        return self.sheet.create(image, self.sheet.choose(image, random)), None


@dataclasses.dataclass(frozen=True)
class DetectorData:
    """What a detector learns from and is judged by, whatever the split.

    Attributes:
      request: the data set, and how its images are made alike.
      sources: synthetic images of these alone; () all.
      labels: 'true', or 'random' by patient.
      showing: how images become sheets; None where they are seen as a whole.
      training: the same of training images.
    """

    request: ImageRequest
    sources: tuple[str, ...]
    labels: str
    showing: SheetShowing | None = None
    training: SheetShowing | None = None

    @property
    def side(self) -> int:
        """Pixels along a side of what the network sees: of an image, or of its sheet."""
        return self.request.preprocessing.resolution if self.showing is None else self.showing.side

    @property
    def training_side(self) -> int:
        """The same in training."""
        return self.side if self.training is None else self.training.side

    def for_training(self, images: input_pipeline.ImageData) -> input_pipeline.ImageData:
        """Images of a split as training sees them."""
        return images if self.training is None else images.through(self.training)

    def with_every_source(self) -> 'DetectorData':
        """The same with all sources, those that a run left out of its training too, and true labels."""
        return dataclasses.replace(self, sources=(), labels='true')

    def of(self, name: str) -> 'DetectorData':
        """The same of another data set."""
        return dataclasses.replace(self, request=dataclasses.replace(self.request, name=name))

    def open(self, split: str, *, train: bool, mask_classes: int = 0) -> input_pipeline.ImageData:
        """Opens a split; label 0 is real, the others are the sources in their order.

        Args:
          split: train, validation or test.
          train: whether images are kept in memory and mirrored as configured.
          mask_classes: 1 to see which pixels are synthetic, else 0.

        Raises:
          DataError: when the data set is missing, damaged, or not what was asked for.
          UserError: when it was not written by `detect.prepare`, or has no image of one of the two classes.
        """
        preprocessing = dataclasses.replace(self.request.preprocessing, mask_classes=mask_classes)
        request = dataclasses.replace(self.request, preprocessing=preprocessing)
        every = request.open(split, flip=train, in_memory=train)
        if REAL not in every.classes or 'form' not in every.options:
            raise UserError(
                f'{request.name} was not written by detect.prepare; prepare it with python -m detect.prepare.'
            )
        sources = self.sources or tuple(name for name in every.classes if name != REAL)
        chosen = dataclasses.replace(request, classes=(REAL, *sources))
        images = self._show(_spare_unaltered(chosen.open(split, flip=train, in_memory=train)))
        counts = np.bincount(binary_labels(images), minlength=2)
        if not counts.all():
            raise UserError(
                f'{request.name} has {counts[0]} real and {counts[1]} synthetic images in its {split} split, '
                'where a detector needs both.'
            )
        return images if self.labels == 'true' else _randomise(images, request.seed)

    def _show(self, images: input_pipeline.ImageData) -> input_pipeline.ImageData:
        """As sheets, where patches are seen; raises UserError for images that are too small, or were shrunk."""
        if self.showing is None:
            return images
        tile = self.showing.sheet.tile
        if images.options['form']['fit'] != 'native':
            raise UserError(
                f'config.data.patches is {self.showing.sheet.patches}, but images of {images.name} do not have '
                'their own pixels any more; prepare them with --resolution=native, or set config.data.patches '
                'to 0.'
            )
        if 0 < images.smallest_side < tile:
            raise UserError(
                f'config.resolution is {tile}, but an image of {images.name} has {images.smallest_side} pixels '
                f'along a side, and none is enlarged; use --config.resolution={images.smallest_side} or less.'
            )
        return images.through(self.showing)


def _spare_unaltered(images: input_pipeline.ImageData) -> input_pipeline.ImageData:
    """Labels as real the slices of altered volumes that were left as they are: their masks show nothing."""
    assert images.labels is not None
    altered = np.array([ids is None or any(ids) for ids in images.records.mask_ids])
    return images.relabelled(np.where(altered, images.labels, 0).astype(np.int32), images.classes)


def binary_labels(images: input_pipeline.ImageData) -> Int32[np.ndarray, ' images']:
    """1 for synthetic images, in stored order."""
    assert images.labels is not None
    return (images.labels > 0).astype(np.int32)


def _randomise(images: input_pipeline.ImageData, seed: int) -> input_pipeline.ImageData:
    """Labels by a coin for each patient: what a detector still seems to know of them comes from a leak."""

    def draw(patient: str) -> int:
        return hashlib.sha256(f'{seed} {patient}'.encode()).digest()[0] & 1

    return images.relabelled(
        np.array([draw(name) for name in images.records.patients], np.int32), (REAL, 'random')
    )


def read_batches(
    images: input_pipeline.ImageData,
    resolution: int,
    batch_size: int,
    chosen: Bool[np.ndarray, ' images'] | None,
) -> Iterator[Float32[np.ndarray, 'batch height width channel']]:
    """The images of a split in stored order, without masks, in batches.

    Args:
      images: the split.
      resolution: of what is read.
      batch_size: images of a batch; the last may have fewer.
      chosen: those that are wanted; None for all.
    """
    if chosen is not None:
        if not chosen.any():
            return
        images = images.choosing(np.flatnonzero(chosen))
    with contextlib.closing(images.in_order(resolution, batch_size)) as batches:
        for batch in batches:
            yield batch['image'][..., : images.channels]


def describe_split(
    describe: Callable[[Float32[np.ndarray, 'batch height width channel']], Any],
    images: input_pipeline.ImageData,
    resolution: int,
    batch_size: int,
) -> Any:
    """What `describe` says of all images of a split, in stored order: its arrays, joined."""
    batches = read_batches(images, resolution, batch_size, None)
    parts = [jax.tree.map(np.asarray, describe(batch)) for batch in batches]
    return jax.tree.map(lambda *own: np.concatenate(own), *parts)


def is_real(images: input_pipeline.ImageData) -> Bool[np.ndarray, ' images']:
    """Which images are real, whatever their labels say."""
    return np.array([label == REAL for label in images.records.labels])


def choose_evenly(members: Bool[np.ndarray, ' images'], most: int) -> Bool[np.ndarray, ' images']:
    """At most so many of the members, evenly from the first to the last."""
    places = np.flatnonzero(members)
    chosen = np.zeros(len(members), bool)
    if len(places):
        chosen[places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)]] = True
    return chosen
