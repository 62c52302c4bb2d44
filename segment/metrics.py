"""What is measured of one class of one case."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import scipy.ndimage
import scipy.spatial
from jaxtyping import Bool, Float64, UInt8

Mask = Bool[np.ndarray, '*shape']
Distances = Float64[np.ndarray, '_']  # two surfaces have sizes of their own
_SPARSE = 20  # pixels for each one of a surface: from there on a tree of points is faster than a distance map
_ROUNDING = 1e-9  # relative
Kind = Literal['both', 'both empty', 'missed', 'false']  # missed: empty prediction; false: empty truth
KINDS: tuple[Kind, ...] = ('both', 'both empty', 'missed', 'false')
POLICIES = ('nnunet', 'monai', 'ones')
_Table = Mapping[str, Mapping[Kind, float | None]]

# Dice, IoU and NSD of a case that is not 'both'; None: the case is skipped.
OVERLAPS: _Table = {
    'nnunet': {'both empty': None, 'missed': 0.0, 'false': 0.0},
    'monai': {'both empty': None, 'missed': 0.0, 'false': None},  # its default, which hides false positives
    'ones': {'both empty': 1.0, 'missed': 0.0, 'false': 0.0},  # MONAI with ignore_empty=False
}

# HD95 where both are empty. A missed or false structure is as far off as the image allows under every policy:
# a case that is left out there would reward the miss.
EMPTY_DISTANCES: Mapping[str, float | None] = {'nnunet': None, 'monai': None, 'ones': 0.0}


def surface_distances(first: Mask, second: Mask, spacing: tuple[float, ...]) -> tuple[Distances, Distances]:
    """From each surface pixel of a mask to the nearest one of the other: of the first mask, then of the second.

    Args:
      first, second: not empty.
      spacing: distance of neighbours along each axis.

    Raises:
      ValueError: for an empty mask.
    """
    if not (first.any() and second.any()):
        raise ValueError('An empty mask has no surface.')
    box = _bounding_box(first | second)  # nothing outside changes a surface
    surfaces = find_surface(first[box]), find_surface(second[box])
    return _nearest(*surfaces, spacing), _nearest(*surfaces[::-1], spacing)


def find_surface(mask: Mask) -> Mask:
    """Pixels of a mask with a neighbour along an axis that is outside it."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis, size in enumerate(mask.shape):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + size)
            inner &= padded[tuple(window)]
    return mask & ~inner


def hausdorff_95(first: Distances, second: Distances) -> float:
    """HD95: the larger of the 95th percentiles of the two directed distances, as MONAI has it.

    Percentiles are interpolated linearly. MedPy, and what builds on it, take one percentile of all distances
    together, which tends to be smaller.
    """
    return float(max(np.percentile(first, 95), np.percentile(second, 95)))


def surface_dice(first: Distances, second: Distances, tolerance: float) -> float:
    """NSD: the share of both surfaces that lies within a tolerance of the other, from 0 to 1.

    Nikolov et al. 2018, arXiv:1809.04430, section on the surface Dice, with surface pixels that count alike
    instead of areas of surface elements, as MONAI has it.

    Args:
      first, second: see `surface_distances`.
      tolerance: in the unit of the distances; what lies exactly there is within.
    """
    limit = tolerance * (1 + _ROUNDING)
    within = np.count_nonzero(first <= limit) + np.count_nonzero(second <= limit)
    return within / (len(first) + len(second))


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds a mask, which is not empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(box)


def _nearest(surface: Mask, other: Mask, spacing: tuple[float, ...]) -> Distances:
    """From each pixel of a surface to the nearest one of another."""
    if _SPARSE * max(surface.sum(), other.sum()) > surface.size:
        return scipy.ndimage.distance_transform_edt(~other, sampling=spacing)[surface]
    tree = scipy.spatial.KDTree(np.argwhere(other) * np.array(spacing))
    return tree.query(np.argwhere(surface) * np.array(spacing))[0]


POLICY_METRICS = ('dice', 'iou', 'nsd', 'hd95')  # have a value in empty cases that a policy decides
PLAIN_METRICS = ('sensitivity', 'false_positive_volume')
METRICS = (*POLICY_METRICS, *PLAIN_METRICS)


