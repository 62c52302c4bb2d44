"""Kernel distance: the squared maximum mean discrepancy with a cubic kernel, without bias.

Binkowski et al. 2018, arXiv:1801.01401: k(a, b) = (a.b / d + 1)^3 for features of length d. It has no bias from
the number of images, may be negative, and suits fewer images than the Frechet distance.
"""

import numpy as np
from jaxtyping import Float, Float64, Int

from foundation.statistics.jackknife import (
    ANY,
    FeatureSample,
    Missing,
    Score,
    Spread,
    create_estimate,
    find_faults,
    kept_groups,
    tiles,
)

_TILE = 2048  # rows and columns: 32 MiB
_SUBSETS, _SUBSET_SIZE = 100, 1000  # as published
Features = Float[np.ndarray, 'count feature']


def kernel_score(generated: FeatureSample, reference: FeatureSample) -> Score:
    """Kernel distance over all pairs, lower is better, 0 is expected of two draws of one distribution.

    Uses every pair once, which gives the expectation of the mean over subsets with the least variance (Gretton et
    al. 2012, equation 3).
    """
    if fault := find_faults(2, generated=generated, reference=reference):
        return fault
    within_generated = _without_own(_block_sums(generated, generated), generated)
    within_reference = _without_own(_block_sums(reference, reference), reference)
    between = _block_sums(generated, reference)
    kept = kept_groups(generated.group_count)
    counts = kept @ generated.sizes, kept @ reference.sizes
    values = (
        _sum_kept(within_generated, kept) / (counts[0] * (counts[0] - 1))
        + _sum_kept(within_reference, kept) / (counts[1] * (counts[1] - 1))
        - 2 * _sum_kept(between, kept) / (counts[0] * counts[1])
    )
    return create_estimate(values, ANY, generated=len(generated), reference=len(reference))


def kernel_score_of_subsets(
    generated: Float[np.ndarray, 'generated feature'], reference: Float[np.ndarray, 'reference feature'], seed: int
) -> Spread | Missing:
    """Mean and standard deviation over 100 random subsets of at most 1000 images each, as published."""
    if not (np.isfinite(generated).all() and np.isfinite(reference).all()):
        return Missing('has images that are not finite.')
    size = min(_SUBSET_SIZE, len(generated), len(reference))
    if size < 2:
        return Missing(f'needs at least 2 images of each set; there are {len(generated)} and {len(reference)}.')
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(_SUBSETS):
        first, second = (
            features[generator.choice(len(features), size, replace=False)].astype(np.float64)
            for features in (generated, reference)
        )
        within = sum((k := _kernel(each, each)).sum() - np.trace(k) for each in (first, second))
        values.append(within / (size * (size - 1)) - 2 * _kernel(first, second).mean())
    return Spread(float(np.mean(values)), float(np.std(values)), _SUBSETS)


def _kernel(
    first: Float64[np.ndarray, 'row feature'], second: Float64[np.ndarray, 'column feature']
) -> Float64[np.ndarray, 'row column']:
    values = first @ second.T
    values /= first.shape[1]
    values += 1
    cubes = values * values
    cubes *= values
    return cubes


def _block_sums(first: FeatureSample, second: FeatureSample) -> Float64[np.ndarray, 'group group']:
    """Sums of the kernel over the pairs of each two groups; of a set with itself, only half is computed."""
    same = first is second
    sums = np.zeros((first.group_count, first.group_count))
    for rows in tiles(len(first), _TILE):
        row_values = first.values[rows].astype(np.float64)
        row_groups = _membership(first.groups[rows], first.group_count)
        for columns in tiles(len(second), _TILE):
            if same and columns.start < rows.start:
                continue
            values = _kernel(row_values, second.values[columns].astype(np.float64))
            part = row_groups.T @ (values @ _membership(second.groups[columns], second.group_count))
            sums += part
            if same and columns.start > rows.start:
                sums += part.T
    return sums


def _membership(groups: Int[np.ndarray, ' count'], group_count: int) -> Float64[np.ndarray, 'count group']:
    return np.eye(group_count)[groups]


def _without_own(
    sums: Float64[np.ndarray, 'group group'], sample: FeatureSample
) -> Float64[np.ndarray, 'group group']:
    """Less the kernel of each vector with itself."""
    own = np.zeros(sample.group_count)
    for rows in tiles(len(sample), _TILE):
        values = sample.values[rows].astype(np.float64)
        squares = (values**2).sum(axis=1) / values.shape[1]
        own += np.bincount(sample.groups[rows], (squares + 1) ** 3, minlength=sample.group_count)
    return sums - np.diag(own)


def _sum_kept(
    sums: Float64[np.ndarray, 'group group'], kept: Float64[np.ndarray, 'replicate group']
) -> Float64[np.ndarray, ' replicate']:
    return np.einsum('rg,gh,rh->r', kept, sums, kept)
