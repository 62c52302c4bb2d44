"""Reading a prepared data set: random access to a shuffled sequence, decoded arrays, and batches."""

import contextlib
import copy
import dataclasses
import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grain
import numpy as np
from jaxtyping import Int32, Int64

from input_pipeline.cases import Case, create_case
from input_pipeline.counters import hash_counters
from input_pipeline.dataset.summary import RecordTable
from input_pipeline.decode import Decoder, Showing, halve
from input_pipeline.errors import DataError
from input_pipeline.intensities import unpack
from input_pipeline.order import SHOWN, favour, favoured_before, random_flips, shuffled_indices
from input_pipeline.parallel import available_cores
from input_pipeline.preprocessing import output_dtype
from input_pipeline.sampling import PoissonSampling
from input_pipeline.volumes import VolumeData

_LOGGER = logging.getLogger(__name__)
_PROGRESS_SECONDS = 10


class ImageData:
    """One split, filtered and preprocessed.

    Attributes:
      name: of the data set.
      num_examples: images after filtering.
      patients: the number of each image's patient, in stored order; images of unknown patients have one each.
      num_patients: patients they come from.
      num_cases: volumes, or single images, that they make up.
      class_images: of them, those that show each foreground class of the data set; () where that is not listed.
      largest_side, smallest_side: pixels of the longer side of the largest image, and of the shorter one of the
        smallest image, as they are stored; 0 where that is not listed.
      patients_known: whether the source of the data told patients; else each image counts as one.
      classes: class names by label; empty where the set has none.
      labels: of each image, in stored order, -1 without one; None where only reading all images would tell.
      channels: of the images with their context, without mask channels.
      dtype: uint8 or uint16, the type of decoded images.
      stored_dtype: of the images in the data set.
      fingerprint: SHA-256 of all keys, splits and pixels; for sets of the catalogue, of name and version.
      intensity: physical values that -1 and 1 mean, or None where volumes differ.
      lowest: physical value in the data set; None for sets of the catalogue.
      has_masks: whether decoded examples have masks.
      preprocessing: how images are made alike, without 'auto'.
      records: what the data set lists of each image, in stored order.
      options: what the data set was prepared with; empty for sets of the catalogue.
    """

    def __init__(
        self,
        name: str,
        decoder: Decoder,
        indices: Int64[np.ndarray, ' examples'],
        patients: Int64[np.ndarray, ' examples'],
        classes: tuple[str, ...],
        intensity: tuple[float, float] | None,
        *,
        flips: tuple[bool, bool],
        seed: int,
        memory_budget_bytes: int,
        labels: Int32[np.ndarray, ' examples'] | None,
        foreground: Int64[np.ndarray, ' some'] | None,
        foreground_share: float,
        volumes: Int64[np.ndarray, ' examples'],
        class_images: tuple[int, ...],
        largest_side: int,
        records: RecordTable,
    ) -> None:
        preprocessing, split = decoder.preprocessing, decoder.split
        self.name = name
        self.preprocessing = preprocessing
        self.num_examples = len(indices)
        self.patients = patients
        self.num_patients = len(np.unique(patients))
        self.patients_known = split.patients_known
        self.classes = classes
        self.channels = preprocessing.all_channels
        self.stored_dtype = split.stored_dtype
        self.dtype = output_dtype(split.stored_dtype, preprocessing.window)
        self.fingerprint: str = split.summary.get('fingerprint') or f'{name}/{split.folder.name}'
        self.intensity = intensity
        self.lowest: float | None = split.summary.get('intensity_range', [None])[0]
        self.has_masks = preprocessing.mask_classes > 0
        self._decoder = decoder
        self._indices = indices
        self._flips = flips
        self._seed = seed
        self._volumes = volumes
        self.num_cases = len(np.unique(volumes))
        self.class_images = class_images
        self.largest_side = largest_side
        self._foreground, self._foreground_share = foreground, foreground_share
        self._budget = memory_budget_bytes
        self._sampling: PoissonSampling | None = None
        self.labels = labels
        self.records = records
        self.smallest_side = min(records.short_sides)
        self.options: Mapping[str, Any] = split.summary.get('options', {})
        self._levels: dict[int, dict[str, np.ndarray]] = {}
        self._lock = threading.Lock()

    def relabelled(self, labels: Int32[np.ndarray, ' examples'], classes: tuple[str, ...]) -> 'ImageData':
        """The same images with other labels, in stored order, and names for these."""
        other = copy.copy(self)
        other.labels, other.classes = labels, classes
        other._levels, other._lock = {}, threading.Lock()
        return other

    def choosing(self, examples: Int64[np.ndarray, ' some']) -> 'ImageData':
        """Only these of the images, numbered in stored order, in the order in which they are given."""
        other = copy.copy(self)
        other.num_examples, other.records = len(examples), self.records.select(examples.tolist())
        other._indices, other._volumes = self._indices[examples], self._volumes[examples]
        other.patients = self.patients[examples]
        other.labels = None if self.labels is None else self.labels[examples]
        other.num_patients, other.num_cases = (len(np.unique(own)) for own in (other.patients, other._volumes))
        other._levels, other._lock = {}, threading.Lock()
        return other

    def through(self, showing: Showing) -> 'ImageData':
        """The same images, made alike by `showing` as they are stored, and never flipped.

        What varies is never kept in memory, and is a function of the seed and the position in `batches`.

        Raises:
          ValueError: where images shall be windowed or shown with their context, too.
        """
        if self.preprocessing.window != 'stored' or self.preprocessing.context:
            raise ValueError('Images are shown as they are stored, each by itself.')
        other = copy.copy(self)
        other._decoder = dataclasses.replace(self._decoder, showing=showing)
        other._flips, other._levels, other._lock = (False, False), {}, threading.Lock()
        return other

    def favouring(self, examples: Int64[np.ndarray, ' some'], share: float) -> 'ImageData':
        """The same images, of which some, numbered in stored order, get a share of the places; see `favour`."""
        other = copy.copy(self)
        other._foreground, other._foreground_share = examples, share
        return other

    def sampled(self, sampling: PoissonSampling) -> 'ImageData':
        """The same images in batches that are drawn by chance, whatever the order was before."""
        other = copy.copy(self)
        other._sampling = sampling
        return other

    def selection(self, position: int, count: int) -> dict[str, np.ndarray]:
        """Which examples come at `position` to `position + count - 1` of the endless shuffled sequence.

        A pure function of seed and position: every epoch is a fresh permutation of all examples. Where images with
        foreground are favoured, some places of it are given to these.

        Returns:
          `index` int32 (count,) into the decoded arrays, `flip_horizontal` and `flip_vertical` bool (count,); of
          sampled batches also what `PoissonSampling.select` adds.
        """
        horizontal, vertical = random_flips(self._seed, position, count)
        flips = {'flip_horizontal': horizontal & self._flips[0], 'flip_vertical': vertical & self._flips[1]}
        if self._sampling is not None:
            return self._sampling.select(position, count) | flips
        index = shuffled_indices(self._seed, position, count, self.num_examples)
        if self._foreground is not None:
            index = favour(index, self._foreground, self._foreground_share, self._seed, position)
        return {'index': index, **flips}

    def decoded(self, resolution: int) -> dict[str, np.ndarray] | None:
        """All examples at one resolution, where they fit the memory budget.

        They are decoded once, at the full resolution if that fits, and lower resolutions are made from it
        by means of 2x2 pixels. Levels are kept as far as the budget allows.

        Returns:
          `image` uint8 or uint16 (examples, resolution, resolution, channels), `label` int32 (examples,), and
          `mask` uint8 (examples, resolution, resolution, mask classes) where masks are modelled, 255 where
          all of a pixel is of the class. None where they do not fit.

        Raises:
          DataError: when `resolution` is not the full one halved some times, or a record is damaged.
        """
        self._check_resolution(resolution)
        if self._decoder.showing is not None and self._decoder.showing.varies:
            return None
        with self._lock:
            if resolution in self._levels:
                return self._levels[resolution]
            source = min((level for level in self._levels if level > resolution), default=None)
            if source is None:
                full = self._decoder.side
                source = next((r for r in (full, resolution) if self._bytes(r) <= self._budget), None)
                if source is None:
                    return None
                self._levels = {source: self._decode_all(source)}
            return self._halve_to(source, resolution)

    def batches(
        self, resolution: int, position: int, batch_size: int, *, process_index: int, process_count: int
    ) -> Generator[dict[str, np.ndarray], None, None]:
        """Endless batches from `position` on; this process's rows of each.

        Args:
          resolution: the full one, or that halved some times.
          position: of the first row of the first global batch in the shuffled sequence.
          batch_size: rows of a global batch.
          process_index: which contiguous part of the rows to read.
          process_count: parts of equal size.

        Returns:
          `image` float32 (rows, resolution, resolution, channels + mask classes) in [-1, 1], and `label`
          int32 (rows,). The same bits whether decoded data are kept or examples are streamed. Close it to
          end its threads.

        Raises:
          DataError: when the batch cannot be divided, or see `decoded`.
        """
        if batch_size % process_count:
            raise DataError(f'a batch of {batch_size} cannot be divided among {process_count} processes.')
        rows = batch_size // process_count
        start = position + process_index * rows
        arrays = self.decoded(resolution)
        if arrays is None:
            return self._stream(resolution, start, batch_size, rows)
        return self._gather(arrays, start, batch_size, rows)

    def in_order(self, resolution: int, batch_size: int) -> Generator[dict[str, np.ndarray], None, None]:
        """All examples once, in stored order and never flipped, read a few batches ahead.

        Args:
          resolution: the full one, or that halved some times.
          batch_size: rows of a batch; the last may have fewer.

        Returns:
          As `batches`, and `patient` (rows,), see the attribute. Close it to end its threads.

        Raises:
          DataError: see `decoded`.
        """
        self._check_resolution(resolution)
        unflipped = {'flip_horizontal': np.bool_(False), 'flip_vertical': np.bool_(False)}

        def load(index: int) -> dict[str, Any]:
            return self._load(index, resolution) | unflipped | {'patient': self.patients[index]}

        def finish(rows: dict[str, Any]) -> dict[str, np.ndarray]:
            return unpack(rows) | {'patient': rows['patient']}

        return _read(grain.MapDataset.range(self.num_examples).map(load), batch_size, finish)

    def cases(self, step: int) -> Iterator[Case]:
        """Every `step`-th volume or single image, whole and as it is stored, in stored order.

        Raises:
          DataError: when a record is damaged, or the set was not written by `prepare`.
        """
        for begin, end in list(itertools.pairwise(self._ends().tolist()))[::step]:
            records = [self._decoder.split.read(int(index)) for index in self._indices[begin:end]]
            yield create_case(records)

    def volumes(self, distance: float) -> VolumeData:
        """The images as volumes, with class ids for masks, kept in memory where they fit.

        Args:
          distance: millimetres between slices that volumes are resampled to; not above 0 for none.

        Raises:
          DataError: when a record is damaged, or the set was not written by `prepare`.
        """
        ends = self._ends()
        firsts = (
            [self._decoder.split.read(int(self._indices[begin])) for begin in ends[:-1]] if distance > 0 else []
        )
        spacings = [first.spacing[2] for first in firsts] or [0.0] * (len(ends) - 1)
        return VolumeData(
            starts=ends,
            patients=self.patients[ends[:-1]],
            distances=np.array(spacings, np.float32),
            read=self._keep_labelled(),
            select=self._select_slice,
            batch=lambda load, rows: _read(grain.MapDataset.range(2**62).map(load), rows, dict),
            distance=distance,
            seed=self._seed,
        )

    def _ends(self) -> Int64[np.ndarray, ' ends']:
        """Where volumes begin in stored order, and the end of the last."""
        return np.append(np.unique(self._volumes, return_index=True)[1], self.num_examples)

    def _select_slice(self, position: int) -> tuple[int, bool, bool, bool]:
        """See `VolumeData.select`."""
        chosen = self.selection(position, 1)
        before, after = favoured_before(self._foreground_share, position, 1)
        favoured = self._foreground is not None and bool(after > before)
        return (
            int(chosen['index'][0]),
            favoured,
            bool(chosen['flip_horizontal'][0]),
            bool(chosen['flip_vertical'][0]),
        )

    def _keep_labelled(self) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
        """Gives labelled slices by their numbers: of memory where all fit there, else of the disk."""

        def read(index: int) -> tuple[np.ndarray, np.ndarray]:
            return self._decoder.labelled(int(self._indices[index]))

        side = self._decoder.side
        if self.num_examples * side**2 * (self.channels * self.dtype.itemsize + 1) > self._budget:
            return read
        images = np.empty((self.num_examples, side, side, self.channels), self.dtype)
        masks = np.empty(images.shape[:-1], np.uint8)

        def load(index: int) -> None:
            images[index], masks[index] = read(index)

        self._load_all(load, side)
        return lambda index: (images[index], masks[index])

    def _gather(
        self, arrays: Mapping[str, np.ndarray], start: int, batch_size: int, rows: int
    ) -> Generator[dict[str, np.ndarray], None, None]:
        while True:
            selection = self.selection(start, rows)
            index = selection.pop('index')
            yield unpack({name: array[index] for name, array in arrays.items()} | selection)
            start += batch_size

    def _stream(
        self, resolution: int, start: int, batch_size: int, rows: int
    ) -> Generator[dict[str, np.ndarray], None, None]:
        def load(row: int) -> dict[str, Any]:
            position = start + row // rows * batch_size + row % rows
            selection = self.selection(position, 1)
            index = int(selection.pop('index')[0])
            loaded = self._load(index, resolution, position)
            return loaded | {name: flip[0] for name, flip in selection.items()}

        return _read(grain.MapDataset.range(2**62).map(load), rows, unpack)

    def _load(self, index: int, resolution: int, position: int | None = None) -> dict[str, np.ndarray]:
        chance = None if position is None else int(hash_counters(self._seed, SHOWN, np.array([position]))[0])
        loaded = self._decoder(int(self._indices[index]), resolution, chance)
        return loaded if self.labels is None else loaded | {'label': self.labels[index]}

    def _check_resolution(self, resolution: int) -> None:
        full = level = self._decoder.side
        while level > resolution and level % 2 == 0:
            level //= 2
        if level != resolution:
            raise DataError(f'resolution {resolution} is not {full} halved some times.')

    def _bytes(self, resolution: int) -> int:
        depth = self.channels * self.dtype.itemsize + self._decoder.preprocessing.mask_classes
        return self.num_examples * (resolution**2 * depth + 4)

    def _halve_to(self, source: int, resolution: int) -> dict[str, np.ndarray]:
        arrays = self._levels[source]
        while source > resolution:
            source //= 2
            arrays = {name: a if name == 'label' else halve(a) for name, a in arrays.items()}
            if sum(map(self._bytes, self._levels)) + self._bytes(source) <= self._budget:
                self._levels[source] = arrays
        return arrays

    def _decode_all(self, resolution: int) -> dict[str, np.ndarray]:
        shape = (self.num_examples, resolution, resolution)
        arrays = {
            'image': np.empty((*shape, self.channels), self.dtype),
            'label': np.empty(self.num_examples, np.int32),
        }
        if self.has_masks:
            arrays['mask'] = np.empty((*shape, self._decoder.preprocessing.mask_classes), np.uint8)

        def load(index: int) -> None:
            for name, value in self._load(index, resolution).items():
                arrays[name][index] = value

        self._load_all(load, resolution)
        return arrays

    def _load_all(self, load: Callable[[int], None], resolution: int) -> None:
        """Calls `load` for every example in parallel, and says how far it is every ten seconds."""
        begin = reported = time.monotonic()
        _LOGGER.info('%s: decoding %d images to %dx%d.', self.name, self.num_examples, resolution, resolution)
        with ThreadPoolExecutor(available_cores()) as pool:
            try:
                for done, _ in enumerate(pool.map(load, range(self.num_examples)), start=1):
                    if time.monotonic() - reported > _PROGRESS_SECONDS:
                        reported = time.monotonic()
                        _LOGGER.info('%s: %d of %d images decoded.', self.name, done, self.num_examples)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        _LOGGER.info('%s: decoded in %.1f s.', self.name, time.monotonic() - begin)


def _read(
    rows: grain.MapDataset, batch_size: int, finish: Callable[[dict[str, Any]], dict[str, np.ndarray]]
) -> Generator[dict[str, np.ndarray], None, None]:
    """Loads rows in threads, two batches ahead."""
    read = grain.ReadOptions(num_threads=2 * available_cores(), prefetch_buffer_size=2 * batch_size)
    with contextlib.closing(iter(rows.to_iter_dataset(read).batch(batch_size).map(finish))) as batches:
        yield from batches
