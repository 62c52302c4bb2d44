"""What a data set tells of its images beyond their pixels: modality, spacing, licence."""

import collections
import csv
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float64

from input_pipeline.dataset.catalogue import find_data_dir, require_dataset
from input_pipeline.dataset.summary import RECORDS_FILE
from input_pipeline.decode import Split, open_split, reading
from input_pipeline.preprocessing import Preprocessing

UNKNOWN_MODALITY = 'unknown'
_SAMPLE = 200  # records whose spacing is looked at
_SPREAD = 0.2  # how far spacings may lie from their median, as a share of it
_SPACING = tfds.features.FeaturesDict({'spacing': tfds.features.Tensor(shape=(3,), dtype=np.float32)})


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where images come from.

    Attributes:
      fingerprint: of the data set, as `ImageData.fingerprint`.
      modality: of all images, or 'unknown' where they have several.
      spacing: median millimetres between rows and columns of preprocessed images; None where fewer than half of
        the images that were looked at have one, or one of these is more than 20% from the median.
      licence: as it was given to `prepare`; '' where it is not stated.
      patients_known: see `ImageData.patients_known`.
    """

    fingerprint: str
    modality: str
    spacing: tuple[float, float] | None
    licence: str
    patients_known: bool


@dataclasses.dataclass(frozen=True)
class _Listed:
    """A record as `records.csv` has it: its number in the split, and pixels of its sides."""

    index: int
    modality: str
    height: int
    width: int


def find_provenance(
    name: str,
    data_dir: Path | str | None,
    split: str,
    *,
    modalities: Sequence[str],
    classes: Sequence[str],
    preprocessing: Preprocessing,
    resolution: int,
) -> Provenance:
    """Looks up what one split of a data set tells; no image is decoded.

    Args:
      name, data_dir, split, modalities, classes: see `open_dataset`.
      preprocessing: how images are made alike, which decides their scale.
      resolution: pixels of a side of the images that are asked about: those of `preprocessing`, or halved.

    Raises:
      DataError: when the set or the split is missing or damaged.
    """
    folder = require_dataset(name, find_data_dir(data_dir))
    opened = open_split(folder, split)
    with reading(folder):
        counts = collections.Counter(record.modality for record in _list(opened, split, modalities, classes))
        step = max(1, -(-counts.total() // _SAMPLE))
        looked_at = itertools.islice(_list(opened, split, modalities, classes), 0, None, step)
        spacing = _typical([_spacing(opened, record, preprocessing, resolution) for record in looked_at])
    return Provenance(
        fingerprint=opened.summary.get('fingerprint') or f'{name}/{folder.name}',
        modality=next(iter(counts)) if len(counts) == 1 else UNKNOWN_MODALITY,
        spacing=spacing,
        licence=opened.summary.get('licence', ''),
        patients_known=opened.patients_known,
    )


def _list(split: Split, name: str, modalities: Sequence[str], classes: Sequence[str]) -> Iterator[_Listed]:
    """The wanted records one by one; none of a set that `prepare` did not write, which lists no records."""
    if not split.summary:
        return
    with open(split.folder / RECORDS_FILE, newline='', encoding='utf-8') as file:
        rows = (row for row in csv.DictReader(file) if row['split'] == name)
        for index, row in enumerate(rows):
            if (not modalities or row['modality'] in modalities) and (not classes or row['label'] in classes):
                yield _Listed(index, row['modality'], int(row['height']), int(row['width']))


def _spacing(
    split: Split, record: _Listed, preprocessing: Preprocessing, resolution: int
) -> Float64[np.ndarray, '2']:
    """Millimetres between rows and columns of one image once it is square; 0 where unknown."""
    stored = _SPACING.deserialize_example_np(split.records[record.index])['spacing'].astype(np.float64)
    spacing = preprocessing.spacing_of(record.height, record.width, tuple(stored.tolist()))
    return np.array(spacing) * preprocessing.resolution / resolution


def _typical(spacings: Sequence[Float64[np.ndarray, '2']]) -> tuple[float, float] | None:
    """The median of those that are known, where they are at least half of all and close to each other."""
    known = [spacing for spacing in spacings if np.isfinite(spacing).all() and spacing.min() > 0]
    if not known or 2 * len(known) < len(spacings):
        return None
    median = np.median(known, axis=0)
    if (np.abs(known - median) > _SPREAD * median).any():
        return None
    return float(median[0]), float(median[1])
