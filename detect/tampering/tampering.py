"""Making part of a volume anew, whatever makes it (after CT-GAN, Mirsky et al. 2019, arXiv:1901.03597)."""

from collections.abc import Callable

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float64

from detect.tampering.cubes import (
    CT_GAN,
    Cube,
    Cut,
    Region,
    Triple,
    Volume,
    cut_cube,
    distances_of,
    middle_of,
    restore_cube,
)
from foundation.training.errors import UserError

# From a cube in [-1, 1] whose middle is blank to the whole cube. What is injected or removed is what the maker of
# middles was trained on: cubes with lesions inject one, cubes of healthy tissue remove what was there.
Inpaint = Callable[[Cube], Cube]
Tampered = tuple[Volume, Bool[np.ndarray, 'slices height width']]
_LAPLACIAN = np.outer([1, -2, 1], [1, -2, 1])
_GAIN = 6 * 0.6745  # of the operator on white noise, and of a normal distribution's median absolute value


def tamper(
    volume: Volume,
    spacing: Triple,
    centre: Triple,
    inpaint: Inpaint,
    random: np.random.Generator,
    region: Region = CT_GAN,
) -> Tampered:
    """Cuts a cube, has its middle made anew, and puts it back with the noise of the place.

    Args:
      volume: in stored or physical units; not changed.
      spacing: between slices, rows and columns, in mm.
      centre: slice, row and column.
      inpaint: makes the middle.
      random: draws the noise.
      region: what is cut.

    Returns:
      The tampered volume, not rounded, and where it was changed.

    Raises:
      UserError: when the centre is outside, values around it are not finite, or voxels are larger than the middle.
    """
    cut = cut_cube(volume, spacing, centre, region)
    made = np.where(region.blanked(len(cut.cube)), inpaint(cut.blanked), cut.cube)
    return paste_cube(volume, cut, made, random)


def tamper_identically(
    volume: Volume, spacing: Triple, centre: Triple, random: np.random.Generator, region: Region = CT_GAN
) -> Tampered:
    """The control of `tamper`: all that is done to a volume but for the content, which stays what it was.

    A detector that finds these has learned to see resampling or noise, not what was made.
    """
    cut = cut_cube(volume, spacing, centre, region)
    return paste_cube(volume, cut, cut.cube, random)


def paste_cube(volume: Volume, cut: Cut, cube: Cube, random: np.random.Generator) -> Tampered:
    """The volume with the middle of the cube in the place where it was cut; see `tamper`.

    Raises:
      UserError: when no voxel lies in the middle.
    """
    places = middle_of(volume.shape, cut.spacing, cut.centre, cut.region)
    share = _share(cut, places, whole_depth=len(volume) == 1)
    if not share.any():
        raise UserError(
            f'No voxel of a volume {cut.spacing} mm apart lies within {cut.region.blank} mm around {cut.centre}; '
            'cut a larger region.'
        )
    old = volume[places].astype(np.float64)
    new = restore_cube(cut, cube, places)
    # What lacks noise gets what it lacks: interpolation smooths, and so do inpainters.
    lacking = np.sqrt(max(noise_of(old) ** 2 - noise_of(new) ** 2, 0))
    new = new + random.normal(scale=lacking, size=new.shape)
    new = np.clip(new, volume.min(), volume.max())
    tampered, mask = volume.copy(), np.zeros(volume.shape, bool)
    tampered[places] = np.where(share > 0, old + share * (new - old), old)
    mask[places] = share > 0
    return tampered, mask


def noise_of(values: Float[np.ndarray, 'slices height width']) -> float:
    """Standard deviation of the noise, from what neighbouring voxels of a slice do not share.

    After Immerkaer 1996, doi:10.1006/cviu.1996.0060, equation 4, with the median for the mean, which edges move
    less; 0 where slices have less than 3x3 voxels.
    """
    if min(values.shape[1:]) < 3:
        return 0.0
    rough = scipy.ndimage.convolve(values.astype(np.float64), _LAPLACIAN[None])[:, 1:-1, 1:-1]
    return float(np.median(np.abs(rough)) / _GAIN)


def _share(cut: Cut, places: tuple[slice, slice, slice], *, whole_depth: bool) -> Float64[np.ndarray, '_ _ _']:
    """Of the new in what is pasted: 0 at the edge of the middle, and 1 from the seam on."""
    shares = [
        np.clip((cut.region.blank / 2 - np.abs(distances)) / cut.region.seam, 0, 1)
        for distances in distances_of(places, cut.centre, cut.spacing)
    ]
    if whole_depth:
        shares[0] = np.ones(1)
    return shares[0][:, None, None] * shares[1][:, None] * shares[2]
