"""Volumes of a split as a network in 3-D sees them: whole, or in patches drawn at random.

The store has slices. A patch reads its own alone, so that memory is bounded whatever the size of a volume.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from input_pipeline.counters import hash_counters
from input_pipeline.decode import OUTSIDE
from input_pipeline.errors import DataError
from input_pipeline.intensities import to_unit
from input_pipeline.order import PLACE

_SAME = 0.01  # distances that differ by a smaller share are equal: headers round
Read = Callable[[int], tuple[np.ndarray, np.ndarray]]
Square = tuple[slice, slice]
_WHOLE = (slice(None), slice(None))
_MOST_SLICES = 2**14  # of a volume once resampled; a wrong distance could ask for any number


@dataclasses.dataclass(frozen=True)
class DepthGrid:
    """Slices at another distance than the stored ones, over the same extent, linear between these.

    Attributes:
      stored: slices that there are.
      count: slices of the grid.
    """

    stored: int
    count: int

    @classmethod
    def create(cls, stored: int, distance: float, wanted: float) -> 'DepthGrid':
        """The grid of a volume.

        Args:
          stored: its slices.
          distance: millimetres between them; 0 where unknown, and then nothing is resampled.
          wanted: millimetres between those of the grid; not above 0 for the stored ones.

        Raises:
          DataError: for so many slices that the distance must be wrong.
        """
        known = math.isfinite(distance) and distance > 0 and wanted > 0
        if not known or abs(distance / wanted - 1) < _SAME:
            return cls(stored, stored)
        count = max(1, round(stored * distance / wanted))
        if count > _MOST_SLICES:
            raise DataError(
                f'a volume of {stored} slices {distance:g} mm apart would be resampled to {count} slices; is its '
                'spacing right? (A network that is trained with volume.distance=-1 takes slices as they are.)'
            )
        return cls(stored, count)

    def places(self, start: int, stop: int) -> Float32[np.ndarray, ' slices']:
        """Where slices `start` to `stop - 1` of the grid lie among the stored ones, from 0 to the last."""
        return _spread(np.arange(start, stop), self.count, self.stored)

    def places_of_stored(self) -> Float32[np.ndarray, ' stored']:
        """Where the stored slices lie in the grid."""
        return _spread(np.arange(self.stored), self.stored, self.count)


def _spread(slices: Int64[np.ndarray, ' slices'], count: int, others: int) -> Float32[np.ndarray, ' slices']:
    """Both sets of slices have the same outer ends; beyond the middle of the last slice is that slice."""
    return np.clip((slices + 0.5) * (others / count) - 0.5, 0, others - 1).astype(np.float32)


def mix_slices(
    places: Float32[np.ndarray, ' slices'], read: Callable[[int], Float32[np.ndarray, '*shape']]
) -> Iterator[Float32[np.ndarray, '*shape']]:
    """Slices at these places, which rise, linear between those that `read` gives; each is read once, in order."""
    kept: dict[int, np.ndarray] = {}
    for place in places:
        below = int(np.floor(place))
        share = np.float32(place - below)
        kept = {number: one for number, one in kept.items() if number >= below}
        for number in (below, below + 1) if share else (below,):
            if number not in kept:
                kept[number] = read(number)
        yield kept[below] * (1 - share) + kept[below + 1] * share if share else kept[below]


@dataclasses.dataclass(frozen=True)
class PatchShape:
    """Size of the patches that a network in 3-D is trained on.

    Attributes:
      slices: along the depth.
      side: rows, and columns.
    """

    slices: int
    side: int


class LabelledSlice(NamedTuple):
    """A slice as the network sees it: an image in [-1, 1], and a mask of class ids, OUTSIDE beyond the image."""

    image: Float32[np.ndarray, 'resolution resolution channels']
    ids: UInt8[np.ndarray, 'resolution resolution']


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """A volume as the network sees it.

    Attributes:
      patient: its number, see `ImageData.patients`.
      count: its slices.
      read: gives one by its number.
    """

    patient: int
    count: int
    read: Callable[[int], LabelledSlice]

    def images(self) -> Iterator[Float32[np.ndarray, 'resolution resolution channels']]:
        """Of all slices, in order."""
        return (self.read(place).image for place in range(self.count))


@dataclasses.dataclass(frozen=True, eq=False)
class VolumeData:
    """One split, volume by volume.

    Attributes:
      starts: number of the first slice of each volume in stored order, then the number of all slices.
      patients: of the volumes.
      distances: millimetres between slices of each volume; 0 where unknown.
      read: the stored slice of a number: image of unsigned integers, and mask as `LabelledSlice` has it.
      select: which slice comes at a position of the endless sequence, whether it was chosen since it shows
        foreground, and whether it is mirrored along columns and along rows.
      batch: turns a function of the row's number into an endless iterator of batches of so many rows.
      distance: millimetres between slices that volumes are resampled to; not above 0 for none.
      seed: of all that is drawn.
    """

    starts: Int64[np.ndarray, ' ends']
    patients: Int64[np.ndarray, ' volumes']
    distances: Float32[np.ndarray, ' volumes']
    read: Read
    select: Callable[[int], tuple[int, bool, bool, bool]]
    batch: Callable[[Callable[[int], Mapping[str, np.ndarray]], int], Generator[dict[str, np.ndarray], None, None]]
    distance: float
    seed: int

    def volumes(self) -> Iterator[Volume]:
        """All volumes once, in stored order; slices are read when they are asked for."""
        for number, patient in enumerate(self.patients):
            read = functools.lru_cache(maxsize=4)(self.read)  # neighbours are mixed of the same ones
            yield Volume(int(patient), self._grid(number).count, functools.partial(self._slice, read, number))

    def batches(
        self, shape: PatchShape, position: int, batch_size: int, *, process_index: int, process_count: int
    ) -> Generator[dict[str, np.ndarray], None, None]:
        """Endless batches of patches from `position` on; this process's rows of each.

        A patch is laid around a slice, at random; around a pixel of its foreground where the slice was chosen for
        that. A volume of fewer slices than the patch is followed by the darkest value, and by OUTSIDE in its mask.
        All is a function of the seed and the position.

        Args:
          shape: of the patches.
          position: of the first row of the first global batch.
          batch_size: rows of a global batch.
          process_index: which contiguous part of the rows to read.
          process_count: parts of equal size.

        Returns:
          `image` float32 (rows, slices, side, side, channels) in [-1, 1] and `ids` uint8 (rows, slices, side,
          side). Close it to end its threads.

        Raises:
          DataError: when the batch cannot be divided, or a record is damaged.
        """
        if batch_size % process_count:
            raise DataError(f'a batch of {batch_size} cannot be divided among {process_count} processes.')
        rows = batch_size // process_count
        start = position + process_index * rows

        def load(row: int) -> dict[str, np.ndarray]:
            return self.patch(shape, start + row // rows * batch_size + row % rows)

        return self.batch(load, rows)

    def patch(self, shape: PatchShape, position: int) -> dict[str, np.ndarray]:
        """The patch at a position of the endless sequence; see `batches`."""
        chosen, has_foreground, mirrored_columns, mirrored_rows = self.select(position)
        generator = np.random.default_rng(int(hash_counters(self.seed, PLACE, np.array([position]))[0]))
        number = int(np.searchsorted(self.starts, chosen, side='right')) - 1
        grid = self._grid(number)
        read = functools.cache(self.read)
        places = grid.places(0, grid.count)
        middle = int(np.abs(places - (chosen - self.starts[number])).argmin())
        first = _begin(generator, middle, shape.slices, grid.count)
        part = _cut(generator, self._slice(read, number, middle).ids, shape.side, inside=has_foreground)
        wanted = range(first, min(first + shape.slices, grid.count))
        images, masks = map(
            np.stack, zip(*(self._slice(read, number, place, part) for place in wanted), strict=True)
        )
        spare = [(0, shape.slices - len(wanted)), (0, 0), (0, 0)]
        patch = {
            'image': np.pad(images, [*spare, (0, 0)], constant_values=-1),
            'ids': np.pad(masks, spare, constant_values=OUTSIDE),
        }
        axes = [axis for axis, mirrored in ((2, mirrored_columns), (1, mirrored_rows)) if mirrored]
        return {name: np.ascontiguousarray(np.flip(array, tuple(axes))) for name, array in patch.items()}

    def _grid(self, number: int) -> DepthGrid:
        stored = int(self.starts[number + 1] - self.starts[number])
        return DepthGrid.create(stored, float(self.distances[number]), self.distance)

    def _slice(self, read: Read, number: int, place: int, part: Square = _WHOLE) -> LabelledSlice:
        """One slice of the grid: images are linear between stored slices, masks those of the nearest."""
        grid, start = self._grid(number), int(self.starts[number])
        (where,) = places = grid.places(place, place + 1)
        (image,) = mix_slices(places, lambda own: to_unit(read(start + own)[0][part]))
        return LabelledSlice(image, read(start + int(np.floor(where + 0.5)))[1][part])


def _begin(generator: np.random.Generator, inside: int, length: int, size: int) -> int:
    """Where so long a stretch begins that holds a place, at random, within what there is."""
    return int(np.clip(inside - generator.integers(length), 0, max(size - length, 0)))


def _cut(
    generator: np.random.Generator, ids: UInt8[np.ndarray, 'height width'], side: int, *, inside: bool
) -> Square:
    """A square of a slice: around one of its pixels of foreground, each as likely, or anywhere."""
    marked = np.flatnonzero((ids > 0) & (ids != OUTSIDE)) if inside else np.zeros(0, np.int64)
    if len(marked):
        pixel = divmod(int(generator.choice(marked)), ids.shape[1])
        corner = [_begin(generator, own, side, size) for own, size in zip(pixel, ids.shape, strict=True)]
    else:
        corner = [int(generator.integers(size - side + 1)) for size in ids.shape]
    rows, columns = (slice(start, start + side) for start in corner)
    return rows, columns
