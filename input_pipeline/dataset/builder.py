"""Writes items as a TFDS data set of ArrayRecord files, without TensorFlow.

TFDS's own `download_and_prepare` shuffles through temporary files, for which it needs TensorFlow as soon
as a split passes 1 GiB. Its `SequentialWriter` streams instead; random access needs no order on disk.
"""

import dataclasses
import functools
import itertools
import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.sequential_writer import SequentialWriter
from tqdm import tqdm

from foundation.files import is_full
from input_pipeline.atomic import clear_leftovers, complete_folder, describe_outcome, identity
from input_pipeline.dataset.features import Encoded, RecordStorage, choose_storage, create_features, encode_record
from input_pipeline.dataset.pseudonyms import CLEAR, Pseudonyms
from input_pipeline.dataset.splits import SplitFractions, assign_splits, describe_rule
from input_pipeline.dataset.summary import RECORDS_FILE, SUMMARY_FILE, Summarizer
from input_pipeline.errors import DataError, Refusals, as_text, first_line, reason_of
from input_pipeline.parallel import ordered_map
from input_pipeline.records import Item, Record
from input_pipeline.report import SHEET_FILE, write_page

VERSION = '1.0.0'
_NAME = re.compile(r'[a-z][a-z0-9_]*')
_RECORDS_PER_SHARD = 1024
_SOURCES_OF_MASKS = ('paired_folder', 'nifti', 'arrays')
_RECORDS_PER_WRITE = 32  # SequentialWriter rewrites its metadata at every call


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a data set goes.

    Attributes:
      name: lower-case letters, digits and underscores.
      data_dir: folder of all data sets; this one lands in data_dir/name/1.0.0.
      overwrite: replace a set of this name.

    Raises:
      DataError: when the name is not one.
    """

    name: str
    data_dir: Path
    overwrite: bool

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DataError(
                f'{self.name!r} is not a name for a data set: use lower-case letters, digits and '
                'underscores, a letter first.'
            )

    @property
    def folder(self) -> Path:
        """The folder of the data set's files."""
        return self.data_dir / self.name / VERSION

    def check_free(self) -> None:
        """Refuses early what `complete_folder` would refuse late.

        Raises:
          DataError: when there is a set of this name that must not be replaced.
        """
        clear_leftovers(self.folder.parent)
        if self.folder.exists() and not self.overwrite:
            raise DataError(f'{self.folder.parent}: this data set exists already; --overwrite replaces it.')

    def check_apart(self, sources: Sequence[str]) -> None:
        """Refuses to replace a data set by what is made of it.

        Args:
          sources: names of the sets that are read.

        Raises:
          DataError: when the set would take the name of one.
        """
        if self.name in sources:
            raise DataError(
                f'{self.name} is what the new set is made of, so it is not replaced; give another name.'
            )


@dataclasses.dataclass(frozen=True)
class WriteOptions:
    """How items become a data set.

    Attributes:
      fractions: shares of the splits that nothing else decides.
      channels: channels of every stored image, None for the most frequent count.
      percentiles: lower and upper, 0 to 100, of the window of the whole training split.
      recorded: what the user asked for, kept in the summary.
      licence: under which the images may be used, as text; '' where it is not stated.
    """

    fractions: SplitFractions
    channels: int | None
    percentiles: tuple[float, float]
    recorded: Mapping[str, Any]
    licence: str


class _SortedSerializer(ExampleSerializer):
    """Puts the features of a record in the order of their names: protobuf has another in each process."""

    def serialize_example(self, example: Mapping[str, Any]) -> bytes:
        """The same bytes for the same values, in every process."""
        return self.get_tf_example(example).SerializeToString(deterministic=True)


