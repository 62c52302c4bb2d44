"""Where volumes can be tampered with: places in tissue, with their whole cube in the image where it has room."""

import numpy as np
import skimage.filters
from jaxtyping import Float64

from detect.tampering.cubes import Region, Triple, Volume
from training.errors import UserError


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
    places = np.argwhere(bright)
    if not len(places):
        raise UserError(f'A volume of {volume.shape} voxels has no tissue where a cube has room; leave it out.')
    return places[random.integers(len(places), size=count)].astype(np.float64)
