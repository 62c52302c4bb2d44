"""Two domains of images, as translation learns from them: in pairs, or each in an order of its own."""

import contextlib
import csv
import hashlib
import json
import logging
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from input_pipeline.cases import volume_of
from input_pipeline.dataset.catalogue import find_data_dir, require_dataset
from input_pipeline.dataset.summary import RECORDS_FILE, RecordTable
from input_pipeline.decode import reading
from input_pipeline.errors import DataError
from input_pipeline.stream import ImageData

_LOGGER = logging.getLogger(__name__)
_WIDER = 257  # 65535 / 255: 8 bits as 16, exactly


class NoPairsError(DataError):
    """No images of two domains show the same."""


class Domains:
    """Images of a source and of a target in turn: even rows of a batch are of the source, odd ones of the target.

    Paired images stand side by side, and are mirrored together. Otherwise each domain is in an order of its own.
    What it has in common with `ImageData` means the same; a batch has as many images of both.

    Attributes:
      source, target: the two, in equal order where they are paired.
    """

    def __init__(self, source: ImageData, target: ImageData) -> None:
        self.source, self.target = source, target
        self.name = f'{source.name} to {target.name}'
        self.num_examples = max(source.num_examples, target.num_examples)
        self.num_patients = max(source.num_patients, target.num_patients)
        self.classes: tuple[str, ...] = ()
        self.dtype, self.stored_dtype, self.intensity = target.dtype, target.stored_dtype, target.intensity
        self.lowest = target.lowest
        chosen = [[own.fingerprint, own.records.keys, own.records.patients] for own in (source, target)]
        self.fingerprint = hashlib.sha256(json.dumps(chosen).encode()).hexdigest()

    def selection(self, position: int, count: int) -> dict[str, np.ndarray]:
        """See `ImageData.selection`; positions and counts are even."""
        parts = [own.selection(position // 2, count // 2) for own in (self.source, self.target)]
        parts[1]['index'] = parts[1]['index'] + np.int32(self.source.num_examples)
        return _interleave(*parts)

    def decoded(self, resolution: int) -> dict[str, np.ndarray] | None:
        """All images of the source, then those of the target; see `ImageData.decoded`."""
        source, target = self.source.decoded(resolution), self.target.decoded(resolution)
        if source is None or target is None:
            return None
        images = [own['image'] for own in (source, target)]
        if images[0].dtype != images[1].dtype:
            images = [own if own.dtype == np.uint16 else own.astype(np.uint16) * _WIDER for own in images]
        return {'image': np.concatenate(images), 'label': np.concatenate([source['label'], target['label']])}

    def batches(
        self, resolution: int, position: int, batch_size: int, *, process_index: int, process_count: int
    ) -> Generator[dict[str, np.ndarray], None, None]:
        """See `ImageData.batches`; positions and batches are even."""
        with contextlib.ExitStack() as stack:
            parts = [
                stack.enter_context(
                    contextlib.closing(
                        own.batches(
                            resolution,
                            position // 2,
                            batch_size // 2,
                            process_index=process_index,
                            process_count=process_count,
                        )
                    )
                )
                for own in (self.source, self.target)
            ]
            while True:
                yield _interleave(*map(next, parts))


def _interleave(even: Mapping[str, np.ndarray], odd: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of both in turn."""
    return {name: np.stack([rows, odd[name]], axis=1).reshape(-1, *rows.shape[1:]) for name, rows in even.items()}


def open_domains(
    open_source: Callable[[], ImageData],
    open_target: Callable[[], ImageData],
    *,
    data_dir: Path | str | None,
    split: str,
    paired: bool,
) -> Domains:
    """Opens two domains, of patients who are in no other split of either set.

    Args:
      open_source, open_target: open this split of each.
      data_dir: of all data sets.
      split: see above.
      paired: whether to keep only images that have their counterpart, see `pair_records`; NoPairsError where none.

    Raises:
      DataError: when one of them cannot be opened, values of -1 and 1 differ among its images, nothing is left of
        it, or both are the same images.
    """
    opened = [open_source(), open_target()]
    for own in opened:
        require_window(own)
    outside = [_patients_elsewhere(own, data_dir, split) for own in opened]
    source, target = (_leave_out(own, other) for own, other in zip(opened, reversed(outside), strict=True))
    if source.name == target.name and set(source.records.keys) == set(target.records.keys):
        raise DataError(
            f'source and target are the same images of {source.name}; name another set, or other classes or '
            'modalities, for one of them.'
        )
    if not paired:
        return Domains(source, target)
    places = pair_records(source.records, target.records)
    if not len(places[0]):
        raise NoPairsError(
            f'no image of {source.name} has its counterpart in {target.name}: the same patient and key, or the '
            'same slice of the only volume, of slices of the same numbers, that the patient has in each; without '
            'pairs train cyclegan.'
        )
    counts = source.num_examples, target.num_examples
    _LOGGER.info('Pairs: %d, of %d images of the source and %d of the target.', len(places[0]), *counts)
    return Domains(source.choosing(places[0]), target.choosing(places[1]))


def require_window(images: ImageData) -> None:
    """Raises DataError unless -1 and 1 mean the same values in all images."""
    if images.intensity is None:
        raise DataError(
            f'{images.name}: images have a window each, or brightness that falls in some of them, so that values '
            "of a translated image would mean nothing; set its window to 'dataset', or to 'physical' with a range."
        )


def _patients_elsewhere(images: ImageData, data_dir: Path | str | None, split: str) -> set[str]:
    """Patients whom a set has in other splits; none where its source told of no patients."""
    if not images.patients_known:
        return set()
    folder = require_dataset(images.name, find_data_dir(data_dir))
    with reading(folder), open(folder / RECORDS_FILE, newline='', encoding='utf-8') as file:
        return {row['patient'] for row in csv.DictReader(file) if row['split'] != split}


def _leave_out(images: ImageData, patients: set[str]) -> ImageData:
    """The images, without those of patients who are in another split of the other domain."""
    kept = np.flatnonzero([patient not in patients for patient in images.records.patients])
    if len(kept) == images.num_examples or not images.patients_known:
        return images
    if not len(kept):
        raise DataError(
            f'{images.name}: all patients of this split are in another split of the other domain; prepare both '
            'sets with the same splits.'
        )
    _LOGGER.warning(
        '%s: %d of %d images are left out: the other domain has their patients in another split.',
        images.name,
        images.num_examples - len(kept),
        images.num_examples,
    )
    return images.choosing(kept)


def pair_records(
    source: RecordTable, target: RecordTable
) -> tuple[Int64[np.ndarray, ' pairs'], Int64[np.ndarray, ' pairs']]:
    """Places of images that show the same, in the order of the source.

    They have the same patient, and the same key; or they are the same slice of the only volume of that patient in
    each domain, where slices of the same numbers are left of both: constant ones were left out, and the rest may
    be those of some classes alone. Other slices of the same volume show something else.
    """
    theirs: dict[Any, int] = {}
    for place, names in enumerate(_names_of(target)):
        theirs |= dict.fromkeys(names, place)
    pairs, volumes = [], [list(map(volume_of, own.keys, own.patients)) for own in (source, target)]
    for place, names in enumerate(_names_of(source)):
        found = next((theirs[name] for name in names if name in theirs), None)
        is_same = found is not None and source.keys[place] == target.keys[found]
        if found is not None and (is_same or volumes[0][place] != volumes[1][found]):
            pairs.append((place, found))
    places = np.asarray(pairs, np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1]


def _names_of(records: RecordTable) -> list[list[tuple[Any, ...]]]:
    """What each image may be found by: its key, and its place in the only volume of its patient."""
    volumes: dict[str, dict[str, list[int]]] = {}
    names: list[list[tuple[Any, ...]]] = []
    for place, (key, patient) in enumerate(zip(records.keys, records.patients, strict=True)):
        volumes.setdefault(patient, {}).setdefault(volume_of(key, patient)[0], []).append(place)
        names.append([('key', patient, key)])
    for patient, own in volumes.items():
        if len(own) == 1:
            (places,) = own.values()
            numbers = tuple(_slice_number(records.keys[place]) for place in places) if len(places) > 1 else (0,)
            for number, place in zip(numbers, places, strict=True):
                names[place].append(('slice', patient, numbers, number))
    return names


def _slice_number(key: str) -> int:
    """Of a slice in its volume, as readers number them, also those that are left out."""
    return int(key.rpartition('/')[2])
