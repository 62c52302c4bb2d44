"""Opening a prepared data set: does it fit what is asked of it, and which of its records are wanted."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Int64

from input_pipeline.cases import find_neighbours, number_volumes
from input_pipeline.dataset.catalogue import find_data_dir, nearest, require_dataset
from input_pipeline.dataset.summary import RecordTable, read_records
from input_pipeline.decode import Decoder, Split, damaged, open_split, reading
from input_pipeline.errors import DataError
from input_pipeline.preprocessing import Preprocessing
from input_pipeline.stream import ImageData


def _intensity(split: Split, preprocessing: Preprocessing) -> tuple[float, float] | None:
    """Physical values of -1 and 1, where they are the same for all images."""
    descending = split.summary.get('descending', 'none')
    if preprocessing.window == 'volume' or (preprocessing.window != 'stored' and descending == 'some'):
        return None
    if preprocessing.window == 'stored':
        if not split.summary:
            return 0.0, float(np.iinfo(split.stored_dtype).max)
        window = split.summary['stored_range']
        return None if window is None else (window[0], window[1])
    fixed = preprocessing.window
    window = split.dataset_window if isinstance(fixed, str) else fixed
    if window is None:
        return None
    return (window[1], window[0]) if descending == 'all' else (window[0], window[1])


def _check_fits(split: Split, preprocessing: Preprocessing) -> None:
    name, dtype = split.folder.parent.name, split.stored_dtype
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise DataError(f'{name} has images of {dtype}; uint8, uint16 and float32 can be read.')
    if preprocessing.window == 'stored' and dtype == np.float32:
        raise DataError(f"{name} has float images, which have no stored range: window must not be 'stored'.")
    if preprocessing.window == 'dataset' and not split.summary:
        raise DataError(f"{name} was not written by input_pipeline.prepare: window must not be 'dataset'.")
    channels = split.features['image'].shape[-1]
    if channels != preprocessing.channels and {channels, preprocessing.channels} != {1, 3}:
        raise DataError(f'{name} has images of {channels} channels, which cannot become {preprocessing.channels}.')
    mask_classes = preprocessing.mask_classes
    if mask_classes:
        if 'mask' not in split.features:
            raise DataError(f'{name} has no masks, but mask_classes is {mask_classes}; set it to 0.')
        highest = max(split.summary.get('mask_ids') or [0])
        if highest > mask_classes:
            raise DataError(
                f'{name} has mask classes up to {highest}, mask_classes is {preprocessing.mask_classes}.'
            )


def _check_known(kind: str, wanted: Sequence[str], known: Sequence[str], name: str) -> None:
    for value in wanted:
        if value not in known:
            raise DataError(f'{name} has no {kind} {value!r}, only {", ".join(known)}.{nearest(value, known)}')


def _filter(
    split: Split, split_name: str, modalities: Sequence[str], classes: Sequence[str]
) -> tuple[Int64[np.ndarray, ' examples'], RecordTable]:
    """Indices of the records that are wanted, and what is known of these."""
    if split.summary:
        with reading(split.folder):
            table = read_records(split.folder, split_name)
        if len(table.patients) != len(split.records):
            raise damaged(split.folder, f'records.csv lists {len(table.patients)} of {len(split.records)} records')
    else:
        table = _scan_labels(split, bool(classes))
    _check_known('modality', modalities, sorted(set(table.modalities)), split.folder.parent.name)
    kept = [
        index
        for index, (label, modality) in enumerate(zip(table.labels, table.modalities, strict=True))
        if (not classes or label in classes) and (not modalities or modality in modalities)
    ]
    if not kept:
        raise DataError(
            f'{split.folder.parent.name}: no image of split {split_name!r} has the wanted modality and class.'
        )
    return np.array(kept), table.select(kept)


def _label_modalities(
    split: Split, modalities: Sequence[str], wanted: Sequence[str]
) -> tuple[Int32[np.ndarray, ' examples'], tuple[str, ...]]:
    """The number of each modality, and the names of all."""
    names = tuple(wanted) or tuple(sorted(split.summary.get('modalities', ())))
    if not names:
        raise DataError(
            f'{split.folder.parent.name} was not written by input_pipeline.prepare: no modality is known.'
        )
    return np.array([names.index(modality) for modality in modalities], np.int32), names


def _label_classes(labels: Sequence[str], kept: Sequence[str]) -> Int32[np.ndarray, ' examples']:
    """The number of each class among those kept, -1 for images without one; 0 where there is no class at all."""
    numbers = {label: number for number, label in enumerate(kept)}
    return np.array([numbers.get(label, -1) if kept else 0 for label in labels], np.int32)


def _scan_labels(split: Split, with_labels: bool) -> RecordTable:
    """A catalogue set has no list of records: every image is its own patient, of unknown modality."""
    count = len(split.records)
    labels = [''] * count
    if with_labels:
        with reading(split.folder):
            numbers = [split.features.deserialize_example_np(record)['label'] for record in split.records]
        labels = [split.classes[number] if number >= 0 else '' for number in numbers]
    names = tuple(map(str, range(count)))
    return RecordTable(
        names, names, tuple(labels), ('unknown',) * count, (None,) * count, (0,) * count, (0,) * count
    )


def _count_class_images(records: RecordTable, summary: Mapping[str, Any]) -> tuple[int, ...]:
    """Images that show each foreground class of the whole set; () where that is not listed."""
    if None in records.mask_ids:
        return ()
    counts = collections.Counter(class_id for ids in records.mask_ids for class_id in ids or ())
    return tuple(counts[class_id] for class_id in range(1, max(summary.get('mask_ids') or [0]) + 1))


def _find_foreground(records: RecordTable, name: str) -> Int64[np.ndarray, ' some']:
    """Places of the images whose masks hold more than background."""
    if None in records.mask_ids:
        raise DataError(f'{name} does not list what its masks hold; prepare it again with --overwrite.')
    found = np.flatnonzero([any(ids or ()) for ids in records.mask_ids])
    if not len(found):
        raise DataError(f'{name}: no mask holds anything but background; are the masks those of these images?')
    return found


def _settle_window(split: Split, preprocessing: Preprocessing) -> Preprocessing:
    """Checked, with a window for 'auto': images of 8 bits stay as they are, others are windowed by volume."""
    if preprocessing.window == 'auto':
        window = 'stored' if split.stored_dtype == np.uint8 else 'volume'
        preprocessing = dataclasses.replace(preprocessing, window=window)
    _check_fits(split, preprocessing)
    return preprocessing


def _renumber(old: Sequence[str], kept: Sequence[str]) -> dict[int, int]:
    """New labels by old ones. Unlabelled records keep -1; without any classes all are of class 0."""
    return {old.index(label): new for new, label in enumerate(kept)} | {-1: -1 if kept else 0}


def _list_neighbours(
    records: int, chosen: Int64[np.ndarray, ' examples'], volumes: Int64[np.ndarray, ' examples'], context: int
) -> Int64[np.ndarray, 'records neighbours']:
    """The slices around each chosen record, itself among them, as places among all records."""
    neighbours = np.zeros((records, 2 * context + 1), np.int64)
    neighbours[chosen] = chosen[find_neighbours(volumes, context)]
    return neighbours


def open_dataset(
    name: str,
    data_dir: Path | str | None,
    split: str,
    preprocessing: Preprocessing,
    *,
    flip_horizontal: bool,
    flip_vertical: bool,
    seed: int,
    memory_budget_bytes: int,
    modalities: tuple[str, ...],
    classes: tuple[str, ...],
    target: Literal['class', 'modality'],
    foreground_share: float,
) -> ImageData:
    """Opens one split of a prepared data set.

    Args:
      name: of the data set; `name/config` for sets of the TFDS catalogue that have configurations.
      data_dir: folder of all data sets; None or '' for the default (`$TFDS_DATA_DIR`).
      split: 'train', 'validation' or 'test'.
      preprocessing: how images are made alike.
      flip_horizontal, flip_vertical: mirror at random (anatomy is not symmetric).
      seed: of the order and the flips.
      memory_budget_bytes: what decoded images may take; 0 always streams from disk.
      modalities, classes: those to keep, classes in the order of their labels; empty for all.
      foreground_share: of the shuffled sequence, at least, that shows images with foreground; 0 to 1.
      target: what the labels tell: the class, or the number of the modality among all in alphabetical order.

    Raises:
      DataError: when the set is missing or damaged, or is not what the arguments expect.
    """
    opened = open_split(require_dataset(name, find_data_dir(data_dir)), split)
    preprocessing = _settle_window(opened, preprocessing)
    _check_known('class', classes, opened.classes, name)
    indices, records = _filter(opened, split, modalities, classes)
    kept = tuple(classes or opened.classes)
    numbers, volumes = _renumber(opened.classes, kept), number_volumes(records.keys, records.patients)
    neighbours = _list_neighbours(len(opened.records), indices, volumes, preprocessing.context)
    labels = _label_classes(records.labels, kept) if opened.summary or classes else None
    if target == 'modality':
        labels, kept = _label_modalities(opened, records.modalities, modalities)
    return ImageData(
        name,
        Decoder(opened, preprocessing, numbers, neighbours),
        indices,
        np.unique(records.patients, return_inverse=True)[1].astype(np.int64),
        kept,
        _intensity(opened, preprocessing),
        flips=(flip_horizontal, flip_vertical),
        seed=seed,
        memory_budget_bytes=memory_budget_bytes,
        labels=labels,
        foreground=_find_foreground(records, name) if foreground_share else None,
        foreground_share=foreground_share,
        volumes=volumes,
        largest_side=max(records.sides),
        records=records,
        class_images=_count_class_images(records, opened.summary),
    )
