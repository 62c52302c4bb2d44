"""A cube cut out of a volume for an inpainter, and how it goes back (after CT-GAN, Mirsky et al. 2019,
arXiv:1901.03597, section 4.3).

Cubes are on a grid of 1 mm. A volume of one slice gives squares: cubes of one slice, whose middle is blanked in
rows and columns alone.
"""

import dataclasses

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, Float, Float32, Float64

from foundation.training.errors import UserError

Volume = Float32[np.ndarray, 'slices height width']
Cube = Float32[np.ndarray, 'depth side side']
Triple = tuple[float, float, float]
BLANK = -1.0  # what the blanked middle holds: the darkest value


@dataclasses.dataclass(frozen=True)
class Region:
    """What is cut.

    Attributes:
      side: of the cube, in mm, and in pixels of its grid.
      blank: side of its middle that is made anew, in mm.
      seam: mm inside the middle over which new passes into old.
    """

    side: int
    blank: int
    seam: float

    def __post_init__(self) -> None:
        if not 0 < 2 * self.seam < self.blank < self.side or (self.side - self.blank) % 2:
            raise ValueError(f'{self}: seams lie in the middle, and the middle in the cube, evenly on both sides.')

    def blanked(self, depth: int) -> Bool[np.ndarray, '{depth} side side']:
        """Where a cube of so many slices is blanked."""
        line = np.abs(np.arange(self.side) - (self.side - 1) / 2) < self.blank / 2
        first = line if depth > 1 else np.ones(1, bool)
        return first[:, None, None] & line[:, None] & line


CT_GAN = Region(side=32, blank=20, seam=2.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A cube as an inpainter sees it, and what it takes to put it back.

    Attributes:
      cube: equalised, in [-1, 1].
      region: what was cut.
      centre: slice, row and column of its middle.
      spacing: of the volume, between slices, rows and columns, in mm.
      values, levels: the equalisation, from the volume's values to [-1, 1]; both rise.
    """

    cube: Cube
    region: Region
    centre: Triple
    spacing: Triple
    values: Float64[np.ndarray, ' level']
    levels: Float64[np.ndarray, ' level']

    @property
    def blanked(self) -> Cube:
        """The cube without its middle."""
        return np.where(self.region.blanked(len(self.cube)), np.float32(BLANK), self.cube)


def cut_cube(volume: Volume, spacing: Triple, centre: Triple, region: Region) -> Cut:
    """Cuts a cube, resamples it to 1 mm and equalises its histogram.

    Values are linear between voxels; beyond the volume, its outermost voxels go on. Equalisation takes a value to
    its rank among those of the cube, so that air and tissue get the contrast they have room for.

    Args:
      volume: in stored or physical units.
      spacing: between slices, rows and columns, in mm.
      centre: slice, row and column, fractions allowed.
      region: what is cut.

    Raises:
      UserError: when the centre is outside, or the cube has values that are not finite.
    """
    inside = all(0 <= place <= size - 1 for place, size in zip(centre, volume.shape, strict=True))
    if not inside or min(spacing) <= 0:
        raise UserError(f'There is no cube around {centre}, {spacing} mm apart, in a volume of {volume.shape}.')
    offsets = np.arange(region.side) - (region.side - 1) / 2
    axes = [place + offsets / step for place, step in zip(centre, spacing, strict=True)]
    if len(volume) == 1:
        axes[0] = np.zeros(1)
    cube = _interpolate(volume, axes)
    if not np.isfinite(cube).all():
        raise UserError(f'The cube around {centre} has values that are not finite; choose another place.')
    values, levels = fit_equalisation(cube)
    equalised = np.interp(cube, values, levels).astype(np.float32)
    return Cut(equalised, region, centre, spacing, values, levels)


def restore_cube(cut: Cut, cube: Cube, places: tuple[slice, slice, slice]) -> Float64[np.ndarray, '_ _ _']:
    """What a volume would hold at these voxels if the cube were in it: equalisation and resampling undone.

    Args:
      cut: where the cube comes from.
      cube: the same one, or another in its place, in [-1, 1].
      places: voxels inside the cube.
    """
    physical = np.interp(np.clip(cube, -1, 1), cut.levels, cut.values)
    axes = [distances + (cut.region.side - 1) / 2 for distances in distances_of(places, cut.centre, cut.spacing)]
    if len(cube) == 1:
        axes[0] = np.zeros(1)
    return _interpolate(physical, axes)


def middle_of(
    shape: tuple[int, ...], spacing: Triple, centre: Triple, region: Region
) -> tuple[slice, slice, slice]:
    """The voxels of a volume within the middle of a cube; all the depth of a volume of one slice.

    Args:
      shape: of the volume.
      spacing: between slices, rows and columns, in mm.
      centre: slice, row and column of the cube.
      region: what is cut.
    """
    slices = []
    for place, step, size in zip(centre, spacing, shape, strict=True):
        reach = region.blank / 2 / step
        slices.append(slice(max(int(np.ceil(place - reach)), 0), min(int(np.floor(place + reach)) + 1, size)))
    if shape[0] == 1:
        slices[0] = slice(0, 1)
    return slices[0], slices[1], slices[2]


def distances_of(
    places: tuple[slice, slice, slice], centre: Triple, spacing: Triple
) -> list[Float64[np.ndarray, ' _']]:
    """How far voxels lie from the centre along each axis, in mm."""
    return [
        (np.arange(part.start, part.stop, dtype=np.float64) - middle) * step
        for part, middle, step in zip(places, centre, spacing, strict=True)
    ]


def fit_equalisation(
    cube: Float[np.ndarray, 'depth side side'],
) -> tuple[Float64[np.ndarray, ' level'], Float64[np.ndarray, ' level']]:
    """The values that occur, and their mean ranks from -1 to 1; 0 where all values are equal.

    Between values, levels are linear; both rise, so that what is equalised comes back as it was.
    """
    values, counts = np.unique(cube.astype(np.float64), return_counts=True)
    ranks = np.cumsum(counts) - counts / 2
    if len(values) == 1:
        return values, np.zeros(1)
    return values, 2 * (ranks - ranks[0]) / (ranks[-1] - ranks[0]) - 1


def _interpolate(
    values: Float[np.ndarray, '_ _ _'], axes: list[Float64[np.ndarray, ' _']]
) -> Float64[np.ndarray, '_ _ _']:
    grid = np.meshgrid(*axes, indexing='ij')
    return scipy.ndimage.map_coordinates(values.astype(np.float64), grid, order=1, mode='nearest')
