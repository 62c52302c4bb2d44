"""The records of a prepared data set as items again, from which other data sets are made."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from input_pipeline.dataset.catalogue import require_dataset
from input_pipeline.dataset.splits import SPLITS
from input_pipeline.dataset.summary import read_records
from input_pipeline.decode import Split, open_split
from input_pipeline.errors import MissingSplitError
from input_pipeline.records import Dtype, Item, Record

Change = Callable[[Record], Record]


def open_splits(name: str, data_dir: Path) -> dict[str, Split]:
    """Every split that a data set has; the training split is always among them.

    Raises:
      DataError: when the set is missing or damaged, or has no training split.
    """
    folder, splits = require_dataset(name, data_dir), {}
    for split in SPLITS:
        try:
            splits[split] = open_split(folder, split)
        except MissingSplitError:
            if split == 'train':
                raise
    return splits


def stored_items(split: Split, name: str, block: int, change: Change) -> Iterator[Item]:
    """An item for each record; the stored type and channels are those of the set.

    Args:
      split: of the set.
      name: of the split.
      block: so many consecutive records count as one patient; 0 leaves patients as they are.
      change: what is done to each record when it is loaded.
    """
    table = read_records(split.folder, name)
    for index, (key, patient, label) in enumerate(zip(table.keys, table.patients, table.labels, strict=True)):
        load = functools.partial(_load, split, index, change)
        dtype, channels = cast(Dtype, split.stored_dtype.name), split.features['image'].shape[-1]
        patient = f'{name}_block_{index // block:05d}' if block else patient
        yield Item(key, patient, name, label or None, dtype, channels, load)


def rename_item(item: Item, key: str, patient: str) -> Item:
    """The same item and its records under another key, of another patient."""

    def load() -> Iterator[Record]:
        for record in item.load():
            yield dataclasses.replace(record, key=key, patient=patient)

    return dataclasses.replace(item, key=key, patient=patient, load=load)


def _load(split: Split, index: int, change: Change) -> Iterator[Record]:
    yield change(split.read(index))
