"""Intervals of shares and of AUROC that keep their level near 0 and 1, for images of several a patient.

Percentiles of resampled patients lie too close to 0 and 1 where few patients make errors; see docs/measuring.md.
"""

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Float64, Int, Real

from foundation.statistics.percentiles import TAIL

Patients = Int[np.ndarray, ' image']


def share_interval(successes: Bool[np.ndarray, ' image'], patients: Patients) -> tuple[float, float] | None:
    """The 95% interval of a share of images (Korn and Graubard 1998, Survey Methodology 24, p. 193).

    Clopper and Pearson's, for as many independent images as would give the variance that patients give, fewer by
    the degrees of freedom of that variance. Without a success or an error patients count once each.

    Args:
      successes: whether each image is one.
      patients: the number of each image's patient.

    Returns:
      Lower and upper end; None for one patient.
    """
    owners = np.unique(patients, return_inverse=True)[1]
    count, images = int(owners.max()) + 1, len(successes)
    if count < 2:
        return None
    share = float(successes.mean())
    variance, freedom = _spread(successes - share, owners)
    effective = float(count)
    if variance > 0:
        stretch = scipy.special.stdtrit(images - 1, TAIL) / scipy.special.stdtrit(freedom, TAIL)
        effective = min(share * (1 - share) / variance, images) * stretch**2
    hits, misses = share * effective, (1 - share) * effective
    return exact_interval(hits, misses, TAIL)


def exact_interval(hits: float, misses: float, tail: float) -> tuple[float, float]:
    """That of one share, see `exact_intervals`."""
    low, high = exact_intervals(np.array(hits), np.array(misses), tail)
    return float(low), float(high)


def exact_intervals(
    hits: Real[np.ndarray, '*study'], misses: Real[np.ndarray, '*study'], tail: float
) -> tuple[Float64[np.ndarray, '*study'], Float64[np.ndarray, '*study']]:
    """Lower and upper ends of the intervals of shares (Clopper and Pearson 1934).

    Args:
      hits, misses: of independent images; not whole where they stand for fewer, dependent ones.
      tail: the chance that the truth lies beyond each end, at most.
    """
    hits, misses = np.asarray(hits, np.float64), np.asarray(misses, np.float64)
    some, others = np.where(hits > 0, hits, 1.0), np.where(misses > 0, misses, 1.0)
    low = np.where(hits > 0, scipy.special.betaincinv(some, misses + 1, tail), 0.0)
    high = np.where(misses > 0, scipy.special.betaincinv(hits + 1, others, 1 - tail), 1.0)
    return low, high


def auroc_interval(
    scores: Float[np.ndarray, ' image'], positive: Bool[np.ndarray, ' image'], patients: Patients
) -> tuple[float, float] | None:
    """The 95% interval of the area under the ROC curve, on its logarithm of odds.

    The variance is that of placements by patient (DeLong et al. 1988; Obuchowski 1997, Biometrics 53, p. 567);
    Student's t has Welch's degrees of freedom of both classes.

    Args:
      scores: that rank images.
      positive: whether each should rank high.
      patients: the number of each image's patient, who may have images of both classes.

    Returns:
      Lower and upper end; None where an area of 0 or 1, or one patient in a class, has no variance.
    """
    placements = [placements_of(scores, positive), placements_of(-scores, ~positive)]
    area = float(placements[0].mean())
    errors = np.zeros(len(scores))
    variances, freedoms = [], []
    for chosen, placed in zip((positive, ~positive), placements, strict=True):
        errors[chosen] = (placed - area) / len(placed)
        owners = np.unique(patients[chosen], return_inverse=True)[1]
        if owners.max() < 1:
            return None
        variance, freedom = _spread(placed - area, owners)
        variances.append(variance)
        freedoms.append(freedom)
    if not 0 < area < 1 or not sum(variances):
        return None
    variance = float(sum(variances))
    if np.isin(patients[positive], patients[~positive]).any():
        variance, _ = _spread(errors * len(errors), np.unique(patients, return_inverse=True)[1])
    welch = sum(variances) ** 2 / sum(own**2 / each for own, each in zip(variances, freedoms, strict=True))
    middle = np.log(area / (1 - area))
    reach = -scipy.special.stdtrit(welch, TAIL) * np.sqrt(variance) / (area * (1 - area))
    return float(scipy.special.expit(middle - reach)), float(scipy.special.expit(middle + reach))


def placements_of(
    scores: Float[np.ndarray, ' image'], positive: Bool[np.ndarray, ' image']
) -> Float64[np.ndarray, ' chosen']:
    """The share of the negative images that each positive one ranks above, ties counted half."""
    others = np.sort(scores[~positive])
    below, no_higher = (np.searchsorted(others, scores[positive], side) for side in ('left', 'right'))
    return (below + no_higher) / (2 * len(others))


def _spread(deviations: Float[np.ndarray, ' image'], owners: Patients) -> tuple[float, int]:
    """The variance of a mean over images of patients, numbered from 0, and its degrees of freedom."""
    sums = np.bincount(owners, deviations)
    count = len(sums)
    return float(np.square(sums).sum() * count / (count - 1) / len(deviations) ** 2), count - 1
