"""Euclidean distances between many vectors, a tile at a time, in float64.

Squared distances are computed as |a|^2 + |b|^2 - 2ab of centred vectors; those that are 0 but for rounding are 0,
so that copies are found as such.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float64, Int, Int64

from foundation.statistics.jackknife import tiles

ROWS, COLUMNS = 1024, 4096  # of a tile: 32 MiB
# Share of |a|^2 + |b|^2 that is rounding: distances that differ by less are equal.
ROUNDING = 1e-12
Features = Float[np.ndarray, '_ feature']


def mean_of(features: Features) -> Float64[np.ndarray, ' feature']:
    """The mean vector in float64, to be subtracted from what is compared."""
    return features.mean(axis=0, dtype=np.float64)


def squared_distances(
    first: Float64[np.ndarray, 'row feature'], second: Float64[np.ndarray, 'column feature']
) -> Float64[np.ndarray, 'row column']:
    """Squared distances of one tile; best of vectors whose mean is near 0."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    squared = first @ second.T
    squared *= -2
    squared += squares
    squares *= ROUNDING
    squared[squared <= squares] = 0
    return squared


def distance_tiles(
    first: Features, second: Features, centre: Float64[np.ndarray, ' feature']
) -> Iterator[tuple[slice, slice, Float64[np.ndarray, 'row column']]]:
    """Rows, columns and squared distances of all tiles; row by row."""
    for rows in tiles(len(first), ROWS):
        centred = first[rows] - centre
        for columns in tiles(len(second), COLUMNS):
            yield rows, columns, squared_distances(centred, second[columns] - centre)


def nearest(
    queries: Float[np.ndarray, 'query feature'], others: Features
) -> tuple[Float64[np.ndarray, ' query'], Int64[np.ndarray, ' query']]:
    """Distance to the nearest of `others`, and which one it is (one of them where several are as near).

    Raises:
      ValueError: when there are no others.
    """
    return _nearest(queries, others, np.full(len(queries), -1))


def nearest_other(
    points: Features, chosen: Int[np.ndarray, ' query']
) -> tuple[Float64[np.ndarray, ' query'], Int64[np.ndarray, ' query']]:
    """Distance from the chosen points to the nearest point that is another one, and which it is.

    Raises:
      ValueError: when there is one point only.
    """
    if len(points) < 2:
        raise ValueError('One point has no neighbour.')
    return _nearest(points[chosen], points, chosen)


def _nearest(
    queries: Float[np.ndarray, 'query feature'], others: Features, skipped: Int[np.ndarray, ' query']
) -> tuple[Float64[np.ndarray, ' query'], Int64[np.ndarray, ' query']]:
    if not len(others):
        raise ValueError('There is nothing to be near to.')
    best = np.full(len(queries), np.inf)
    indices = np.zeros(len(queries), np.int64)
    for rows, columns, squared in distance_tiles(queries, others, mean_of(others)):
        hide_pairs(squared, skipped[rows] - columns.start)
        places = squared.argmin(axis=1)
        least = np.take_along_axis(squared, places[:, None], axis=1)[:, 0]
        nearer = least < best[rows]
        best[rows][nearer] = least[nearer]
        indices[rows][nearer] = places[nearer] + columns.start
    # Once more by differences, which lose no precision.
    exact = np.empty(len(queries))
    for rows in tiles(len(queries), ROWS):
        differences = queries[rows].astype(np.float64) - others[indices[rows]]
        exact[rows] = np.sqrt((differences**2).sum(axis=1))
    return exact, indices


def hide_pairs(squared: Float64[np.ndarray, 'row column'], columns: Int[np.ndarray, ' row']) -> None:
    """Makes the distance of each row to its own column infinite, where that column is in the tile."""
    inside = (columns >= 0) & (columns < squared.shape[1])
    squared[np.flatnonzero(inside), columns[inside]] = np.inf
