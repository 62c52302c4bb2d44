"""What a data set holds: gathered while it is written, kept as `summary.json` and `records.csv` beside it."""

import collections
import csv
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float32, UInt8

from input_pipeline.dataset.features import Encoded, RecordStorage
from input_pipeline.dataset.plausibility import Plausibility, question_values
from input_pipeline.dataset.splits import SPLITS

SUMMARY_FILE, RECORDS_FILE = 'summary.json', 'records.csv'
RECORD_FIELDS = ('split', 'key', 'patient', 'label', 'modality', 'height', 'width', 'source', 'mask_ids')
UNLABELLED = 'unlabelled'
_SAMPLE_LIMIT = 2**21


class Percentiles:
    """Percentiles of a stream in bounded memory.

    Keeps at most `_SAMPLE_LIMIT` values: when they are full, every second goes and from then on only every
    second arrives, so that early and late records weigh the same.
    """

    def __init__(self) -> None:
        self._chunks: list[Float32[np.ndarray, ' _']] = []
        self._count = 0
        self._step = 1

    def add(self, values: Float32[np.ndarray, ' count']) -> None:
        """Takes evenly spread values of one record."""
        self._chunks.append(values[:: self._step])
        self._count += len(self._chunks[-1])
        if self._count > _SAMPLE_LIMIT:
            self._chunks = [np.concatenate(self._chunks)[::2]]
            self._count = len(self._chunks[0])
            self._step *= 2

    def at(self, percentiles: tuple[float, float]) -> tuple[float, float] | None:
        """Values at two percentiles (0 to 100), None where nothing was added."""
        if not self._count:
            return None
        low, high = np.percentile(np.concatenate(self._chunks), percentiles)
        return float(low), float(high)


