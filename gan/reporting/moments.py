"""Grids of samples over time, runs in rows and the same moments in columns."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from gan.reporting.curves import plot_losses
from gan.reporting.figures import Sheet, read_grid
from gan.reporting.runs import Run

SHOWN = 4  # rows and columns of a grid
_MOMENTS = 5
_IMAGE = 64  # pixels a side
_LEFT, _RIGHT = 130, 420  # pixels for names and for losses


def choose_moments(runs: Sequence[Run]) -> list[int]:
    """Images seen at the first, at the last, and at grids of the longest run evenly in between."""
    longest = max(runs, key=lambda run: max(run.grids, default=0))
    places = np.asarray(sorted(longest.grids))
    wanted = np.linspace(places[0], places[-1], _MOMENTS)
    return sorted({int(places[np.abs(places - moment).argmin()]) for moment in wanted})


def nearest_grid(run: Run, moment: int, moments: Sequence[int]) -> int | None:
    """Images seen at the grid of a run that is nearest to a moment; None where another moment is nearer."""
    nearest = min(run.grids, key=lambda images: abs(images - moment), default=None)
    if nearest is None or min(moments, key=lambda other: abs(other - nearest)) != moment:
        return None
    return nearest


def draw_comparison(runs: Sequence[Run]) -> Figure | None:
    """Grids at the same moments, and the losses beside them; None where no run has grids."""
    if not any(run.grids for run in runs):
        return None
    moments = choose_moments(runs)
    chosen = [[nearest_grid(run, moment, moments) for moment in moments] for run in runs]
    cells = [
        [None if images is None else _read_cell(run, images) for images in row]
        for run, row in zip(runs, chosen, strict=True)
    ]
    drawn = [cell for row in cells for cell in row if cell is not None]
    tile = max(len(cell) for cell in drawn), max(cell.shape[1] for cell in drawn)
    sheet = Sheet(len(runs), len(moments), tile, left=_LEFT, right=_RIGHT)
    axes = None
    for row, run in enumerate(runs):
        sheet.title_row(row, run.name)
        for column, (cell, images) in enumerate(zip(cells[row], chosen[row], strict=True)):
            if cell is None or images is None:
                sheet.write_in(row, column, 'no grid at this moment')
            else:
                sheet.place(row, column, cell, run.moment(images))
        axes = sheet.axes(row, sharex=axes, sharey=axes)
        plot_losses(axes, run)
        if row == 0:
            axes.set_title('losses by images seen', loc='left', fontsize=8)
            axes.legend(fontsize=7, loc='upper right')
    return sheet.figure


def _read_cell(run: Run, images: int) -> UInt8[np.ndarray, 'height width 3']:
    return read_grid(run.grids[images], run.config.samples, rows=SHOWN, columns=SHOWN, largest=_IMAGE)
