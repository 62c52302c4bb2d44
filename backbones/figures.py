"""A classifier's test as a picture: what is taken for what, and whether its confidence is deserved."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from backbones.assessment import Described, count_confusion
from backbones.calibration import BINS, bin_of, probabilities_of


def draw_assessment(described: Described, temperature: float, classes: Sequence[str], path: Path) -> None:
    """Draws the confusion matrix, and accuracy against confidence, into a PNG."""
    probabilities = probabilities_of(described.logits, temperature)
    predicted = probabilities.argmax(axis=1)
    figure = Figure(figsize=(11, 5), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_confusion(left, count_confusion(described.labels, predicted, len(classes)), classes)
    _draw_reliability(right, probabilities.max(axis=1), predicted == described.labels)
    right.set_title(f'calibration, temperature {temperature:.2f}', fontsize=10)
    temporary = path.with_name(f'{path.name}.tmp')
    figure.savefig(temporary, dpi=100, format='png')
    os.replace(temporary, path)


def _draw_confusion(axis: Axes, confusion: Int[np.ndarray, 'true predicted'], classes: Sequence[str]) -> None:
    axis.imshow(np.sqrt(confusion), cmap='Blues')
    for row, column in np.ndindex(confusion.shape):
        dark = np.sqrt(confusion[row, column]) > np.sqrt(confusion.max()) / 2
        colour = 'w' if dark else 'k'
        axis.text(column, row, str(confusion[row, column]), ha='center', va='center', color=colour, fontsize=8)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha='right', fontsize=8)
    axis.set_yticks(range(len(classes)), classes, fontsize=8)
    axis.set(xlabel='predicted', ylabel='true')
    axis.set_title('test images', fontsize=10)


def _draw_reliability(axis: Axes, confidence: Float[np.ndarray, 'count'], right: np.ndarray) -> None:
    """A point for each bin that has images, and how many these are."""
    axis.plot([0, 1], [0, 1], color='grey', linestyle=':')
    points = reliability(confidence, right)
    axis.plot([point[0] for point in points], [point[1] for point in points], marker='o')
    for mean, share, count in points:
        axis.annotate(str(count), (mean, share), (0, 6), textcoords='offset points', fontsize=7, ha='center')
    axis.set(xlabel='confidence (numbers: images)', ylabel='share that is right', xlim=(0, 1.03), ylim=(0, 1.08))


def reliability(confidence: Float[np.ndarray, 'count'], right: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean confidence, share that is right, and number of images, of each bin that has any."""
    place = bin_of(confidence)
    members = [place == number for number in range(BINS)]
    return [(float(confidence[m].mean()), float(right[m].mean()), int(m.sum())) for m in members if m.any()]
