"""Distances between the surfaces of two masks, in the unit of their spacing.

The surface of a mask is the mask minus its erosion by the cross of nearest neighbours; outside the image lies
background. A distance is that between centres of pixels.
"""

import numpy as np
import scipy.ndimage
import scipy.spatial
from jaxtyping import Bool, Float64

Mask = Bool[np.ndarray, '*shape']
Distances = Float64[np.ndarray, '_']  # two surfaces have sizes of their own
_SPARSE = 20  # pixels for each one of a surface: from there on a tree of points is faster than a distance map
_ROUNDING = 1e-9  # relative


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
