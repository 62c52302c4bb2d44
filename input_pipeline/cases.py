"""Volumes and single images: which records belong together, what a network sees of them, and the way back."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Float32, Int64

from input_pipeline.preprocessing import Preprocessing, placement, preprocess_image, resolve_window
from input_pipeline.records import Record
from input_pipeline.values import to_unit


@dataclasses.dataclass(frozen=True)
class Case:
    """A volume, slice by slice, or one image: what is segmented, and judged, as a whole.

    Attributes:
      name: the key of the image, or what the keys of the slices begin with.
      patient: see `Record.patient`.
      records: of the slices, in their order.
    """

    name: str
    patient: str
    records: tuple[Record, ...]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between slices, rows and columns; 0 where unknown."""
        rows, columns, slices = self.records[0].spacing
        return slices, rows, columns


def volume_of(key: str, patient: str) -> tuple[str, str]:
    """What all slices of a volume, and no other record, have in common: readers number slices behind a slash."""
    stem, _, number = key.rpartition('/')
    return (stem if stem and number.isdigit() else key), patient


def group_records(records: Iterable[Record]) -> Iterator[Case]:
    """Cases of records that come in the order of their keys."""
    for (name, patient), group in itertools.groupby(records, lambda record: volume_of(record.key, record.patient)):
        yield Case(name, patient, tuple(group))


def find_neighbours(volumes: Sequence[tuple[str, str]], context: int) -> Int64[np.ndarray, 'records shown']:
    """For every record the places of those around it in its volume, the nearest where the volume ends.

    Args:
      volumes: what `volume_of` tells of each record, in stored order.
      context: records before and after each.
    """
    places = np.arange(len(volumes))
    begins = np.array([True, *(before != after for before, after in itertools.pairwise(volumes))])
    first = np.maximum.accumulate(np.where(begins, places, 0))
    ends = np.append(begins[1:], True)
    last = np.minimum.accumulate(np.where(ends, places, len(volumes))[::-1])[::-1]
    around = places[:, None] + np.arange(-context, context + 1)
    return np.clip(around, first[:, None], last[:, None])


def preprocess_case(
    case: Case, preprocessing: Preprocessing, dataset_window: tuple[float, float] | None
) -> Float32[np.ndarray, 'slices resolution resolution channels']:
    """The slices of a case in [-1, 1], each with its context: what a network sees.

    Args:
      case: the slices.
      preprocessing: how images are made alike; without 'auto'.
      dataset_window: of the training split, see `resolve_window`.

    Raises:
      DataError: when an image cannot be preprocessed so.
    """
    images = np.stack([_preprocess(record, preprocessing, dataset_window) for record in case.records])
    neighbours = find_neighbours([(case.name, case.patient)] * len(images), preprocessing.context)
    shown = [images[column] for column in neighbours.T]
    return to_unit(np.concatenate(shown, axis=-1))


def _preprocess(
    record: Record, preprocessing: Preprocessing, dataset_window: tuple[float, float] | None
) -> np.ndarray:
    window = resolve_window(preprocessing, record.intensity, record.window, dataset_window)
    return preprocess_image(record.image, record.intensity, window, preprocessing)


def restore_size(
    values: Float32[np.ndarray, 'resolution resolution channels'], height: int, width: int, fit: str
) -> Float32[np.ndarray, 'height width channels']:
    """Undoes `fit_image`: values on the network's grid, linearly interpolated on the pixels of the image.

    Args:
      values: on the square grid.
      height, width: of the image.
      fit: as it was made square; not 'crop', which loses pixels.

    Raises:
      ValueError: for 'crop'.
    """
    if fit == 'crop':
        raise ValueError("what fit='crop' cut off cannot be restored")
    rows, columns = placement(height, width, len(values), fit)
    inside = np.ascontiguousarray(values[rows, columns])
    if inside.shape[:2] == (height, width):
        return inside
    planes = [
        cv2.resize(np.ascontiguousarray(inside[..., channel]), (width, height), interpolation=cv2.INTER_LINEAR)
        for channel in range(inside.shape[-1])
    ]
    return np.stack(planes, axis=-1)
