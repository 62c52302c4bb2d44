"""Figures by matplotlib, drawn without a display and written whole."""

import io
from pathlib import Path
from typing import Any

from foundation.files import write_file

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
