"""Sheets: an image as square tiles of one size, the whole of it beside patches of its own pixels.

A generator's traces lie between neighbouring pixels, and shrinking wipes them out. So a network is shown the first
tile, the overview, made from the whole image, and in the others pixels as they are, from places where the image is
not even. A sheet has the shape of an image, so that all that looks at images can look at sheets.
"""

import dataclasses
import math
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Array, Float, Int, Shaped, UInt, UInt8

from input_pipeline.errors import DataError
from input_pipeline.placement import fit_mask

_FIELDS = 8  # along a side of a patch, whose means tell whether anything is in it
_LINES = 16  # of places that are looked at along a side of an image, at most
_UNEVEN = 0.1  # of the deviation of the most uneven patch, from which a patch counts as uneven
Picture = UInt[np.ndarray, 'height width channel']
Places = Int[np.ndarray, 'patch 2']
Sheets = TypeVar('Sheets', Shaped[np.ndarray, '_ _ _ _'], Shaped[Array, '_ _ _ _'])


@dataclasses.dataclass(frozen=True)
class PatchSheet:
    """How an image becomes tiles.

    Attributes:
      tile: pixels along a side of the overview and of each patch.
      patches: of an image; with the overview a square number.
    """

    tile: int
    patches: int

    def __post_init__(self) -> None:
        if self.lines**2 != self.patches + 1:
            raise ValueError(f'{self.patches} patches and an overview fill no square.')

    @property
    def lines(self) -> int:
        """Tiles along a side."""
        return math.isqrt(self.patches + 1)

    @property
    def side(self) -> int:
        """Pixels along a side of the sheet."""
        return self.lines * self.tile

    def check_room(self, height: int, width: int) -> None:
        """Raises DataError for an image that has fewer pixels along a side than a tile: none is enlarged."""
        if min(height, width) < self.tile:
            raise DataError(
                f'an image of {height} x {width} pixels is smaller than a patch of {self.tile}; use smaller '
                'patches (--config.resolution), or leave such images out'
            )

    def choose(self, picture: Picture, random: np.random.Generator | None) -> Places:
        """Top rows and left columns of the patches, from the first row to the last.

        They lie where the picture is not even, at places of a grid: evenly spread over these by a fixed rule, or
        by chance, and then moved by chance, too. Where places are fewer than patches, some come again.

        Args:
          picture: at least as large as a tile.
          random: decides; None for the fixed rule.
        """
        self.check_room(*picture.shape[:2])
        grid, steps = self._list_places(*picture.shape[:2])
        grid = grid[_find_uneven(picture, grid, self.tile)]
        if random is None:
            return grid[np.arange(self.patches) * len(grid) // self.patches]
        order = np.resize(random.permutation(len(grid)), self.patches)
        moved = grid[np.sort(order)] + np.rint(random.uniform(-0.5, 0.5, (self.patches, 2)) * steps)
        return np.clip(moved, 0, np.array(picture.shape[:2]) - self.tile).astype(np.int64)

    def _list_places(self, height: int, width: int) -> tuple[Places, Float[np.ndarray, '2']]:
        """Places of a grid, row by row, and how far its lines lie apart."""
        spare = [side - self.tile for side in (height, width)]
        counts = [min(_LINES, math.ceil(side / self.tile)) for side in (height, width)]
        while math.prod(counts) < self.patches:
            grown = [
                min(_LINES, count + 1) if room >= count else count
                for count, room in zip(counts, spare, strict=True)
            ]
            if grown == counts:
                break
            counts = grown
        rows, columns = (
            np.rint(np.linspace(0, room, count)).astype(np.int64)
            for room, count in zip(spare, counts, strict=True)
        )
        steps = np.array([room / max(count - 1, 1) for room, count in zip(spare, counts, strict=True)])
        return np.stack(np.meshgrid(rows, columns, indexing='ij'), axis=-1).reshape(-1, 2), steps

    def create(self, picture: Picture, places: Places) -> UInt[np.ndarray, 'side side channel']:
        """The sheet of a picture with patches from these places."""
        tiles = [shrink(picture, self.tile)]
        tiles += [picture[row : row + self.tile, column : column + self.tile] for row, column in places]
        return self._arrange(tiles)

    def create_mask(
        self, mask: UInt8[np.ndarray, 'height width 1'], places: Places
    ) -> UInt8[np.ndarray, 'side side 1']:
        """The sheet of the mask of a picture whose patches are these."""
        tiles = [fit_mask(mask, self.tile, 'pad')]
        tiles += [mask[row : row + self.tile, column : column + self.tile] for row, column in places]
        return self._arrange(tiles)

    def _arrange(self, tiles: list[np.ndarray]) -> np.ndarray:
        rows = [
            np.concatenate(tiles[start : start + self.lines], axis=1) for start in range(0, len(tiles), self.lines)
        ]
        return np.concatenate(rows)

    def overview(
        self, sheets: Float[np.ndarray, 'batch height width channel']
    ) -> Float[np.ndarray, 'batch _ _ channel']:
        """The first tile of each."""
        return sheets[:, : self.tile, : self.tile]

    def spread(
        self, heat: Float[np.ndarray, 'side side'], places: Places, shape: tuple[int, int], shown: int
    ) -> Float[np.ndarray, 'shown shown']:
        """A map of a sheet as one of its picture, shrunk to fit a square: of several tiles the highest value.

        Args:
          heat: not below 0, of the sheet.
          places: of its patches.
          shape: height and width of the picture.
          shown: pixels along the side of the square.
        """
        tiles = split_tiles(heat[None, ..., None], self.tile)[..., 0]
        spread = cv2.resize(tiles[0], (shown, shown), interpolation=cv2.INTER_LINEAR).astype(heat.dtype)
        for tile, (top, left, size) in zip(tiles[1:], self.frame(places, shape, shown).tolist(), strict=True):
            part = spread[top : top + size, left : left + size]
            patch = cv2.resize(tile, (size, size), interpolation=cv2.INTER_AREA)
            np.maximum(part, patch[: part.shape[0], : part.shape[1]], out=part)
        return spread

    def frame(self, places: Places, shape: tuple[int, int], shown: int) -> Int[np.ndarray, 'patch 3']:
        """First row, first column and side of each patch in a picture that was shrunk to fit a square.

        Args:
          places, shape, shown: see `spread`.
        """
        factor, margins, _ = _lay(shape, shown)
        corners = np.rint(places * factor).astype(np.int64) + margins
        return np.column_stack([corners, np.full(len(places), max(1, round(self.tile * factor)))])


def _find_uneven(picture: Picture, grid: Places, tile: int) -> Int[np.ndarray, ' uneven']:
    """Which of the places hold more than one grey level, or nearly; all where none does."""
    step = max(1, tile // _FIELDS)
    height, width = (max(1, side // step) for side in picture.shape[:2])
    coarse = (
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        .astype(np.float32)
        .reshape(height, width, -1)
    )
    fields = tile // step
    spreads = np.array([
        coarse[top : top + fields, left : left + fields].std()
        for top, left in np.minimum(grid // step, np.array([height, width]) - 1).tolist()
    ])  # fmt: skip
    return np.flatnonzero(spreads >= _UNEVEN * spreads.max())


def shrink(
    picture: Shaped[np.ndarray, 'height width channel'], side: int
) -> Shaped[np.ndarray, 'side side channel']:
    """A picture within a square, by area where it is larger; none is enlarged. Around it is 0."""
    factor, (above, left), (height, width) = _lay(picture.shape[:2], side)
    if factor < 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    return np.pad(picture, [(above, side - height - above), (left, side - width - left), (0, 0)])


def _lay(shape: tuple[int, ...], side: int) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """How a picture lies in a square that it is shrunk to fit: factor, first row and column, size."""
    factor = min(1.0, side / max(shape))
    height, width = (max(1, round(own * factor)) for own in shape)
    return factor, ((side - height) // 2, (side - width) // 2), (height, width)


def find_hottest(heat: Float[np.ndarray, 'side side'], shape: tuple[int, int]) -> tuple[int, int]:
    """The pixel of a picture of this height and width that is hottest in a map of what `shrink` makes of it."""
    factor, (above, left), (height, width) = _lay(shape, len(heat))
    inside = heat[above : above + height, left : left + width]
    places = np.unravel_index(inside.argmax(), inside.shape)
    row, column = (min(int((own + 0.5) / factor), side - 1) for own, side in zip(places, shape, strict=True))
    return row, column


def split_tiles(sheets: Sheets, tile: int) -> Sheets:
    """Tiles of sheets, sheet by sheet, row by row."""
    batch, height, width, channels = sheets.shape
    parts = sheets.reshape(batch, height // tile, tile, width // tile, tile, channels)
    return parts.transpose(0, 1, 3, 2, 4, 5).reshape(-1, tile, tile, channels)


def join_tiles(tiles: Sheets, lines: int) -> Sheets:
    """Sheets of tiles, so many along a side; of maps of tiles, too, whatever their size."""
    _, height, width, channels = tiles.shape
    parts = tiles.reshape(-1, lines, lines, height, width, channels).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(-1, lines * height, lines * width, channels)
