"""Figures by matplotlib, drawn without a display and written whole."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.files import write_file
from foundation.statistics.calibration import ReliabilityBin

DPI = 100


def create_figure(width: int, height: int, **layout: Any) -> Any:
    """A matplotlib figure; matplotlib is imported only here, as commands that draw nothing start without it.

    Args:
      width, height: in pixels.
      **layout: of `matplotlib.figure.Figure`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A little more, since a size that rounding made smaller would lose a row of pixels.
    figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI, **layout)
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Any, path: Path) -> None:
    """Writes a figure as PNG, atomically."""
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=DPI)
    write_file(path, content.getvalue())


def draw_reliability(axis: Any, bins: Sequence[ReliabilityBin]) -> None:
    """A point for each bin, of what was predicted and how often it was true, with its number of images."""
    axis.plot([0, 1], [0, 1], color='grey', linestyle=':')
    axis.plot([one.probability for one in bins], [one.share for one in bins], marker='o')
    for one in bins:
        place = (one.probability, one.share)
        axis.annotate(str(one.images), place, (0, 6), textcoords='offset points', fontsize=7, ha='center')
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.08))
