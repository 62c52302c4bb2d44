"""Metrics of several runs in one figure."""

import functools
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from foundation.report.figures import create_figure
from gan.reporting.figures import printable
from gan.reporting.runs import ReportedRun

_DISTANCE = 'distance to training images (features of the watch)'
# Title to the metrics in one panel, each with its kind of line.
_PANELS = {
    'generator loss': {'generator_loss': '-'},
    'discriminator loss': {'discriminator_loss': '-'},
    _DISTANCE: {'distance': '-'},
    'coverage of training images': {'coverage': '-'},
    'logits (solid: real, dashed: generated)': {'real_logits': '-', 'fake_logits': '--'},
    'gradient norms (solid: generator, dashed: discriminator)': {
        'generator_gradient_norm': '-',
        'discriminator_gradient_norm': '--',
    },
    'augmentation probability': {'augmentation_probability': '-'},
    'signs of real logits (near 1: overfitting)': {'real_signs': '-'},
    'penalty': {'penalty': '-'},
    'class losses (solid: real, dashed: generated)': {'real_class_loss': '-', 'fake_class_loss': '--'},
    'images a second': {'images_per_second': '-'},
}
_LOSSES = {'generator': ('generator_loss', '--'), 'discriminator': ('discriminator_loss', '-')}
_COLUMNS, _PANEL_WIDTH, _PANEL_HEIGHT = 2, 560, 230  # pixels
_EDGE = 60  # pixels around and between panels
_SMOOTHED_FROM, _WINDOWS = 100, 40  # with so many values, running means over a 40th of them are drawn


def draw_curves(runs: Sequence[ReportedRun], *, by_epochs: bool) -> Figure | None:
    """A panel for each metric that a run has; None where none has any.

    Args:
      runs: a colour each.
      by_epochs: count epochs of each run's own data instead of images.
    """
    panels = {title: names for title, names in _PANELS.items() if any(_has(run, names) for run in runs)}
    if not panels:
        return None
    rows = -(-len(panels) // _COLUMNS)
    width, height = _COLUMNS * (_PANEL_WIDTH + _EDGE) + _EDGE, rows * (_PANEL_HEIGHT + _EDGE) + 2 * _EDGE
    figure = create_figure(width, height)
    axes = list(figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False).ravel())
    figure.subplots_adjust(
        left=_EDGE / width, right=1 - 20 / width, top=1 - 1.7 * _EDGE / height, bottom=_EDGE / height, hspace=0.2
    )
    for axis, (title, names) in zip(axes, panels.items(), strict=False):
        for number, run in enumerate(runs):
            for name, style in names.items():
                plot(axis, run, name, by_epochs=by_epochs, color=colour(number, len(runs)), linestyle=style)
        axis.set_title(title, loc='left', fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        if title == _DISTANCE:
            _finish_distance(axis, runs, by_epochs=by_epochs)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    _label(figure, axes[: len(panels)], runs, by_epochs=by_epochs)
    return figure


def plot(axis: Axes, run: ReportedRun, name: str, *, by_epochs: bool, **style: Any) -> None:
    """Draws one metric: as logged, and where there are many values faintly so, with their running mean.

    The line is broken where the log has no value of a metric that it has elsewhere.
    """
    places, values = series(run, name)
    if by_epochs:
        places = places / run.facts.num_examples
    smoothed = len(values) >= _SMOOTHED_FROM
    axis.plot(places, values, linewidth=0.7 if smoothed else 1.2, alpha=0.2 if smoothed else 1.0, **style)
    if smoothed:
        axis.plot(places, running_mean(values, len(values) // _WINDOWS), linewidth=1.4, zorder=3, **style)
    known = np.pad(np.isfinite(values), 1)
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    axis.plot(places[alone], values[alone], linestyle='none', marker='.', markersize=4, color=style['color'])


def _finish_distance(axis: Axes, runs: Sequence[ReportedRun], *, by_epochs: bool) -> None:
    """A logarithmic scale with plain numbers, and a cross at each collapse."""
    axis.set_yscale('log')
    low, high = axis.get_ylim()
    axis.yaxis.set_major_formatter('{x:g}')
    axis.yaxis.set_minor_formatter('{x:g}' if high < 10 * low else NullFormatter())
    axis.tick_params(which='minor', labelsize=7)
    for number, run in enumerate(runs):
        measured = run.scores()
        for images in run.collapses():
            if images in measured:
                place = run.epochs(images) if by_epochs else images
                axis.plot(place, measured[images], 'x', color=colour(number, len(runs)), markersize=6)


def plot_losses(axis: Axes, run: ReportedRun) -> None:
    """Draws the losses of both networks."""
    for label, (name, style) in _LOSSES.items():
        plot(axis, run, name, by_epochs=False, color=colour(int(style == '--'), 2), linestyle=style)
        axis.plot([], [], color=colour(int(style == '--'), 2), linestyle=style, label=label)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=7)


def series(run: ReportedRun, name: str) -> tuple[Float[np.ndarray, ' lines'], Float[np.ndarray, ' lines']]:
    """Images seen, and a metric there: NaN on a line of the kind that has it, where it was not finite."""
    # Training and the watch write lines of their own.
    of_training = {'images_per_second' in line for line in run.lines if name in line}
    lines = [line for line in run.lines if 'phase' in line and ('images_per_second' in line) in of_training]
    places = [line['images_seen'] for line in lines]
    return np.asarray(places, np.float64), np.asarray([line.get(name, np.nan) for line in lines], np.float64)


def running_mean(values: Float[np.ndarray, ' lines'], width: int) -> Float[np.ndarray, ' lines']:
    """Means over `width` values around each; NaN stays NaN and counts nowhere."""
    known = np.isfinite(values)
    window = np.ones(max(width, 1))
    totals = np.convolve(np.where(known, values, 0), window, mode='same')
    counts = np.convolve(known.astype(np.float64), window, mode='same')
    return np.where(known, totals / np.maximum(counts, 1), np.nan)


def colour(number: int, count: int) -> tuple[float, ...]:
    """One of `count` colours that are told apart."""
    if count <= 10:
        return mpl.colormaps['tab10'](number)
    return mpl.colormaps['turbo'](0.05 + 0.9 * number / (count - 1))


def _has(run: ReportedRun, names: dict[str, str]) -> bool:
    return any(name in line for line in run.lines for name in names)


def _label(figure: Figure, axes: Sequence[Axes], runs: Sequence[ReportedRun], *, by_epochs: bool) -> None:
    """Units, the legend, and epochs above where they are the same for all."""
    for axis in axes[-_COLUMNS:]:
        axis.set_xlabel('epochs' if by_epochs else 'images seen', fontsize=8)
        axis.tick_params(labelbottom=True)
    examples = {run.facts.num_examples for run in runs}
    if not by_epochs and len(examples) == 1:
        (per_epoch,) = examples
        ways = (functools.partial(np.multiply, 1 / per_epoch), functools.partial(np.multiply, per_epoch))
        for axis in axes[:_COLUMNS]:
            above = axis.secondary_xaxis('top', functions=ways)
            above.tick_params(labelsize=7)
            above.set_xlabel('epochs', fontsize=7, loc='right')
    handles = [axes[0].plot([], [], color=colour(number, len(runs)))[0] for number in range(len(runs))]
    # A name that begins with an underscore would be left out of the legend.
    labels = [f' {printable(run.name)}' for run in runs]
    legend = figure.legend(handles, labels, loc='upper left', ncols=4, fontsize=9, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
