"""What every test of a reader does: scan a folder, load everything, look at records and refusals."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import READERS
from input_pipeline.records import Item, ReaderOptions, Record


@dataclasses.dataclass
class Reading:
    """The outcome of one reader on one folder: refusals of scanning and of loading together, and what was told."""

    items: list[Item]
    records: list[Record]
    refused: dict[str, str]
    notes: list[str]
    passed_over: dict[str, int]

    @property
    def by_source(self) -> dict[str, list[Record]]:
        sources: dict[str, list[Record]] = {}
        for record in self.records:
            sources.setdefault(record.source, []).append(record)
        return sources


@pytest.fixture
def read() -> Callable[..., Reading]:
    """A function of (reader, path, options by name) that reads with refusals skipped."""

    def run(reader: str, path: Path, **changed: Any) -> Reading:
        options = ReaderOptions('', (0.5, 99.5), 2**24, 2, '')
        refusals = Refusals(skip=True)
        items = READERS[reader](path, dataclasses.replace(options, **changed), refusals)
        records = []
        for item in items:
            try:
                loaded = list(item.load())
            except DataError as error:
                refusals.add(item.key, str(error))
                continue
            for record in loaded:
                assert record.key.startswith(item.key)
                assert (record.patient, record.label) == (item.patient, item.label)
                assert (record.image.dtype, record.image.shape[2]) == (item.dtype, item.channels)
            records += loaded
        keys = [record.key for record in records]
        assert len(set(keys)) == len(keys)
        assert [item.key for item in items] == sorted(item.key for item in items)
        return Reading(items, records, refusals.reasons, refusals.notes, refusals.passed_over)

    return run
