"""Where volumes can be tampered with: places in tissue, with their whole cube in the image where it has room."""

import numpy as np
import skimage.filters
from jaxtyping import Bool, Float64, Shaped

from detect.tampering.cubes import Region, Triple, Volume, middle_of
from foundation.training.errors import UserError

Foreground = Bool[np.ndarray, 'slices height width']


def choose_centres(
    volume: Volume, spacing: Triple, region: Region, count: int, random: np.random.Generator
) -> Float64[np.ndarray, '{count} 3']:
    """Random voxels that are brighter than Otsu's threshold, which tells a body from the air around it.

    Centres are so far from the edges of a slice that the cube fits in, or in the middle of an axis too short for
    it; slices at either end are as good as others.

    Args:
      volume: in stored or physical units.
      spacing: between slices, rows and columns, in mm.
      region: to be cut.
      count: of centres, which may repeat.
      random: draws them.

    Returns:
      Slice, row and column of each.

    Raises:
      UserError: when no voxel within the margins is brighter, as in an empty volume.
    """
    bright = volume > (skimage.filters.threshold_otsu(volume) if np.ptp(volume) > 0 else np.inf)
    for axis in (1, 2):
        size = volume.shape[axis]
        margin = min(int(np.ceil(region.side / 2 / spacing[axis])), (size - 1) // 2)
        allowed = np.zeros(size, bool)
        allowed[margin : size - margin] = True
        bright &= np.expand_dims(allowed, tuple({0, 1, 2} - {axis}))
    places = np.flatnonzero(bright)
    if not len(places):
        raise UserError(f'A volume of {volume.shape} voxels has no tissue where a cube has room; leave it out.')
    chosen = places[random.integers(len(places), size=count)]
    return np.stack(np.unravel_index(chosen, volume.shape), axis=1).astype(np.float64)


def choose_foreground_centres(
    foreground: Foreground, spacing: Triple, region: Region, count: int, random: np.random.Generator
) -> Float64[np.ndarray, '{count} 3']:
    """Places of lesions: random foreground voxels, moved to the mean of the foreground that is in their middle.

    What is smaller than the middle of a cube comes to lie in it whole; of what is larger, any part may be chosen.

    Args:
      foreground: where lesions are.
      spacing, region, count, random: see `choose_centres`.

    Raises:
      UserError: when there is no foreground.
    """
    places = np.flatnonzero(foreground)
    if not len(places):
        raise UserError('The mask of a volume shows nothing; leave it out.')
    chosen = np.stack(np.unravel_index(places[random.integers(len(places), size=count)], foreground.shape), axis=1)
    centres = []
    for place in chosen:
        middle = middle_of(foreground.shape, spacing, as_triple(place), region)
        centres.append(np.argwhere(foreground[middle]).mean(axis=0) + [part.start for part in middle])
    return np.stack(centres)


def as_triple(place: Shaped[np.ndarray, '3']) -> Triple:
    """A row of places, as cubes want it."""
    slices, row, column = map(float, place)
    return slices, row, column


def keep_free_centres(
    centres: Float64[np.ndarray, 'some 3'], foreground: Foreground, spacing: Triple, region: Region
) -> Float64[np.ndarray, 'fewer 3']:
    """Those in whose middle there is no foreground."""
    free = [
        not foreground[middle_of(foreground.shape, spacing, as_triple(place), region)].any() for place in centres
    ]
    return centres[np.array(free, bool)]
