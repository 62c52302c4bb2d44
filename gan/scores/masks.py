"""What masks look like, and what the picture does at their contours: of real images, and of generated ones."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float64, UInt8

from foundation.statistics.jackknife import (
    POSITIVE,
    Bounds,
    FeatureSample,
    Missing,
    Score,
    create_estimate,
    leave_out,
)

_FEWEST = 2  # groups with a mask, and as many without each
_AROUND = 3  # pixels beside a contour that are neither it nor far from it
_PERCENT: Bounds = (0.0, 100.0)


@dataclasses.dataclass(frozen=True)
class MaskMeasure:
    """How a number is to be read.

    Attributes:
      title: for people.
      digits: behind the point.
      bounds: the lowest and the highest value that it can have.
    """

    title: str
    digits: int
    bounds: Bounds = POSITIVE


MEASURES: Mapping[str, MaskMeasure] = {
    'present': MaskMeasure('images with a mask, %', 1, _PERCENT),
    'area': MaskMeasure('area, % of the image', 2, _PERCENT),
    'parts': MaskMeasure('parts', 2),
    'compactness': MaskMeasure('compactness (4 pi area / perimeter^2 of the largest part)', 3),
    'row': MaskMeasure('place of its middle, % from the top', 1, _PERCENT),
    'column': MaskMeasure('place of its middle, % from the left', 1, _PERCENT),
    'contour': MaskMeasure('|Laplacian| of the picture at the contour, grey levels of 255', 1),
    'beside': MaskMeasure('|Laplacian| of the picture elsewhere in the mask and around it', 1),
}


def measure_masks(
    images: Float[np.ndarray, 'batch height width channel'], masks: UInt8[np.ndarray, 'batch height width 1']
) -> Float64[np.ndarray, 'batch measure']:
    """A row of `MEASURES` an image, NaN where it has no mask; classes of masks are taken as one.

    A contour is of the pixels of a mask beside the background, and of the background beside a mask; pictures are
    rougher there than real ones are where masks were drawn into them. The Laplacian is of the mean over channels.

    Args:
      images: in [-1, 1].
      masks: class ids, 0 the background.
    """
    rows = []
    for image, ids in zip(images, masks, strict=True):
        shown, grey = ids[..., 0] > 0, (image.mean(axis=-1, dtype=np.float64) + 1) * 127.5
        rows.append(_measure(grey, shown) if shown.any() else [0.0] + [np.nan] * (len(MEASURES) - 1))
    return np.asarray(rows)


def score_masks(measured: FeatureSample) -> dict[str, Score]:
    """The mean of each measure over images that have it, with its interval over groups of patients.

    Args:
      measured: rows of `measure_masks`.
    """
    return {
        name: average_known(measured, column, measure.bounds)
        for column, (name, measure) in enumerate(MEASURES.items())
    }


def average_known(measured: FeatureSample, column: int, bounds: Bounds) -> Score:
    """The mean of a column over images that have a value there, with its interval over groups of patients."""
    values = measured.values[:, column]
    known = np.isfinite(values)
    groups, count = measured.groups[known], measured.group_count
    if len(np.unique(groups)) < _FEWEST:
        return Missing('needs masks of two patients.')
    sums = np.bincount(groups, values[known], minlength=count)
    means = leave_out(sums) / leave_out(np.bincount(groups, minlength=count))
    return create_estimate(means, bounds, images=int(known.sum()))


def _measure(grey: Float64[np.ndarray, 'height width'], shown: Bool[np.ndarray, 'height width']) -> list[float]:
    parts, count = scipy.ndimage.label(shown)
    sizes = np.bincount(parts.ravel())[1:]
    largest = parts == 1 + sizes.argmax()
    places = np.argwhere(shown).mean(axis=0) + 0.5
    contour, around = _contour(shown), _around(shown)
    rough = np.abs(scipy.ndimage.laplace(grey, mode='nearest'))
    return [
        100.0,
        100 * shown.mean(),
        float(count),
        4 * np.pi * sizes.max() / _perimeter(largest) ** 2,
        *(100 * places / shown.shape),
        rough[contour].mean() if contour.any() else np.nan,
        rough[around & ~contour].mean() if (around & ~contour).any() else np.nan,
    ]


def _contour(shown: Bool[np.ndarray, 'height width']) -> Bool[np.ndarray, 'height width']:
    grown, shrunk = scipy.ndimage.binary_dilation(shown), scipy.ndimage.binary_erosion(shown, border_value=1)
    return grown & ~shrunk


def _around(shown: Bool[np.ndarray, 'height width']) -> Bool[np.ndarray, 'height width']:
    return scipy.ndimage.binary_dilation(shown, iterations=1 + _AROUND)


def _perimeter(shown: Bool[np.ndarray, 'height width']) -> float:
    """Crofton's formula in two directions: edges between pixels are 4 / pi times too long on average."""
    padded = np.pad(shown, 1).astype(int)
    edges = sum(int(np.abs(np.diff(padded, axis=axis)).sum()) for axis in (0, 1))
    return np.pi / 4 * edges
