"""Reads arrays of images: .npz as MedMNIST ships them, .npy as PanNuke ships them, or a plain .npy.

In a .npz file, or among the .npy files of one folder, `images` are the pictures, (count, height, width) or
(count, height, width, channels), `labels` or `types` their classes, and `masks` their masks; a prefix
(`train_images`, `val_labels`) or a leading folder names the split. An array alone in its file is taken for
images whatever its name. PanNuke's `masks/fold1/masks.npy` belong to `images/fold1/images.npy`.

Masks are class ids (count, height, width), or one channel for each class (count, height, width, classes):
the id is the first channel that is not 0, so instance numbers count as presence. The first channel is the
background, as one-hot masks have it, except in PanNuke's (six channels, beside `types`), where the last is
and ids start at 1 with the first.

Each image is its own patient, unless `patient_pattern` finds one in its key (`fold1/images.npy/0012`).
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Shaped, UInt8

from input_pipeline.errors import Refusals
from input_pipeline.readers.array_sets import ImageSet, check_shapes, class_names, group, open_members
from input_pipeline.readers.masks import class_ids
from input_pipeline.readers.paths import naming, patient_finder, refusing, require_items, walk
from input_pipeline.readers.pixels import create_record, storage_dtype
from input_pipeline.records import Item, ReaderOptions, Record


def scan(path: Path, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Finds the arrays below `path` (or in it, where it is a file), from their headers and classes only.

    Raises:
      DataError: no arrays of images, or (where refusals are not skipped) arrays of objects, of the wrong shape,
        truncated, or masks and labels without images or of another count.
    """
    root = path.parent if path.is_file() else path
    found = [PurePosixPath(path.name)] if path.is_file() else walk(path, refusals)
    members = []
    for relative in found:
        with refusing(relative, refusals):
            members += open_members(root, relative)
    sets = []
    for image_set in group(members, refusals):
        with refusing(image_set.images.source, refusals):
            check_shapes(image_set, options.pixel_limit)
            sets.append(image_set)
    find_patient = patient_finder(options.patient_pattern)
    items: list[Item] = []
    for image_set, classes in zip(sets, class_names(sets), strict=True):
        with refusing(image_set.images.source, refusals):
            items += _create_items(image_set, classes, options, find_patient)
    return require_items(items, path, 'arrays of images (.npz, .npy)', refusals)


def _create_items(
    image_set: ImageSet,
    classes: list[str] | None,
    options: ReaderOptions,
    find_patient: Callable[[str, str], str],
) -> Iterator[Item]:
    array = image_set.images.array
    dtype, channels = storage_dtype(array.dtype), array.shape[3] if len(array.shape) == 4 else 1
    count = array.shape[0]
    for index in range(count):
        key = f'{image_set.images.source}/{index:0{len(str(count - 1))}d}'
        patient, label = find_patient(key, key), classes[index] if classes else None
        load = functools.partial(_load, image_set, index, key, options, patient, label)
        yield Item(key, patient, image_set.split, label, dtype, channels, load)


def _load(
    image_set: ImageSet, index: int, key: str, options: ReaderOptions, patient: str, label: str | None
) -> Iterator[Record]:
    with naming(key):
        values = np.array(image_set.images.array.values[index])
        values = values.astype(np.uint8) if values.dtype.kind == 'b' else values
        mask = None
        if image_set.masks is not None:
            with naming(image_set.masks.source):
                mask = _mask_ids(np.array(image_set.masks.array.values[index]), image_set.is_pannuke)
        values = values if values.ndim == 3 else values[..., np.newaxis]
        record = create_record(key, values, options, patient, label, mask, image_set.images.source)
    yield record


def _mask_ids(
    values: Shaped[np.ndarray, 'height width *classes'], background_is_last: bool
) -> UInt8[np.ndarray, 'height width 1']:
    if values.ndim == 2 or values.shape[2] == 1:
        return class_ids(values.reshape(*values.shape[:2], 1))
    foreground = values[..., :-1] if background_is_last else values[..., 1:]
    present = foreground != 0
    ids = np.where(present.any(axis=-1), present.argmax(axis=-1) + 1, 0)
    return ids.astype(np.uint8)[..., np.newaxis]
