"""Frechet distance between two sets of feature vectors, in float64 on the host."""

import numpy as np
import scipy.linalg
from jaxtyping import Float, Float64, Int

from foundation.statistics.jackknife import (
    POSITIVE,
    Score,
    check_groups,
    create_estimate,
    find_fault,
    finite_rows,
    kept_groups,
    tiles,
)

Features = Float[np.ndarray, '_ feature']
Mean = Float64[np.ndarray, ' feature']
Covariance = Float64[np.ndarray, 'feature feature']
_WAITING_BYTES = 32 * 2**20  # of vectors, which are summed together since many small products are slow


def frechet_distance(first: Features, second: Features) -> float:
    """Frechet distance of the Gaussians with the means and covariances (ddof = 1) of two sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500).

    Returns:
      A number that is 0 for equal sets; NaN where a feature is not finite.
    """
    sets = [np.asarray(features, np.float64) for features in (first, second)]
    if not all(np.isfinite(features).all() for features in sets):
        return float('nan')
    return gaussian_distance(
        *((features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))) for features in sets)
    )


def gaussian_distance(first: tuple[Mean, Covariance], second: tuple[Mean, Covariance]) -> float:
    """Frechet distance of two Gaussians, given by their means and covariances.

    The trace of (C1 C2)^(1/2) comes from the eigenvalues of the symmetric F' C2 F, where C1 = F F'.
    """
    root = _root(first[1])
    eigenvalues = scipy.linalg.eigvalsh(root.T @ second[1] @ root, overwrite_a=True, check_finite=False)
    shared = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    traces = np.trace(first[1]) + np.trace(second[1])
    return float(max(np.square(first[0] - second[0]).sum() + traces - 2 * shared, 0.0))


def _root(covariance: Covariance) -> Covariance:
    """F with F F' = covariance, which may be singular."""
    try:
        return scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(covariance, check_finite=False)
        return vectors * np.sqrt(np.clip(values, 0, None))


class Moments:
    """Count, mean and covariance of the feature vectors of each group, from batches that are not kept.

    Holds group_count matrices of feature_count x feature_count in float64: 640 MiB for 20 groups, 2,048 features.

    Args:
      feature_count: length of the vectors.
      group_count: the same in all sets of a score.

    Raises:
      ValueError: for fewer than two groups.
    """

    def __init__(self, feature_count: int, group_count: int) -> None:
        check_groups(np.zeros(0, np.int64), group_count)
        self.feature_count, self.group_count = feature_count, group_count
        self.sizes = np.zeros(group_count, np.int64)
        self.not_finite = 0
        self._shift: Mean | None = None  # near the mean, so that sums of squares keep their precision
        self._sums = np.zeros((group_count, feature_count))
        self._scatters = np.zeros((group_count, feature_count, feature_count))
        self._waiting: list[tuple[Features, Int[np.ndarray, ' _']]] = []

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def add(self, features: Float[np.ndarray, 'count feature'], groups: Int[np.ndarray, ' count']) -> None:
        """Adds a batch of vectors, each with its group; those that are not finite are only counted.

        Raises:
          ValueError: for vectors of another length, or groups that do not exist.
        """
        if features.shape[1] != self.feature_count:
            raise ValueError(f'Vectors have {features.shape[1]} features, not {self.feature_count}.')
        check_groups(groups, self.group_count)
        finite = finite_rows(features)
        self.not_finite += int((~finite).sum())
        self._waiting.append((features[finite], groups[finite]))
        self.sizes += np.bincount(groups, minlength=self.group_count)
        if sum(waiting.nbytes for waiting, _ in self._waiting) >= _WAITING_BYTES:
            self._sum_waiting()

    def means_and_covariances(self, replicate: int) -> tuple[Mean, Covariance]:
        """Of all vectors for replicate 0, without group k for replicate k + 1; with ddof = 1."""
        self._sum_waiting()
        assert self._shift is not None
        kept = kept_groups(self.group_count)[replicate]
        count = kept @ self.sizes
        mean = kept @ self._sums / count
        scatter = np.tensordot(kept, self._scatters, 1)
        scatter -= count * np.outer(mean, mean)
        return mean + self._shift, scatter / (count - 1)

    def _sum_waiting(self) -> None:
        if not self._waiting:
            return
        features = np.concatenate([batch for batch, _ in self._waiting])
        groups = np.concatenate([batch for _, batch in self._waiting])
        self._waiting = []
        if self._shift is None and len(features):
            self._shift = features.mean(axis=0, dtype=np.float64)
        for group in np.unique(groups):
            centred = features[groups == group] - self._shift
            self._sums[group] += centred.sum(axis=0)
            for rows in tiles(len(centred), 4096):
                self._scatters[group] += centred[rows].T @ centred[rows]


def collect_moments(features: Features, groups: Int[np.ndarray, ' _'], group_count: int) -> Moments:
    """Moments of vectors that are all there."""
    moments = Moments(features.shape[1], group_count)
    for rows in tiles(len(features), 4096):
        moments.add(features[rows], groups[rows])
    return moments


def frechet_score(generated: Moments, reference: Moments) -> Score:
    """Frechet distance (see `frechet_distance`) with its replicates, 0 or more, lower is better.

    It falls with the number of images, so that only scores of equal numbers compare.

    Raises:
      ValueError: when the sets have different numbers of features or groups.
    """
    if (generated.feature_count, generated.group_count) != (reference.feature_count, reference.group_count):
        raise ValueError('Generated and reference images have the same numbers of features and groups.')
    minimum = generated.feature_count + 2
    for name, moments in (('generated', generated), ('reference', reference)):
        if fault := find_fault(name, moments.sizes, moments.not_finite, minimum):
            return fault
    distances = [
        gaussian_distance(generated.means_and_covariances(replicate), reference.means_and_covariances(replicate))
        for replicate in range(generated.group_count + 1)
    ]
    return create_estimate(np.asarray(distances), POSITIVE, generated=len(generated), reference=len(reference))
