"""Volumes and single images: which records belong together, what a network sees of them, and the way back."""

import dataclasses
import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32, Int64

from input_pipeline.intensities import to_unit
from input_pipeline.placement import AS_STORED, Scale, placement
from input_pipeline.preprocessing import Preprocessing, preprocess_image, resolve_window
from input_pipeline.readers.pixels import percentile_window, sample, to_physical
from input_pipeline.records import Record


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


def create_case(records: Sequence[Record]) -> Case:
    """The case of these slices, or of this one image."""
    name, patient = volume_of(records[0].key, records[0].patient)
    return Case(name, patient, tuple(records))


def share_window(records: Sequence[Record], percentiles: tuple[float, float]) -> list[Record]:
    """Slices in the window that their reader would have found if their volume had no others.

    Args:
      records: of one volume.
      percentiles: of brightness, lower and upper, 0 to 100.
    """
    values = [sample(to_physical(record.image, record.intensity), len(records)) for record in records]
    low, high = records[0].intensity
    window = percentile_window(values, percentiles, bright_low=low > high)
    return [dataclasses.replace(record, window=window) for record in records]


def number_volumes(keys: Sequence[str], patients: Sequence[str]) -> Int64[np.ndarray, ' records']:
    """The number of each record's volume, in stored order; slices of a volume lie side by side."""
    volumes = list(map(volume_of, keys, patients))
    return np.cumsum([False, *(before != after for before, after in itertools.pairwise(volumes))])


def find_neighbours(volumes: Int64[np.ndarray, ' records'], context: int) -> Int64[np.ndarray, 'records shown']:
    """For every record the places of those around it in its volume, the nearest where the volume ends.

    Args:
      volumes: see `number_volumes`.
      context: records before and after each.
    """
    first, last = np.searchsorted(volumes, volumes), np.searchsorted(volumes, volumes, side='right') - 1
    around = np.arange(len(volumes))[:, None] + np.arange(-context, context + 1)
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
    neighbours = find_neighbours(np.zeros(len(images), np.int64), preprocessing.context)
    shown = [images[column] for column in neighbours.T]
    return to_unit(np.concatenate(shown, axis=-1))


def _preprocess(
    record: Record, preprocessing: Preprocessing, dataset_window: tuple[float, float] | None
) -> np.ndarray:
    window = resolve_window(preprocessing, record.intensity, record.window, dataset_window)
    return preprocess_image(record.image, record.intensity, window, preprocessing, record.spacing)


def restore_size(
    values: Float32[np.ndarray, 'resolution resolution channels'],
    height: int,
    width: int,
    fit: str,
    scale: Scale = AS_STORED,
) -> Float32[np.ndarray, 'height width channels']:
    """Undoes `fit_image`: values on the network's grid, linearly interpolated on the pixels of the image.

    Args:
      values: on the square grid.
      height, width: of the image.
      fit, scale: as it was made square; not 'crop', which loses pixels.

    Raises:
      ValueError: for 'crop'.
    """
    if fit == 'crop':
        raise ValueError("what fit='crop' cut off cannot be restored")
    rows, columns = placement(height, width, len(values), fit, scale)
    inside = np.ascontiguousarray(values[rows, columns])
    if inside.shape[:2] == (height, width):
        return inside
    planes = [
        cv2.resize(np.ascontiguousarray(inside[..., channel]), (width, height), interpolation=cv2.INTER_LINEAR)
        for channel in range(inside.shape[-1])
    ]
    return np.stack(planes, axis=-1)
