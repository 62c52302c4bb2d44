"""What the training images of a data set are like (after nnU-Net)."""

import collections
import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

import input_pipeline
from foundation.training.errors import UserError
from input_pipeline.placement import AS_STORED

FINGERPRINT_FILE = 'fingerprint.json'
_MOST_CASES = 500
_PIXELS_OF_A_CASE = 2000


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """Of the training patients alone.

    Attributes:
      name, data: the data set and its own fingerprint.
      images, patients: in the training split.
      cases: volumes or single images that were looked at, evenly spread.
      slices: smallest, median and largest number of slices of these.
      height, width: likewise, in pixels.
      spacing: median millimetres between slices, rows and columns; 0 where unknown.
      channels: of the stored images: 1 grey, 3 colour.
      modalities: cases of each.
      intensities: percentiles 0.5, 50 and 99.5 in physical units, of all pixels.
      foreground_intensities: likewise, of the foreground; None where there is none.
      pixel_shares: of each class id, the background first.
      case_shares: of cases that show each foreground class.
      rescaled_side: the longer side of the largest image in pixels of the size that config.data.pixels asks for;
        None where all images have such pixels.
    """

    name: str
    data: str
    images: int
    patients: int
    cases: int
    slices: tuple[float, float, float]
    height: tuple[float, float, float]
    width: tuple[float, float, float]
    spacing: tuple[float, float, float]
    channels: int
    modalities: dict[str, int]
    intensities: tuple[float, float, float]
    foreground_intensities: tuple[float, float, float] | None
    pixel_shares: tuple[float, ...]
    case_shares: tuple[float, ...]
    rescaled_side: float | None = None

    @property
    def largest_side(self) -> int:
        """Height or width of the largest image, in stored pixels."""
        return int(max(self.height[2], self.width[2]))


def take_fingerprint(images: input_pipeline.ImageData) -> Fingerprint:
    """Looks at the cases of the training split, at most 500 of them, evenly spread.

    Raises:
      UserError: when there are no masks, or none holds anything but background.
      DataError: when the set is damaged.
    """
    step = math.ceil(images.num_cases / _MOST_CASES)
    seen = [_look(case, images.preprocessing) for case in images.cases(step)]
    counts = _add([case.counts for case in seen], classes=len(images.class_images))
    if not counts[1:].any():
        raise UserError(f'{images.name}: no mask shows any foreground; are the masks those of these images?')
    foreground = np.concatenate([case.foreground for case in seen])
    modalities: collections.Counter[str] = collections.Counter(name for case in seen for name in case.modalities)
    shown = [np.flatnonzero(case.counts[1:]) for case in seen]
    return Fingerprint(
        name=images.name,
        data=images.fingerprint,
        images=images.num_examples,
        patients=images.num_patients,
        cases=len(seen),
        slices=_spread([case.shape[0] for case in seen]),
        height=_spread([case.shape[1] for case in seen]),
        width=_spread([case.shape[2] for case in seen]),
        spacing=_medians([case.spacing for case in seen]),
        channels=max(case.channels for case in seen),
        modalities=dict(sorted(modalities.items())),
        intensities=_percentiles(np.concatenate([case.sample for case in seen])),
        foreground_intensities=_percentiles(foreground) if len(foreground) else None,
        pixel_shares=tuple((counts / counts.sum()).tolist()),
        case_shares=tuple((np.bincount(np.concatenate(shown), minlength=len(counts) - 1) / len(seen)).tolist()),
        rescaled_side=max(max(case.sides) for case in seen) if any(case.is_rescaled for case in seen) else None,
    )


@dataclasses.dataclass(frozen=True)
class _Seen:
    shape: tuple[int, int, int]
    sides: tuple[float, float]
    is_rescaled: bool
    spacing: tuple[float, float, float]
    channels: int
    modalities: tuple[str, ...]
    counts: Float[np.ndarray, ' classes']
    sample: Float[np.ndarray, ' pixels']
    foreground: Float[np.ndarray, ' some']


def _look(case: input_pipeline.Case, preprocessing: input_pipeline.Preprocessing) -> _Seen:
    values = np.concatenate([record.physical.ravel() for record in case.records])
    first = case.records[0]
    if first.mask is None:
        raise UserError(
            f'{case.name} has no mask; prepare the data set with masks (paired_folder, nifti, arrays).'
        )
    masks = [record.mask for record in case.records if record.mask is not None]
    ids = np.concatenate([mask.ravel() for mask in masks])
    channels, scale = first.image.shape[-1], preprocessing.scale(first.spacing)
    inside = np.repeat(ids > 0, channels)
    return _Seen(
        shape=(len(case.records), *first.image.shape[:2]),
        sides=scale.sides(*first.image.shape[:2]),
        is_rescaled=scale != AS_STORED,
        spacing=case.spacing,
        channels=channels,
        modalities=(first.modality,),
        counts=np.bincount(ids).astype(np.float64),
        sample=_thin(values),
        foreground=_thin(values[inside]),
    )


def _thin(values: np.ndarray) -> np.ndarray:
    """At most so many values, by chance: every n-th pixel could be one column of an image."""
    if len(values) <= _PIXELS_OF_A_CASE:
        return values
    return values[np.random.default_rng(0).integers(len(values), size=_PIXELS_OF_A_CASE)]


def _add(rows: Sequence[np.ndarray], classes: int) -> np.ndarray:
    total = np.zeros(max(2, classes + 1, *map(len, rows)))
    for row in rows:
        total[: len(row)] += row
    return total


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return float(np.min(values)), float(np.median(values)), float(np.max(values))


def _medians(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    first, second, third = np.median(rows, axis=0)
    return float(first), float(second), float(third)


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (0.5, 50, 99.5))
    return float(low), float(middle), float(high)