class _Writer:
    """The files inside the incomplete folder."""

    def __init__(self, folder: Path, name: str, storage: RecordStorage, summarizer: Summarizer) -> None:
        self._folder, self._name, self._storage = folder, name, storage
        self._summarizer = summarizer
        self._records: SequentialWriter | None = None
        self._pending: list[tuple[str, Encoded]] = []
        self.has_masks = False

    def _open(self, has_masks: bool) -> SequentialWriter:
        """Opened by the first record: only then it is known whether there are masks."""
        self.has_masks = has_masks
        identity = tfds.core.dataset_info.DatasetIdentity(
            name=self._name,
            version=tfds.core.Version(VERSION),
            data_dir=str(self._folder),
            module_name=__name__,
        )
        info = tfds.core.DatasetInfo(builder=identity, features=create_features(self._storage, has_masks))
        writer = SequentialWriter(info, max_examples_per_shard=_RECORDS_PER_SHARD, file_format='array_record')
        writer._serializer = _SortedSerializer(info.features.get_serialized_info())
        return writer

    def add(self, split: str, records: Sequence[Encoded]) -> None:
        """Takes the records of one item, all or none.

        Raises:
          DataError: when some records have masks and others have none.
        """
        has_masks = [encoded.mask_ids is not None for encoded in records]
        if self._records is None:
            self._records = self._open(has_masks[0])
        if any(has_mask != self.has_masks for has_mask in has_masks):
            raise DataError(
                'it has no mask, while the images before have one'
                if self.has_masks
                else 'it has a mask, while the images before have none'
            )
        for encoded in records:
            self._summarizer.add(split, encoded)
        self._pending += [(split, encoded) for encoded in records]
        if len(self._pending) >= _RECORDS_PER_WRITE:
            self._flush()

    def _flush(self) -> None:
        assert self._records is not None
        examples: dict[str, list[Mapping[str, Any]]] = {}
        for split, encoded in self._pending:
            examples.setdefault(split, []).append(encoded.example)
        self._pending = []
        self._records.initialize_splits(list(examples), fail_if_exists=False)
        self._records.add_examples(examples)

    def close(self) -> None:
        """Writes what is pending and the metadata."""
        if self._records is not None:
            self._flush()
            self._records.close_all()


def write_dataset(
    items: Sequence[Item], target: Target, options: WriteOptions, refusals: Refusals, names: Pseudonyms = CLEAR
) -> dict[str, Any]:
    """Writes a data set, whole or not at all, with a progress bar.

    Args:
      items: what readers found.
      target: where the set goes.
      options: splits, channels and percentiles.
      refusals: takes files that turn out to be unusable, or raises.
      names: by which items were hidden, whose order is that of the names; what is kept holds none of these.

    Returns:
      The summary, as in `summary.json` (see `Summarizer.finish`).

    Raises:
      DataError: for bad items, fewer than two images, an existing set, or a disk that cannot be written.
    """
    target.check_free()
    items = sorted(map(_with_text, items), key=lambda item: names.reveal(item.key))
    before = identity(target.folder)
    try:
        with names.speaking():
            splits, storage = _check_items(items, options, refusals), choose_storage(items, options.channels)
            with complete_folder(target.folder, target.overwrite) as folder:
                return _write_files(folder, items, splits, storage, target, options, refusals, names)
    except (OSError, RuntimeError) as error:  # array_record raises RuntimeError for what the system refused
        full = is_full(error) or 'No space left' in str(error)
        reason = 'the disk is full' if full else first_line(error)
        outcome = describe_outcome(target.folder, before)
        raise DataError(f'{target.folder.parent}: cannot be written ({reason}); {outcome}.') from error


def _check_items(items: Sequence[Item], options: WriteOptions, refusals: Refusals) -> dict[str, str]:
    """The split of every patient; refuses an empty list, and two items of one key."""
    if not items:
        raise DataError(f'nothing to prepare: {_refused_count(refusals)} no image is left.')
    for first, second in itertools.pairwise(items):
        if first.key == second.key:
            raise DataError(f'{first.key} appears twice; every image needs its own name.')
    return assign_splits(items, options.fractions)


def _with_text(item: Item) -> Item:
    """The item with names that can be stored; files on disk may have names that are not UTF-8."""
    key, patient = as_text(item.key), as_text(item.patient)
    label = None if item.label is None else as_text(item.label)
    if (key, patient, label) == (item.key, item.patient, item.label):
        return item
    return dataclasses.replace(item, key=key, patient=patient, label=label)


