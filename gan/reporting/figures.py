"""Figures of a report: sheets of pictures in rows and columns, text that is only text, PNG files."""

import functools
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.font_manager
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from PIL import Image

from backbones.grids import TITLE_HEIGHT
from foundation.report.figures import create_figure
from foundation.training.errors import UserError
from gan.recipe import SampleGrid

LARGEST = 128  # pixels a side; larger images are shown reduced
_GAP = 8  # pixels between tiles
_TEXT_HEIGHT = 16  # pixels a line of text
_FONT_SIZE = 8


def printable(text: str) -> str:
    """The text with `?` for every character that the font of figures does not have."""
    known = _known_characters()
    return ''.join(character if ord(character) in known else '?' for character in text)


@functools.cache
def _known_characters() -> set[int]:
    path = matplotlib.font_manager.findfont(matplotlib.font_manager.FontProperties())
    return set(matplotlib.font_manager.get_font(path).get_charmap())


def shrink(picture: UInt8[np.ndarray, 'height width 3'], factor: int) -> UInt8[np.ndarray, 'rows columns 3']:
    """Means of squares of `factor` pixels a side."""
    return np.asarray(Image.fromarray(picture).reduce(factor)) if factor > 1 else picture


def read_grid(
    path: Path, samples: SampleGrid, *, rows: int, columns: int, largest: int
) -> UInt8[np.ndarray, 'height width 3']:
    """The first rows and columns of a picture of samples.

    Args:
      path: the picture.
      samples: its rows and columns, as the run has them now.
      rows, columns: how many are wanted.
      largest: pixels a side of an image; larger ones are reduced.

    Raises:
      UserError: when it cannot be read.
    """
    try:
        with Image.open(path) as file:
            grid = np.asarray(file.convert('RGB'))
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error}); remove it and start again.') from error
    cell = grid.shape[1] // samples.columns
    if len(grid) == samples.rows * cell + TITLE_HEIGHT:  # with the names of classes
        grid = grid[TITLE_HEIGHT:]
    if cell == 0 or grid.shape != (samples.rows * cell, samples.columns * cell, 3):
        # Drawn when the config asked for another grid: all of it is shown.
        return shrink(grid, -(-max(grid.shape) // (columns * largest)))
    return shrink(grid[: rows * cell, : columns * cell], max(cell // largest, 1))


class Sheet:
    """Tiles in rows and columns, each with a line of text below it.

    Args:
      rows, columns: tiles.
      tile: height and width of each, in pixels.
      left, right: pixels beside them, for titles of rows and for further axes.
    """

    def __init__(self, rows: int, columns: int, tile: tuple[int, int], *, left: int, right: int) -> None:
        self._tile, self._left = tile, left
        self._width = left + columns * (tile[1] + _GAP) + right
        self._height = 2 * _TEXT_HEIGHT + rows * (tile[0] + _TEXT_HEIGHT + _GAP)
        self._right = right
        self.figure = create_figure(self._width, self._height)

    def place(self, row: int, column: int, picture: UInt8[np.ndarray, 'height width 3'], caption: str) -> None:
        """Draws a picture, pixel by pixel, with a line below it."""
        x, y = self._corner(row, column)
        self.figure.figimage(picture, xo=x, yo=self._height - y - len(picture))
        self._write(x, y + len(picture) + 2, caption)

    def write_in(self, row: int, column: int, text: str) -> None:
        """Writes in the place of a picture."""
        x, y = self._corner(row, column)
        self._write(x, y + self._tile[0] // 2, text, color='grey')

    def title_column(self, column: int, text: str) -> None:
        """Writes above a column, as far as there is room beyond it."""
        self._write(self._corner(0, column)[0], _TEXT_HEIGHT // 2, text)

    def title_row(self, row: int, text: str) -> None:
        """Writes to the left of a row, in as many lines as it takes."""
        pieces = textwrap.wrap(text, max(self._left // 7, 1))
        self._write(4, self._corner(row, 0)[1], '\n'.join(pieces), weight='bold')

    def axes(self, row: int, **options: Any) -> Axes:
        """Axes to the right of a row."""
        y = self._corner(row, 0)[1]
        left = self._width - self._right + 50
        width, height = (self._right - 80) / self._width, self._tile[0] / self._height
        return self.figure.add_axes((left / self._width, 1 - y / self._height - height, width, height), **options)

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        """Pixels from the left and from the top."""
        height, width = self._tile
        return (
            self._left + column * (width + _GAP),
            2 * _TEXT_HEIGHT + row * (height + _TEXT_HEIGHT + _GAP),
        )

    def _write(self, x: int, y: int, text: str, **style: Any) -> None:
        lines = '\n'.join(printable(line) for line in text.split('\n'))
        place = (x / self._width, 1 - y / self._height)
        # A dollar sign in a name must not start a formula.
        self.figure.text(*place, lines, fontsize=_FONT_SIZE, va='top', parse_math=False, **style)
