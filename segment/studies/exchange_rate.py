"""How many real images one generated image is worth, read off a learning curve of real images alone."""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.optimize
from jaxtyping import Float, Float64, Int

from foundation.statistics.differences import Difference, fill_cells, hierarchical_bootstrap

_FEWEST_POINTS = 3
Cells = Float[np.ndarray, 'seeds patients']


@dataclasses.dataclass(frozen=True)
class Worth:
    """What one generated image is worth.

    Attributes:
      real_images: that one generated image replaces; negative where it harms; None where it cannot be told.
      equivalent_count: real images that do as well as the real and generated ones together.
      interval: of `real_images`; an end is None where it lies beyond the curve. None where there is none.
      reason: one sentence where a number is missing.
    """

    real_images: float | None
    equivalent_count: float | None
    interval: tuple[float | None, float | None] | None
    reason: str | None


def worth_of_synthetic(
    counts: Int[np.ndarray, ' points'],
    curve: Float[np.ndarray, 'points seeds patients'],
    augmented: Cells,
    *,
    real_count: int,
    synthetic_count: int,
    level: float,
    resamples: int,
    seed: int,
) -> Worth:
    """One generated image is worth (n - real_count) / synthetic_count real ones, where n real ones do as well.

    The curve is the isotonic fit to the means of its points, linear in the logarithm of the count between them.
    The interval holds the n at which the difference to the curve is not told from 0 by `hierarchical_bootstrap`:
    it covers the draw of seeds and patients in the curve, too, but which points are averaged stays fixed.

    Args:
      counts: real images at each point, rising.
      curve: Dice with real images alone; NaN where there is none.
      augmented: Dice with `real_count` real images and `synthetic_count` generated ones, for the same seeds and
        patients.
      level: coverage of the interval.
      resamples, seed: see `hierarchical_bootstrap`.

    Raises:
      ValueError: for counts that are not positive or do not rise, or cells that do not fit.
    """
    _check(counts, curve, augmented, real_count, synthetic_count)
    if len(counts) < _FEWEST_POINTS:
        reason = f'a learning curve needs {_FEWEST_POINTS} numbers of real images or more, not {len(counts)}.'
        return Worth(None, None, None, reason)
    means = _means(np.concatenate([curve, augmented[None]]))
    if means is None:
        return Worth(None, None, None, 'the arms have too few seeds and patients in common.')
    pooling = _pooling(means[:-1])
    places, fitted, target = np.log(counts), pooling @ means[:-1], means[-1]
    fault = _find_fault(fitted, target)
    if fault is not None:
        return Worth(None, None, None, fault)
    best = _invert(places, fitted, target)

    def gap(place: float) -> Difference:
        """Augmented minus the curve."""
        weights = _interpolate(places, place) @ pooling
        return hierarchical_bootstrap(augmented - np.tensordot(weights, curve, 1), resamples=resamples, seed=seed)

    def worth(place: float | None) -> float | None:
        return None if place is None else (float(np.exp(place)) - real_count) / synthetic_count

    found = gap(best)
    if found.distribution is None:
        return Worth(worth(best), float(np.exp(best)), None, found.reason)
    ends = (_find_end(gap, best, places[0], 0, level), _find_end(gap, best, places[-1], 1, level))
    beyond = 'the interval goes beyond the learning curve.' if None in ends else None
    return Worth(worth(best), float(np.exp(best)), (worth(ends[0]), worth(ends[1])), beyond)


def _check(
    counts: np.ndarray, curve: np.ndarray, augmented: np.ndarray, real_count: int, synthetic_count: int
) -> None:
    if len(curve) != len(counts) or curve.shape[1:] != augmented.shape:
        raise ValueError(f'A curve of {curve.shape}, {len(counts)} counts and {augmented.shape} do not fit.')
    if (np.diff(counts) <= 0).any() or (counts <= 0).any() or real_count <= 0 or synthetic_count <= 0:
        raise ValueError('Numbers of images are positive, and rise along the curve.')


def _means(
    arms: Float[np.ndarray, 'arms seeds patients'],
) -> Float64[np.ndarray, ' arms'] | None:
    """Means as in `hierarchical_bootstrap`, over cells that all arms have; None where they do not suffice."""
    known = np.isfinite(arms).all(axis=0)
    kept = np.ix_(known.any(axis=1), known.any(axis=0))
    if not known.any():
        return None
    means = []
    for arm in arms:
        filled = fill_cells(np.asarray(arm[kept], np.float64), known[kept])
        if filled is None:
            return None
        means.append(filled.mean())
    return np.array(means)


def _pooling(means: Float64[np.ndarray, ' points']) -> Float64[np.ndarray, 'points points']:
    """The matrix that turns means into their isotonic fit, which averages neighbours that fall."""
    blocks = scipy.optimize.isotonic_regression(means).blocks
    of_points = np.repeat(np.arange(len(blocks) - 1), np.diff(blocks))
    same = of_points[:, None] == of_points
    return same / same.sum(axis=1, keepdims=True)


def _find_fault(fitted: Float64[np.ndarray, ' points'], target: float) -> str | None:
    """Why the curve has no place for a target; None where it has one."""
    low, high = float(fitted[0]), float(fitted[-1])
    if np.isclose(low, high, rtol=0, atol=1e-9):
        return 'more real images do not raise the Dice, so that there is nothing to compare with.'
    if low <= target <= high:
        return None
    return f'a Dice of {target:.4f} lies outside the learning curve, which goes from {low:.4f} to {high:.4f}.'


def _invert(places: np.ndarray, fitted: np.ndarray, target: float) -> float:
    """The first place at which the curve is as high as a target within its range."""
    right = int(np.searchsorted(fitted, target))
    if right == 0:
        return float(places[0])
    pair = slice(right - 1, right + 1)
    return float(np.interp(target, fitted[pair], places[pair]))


def _interpolate(places: np.ndarray, place: float) -> Float64[np.ndarray, ' points']:
    """Weights of the points for the curve at a place."""
    return np.array([np.interp(place, places, unit) for unit in np.eye(len(places))])


def _find_end(
    gap: Callable[[float], Difference], best: float, edge: float, side: int, level: float
) -> float | None:
    """The place between the best one and the edge of the curve where the interval of the gap comes to leave 0 out.

    Args:
      side: of the interval that meets 0 there: 0 its lower end, 1 its upper end.
    """

    def end_of_gap(place: float) -> float:
        distribution = gap(place).distribution
        assert distribution is not None  # cells are missing at no place or at all places alike
        return distribution.interval(level)[side]

    sign = 1 if side else -1
    if sign * end_of_gap(edge) >= 0:
        return None
    if sign * end_of_gap(best) <= 0:
        return best
    return float(scipy.optimize.brentq(end_of_gap, best, edge, xtol=1e-4))