def _write_files(
    folder: Path,
    items: Sequence[Item],
    splits: Mapping[str, str],
    storage: RecordStorage,
    target: Target,
    options: WriteOptions,
    refusals: Refusals,
    names: Pseudonyms,
) -> dict[str, Any]:
    write = functools.partial(_write_records, folder, splits, storage, target.name, options.percentiles, refusals)
    summarizer, has_masks = write(items)
    only = summarizer.only_class
    if only > 1 and options.recorded.get('source') in _SOURCES_OF_MASKS:
        # One mask alone cannot tell: the others might hold the classes below.
        refusals.note(f'All masks hold {only} and no other class, so it is stored as class 1.')
        for file in folder.iterdir():
            file.unlink()
        summarizer, has_masks = write(list(map(_with_class_1, items)))
    _check_result(summarizer, refusals)
    kept = names.scrub(refusals)
    summary = summarizer.finish(has_masks, kept.reasons, options.recorded)
    summary['licence'] = options.licence
    summary['split_rule'] = describe_rule(items, options.fractions)
    summary['notes'] = list(dict.fromkeys(kept.notes))  # threads may note the same at once
    summary['passed_over'] = dict(sorted(refusals.passed_over.items()))
    Image.fromarray(summarizer.sheet()).save(folder / SHEET_FILE)
    write_page(summary, folder, target.name)
    summary['files'] = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    names.write_private(folder, kept.reasons)
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + '\n', encoding='utf-8')
    return summary


def _write_records(
    folder: Path,
    splits: Mapping[str, str],
    storage: RecordStorage,
    name: str,
    percentiles: tuple[float, float],
    refusals: Refusals,
    items: Sequence[Item],
) -> tuple[Summarizer, bool]:
    """Writes the records of all items; returns what they hold, and whether they have masks."""
    with open(folder / RECORDS_FILE, 'w', newline='', encoding='utf-8') as table:
        summarizer = Summarizer(storage, percentiles, table)
        writer = _Writer(folder, name, storage, summarizer)
        for item, records in _encode_items(items, storage, refusals, summarizer):
            try:
                writer.add(splits[item.patient], records)
            except DataError as error:
                refusals.add(item.key, str(error))
        writer.close()
    return summarizer, writer.has_masks


def _with_class_1(item: Item) -> Item:
    """The item, the foreground of its masks as class 1."""

    def load() -> Iterator[Record]:
        for record in item.load():
            assert record.mask is not None
            yield dataclasses.replace(record, mask=(record.mask > 0).astype(np.uint8))

    return dataclasses.replace(item, load=load)


def _check_result(summarizer: Summarizer, refusals: Refusals) -> None:
    if summarizer.images < 2:
        raise DataError(
            f'{_refused_count(refusals)} {summarizer.images or "no"} image is left; a data set needs two at least.'
        )
    if 'train' not in summarizer.splits():
        raise DataError(f'{_refused_count(refusals)} no image is left in the training split.')


def _refused_count(refusals: Refusals) -> str:
    if not refusals.reasons:
        return 'no file was refused, but'
    name, reason = next(iter(refusals.reasons.items()))
    return f'{len(refusals.reasons)} files were refused (first {name}: {reason}), and'


def _encode_items(
    items: Sequence[Item], storage: RecordStorage, refusals: Refusals, summarizer: Summarizer
) -> Iterator[tuple[Item, list[Encoded]]]:
    """Loads and encodes items in parallel; refused ones are left out whole."""

    def encode(item: Item) -> list[Encoded]:
        return [encode_record(record, item, storage) for record in item.load()]

    seconds = 0.1 if sys.stderr.isatty() else 10  # in a log file every refresh is a line
    bar = tqdm(items, desc='preparing', unit=' files', mininterval=seconds, smoothing=0.05)
    with warnings.catch_warnings(), bar as progress:
        # Decoders warn about oddities they cope with; readers that catch warnings do it in several threads,
        # which mixes up the filters. What matters reaches the user as a refusal.
        warnings.simplefilter('ignore')
        for item, future in ordered_map(encode, items):
            progress.update()
            progress.set_postfix(images=summarizer.images, refresh=False)
            try:
                records = future.result()
            except Exception as error:
                refusals.add(item.key, as_text(reason_of(error)).removeprefix(f'{item.key}: '))
                continue
            if records:
                yield item, records
