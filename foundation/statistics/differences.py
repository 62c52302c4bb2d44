"""The mean paired difference of two arms over patients and seeds, which are crossed, and what it allows to claim.

Every seed is judged on the same patients, so that differences vary by seed, by patient, and by both. The
hierarchical bootstrap draws seeds and patients independently of each other (the pigeonhole bootstrap, Owen 2007,
arXiv:0712.1111). With few seeds its spread is wrong: too small where seeds differ much, too large where all is
noise. So its distribution is calibrated (see `resampling`) to the standard error of a two-way analysis of variance
with random seeds and patients, which is how readers and cases are treated in studies of diagnosis (Hillis 2007,
doi:10.1002/sim.2532).
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64

from foundation.statistics.resampling import Distribution, calibrate, draw_counts

Answer = Literal['better', 'worse', 'equivalent', 'undecided']


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """A mean paired difference.

    Attributes:
      estimate: None where there is nothing to compare.
      distribution: of the estimate, with its intervals and p value; None where it cannot be told.
      seeds, patients: with at least one difference.
      missing_cells: pairs of them without a difference, see `hierarchical_bootstrap`.
      reason: one sentence where estimate or distribution is missing.
    """

    estimate: float | None
    distribution: Distribution | None
    seeds: int
    patients: int
    missing_cells: int
    reason: str | None


def hierarchical_bootstrap(
    differences: Float[np.ndarray, 'seeds patients'], *, resamples: int, seed: int
) -> Difference:
    """The mean difference over seeds and patients.

    Seeds and patients without any difference are left out. Other missing cells are filled with the sum of the
    effects of their seed and their patient, fitted to the cells that are there (Yates 1933), and cost a degree of
    freedom each: a patient whom one seed lacks neither counts less nor shifts the comparison of seeds.

    Args:
      differences: first arm minus second; NaN where an empty-mask policy skipped either.
      resamples: draws of seeds and patients.
      seed: of the draws.

    Raises:
      ValueError: for infinite differences.
    """
    if np.isinf(differences).any():
        raise ValueError('Differences are finite, or NaN where there is none.')
    known = np.isfinite(differences)
    kept = np.ix_(known.any(axis=1), known.any(axis=0))
    cells, known = np.asarray(differences[kept], np.float64), known[kept]
    seeds, patients = cells.shape
    if not cells.size:
        return Difference(None, None, 0, 0, 0, 'no patient has a value in both arms.')
    missing = int((~known).sum())
    filled = fill_cells(cells, known)
    if filled is None:
        estimate, reason = float(np.nanmean(cells, axis=0).mean()), 'seeds have too few patients in common.'
        return Difference(estimate, None, seeds, patients, missing, reason)
    freedom = (seeds - 1) * (patients - 1) - missing
    estimate = float(filled.mean())
    if freedom < 1:
        reason = 'an interval needs two seeds or more, and two patients or more.'
        return Difference(estimate, None, seeds, patients, missing, reason)
    replicates = _replicates(filled, np.random.default_rng(seed), resamples)
    distribution = calibrate(replicates, estimate, *_standard_error(filled, freedom))
    return Difference(estimate, distribution, seeds, patients, missing, None)


def fill_cells(
    cells: Float64[np.ndarray, 'seeds patients'], known: Bool[np.ndarray, 'seeds patients']
) -> Float64[np.ndarray, 'seeds patients'] | None:
    """Cells with missing ones from the least-squares fit of seed effects plus patient effects.

    Patients are eliminated from the normal equations, which leaves one for each seed.

    Returns:
      None where known cells do not determine all others.
    """
    if known.all():
        return cells
    shown, counts = np.where(known, cells, 0.0), known.sum(axis=0)
    means = shown.sum(axis=0) / counts
    weights = known.astype(np.float64)
    matrix = np.diag(weights.sum(axis=1)) - (weights / counts) @ weights.T
    if np.linalg.matrix_rank(matrix) < len(cells) - 1:
        return None
    of_seeds = np.linalg.lstsq(matrix, (weights * (shown - means)).sum(axis=1), rcond=None)[0]
    of_patients = means - (weights * of_seeds[:, None]).sum(axis=0) / counts
    return np.where(known, cells, of_seeds[:, None] + of_patients)


def _replicates(
    filled: Float64[np.ndarray, 'seeds patients'], generator: np.random.Generator, resamples: int
) -> Float64[np.ndarray, ' resample']:
    """Means of seeds and patients that are drawn independently."""
    drawn = draw_counts(generator, resamples, *filled.shape)
    return np.concatenate([((seeds @ filled) * patients).sum(axis=1) for seeds, patients in drawn]) / filled.size


def _standard_error(filled: Float64[np.ndarray, 'seeds patients'], freedom: int) -> tuple[float, float]:
    """Of the mean, from the mean squares of seeds, patients and the rest, with its degrees of freedom.

    The variance is (MS_seeds + MS_patients - MS_rest) / cells, but no less than what seeds alone or patients alone
    say, so that chance does not make it vanish. Degrees of freedom are Satterthwaite's, but at most
    min(seeds, patients) - 1: three seeds that chance made alike say little of how seeds vary, and would have the
    tails of a normal distribution, where claims after Holm's correction lie.

    Args:
      filled: without missing cells.
      freedom: degrees of freedom of the rest.
    """
    seeds, patients = filled.shape
    centred = filled - filled.mean()
    by_seed, by_patient = centred.mean(axis=1, keepdims=True), centred.mean(axis=0, keepdims=True)
    rest = np.square(centred - by_seed - by_patient).sum() / freedom
    of_seeds = patients * np.square(by_seed).sum() / (seeds - 1)
    of_patients = seeds * np.square(by_patient).sum() / (patients - 1)
    total = max(of_seeds + of_patients - rest, of_seeds, of_patients)
    weight = of_seeds**2 / (seeds - 1) + of_patients**2 / (patients - 1) + rest**2 / freedom
    satterthwaite = total**2 / weight if weight > 0 else np.inf
    return float(np.sqrt(total / filled.size)), float(min(satterthwaite, min(seeds, patients) - 1))


@dataclasses.dataclass(frozen=True)
class StudyClaim:
    """What a difference says of the first of two arms.

    Attributes:
      answer: of the first arm, against the second.
      significant: the interval leaves 0 out, and so does the corrected p value.
      equivalent: see `is_equivalent`.
    """

    answer: Answer
    significant: bool
    equivalent: bool


def adjust_holm(p_values: Float[np.ndarray, ' tests']) -> Float64[np.ndarray, ' tests']:
    """P values corrected for their number, so that the chance of any false claim stays below their limit.

    Holm 1979, doi:10.2307/4615733, as step-down adjusted p values.

    Args:
      p_values: of one family. A test that could not be made has 1.

    Raises:
      ValueError: for p values that are not from 0 to 1.
    """
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f'P values lie between 0 and 1, unlike {p_values}.')
    order = np.argsort(p_values, kind='stable')
    scaled = np.asarray(p_values, np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def is_equivalent(difference: Difference, *, margin: float, alpha: float) -> bool:
    """Whether the difference is smaller than a margin, by two one-sided tests.

    They are both significant where the interval at the level 1 - 2 alpha lies within the margin (Schuirmann 1987,
    doi:10.1007/BF01068419). A difference without an interval is not equivalent.

    Args:
      difference: of two arms.
      margin: the smallest difference that matters, chosen before the data are seen.
      alpha: chance of calling a difference of the margin equivalent.

    Raises:
      ValueError: for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f'A margin of equivalence is positive, not {margin}.')
    if difference.distribution is None:
        return False
    low, high = difference.distribution.interval(1 - 2 * alpha)
    return -margin < low and high < margin


def judge(difference: Difference, adjusted_p: float, *, margin: float, alpha: float) -> StudyClaim:
    """The verdict on the first of two arms, where higher is better.

    A difference that is not 0 but smaller than the margin is 'equivalent': the margin was said to be the smallest
    that matters. Equivalence is not corrected for the number of comparisons.

    Args:
      difference: first arm minus second.
      adjusted_p: its p value after `adjust_holm`.
      margin, alpha: see `is_equivalent`; alpha is the limit of p values, too.
    """
    if difference.estimate is None or difference.distribution is None:
        return StudyClaim('undecided', significant=False, equivalent=False)
    low, high = difference.distribution.interval(1 - alpha)
    significant = bool((low > 0 or high < 0) and adjusted_p < alpha)
    if is_equivalent(difference, margin=margin, alpha=alpha):
        return StudyClaim('equivalent', significant, equivalent=True)
    if significant:
        return StudyClaim('better' if difference.estimate > 0 else 'worse', significant, equivalent=False)
    return StudyClaim('undecided', significant, equivalent=False)
