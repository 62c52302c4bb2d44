"""A score with its interval from a jackknife over groups of patients, or the reason why there is no score.

Every score is computed on all images and once without each group; a group is dropped from the generated and from
the reference images at the same time, so that the interval covers the draw of both. It says nothing of the
randomness of training: for that, train again with other seeds.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Bool, Float64, Int, Shaped

LARGEST_GROUP_COUNT = 20
Bounds = tuple[float, float]
ANY: Bounds = (-math.inf, math.inf)  # what a score can be
POSITIVE: Bounds = (0.0, math.inf)  # or 0
SHARE: Bounds = (0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Missing:
    """A score that could not be computed.

    Attributes:
      reason: one sentence for the user.
    """

    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A score and what it would be without each group.

    Attributes:
      value: of all images.
      replicates: the score without each group.
      counts: images used, by the name of their set.
      bounds: the lowest and the highest value that the score can have.
    """

    value: float
    replicates: Float64[np.ndarray, ' group']
    counts: Mapping[str, int]
    bounds: Bounds = ANY

    @property
    def standard_error(self) -> float:
        """Square root of the delete-a-group jackknife variance (Efron and Tibshirani 1993, equation 11.5)."""
        groups = len(self.replicates)
        return math.sqrt((groups - 1) / groups * np.square(self.replicates - self.replicates.mean()).sum())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Lower and upper end of the interval from Student's t with one degree of freedom fewer than groups.

        It is cut at the bounds of the score: no distance is negative, and no share above 1.

        Args:
          level: its coverage, between 0 and 1.
        """
        reach = scipy.special.stdtrit(len(self.replicates) - 1, (1 + level) / 2) * self.standard_error
        lowest, highest = self.bounds
        return max(self.value - float(reach), lowest), min(self.value + float(reach), highest)


Score = Estimate | Missing


class Spread(NamedTuple):
    """A score as it is usually published: mean and standard deviation (ddof = 0) over parts of the images."""

    mean: float
    deviation: float
    parts: int


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSample:
    """What scores read of a set of images.

    Attributes:
      values: a row an image: features, probabilities or pixels.
      groups: of each image, 0 to group_count - 1. Images of one patient belong to one group.
      group_count: the same in all sets of a score; no more than there are patients.

    Raises:
      ValueError: when the groups do not fit.
    """

    values: Shaped[np.ndarray, 'count *shape']
    groups: Int[np.ndarray, ' image']
    group_count: int

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.values):
            raise ValueError(f'{len(self.values)} images have {len(self.groups)} groups.')
        check_groups(self.groups, self.group_count)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def sizes(self) -> Int[np.ndarray, ' group']:
        """Images of each group."""
        return np.bincount(self.groups, minlength=self.group_count)

    @property
    def not_finite(self) -> int:
        """Images with a value that is not finite."""
        return len(self) - sum(int(finite_rows(self.values[rows]).sum()) for rows in tiles(len(self), 1024))

    def without(self, group: int) -> 'FeatureSample':
        """The images that are in other groups."""
        kept = self.groups != group
        return FeatureSample(self.values[kept], self.groups[kept], self.group_count)


def count_groups(*owners: Int[np.ndarray, '_']) -> int:
    """Groups of the jackknife: as many as the set with the fewest patients allows, 20 at most.

    Args:
      owners: of each set.
    """
    return min(LARGEST_GROUP_COUNT, *(len(np.unique(each)) for each in owners))


def deal_groups(owners: Int[np.ndarray, ' count'], group_count: int) -> Int[np.ndarray, ' count']:
    """A jackknife group for each image: owners in random order, dealt out in turn."""
    known, places = np.unique(owners, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(known)) % group_count)[places]


def check_groups(groups: Int[np.ndarray, ' count'], group_count: int) -> None:
    """Raises ValueError unless there are two groups or more, numbered from 0."""
    if group_count < 2:
        raise ValueError(f'A jackknife needs two groups or more, not {group_count}.')
    if groups.size and not 0 <= groups.min() <= groups.max() < group_count:
        raise ValueError(f'Groups are {groups.min()} to {groups.max()}, not 0 to {group_count - 1}.')


def finite_rows(values: Shaped[np.ndarray, 'count *shape']) -> Bool[np.ndarray, ' count']:
    """Whether all values of a row are finite."""
    return np.isfinite(values).reshape(len(values), -1).all(axis=1)


def tiles(count: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size`, which together cover range(count)."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def difference(first: Score, second: Score) -> Score:
    """first - second, paired by group: its interval profits from what the two have in common, as the reference.

    Raises:
      ValueError: when they have different numbers of groups.
    """
    if isinstance(first, Missing):
        return first
    if isinstance(second, Missing):
        return second
    if len(first.replicates) != len(second.replicates):
        raise ValueError(f'Scores of {len(first.replicates)} and {len(second.replicates)} groups do not compare.')
    counts = {f'first {name}': count for name, count in first.counts.items()}
    counts |= {f'second {name}': count for name, count in second.counts.items()}
    return Estimate(first.value - second.value, first.replicates - second.replicates, counts)


def leave_out(sums: Shaped[np.ndarray, 'group *shape']) -> Float64[np.ndarray, 'replicate *shape']:
    """Sums over all groups, then without each one, from the sums of each.

    The others are added up anew, since a difference of sums would lose what is small.
    """
    return np.tensordot(kept_groups(len(sums)), np.asarray(sums, np.float64), 1)


def kept_groups(group_count: int) -> Float64[np.ndarray, 'replicate group']:
    """1 where a group is kept: a row for all groups, then one without each."""
    return np.concatenate([np.ones((1, group_count)), 1 - np.eye(group_count)])


def group_sums(
    sample: FeatureSample, reduce: Callable[[Shaped[np.ndarray, 'count *shape']], Shaped[np.ndarray, '*sum']]
) -> Float64[np.ndarray, 'group *sum']:
    """What `reduce` makes of the values of each group."""
    members = (sample.values[sample.groups == group] for group in range(sample.group_count))
    return np.stack([np.asarray(reduce(values), np.float64) for values in members])


def find_fault(name: str, sizes: Int[np.ndarray, ' group'], not_finite: int, minimum: int) -> Missing | None:
    """Why a set of images has no score; None when it has one.

    Args:
      name: of the set.
      sizes: images of each group.
      not_finite: how many images have values that are not finite.
      minimum: images that must be left without the largest group.
    """
    total = int(sizes.sum())
    if not_finite:
        return Missing(f'{not_finite} of {total} {name} images are not finite.')
    left = total - int(sizes.max())
    if left < minimum:
        return Missing(
            f'needs at least {minimum} {name} images without the largest group; there are {left}, '
            f'and {total} with it.'
        )
    return None


def find_faults(minimum: int, **samples: FeatureSample) -> Missing | None:
    """The first fault of samples, given by the names of their sets.

    Raises:
      ValueError: when they do not have the same number of groups.
    """
    if len({sample.group_count for sample in samples.values()}) > 1:
        raise ValueError('All sets of a score have the same number of groups.')
    faults = (
        find_fault(name.replace('_', '-'), each.sizes, each.not_finite, minimum) for name, each in samples.items()
    )
    return next((fault for fault in faults if fault is not None), None)


def create_estimate(values: Float64[np.ndarray, ' replicate'], bounds: Bounds, **counts: int) -> Score:
    """An estimate from the score of all images and those without each group, in the order of `leave_out`.

    Args:
      values: of the score.
      bounds: the lowest and the highest value that it can have.
      counts: images used, by the name of their set.
    """
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        return Missing('is not a finite number for these images.')
    return Estimate(float(values[0]), values[1:], counts, bounds)