@dataclasses.dataclass(frozen=True)
class CaseMeasures:
    """Agreement of a predicted mask with the truth, for one class.

    Attributes:
      true_positives, false_positives, false_negatives: pixels.
      axes: 2 for an image, 3 for a volume.
      unit: of distances; 'pixels' where a spacing is unknown.
      pixel_size: area or volume of a pixel, in powers of the unit.
      tolerance: of NSD, in the unit.
      hd95: see `hausdorff_95`; the diagonal of the image where one mask is empty, None where both are.
      nsd: see `surface_dice`; None unless both masks hold something.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    axes: int
    unit: Literal['mm', 'pixels']
    pixel_size: float
    tolerance: float
    hd95: float | None
    nsd: float | None

    @property
    def kind(self) -> Kind:
        """Which of the masks are empty."""
        return find_kind(
            predicted=self.true_positives + self.false_positives > 0,
            truth=self.true_positives + self.false_negatives > 0,
        )

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None unless both masks hold something."""
        if self.kind != 'both':
            return None
        return 2 * self.true_positives / (2 * self.true_positives + self.false_positives + self.false_negatives)

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN); None unless both masks hold something."""
        if self.kind != 'both':
            return None
        return self.true_positives / (self.true_positives + self.false_positives + self.false_negatives)

    @property
    def sensitivity(self) -> float | None:
        """TP / (TP + FN); None where the truth is empty."""
        positives = self.true_positives + self.false_negatives
        return self.true_positives / positives if positives else None

    @property
    def false_positive_volume(self) -> float:
        """In `volume_unit`."""
        return self.false_positives * self.pixel_size

    @property
    def volume_unit(self) -> str:
        """mm^2 for images, mm^3 for volumes, pixels where a spacing is unknown."""
        return f'mm^{self.axes}' if self.unit == 'mm' else 'pixels'

    def score(self, metric: str, policy: str) -> float | None:
        """The value of a metric under a policy; None where the case is skipped.

        Args:
          metric: one of METRICS.
          policy: one of POLICIES, for empty masks; of no consequence for PLAIN_METRICS.

        Raises:
          ValueError: for another metric.
        """
        if metric not in METRICS:
            raise ValueError(f'There is no metric {metric!r}; there are {", ".join(METRICS)}.')
        if metric == 'hd95' and self.kind == 'both empty':
            return EMPTY_DISTANCES[policy]
        if metric in ('dice', 'iou', 'nsd') and self.kind != 'both':
            return OVERLAPS[policy][self.kind]
        return getattr(self, metric)


def measure(
    predicted: UInt8[np.ndarray, '*shape'],
    truth: UInt8[np.ndarray, '*shape'],
    class_id: int,
    spacing: tuple[float, ...],
    tolerance: float,
) -> CaseMeasures:
    """Measures one class of an image or a volume.

    An image has two axes: in a volume of one slice, every pixel is surface.

    Args:
      predicted, truth: class ids.
      class_id: of the class.
      spacing: millimetres along each axis, in the order of the axes; 0 where unknown, then all distances, and the
        tolerance, are in pixels.
      tolerance: of NSD, in mm.

    Raises:
      ValueError: for masks, a spacing or a tolerance that do not fit.
    """
    if predicted.shape != truth.shape or predicted.ndim not in (2, 3) or len(spacing) != predicted.ndim:
        raise ValueError(
            f'A prediction of shape {predicted.shape}, a truth of {truth.shape} and {len(spacing)} spacings do '
            'not fit: masks have the same two or three axes, each with its spacing.'
        )
    if not all(math.isfinite(value) and value >= 0 for value in (*spacing, tolerance)):
        raise ValueError(f'Spacing {spacing} and tolerance {tolerance} are finite and not negative.')
    unit: Literal['mm', 'pixels'] = 'mm' if all(spacing) else 'pixels'
    steps = tuple(map(float, spacing)) if unit == 'mm' else (1.0,) * len(spacing)
    found, wanted = predicted == class_id, truth == class_id
    hits = int(np.count_nonzero(found & wanted))
    hd95, nsd = _distances(found, wanted, steps, tolerance)
    return CaseMeasures(
        true_positives=hits,
        false_positives=int(np.count_nonzero(found)) - hits,
        false_negatives=int(np.count_nonzero(wanted)) - hits,
        axes=predicted.ndim,
        unit=unit,
        pixel_size=math.prod(steps),
        tolerance=float(tolerance),
        hd95=hd95,
        nsd=nsd,
    )


def _distances(
    found: np.ndarray, wanted: np.ndarray, steps: tuple[float, ...], tolerance: float
) -> tuple[float | None, float | None]:
    """HD95 and NSD, see `CaseMeasures`."""
    kind = find_kind(predicted=bool(found.any()), truth=bool(wanted.any()))
    if kind == 'both empty':
        return None, None
    if kind != 'both':
        return math.hypot(*(step * size for step, size in zip(steps, found.shape, strict=True))), None
    distances = surface_distances(found, wanted, steps)
    return hausdorff_95(*distances), surface_dice(*distances, tolerance)


def find_kind(*, predicted: bool, truth: bool) -> Kind:
    """The kind of a case.

    Args:
      predicted, truth: whether the mask holds anything.
    """
    if predicted:
        return 'both' if truth else 'false'
    return 'missed' if truth else 'both empty'
