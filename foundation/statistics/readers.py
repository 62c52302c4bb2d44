"""Means over readers who all judged the same cases, with what readers and cases leave open.

The variance is that of Obuchowski and Rockette (1995), for one modality: readers' values vary by themselves, and
together, as they share the cases. Its degrees of freedom are those of Hillis (2007, doi:10.1002/sim.2532).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Float64, Int

from foundation.statistics.proportions import exact_interval, placements_of


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """Of a mean.

    Attributes:
      variance: of the mean.
      freedom: degrees of freedom of the variance.
    """

    variance: float
    freedom: float


@dataclasses.dataclass(frozen=True)
class ReaderMean:
    """A mean over readers.

    Attributes:
      value: of it.
      of_cases: for these readers, with other cases.
      of_both: for other readers like these, and other cases; None for one reader.
      cases, readers: that it is a mean of.
    """

    value: float
    of_cases: Uncertainty
    of_both: Uncertainty | None
    cases: int
    readers: int


def average_share(right: Bool[np.ndarray, 'reader case'], classes: Int[np.ndarray, ' case']) -> ReaderMean:
    """The mean over readers, and over classes, of the share of cases that are right.

    Args:
      right: of each reader, whether the case is.
      classes: of the cases; each has two cases or more.
    """
    parts = [right[:, classes == each].astype(np.float64) for each in np.unique(classes)]
    values = np.mean([part.mean(axis=1) for part in parts], axis=0)
    return average_readers(values, [part / len(parts) for part in parts])


def average_area(scores: Float[np.ndarray, 'reader case'], positive: Bool[np.ndarray, ' case']) -> ReaderMean:
    """The mean over readers of the area under the ROC curve.

    Args:
      scores: of each reader, that rank cases.
      positive: whether a case should rank high; two or more of either.
    """
    above = np.stack([placements_of(own, positive) for own in scores])
    below = np.stack([placements_of(-own, ~positive) for own in scores])
    return average_readers(above.mean(axis=1), [above, below])


def average_readers(
    values: Float64[np.ndarray, ' reader'], parts: Sequence[Float64[np.ndarray, 'reader _']]
) -> ReaderMean:
    """The mean of readers' values.

    Args:
      values: of each reader.
      parts: for independent groups of cases, what each case adds: the covariance of the values is that of the
        means of these over cases, summed over the groups.
    """
    count = len(values)
    own = [np.atleast_2d(np.cov(part)) / part.shape[1] for part in parts]
    variances = [float(each.mean()) for each in own]
    rest = sum(each**2 / (part.shape[1] - 1) for each, part in zip(variances, parts, strict=True))
    of_cases = Uncertainty(sum(variances), sum(variances) ** 2 / rest if rest > 0 else math.inf)
    mean, cases = float(values.mean()), sum(part.shape[1] for part in parts)
    if count == 1:
        return ReaderMean(mean, of_cases, None, cases, count)
    covariances = sum(own)
    shared = (covariances.sum() - np.trace(covariances)) / (count * (count - 1))
    spread = float(values.var(ddof=1))
    between = spread + count * max(float(shared), 0.0)
    hillis = between**2 / (spread**2 / (count - 1)) if spread > 0 else math.inf
    # Other readers cannot leave less open than these do, whatever chance made of so few.
    of_both = Uncertainty(max(between / count, of_cases.variance), min(hillis, of_cases.freedom))
    return ReaderMean(mean, of_cases, of_both, cases, count)


def share_ends(mean: ReaderMean, uncertainty: Uncertainty, tail: float) -> tuple[float, float]:
    """The interval of a mean share: Clopper and Pearson's, for as many answers as would vary like this mean.

    They are fewer by the degrees of freedom (Korn and Graubard 1998). Where nothing varies, each case counts once.

    Args:
      mean: see `average_share`.
      uncertainty: one of its two.
      tail: the chance that the truth lies beyond each end.
    """
    effective, answers = float(mean.cases), mean.cases * mean.readers
    if uncertainty.variance > 0 and 0 < mean.value < 1:
        stretch = scipy.special.stdtrit(answers - 1, tail) / scipy.special.stdtrit(uncertainty.freedom, tail)
        effective = min(mean.value * (1 - mean.value) / uncertainty.variance, answers) * float(stretch) ** 2
    return exact_interval(mean.value * effective, (1 - mean.value) * effective, tail)


def area_ends(mean: ReaderMean, uncertainty: Uncertainty, tail: float) -> tuple[float, float] | None:
    """The interval of a mean area, on its logarithm of odds; None where an area of 0 or 1 has no variance."""
    area = mean.value
    if not (0 < area < 1 and uncertainty.variance > 0):
        return None
    reach = -scipy.special.stdtrit(uncertainty.freedom, tail) * math.sqrt(uncertainty.variance) / (area - area**2)
    middle = math.log(area / (1 - area))
    return float(scipy.special.expit(middle - reach)), float(scipy.special.expit(middle + reach))
