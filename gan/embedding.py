"""Codes in a plane, coloured by class: two numbers as they are, more along their principal axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from foundation.report.figures import create_figure
from gan.reporting.curves import colour
from gan.reporting.figures import printable


def project_to_plane(
    codes: Float[np.ndarray, 'image size'],
) -> tuple[Float[np.ndarray, 'image 2'], tuple[str, str]]:
    """Places of codes in a plane, and what its axes are."""
    count, size = codes.shape
    if size <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - size))), ('first number of the code', 'second number of the code')
    centred = np.asarray(codes, np.float64) - codes.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    shares = np.square(lengths) / max(np.square(lengths).sum(), 1e-300)
    names = [f'principal axis {axis + 1} ({shares[axis]:.0%} of the variance)' for axis in range(min(2, count))]
    return (left * lengths)[:, :2], (names[0], names[-1])


def draw_embedding(
    codes: Float[np.ndarray, 'image size'], labels: Int[np.ndarray, ' image'], classes: Sequence[str]
) -> Figure:
    """A point for each code, in the colour of its class; grey where it has none."""
    places, axes = project_to_plane(codes)
    figure = create_figure(640, 480, layout='constrained')
    plane = figure.subplots()
    for label in np.unique(labels):
        own = places[labels == label]
        shown: dict[str, Any] = {'color': 'grey', 'label': 'no class'}
        if 0 <= label < len(classes):
            shown = {'color': colour(int(label), len(classes)), 'label': f' {printable(classes[label])}'}
        plane.scatter(*own.T, s=6, alpha=0.7, **shown)
    plane.set(xlabel=axes[0], ylabel=axes[1])
    for text in plane.legend(fontsize=8).get_texts():
        text.set_parse_math(False)
    return figure
