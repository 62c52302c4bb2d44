"""Which grey levels lie beside each other: pairs, runs, zones and neighbourhoods.

Images have any number of axes. Their pixels hold the index of a grey level; OUTSIDE marks what is not looked at.
Definitions: Image Biomarker Standardisation Initiative (Zwanenburg et al. 2016, arXiv:1612.07003, chapter 3).
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

OUTSIDE = -1
Levels = Int[np.ndarray, '...']
Offset = tuple[int, ...]


class Extents(NamedTuple):
    """Runs or zones: parts of an image of one grey level.

    Attributes:
      levels: index of each one's grey level.
      sizes: its pixels.
    """

    levels: Int[np.ndarray, ' extent']
    sizes: Int[np.ndarray, ' extent']


def half_neighbourhood(axes: int) -> list[Offset]:
    """One of each two opposite directions to a neighbour: 4 in the plane, 13 in space."""
    return [offset for offset in itertools.product((-1, 0, 1), repeat=axes) if offset > (0,) * axes]


def count_pairs(levels: Levels, count: int, offset: Offset) -> Int[np.ndarray, 'level level']:
    """How often one of `count` grey levels lies beside another in a direction and against it: symmetric."""
    one, other = _pair(levels, offset)
    inside = (one != OUTSIDE) & (other != OUTSIDE)
    pairs = np.bincount(one[inside] * count + other[inside], minlength=count**2).reshape(count, count)
    return pairs + pairs.T


def find_runs(levels: Levels, offset: Offset) -> Extents:
    """Runs of equal grey levels in a direction."""
    order, starts = _lines(levels.shape, offset)
    along = levels.ravel()[order]
    begins = starts.copy()
    begins[1:] |= along[1:] != along[:-1]
    first = np.flatnonzero(begins)
    sizes = np.diff(first, append=len(along))
    inside = along[first] != OUTSIDE
    return Extents(along[first][inside], sizes[inside])


def find_zones(levels: Levels) -> Extents:
    """Connected zones of equal grey levels; neighbours are those of corners, too."""
    flat = levels.ravel()
    places = np.arange(levels.size).reshape(levels.shape)
    edges = []
    for offset in half_neighbourhood(levels.ndim):
        one, other = _pair(levels, offset)
        equal = (one == other) & (one != OUTSIDE)
        edges.append([side[equal] for side in _pair(places, offset)])
    rows, columns = (np.concatenate(side) for side in zip(*edges, strict=True))
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(levels.size, levels.size))
    _, zones = connected_components(graph, directed=False)
    _, first, sizes = np.unique(zones, return_index=True, return_counts=True)
    inside = flat[first] != OUTSIDE
    return Extents(flat[first][inside], sizes[inside])


def sum_differences(
    levels: Levels, grey: Float[np.ndarray, ' level']
) -> tuple[Float[np.ndarray, ' level'], Float[np.ndarray, ' level']]:
    """How much pixels of each grey level differ from the mean of their neighbours, and how many have a neighbour.

    Args:
      levels: the image.
      grey: what each index stands for.
    """
    inside = levels != OUTSIDE
    values = np.where(inside, grey[levels], 0)
    totals, numbers = np.zeros(levels.shape), np.zeros(levels.shape)
    for offset in itertools.product((-1, 0, 1), repeat=levels.ndim):
        if any(offset):
            here, there = _sides(offset)
            totals[here] += values[there]
            numbers[here] += inside[there]
    valid = inside & (numbers > 0)
    differences = np.abs(values[valid] - totals[valid] / numbers[valid])
    found = levels[valid]
    return np.bincount(found, differences, len(grey)), np.bincount(found, minlength=len(grey)).astype(float)


def _pair(values: np.ndarray, offset: Offset) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that have a neighbour in a direction, and these neighbours."""
    here, there = _sides(offset)
    return values[here], values[there]


def _sides(offset: Offset) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    here = tuple(slice(max(-step, 0), -step if step > 0 else None) for step in offset)
    there = tuple(slice(max(step, 0), step if step < 0 else None) for step in offset)
    return here, there


@functools.lru_cache(maxsize=64)
def _lines(shape: tuple[int, ...], offset: Offset) -> tuple[Int[np.ndarray, ' pixel'], np.ndarray]:
    """All pixels, line by line in a direction, and whether a line begins at each."""
    places = np.indices(shape).reshape(len(shape), -1)
    room = [
        place if step > 0 else size - 1 - place if step < 0 else np.full_like(place, max(shape))
        for place, size, step in zip(places, shape, offset, strict=True)
    ]  # pixels before this one, in its line
    before = np.minimum.reduce(room)
    first = np.ravel_multi_index(tuple(places - before * np.array(offset)[:, None]), shape)
    order = np.lexsort((before, first))
    return order, before[order] == 0
