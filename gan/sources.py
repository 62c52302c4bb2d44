"""Real images for the networks of a trained run: a split of a prepared data set, or files."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int, Int32

import input_pipeline
from backbones.images import DataFacts
from backbones.windows import choose_window
from foundation.training.errors import UserError
from gan.features import resized
from gan.recipe import GanRecipe
from input_pipeline.errors import Refusals, reason_of
from input_pipeline.inputs import DicomGrid, Incoming, find_incoming
from input_pipeline.records import PIXEL_LIMIT, reader_options

_LARGEST = 2**31  # bytes of images from files, which are held in memory
_OPTIONS = reader_options(2, PIXEL_LIMIT)  # as input_pipeline.prepare reads files unless it is told otherwise
Images = Float32[np.ndarray, 'batch height width channel']


class LabelledBatch(NamedTuple):
    """Some images in [-1, 1], and their labels; -1 without one."""

    images: Images
    labels: Int32[np.ndarray, ' batch']


@dataclasses.dataclass(frozen=True)
class SourceImages:
    """Images in their order.

    Attributes:
      name: what they are, for people.
      keys: of each.
      classes: names of the labels.
      batches: `batches(batch_size)`: all of them.
      notes: sentences on how they are shown.
      images: of a prepared data set; None of files.
    """

    name: str
    keys: tuple[str, ...]
    classes: tuple[str, ...]
    batches: Callable[[int], Iterator[LabelledBatch]]
    notes: tuple[str, ...] = ()
    images: input_pipeline.ImageData | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def choose(self, most: int) -> Int[np.ndarray, ' chosen']:
        """Places of at most so many, evenly from the first to the last."""
        return np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)

    def evenly(self, most: int) -> 'SourceImages':
        """At most so many of them, evenly from the first to the last."""
        chosen = self.choose(most)

        def batches(batch_size: int) -> Iterator[LabelledBatch]:
            first = 0
            for batch in self.batches(batch_size):
                rows = rows_of(chosen, first, len(batch.images))
                first += len(batch.images)
                if len(rows):
                    yield LabelledBatch(batch.images[rows], batch.labels[rows])

        return dataclasses.replace(self, keys=tuple(self.keys[row] for row in chosen), batches=batches)


def rows_of(chosen: Int[np.ndarray, ' chosen'], first: int, count: int) -> Int[np.ndarray, ' row']:
    """Rows, in a batch of so many that begins at `first`, of what was chosen."""
    return chosen[(chosen >= first) & (chosen < first + count)] - first


def images_of_split(images: input_pipeline.ImageData, split: str, resolution: int) -> SourceImages:
    """All images of a split in stored order, mask channels behind those of the image."""

    def batches(batch_size: int) -> Iterator[LabelledBatch]:
        with contextlib.closing(images.in_order(resolution, batch_size)) as found:
            for batch in found:
                yield LabelledBatch(batch['image'], batch['label'])

    name, keys = f'{images.name} ({split})', images.records.keys
    return SourceImages(name, keys, tuple(images.classes), batches, images=images)


def images_of_files(paths: Sequence[Path], recipe: GanRecipe, facts: DataFacts, resolution: int) -> SourceImages:
    """Pictures, and all slices of series and volumes, made like those of training, without masks; held in memory.

    Args:
      paths: of files, and of folders of them.
      recipe, facts: of the run.
      resolution: that it has grown to.

    Raises:
      UserError: when a file cannot be read, or its images cannot be made like those of training; when there is
        none, or they are too many.
    """
    form = recipe.images.preprocessing
    refusals = Refusals(skip=True)
    keys: list[str] = []
    shown: list[Images] = []
    notes: dict[str, None] = {}
    for incoming in find_incoming(paths, _OPTIONS, refusals):
        try:
            case = incoming.load()
        except Exception as error:  # whatever a damaged file makes its reader raise
            refusals.add(incoming.source, reason_of(error))
            continue
        window, note = choose_window(case.records[0], facts, form)
        try:
            own = input_pipeline.preprocess_case(case, dataclasses.replace(form, window=window), None)
        except input_pipeline.DataError as error:
            refusals.add(incoming.source, str(error).rstrip('.'))
            continue
        shown.append(np.asarray(resized(jnp.asarray(own), resolution)))
        keys += _name_images(incoming, case)
        notes |= dict.fromkeys([note] if note else [])
        if sum(part.nbytes for part in shown) > _LARGEST:
            raise UserError(f'The files hold more than {_LARGEST >> 30} GiB of images; give fewer at a time.')
    for source, reason in refusals.reasons.items():
        raise UserError(f'{source}: {reason}; leave out what cannot be read ({len(refusals.reasons)} in all).')
    if not keys:
        raise UserError('Nothing that is named is an image; name pictures, DICOM files or volumes, or folders.')
    every = np.concatenate(shown)

    def batches(batch_size: int) -> Iterator[LabelledBatch]:
        for start in range(0, len(every), batch_size):
            part = every[start : start + batch_size]
            yield LabelledBatch(part, np.full(len(part), -1, np.int32))

    return SourceImages('the files', tuple(keys), (), batches, tuple(notes))


def _name_images(incoming: Incoming, case: input_pipeline.Case) -> list[str]:
    """What each image is called; those of DICOM as their files, for their keys do not tell which these are."""
    keys = [record.key for record in case.records]
    if not isinstance(incoming.grid, DicomGrid):
        return keys
    frames = [incoming.grid.frames[key] for key in keys]
    folder = os.path.commonpath([path.parent for path, _ in frames])
    names = [PurePosixPath(incoming.source).parent / path.relative_to(folder).as_posix() for path, _ in frames]
    if len(set(names)) == len(names):
        return list(map(str, names))
    return [f'{name}/{frame:04d}' for name, (_, frame) in zip(names, frames, strict=True)]


def open_source(
    recipe: GanRecipe,
    facts: DataFacts,
    resolution: int,
    *,
    paths: Sequence[Path],
    data: str | None,
    split: str,
    classes: Sequence[str] | None,
) -> SourceImages:
    """Files where some are named, else a split.

    Args:
      recipe, facts, resolution: see `images_of_files`.
      paths: files and folders; empty for a split.
      data: name of the data set; None for that of the run.
      split: of it.
      classes: only these, or `['all']`; None for those of the run.

    Raises:
      UserError, DataError: when something cannot be read; when both are named.
    """
    if paths:
        if data is not None or classes is not None:
            raise UserError('Files are named, and --data or --classes, too; leave one of them out.')
        return images_of_files(paths, recipe, facts, resolution)
    request = recipe.images
    if data is not None:
        request = dataclasses.replace(request, name=data)
    if classes is not None:
        request = dataclasses.replace(request, classes=() if list(classes) == ['all'] else tuple(classes))
    return images_of_split(request.open(split, flip=False, in_memory=False), split, resolution)
