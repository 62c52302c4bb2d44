"""Volumes and single images of a prepared data set, as tampering sees them, and the way back to what is stored."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from detect.tampering.cubes import Triple, Volume
from detect.tampering.places import Foreground
from foundation.training.errors import UserError
from input_pipeline.cases import Case, create_case, number_volumes, volume_of
from input_pipeline.dataset.summary import read_records
from input_pipeline.decode import Split
from input_pipeline.preprocessing import stored_maximum
from input_pipeline.records import Record


@dataclasses.dataclass(frozen=True)
class Listed:
    """A volume or single image that is not read yet.

    Attributes:
      name: see `Case.name`.
      patient: whose it is.
      places: of its records in the split, in their order.
    """

    name: str
    patient: str
    places: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """A volume, or a single image as a volume of one slice.

    Attributes:
      case: its records.
      volume: brightness; physical units, with the sign changed where low values are shown bright.
      foreground: where masks show something; None without masks.
    """

    case: Case
    volume: Volume
    foreground: Foreground | None

    @property
    def spacing(self) -> Triple:
        """Between slices, rows and columns in mm; what is unknown counts as 1."""
        slices, rows, columns = (step or 1.0 for step in self.case.spacing)
        return slices, rows, columns


def list_stacks(split: Split, name: str) -> list[Listed]:
    """All volumes and single images of a split, in stored order.

    Args:
      split: of the data set.
      name: of the split.
    """
    table = read_records(split.folder, name)
    numbers = number_volumes(table.keys, table.patients)
    members = np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1)
    return [
        Listed(*volume_of(table.keys[own[0]], table.patients[own[0]]), places=tuple(own.tolist()))
        for own in members
    ]


def read_stack(split: Split, listed: Listed) -> Stack:
    """Reads one.

    Raises:
      DataError: when a record is damaged.
      UserError: when its images are in colour, or differ in size.
    """
    records = [split.read(place) for place in listed.places]
    _check(records)
    volume = np.stack([brightness_of(record) for record in records])
    masks = [record.mask[..., 0] > 0 for record in records if record.mask is not None]
    return Stack(create_case(records), volume, np.stack(masks) if masks else None)


def _check(records: Sequence[Record]) -> None:
    shapes = {record.image.shape for record in records}
    if len(shapes) > 1:
        raise UserError('Its slices differ in size; leave it out.')
    if next(iter(shapes))[-1] != 1:
        raise UserError('It is in colour, and only grey images can be tampered with; leave it out.')


def brightness_of(record: Record) -> Float32[np.ndarray, 'height width']:
    """Physical values of a slice, with the sign changed where low ones are shown bright."""
    low, high = record.intensity
    return record.physical[..., 0] * np.float32(1 if low <= high else -1)


def store_brightness(
    record: Record,
    brightness: Float32[np.ndarray, 'height width'],
    changed: Bool[np.ndarray, 'height width'],
) -> Shaped[np.ndarray, 'height width']:
    """What a record would store with another brightness where it was changed; elsewhere it stays, bit for bit."""
    (low, high), stored = record.intensity, record.image[..., 0]
    largest = stored_maximum(stored.dtype)
    values = (brightness.astype(np.float64) * (1 if low <= high else -1) - low) / (high - low) * largest
    if stored.dtype.kind == 'u':
        values = np.clip(np.rint(values), 0, largest)
    return np.where(changed, values, stored).astype(stored.dtype)
