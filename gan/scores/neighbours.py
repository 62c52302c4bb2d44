"""Precision, recall, density and coverage: do generated images lie among the real ones, and everywhere among them.

A vector's ball reaches to its k-th nearest other vector of its set. Without a group, balls grow; for exact
replicates, the k nearest of every group are kept for each vector. All distances are squared.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from foundation.statistics.jackknife import (
    POSITIVE,
    SHARE,
    FeatureSample,
    Missing,
    Score,
    create_estimate,
    find_faults,
    kept_groups,
    tiles,
)
from gan.scores.distances import ROUNDING, ROWS, distance_tiles, hide_pairs, mean_of

PRECISION_NEIGHBOURS = 3  # of precision and recall
COVERAGE_NEIGHBOURS = 5  # of density and coverage
_TIE = 1e3 * ROUNDING  # relative difference of distances that are equal but for rounding
_BOUNDS = {'precision': SHARE, 'recall': SHARE, 'density': POSITIVE, 'coverage': SHARE}
SCORES = tuple(_BOUNDS)
Radii = Float64[np.ndarray, 'count replicate']


def coverage(
    real: Float[np.ndarray, 'real feature'], generated: Float[np.ndarray, 'generated feature'], neighbours: int
) -> float:
    """Share of the real vectors with a generated one nearer than their k-th real neighbour (strictly).

    Naeem et al. 2020, arXiv:2002.09797, equation 4.

    Returns:
      A share, 0 where everything generated is somewhere else; NaN where a feature is not finite.

    Raises:
      ValueError: when there are not more real vectors than neighbours.
    """
    if len(real) <= neighbours:
        raise ValueError(f'{len(real)} real vectors have no neighbour number {neighbours}.')
    if not (np.isfinite(real).all() and np.isfinite(generated).all()):
        return float('nan')
    centre = mean_of(real)
    one_group = FeatureSample(real, np.zeros(len(real), np.int64), 2)  # of two; the other one is empty
    radii = _radii(_nearest_of_groups(one_group, centre, neighbours), neighbours)[:, 0]
    least = np.full(len(real), np.inf)
    for rows, _, squared in distance_tiles(real, generated, centre):
        least[rows] = np.minimum(least[rows], squared.min(axis=1))
    return float((least < radii * (1 - _TIE)).mean())


def precision_recall_density_coverage(generated: FeatureSample, reference: FeatureSample) -> dict[str, Score]:
    """The four shares (density may exceed 1), by the names in SCORES; higher is better.

    Precision: share of the generated vectors in a ball of the reference; recall: share of the reference in a ball
    of the generated (k = 3, balls with their surface; Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1, 2).
    Density: balls of the reference around a generated vector, over k; coverage: share of the balls of the
    reference with a generated vector inside (k = 5, balls without their surface; Naeem et al. 2020,
    arXiv:2002.09797, equations 3 and 4).
    """
    minimum = COVERAGE_NEIGHBOURS + 1
    if fault := find_faults(minimum, generated=generated, reference=reference):
        return {name: Missing(fault.reason) for name in SCORES}
    generated, reference = _sorted(generated), _sorted(reference)
    centre = mean_of(reference.values)
    around_reference = _nearest_of_groups(reference, centre, COVERAGE_NEIGHBOURS)
    around_generated = _nearest_of_groups(generated, centre, PRECISION_NEIGHBOURS)
    balls = _Balls(
        closed=_radii(around_reference, PRECISION_NEIGHBOURS) * (1 + _TIE),
        open=_radii(around_reference, COVERAGE_NEIGHBOURS) * (1 - _TIE),
        generated=_radii(around_generated, PRECISION_NEIGHBOURS) * (1 + _TIE),
    )
    values = _Membership(generated, reference, balls).measure(centre)
    counts = {'generated': len(generated), 'reference': len(reference)}
    return {name: create_estimate(values[name], bounds, **counts) for name, bounds in _BOUNDS.items()}


def _sorted(sample: FeatureSample) -> FeatureSample:
    """By group, so that the vectors of a group lie together."""
    order = np.argsort(sample.groups, kind='stable')
    return FeatureSample(sample.values[order], sample.groups[order], sample.group_count)


def _nearest_of_groups(
    sample: FeatureSample, centre: Float64[np.ndarray, ' feature'], neighbours: int
) -> Float64[np.ndarray, 'count group neighbour']:
    """Squared distances to the nearest other vectors in each group, in any order; infinite where none is."""
    nearest = np.full((len(sample), sample.group_count, neighbours), np.inf)
    starts = np.concatenate([[0], np.cumsum(sample.sizes)])
    for rows, columns, squared in distance_tiles(sample.values, sample.values, centre):
        hide_pairs(squared, np.arange(rows.start, rows.stop) - columns.start)
        for group in range(sample.group_count):
            first = max(starts[group] - columns.start, 0)
            part = squared[:, first : max(starts[group + 1] - columns.start, 0)]
            if part.size:
                every = np.concatenate([nearest[rows, group], part], axis=1)
                nearest[rows, group] = np.partition(every, neighbours - 1, axis=1)[:, :neighbours]
    return nearest


def _radii(nearest: Float64[np.ndarray, 'count group neighbour'], neighbours: int) -> Radii:
    """Squared distance to the k-th nearest vector, of all and without each group."""
    kept = kept_groups(nearest.shape[1]).astype(bool)
    radii = np.empty((len(nearest), len(kept)))
    for rows in tiles(len(nearest), ROWS):
        for replicate, groups in enumerate(kept):
            candidates = nearest[rows][:, groups].reshape(rows.stop - rows.start, -1)
            radii[rows, replicate] = np.partition(candidates, neighbours - 1, axis=1)[:, neighbours - 1]
    return radii


@dataclasses.dataclass(frozen=True)
class _Balls:
    """Squared radii for all images and without each group.

    Attributes:
      closed: of the reference, to their surface and with it.
      open: of the reference, wider ones without their surface.
      generated: of the generated vectors, with their surface.
    """

    closed: Radii
    open: Radii
    generated: Float64[np.ndarray, 'generated replicate']


class _Membership:
    """Which vectors are in which balls, of all images and without each group.

    Of all pairs, few are near enough to matter; only those are compared for each replicate.
    """

    def __init__(self, generated: FeatureSample, reference: FeatureSample, balls: _Balls) -> None:
        self._generated, self._reference, self._balls = generated, reference, balls
        self._kept = kept_groups(generated.group_count).astype(bool).T  # group, replicate
        shape = len(generated), len(self._kept.T)
        self._precise = np.zeros(shape, bool)
        self._recalled = np.zeros((len(reference), shape[1]), bool)
        self._covered = np.zeros((len(reference), shape[1]), bool)
        self._density = np.zeros(shape[1])

    def measure(self, centre: Float64[np.ndarray, ' feature']) -> dict[str, Float64[np.ndarray, ' replicate']]:
        """The scores by name."""
        generated, reference = self._generated, self._reference
        reach = np.maximum(_widest(self._balls.closed), _widest(self._balls.open))
        reach_generated = _widest(self._balls.generated)
        for rows, columns, squared in distance_tiles(generated.values, reference.values, centre):
            for near in _near_pairs(squared <= reach[columns]):
                self._in_reference(rows, columns, squared, near)
            for near in _near_pairs(squared <= reach_generated[rows, None]):
                self._in_generated(rows, columns, squared, near)
        kept = self._kept.T
        counts = kept @ generated.sizes, kept @ reference.sizes
        return {
            'precision': self._count(self._precise, generated) / counts[0],
            'recall': self._count(self._recalled, reference) / counts[1],
            'density': self._density / (COVERAGE_NEIGHBOURS * counts[0]),
            'coverage': self._count(self._covered, reference) / counts[1],
        }

    def _in_reference(
        self, rows: slice, columns: slice, squared: Float64[np.ndarray, 'row column'], near: np.ndarray
    ) -> None:
        """Near pairs, of which the generated vector may be in the ball of the reference."""
        row, column = near // squared.shape[1], near % squared.shape[1]
        distance, ball = squared[row, column][:, None], column + columns.start
        both = self._both(row + rows.start, ball)
        pair, replicate = np.nonzero((distance <= self._balls.closed[ball]) & both)
        self._precise[row[pair] + rows.start, replicate] = True
        inside = (distance < self._balls.open[ball]) & both
        self._density += inside.sum(axis=0)
        pair, replicate = np.nonzero(inside)
        self._covered[ball[pair], replicate] = True

    def _in_generated(
        self, rows: slice, columns: slice, squared: Float64[np.ndarray, 'row column'], near: np.ndarray
    ) -> None:
        """Near pairs, of which the reference vector may be in the ball of the generated."""
        row, column = near // squared.shape[1], near % squared.shape[1]
        distance, ball = squared[row, column][:, None], row + rows.start
        inside = (distance <= self._balls.generated[ball]) & self._both(ball, column + columns.start)
        pair, replicate = np.nonzero(inside)
        self._recalled[column[pair] + columns.start, replicate] = True

    def _both(
        self, generated: Int[np.ndarray, ' pair'], reference: Int[np.ndarray, ' pair']
    ) -> Bool[np.ndarray, 'pair replicate']:
        """Whether both vectors of a pair are left in a replicate."""
        return self._kept[self._generated.groups[generated]] & self._kept[self._reference.groups[reference]]

    def _count(
        self, flags: Bool[np.ndarray, 'count replicate'], sample: FeatureSample
    ) -> Int[np.ndarray, ' replicate']:
        return (flags & self._kept[sample.groups]).sum(axis=0)


def _widest(radii: Radii) -> Float64[np.ndarray, ' count']:
    """The radius of the replicate in which it is largest."""
    return radii.max(axis=1)


def _near_pairs(near: Bool[np.ndarray, 'row column']) -> Iterator[np.ndarray]:
    """Flat places of pairs, in parts, since all pairs are near where all vectors are equal."""
    places = np.flatnonzero(near)
    for part in tiles(len(places), 2**17):
        yield places[part]