class Summarizer:
    """Gathers the summary record by record, and writes the list of records as they come."""

    def __init__(self, storage: RecordStorage, percentiles: tuple[float, float], records: TextIO) -> None:
        self._storage = storage
        self._ranks = percentiles
        self._table = csv.writer(records, lineterminator='\n')
        self._table.writerow(RECORD_FIELDS)
        self._counts: dict[str, collections.Counter[str]] = {
            field: collections.Counter() for field in ('split', 'class', 'modality', 'size')
        }
        self._stored_range: list[float] | None = None
        self._one_range = True
        self._falls: set[bool] = set()
        self._by_split: dict[str, collections.Counter[str]] = {}
        self._patients: dict[str, set[str]] = {}
        self._unknown_patients = True
        self._mask_ids: set[int] = set()
        self._foreground = 0
        self._pixels = 0
        self._two_valued = 0
        self._extremes = (float('inf'), float('-inf'))
        self._window = Percentiles()
        self._fingerprint = hashlib.sha256()
        self._plausibility = Plausibility()

    def add(self, split: str, encoded: Encoded) -> None:
        """Counts one record; records must come in the order of their keys."""
        record = encoded.record
        self._table.writerow(
            (
                split,
                record.key,
                record.patient,
                record.label or '',
                record.modality,
                encoded.height,
                encoded.width,
                record.source,
                ' '.join(map(str, encoded.mask_ids or ())),
            )
        )
        self._counts['split'][split] += 1
        self._counts['class'][record.label or UNLABELLED] += 1
        self._counts['modality'][record.modality] += 1
        self._counts['size'][f'{encoded.height}x{encoded.width}'] += 1
        self._by_split.setdefault(split, collections.Counter())[record.label or UNLABELLED] += 1
        self._patients.setdefault(split, set()).add(record.patient)
        self._unknown_patients &= record.patient == record.key
        self._count_pixels(encoded)
        self._extremes = (
            min(self._extremes[0], encoded.extremes[0]),
            max(self._extremes[1], encoded.extremes[1]),
        )
        stored_range = np.array(record.intensity, np.float32).tolist()
        self._one_range &= self._stored_range in (None, stored_range)
        self._stored_range = stored_range
        self._falls.add(stored_range[0] > stored_range[1])
        if split == 'train':
            self._window.add(encoded.samples)
        for part in (split, record.key):
            self._fingerprint.update(part.encode() + b'\0')
        self._fingerprint.update(encoded.digest)
        self._plausibility.add(split, record, encoded.look)

    def _count_pixels(self, encoded: Encoded) -> None:
        self._mask_ids.update(encoded.mask_ids or ())
        self._foreground += encoded.foreground
        self._pixels += encoded.height * encoded.width
        self._two_valued += encoded.is_two_valued

    @property
    def images(self) -> int:
        """Records so far."""
        return self._counts['split'].total()

    @property
    def only_class(self) -> int:
        """The only class id in all masks; 0 where there are several, or none."""
        present = self._mask_ids - {0}
        return present.pop() if len(present) == 1 else 0

    def sheet(self) -> UInt8[np.ndarray, 'height width 3']:
        """Some of the images as training sees them."""
        return self._plausibility.sheet()

    def splits(self) -> dict[str, int]:
        """Images so far, by split."""
        return {split: self._counts['split'][split] for split in SPLITS if split in self._by_split}

    def finish(
        self,
        has_masks: bool,
        refused: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The summary, ready for JSON.

        `unknown_patients` tells that the source gave no patient, whatever decided the splits: each record counts
        as one.

        `foreground` is the share of pixels that masks mark, `two_valued` the number of images with two values.

        Args:
          has_masks: whether records have masks.
          refused: see `Refusals.reasons`.
          options: what the user asked for, kept to be read again.
        """
        summary = {
            'splits': self.splits(),
            'patients': {split: len(self._patients[split]) for split in self.splits()},
            'classes': dict(sorted(self._counts['class'].items())) if self._storage.classes else {},
            'classes_by_split': {split: dict(sorted(self._by_split[split].items())) for split in self.splits()},
            'modalities': dict(sorted(self._counts['modality'].items())),
            'sizes': _describe_sizes(self._counts['size']),
            'dtype': self._storage.dtype,
            'channels': self._storage.channels,
            'intensity_range': list(self._extremes),
            'stored_range': self._stored_range if self._one_range else None,
            'descending': _descending(self._falls),
            'percentiles': list(self._ranks),
            'window': self._window.at(self._ranks),
            'mask_ids': sorted(self._mask_ids) if has_masks else None,
            'foreground': self._foreground / self._pixels if has_masks else None,
            'two_valued': self._two_valued,
            'unknown_patients': self._unknown_patients,
            'refused': dict(refused),
            'options': dict(options),
            'fingerprint': self._fingerprint.hexdigest(),
        }
        questions = question_values(summary, str(options.get('source', '')))
        images = self._plausibility.sentences(patients_known=not self._unknown_patients)
        return summary | {'plausibility': questions + images}


def _describe_sizes(sizes: collections.Counter[str]) -> dict[str, Any]:
    pairs = [[int(side) for side in size.split('x')] for size in sizes]
    return {
        'smallest': min(pairs, key=lambda size: (size[0] * size[1], size)),
        'largest': max(pairs, key=lambda size: (size[0] * size[1], size)),
        'most_common': list(map(int, sizes.most_common(1)[0][0].split('x'))),
        'different': len(sizes),
    }


def _descending(falls: set[bool]) -> str:
    """Whether brightness falls with the physical value: in 'all' records, in 'some', or in 'none'."""
    return 'some' if len(falls) == 2 else 'all' if True in falls else 'none'


@dataclasses.dataclass(frozen=True)
class RecordTable:
    """The columns of `records.csv` that reading needs, for one split in stored order.

    `mask_ids` are the class ids in the mask of each; None in sets that an earlier version wrote. `sides` are
    pixels of the longer side, `short_sides` those of the shorter one; 0 where they are not known.
    """

    keys: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    mask_ids: tuple[tuple[int, ...] | None, ...]
    sides: tuple[int, ...]
    short_sides: tuple[int, ...]

    def select(self, indices: Sequence[int]) -> 'RecordTable':
        """The rows of these records."""
        return RecordTable(
            keys=tuple(self.keys[index] for index in indices),
            patients=tuple(self.patients[index] for index in indices),
            labels=tuple(self.labels[index] for index in indices),
            modalities=tuple(self.modalities[index] for index in indices),
            mask_ids=tuple(self.mask_ids[index] for index in indices),
            sides=tuple(self.sides[index] for index in indices),
            short_sides=tuple(self.short_sides[index] for index in indices),
        )


def read_records(folder: Path, split: str) -> RecordTable:
    """Reads the list of records of one split.

    Raises:
      OSError, ValueError, KeyError, csv.Error: when the file is not what `Summarizer` wrote.
    """
    with open(folder / RECORDS_FILE, newline='', encoding='utf-8') as file:
        rows = [row for row in csv.DictReader(file) if row['split'] == split]
    return RecordTable(
        keys=tuple(row['key'] for row in rows),
        patients=tuple(row['patient'] for row in rows),
        labels=tuple(row['label'] for row in rows),
        modalities=tuple(row['modality'] for row in rows),
        mask_ids=tuple(_numbers(row.get('mask_ids')) for row in rows),
        sides=tuple(max(int(row['height']), int(row['width'])) for row in rows),
        short_sides=tuple(min(int(row['height']), int(row['width'])) for row in rows),
    )


def _numbers(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(map(int, text.split()))
