"""Screens for copied training images: AuthPct and C_T. Neither is a proof that nothing was copied.

The training set is fixed: intervals cover the draw of the generated (and held-out) images, not that of the
training set.
"""

import numpy as np
from jaxtyping import Float, Float64, Int

from foundation.statistics.jackknife import (
    ANY,
    FeatureSample,
    Missing,
    Score,
    create_estimate,
    find_faults,
    finite_rows,
    group_sums,
    kept_groups,
    leave_out,
    tiles,
)
from gan.scores.distances import nearest, nearest_other

CELL_MINIMUM = 20  # generated images in a cell, as in the paper of C_T
_ITERATIONS = 30  # of k-means at most
Features = Float[np.ndarray, '_ feature']
Blocks = Float64[np.ndarray, 'cell group group']
Sizes = Float64[np.ndarray, 'cell group']


def authentic_percentage(generated: FeatureSample, training: Features) -> Score:
    """AuthPct, 0 to 100: share of authentic generated vectors (Alaa et al. 2022, arXiv:2102.08921, section 4).

    One is authentic when it is farther from its nearest training vector than that one is from its own nearest
    other training vector. About half of the vectors are, in a large independent set of the same distribution.
    """
    if fault := find_faults(1, generated=generated) or _training_fault(training, 2):
        return fault
    distances, indices = nearest(generated.values, training)
    chosen, places = np.unique(indices, return_inverse=True)
    own = nearest_other(training, chosen)[0][places]
    authentic = FeatureSample((distances > own).astype(np.float64), generated.groups, generated.group_count)
    shares = leave_out(group_sums(authentic, np.sum)) / leave_out(generated.sizes)
    return create_estimate(100 * shares, (0.0, 100.0), generated=len(generated), training=len(training))


def copying_score(
    generated: FeatureSample, held_out: FeatureSample, training: Features, cells: int, seed: int
) -> Score:
    """C_T: do generated vectors lie nearer to training vectors than held-out ones do (negative: copying).

    Meehan et al. 2020, arXiv:2004.05675, section 3: in each cell of a k-means partition of the training set, the
    z-score of the Mann-Whitney U of distances to the nearest training vector; their mean, weighted by the held-out
    vectors of the cells. Cells with fewer than 20 generated vectors do not count. Which cells count is decided
    once, from all images.

    Args:
      generated, held_out: feature vectors and their groups.
      training: feature vectors.
      cells: of the partition.
      seed: of the partition.
    """
    fault = find_faults(CELL_MINIMUM, generated=generated)
    fault = fault or find_faults(1, generated=generated, held_out=held_out) or _training_fault(training, cells)
    if fault:
        return fault
    centres = find_cells(training, cells, seed)
    distances = [nearest(sample.values, training)[0] for sample in (generated, held_out)]
    places = [nearest(sample.values, centres)[1] for sample in (generated, held_out)]
    values = _weighted_z((generated, held_out), distances, places, cells)
    if values is None:
        return Missing(f'has no cell with {CELL_MINIMUM} generated images and held-out ones of two groups.')
    return create_estimate(values, ANY, generated=len(generated), held_out=len(held_out), training=len(training))


def find_cells(training: Features, cells: int, seed: int) -> Float64[np.ndarray, 'cell feature']:
    """Centres of a k-means partition (Lloyd, from the start of Arthur and Vassilvitskii 2007)."""
    generator = np.random.default_rng(seed)
    centres = training[generator.integers(len(training), size=1)].astype(np.float64)
    squared = np.full(len(training), np.inf)
    while len(centres) < cells:
        squared = np.minimum(squared, nearest(training, centres[-1:])[0] ** 2)
        total = squared.sum()
        chosen = generator.choice(len(training), p=squared / total if total else None)
        centres = np.concatenate([centres, training[chosen : chosen + 1].astype(np.float64)])
    members = np.full(len(training), -1)
    for _ in range(_ITERATIONS):
        previous, members = members, nearest(training, centres)[1]
        if (members == previous).all():
            break
        for cell in np.unique(members):
            centres[cell] = training[members == cell].mean(axis=0, dtype=np.float64)
    return centres


def _training_fault(training: Features, minimum: int) -> Missing | None:
    not_finite = sum(int((~finite_rows(training[rows])).sum()) for rows in tiles(len(training), 1024))
    if not_finite:
        return Missing(f'{not_finite} of {len(training)} training images are not finite.')
    if len(training) < minimum:
        return Missing(f'needs at least {minimum} training images; there are {len(training)}.')
    return None


def _weighted_z(
    samples: tuple[FeatureSample, FeatureSample],
    distances: list[Float64[np.ndarray, ' _']],
    places: list[Int[np.ndarray, ' _']],
    cells: int,
) -> Float64[np.ndarray, ' replicate'] | None:
    """C_T of all images and without each group; None where no cell counts."""
    shape = cells, samples[0].group_count
    sizes: list[Sizes] = [np.zeros(shape), np.zeros(shape)]
    farther = np.zeros((*shape, shape[1]))
    for cell in range(cells):
        inside = [place == cell for place in places]
        parts = [
            (values[rows], sample.groups[rows])
            for values, rows, sample in zip(distances, inside, samples, strict=True)
        ]
        for size, (_, groups) in zip(sizes, parts, strict=True):
            size[cell] = np.bincount(groups, minlength=shape[1])
        farther[cell] = _count_farther(*parts[0], *parts[1], shape[1])
    counted = (sizes[0].sum(axis=1) >= CELL_MINIMUM) & ((sizes[0] > 0).sum(axis=1) > 1)
    counted &= (sizes[1] > 0).sum(axis=1) > 1
    if not counted.any():
        return None
    return _combine(farther[counted], sizes[0][counted], sizes[1][counted])


def _count_farther(
    generated: Float64[np.ndarray, ' generated'],
    generated_groups: Int[np.ndarray, ' generated'],
    held_out: Float64[np.ndarray, ' held_out'],
    held_out_groups: Int[np.ndarray, ' held_out'],
    group_count: int,
) -> Float64[np.ndarray, 'group group']:
    """Pairs of each two groups of which the generated distance is the larger one; ties count half."""
    counts = np.zeros((group_count, group_count))
    for group in np.unique(held_out_groups):
        others = np.sort(held_out[held_out_groups == group])
        sides = np.searchsorted(others, generated, 'left') + np.searchsorted(others, generated, 'right')
        counts[:, group] = np.bincount(generated_groups, sides / 2, minlength=group_count)
    return counts


def _combine(farther: Blocks, generated: Sizes, held_out: Sizes) -> Float64[np.ndarray, ' replicate']:
    """Mean z of the cells, weighted by their held-out images."""
    kept = kept_groups(generated.shape[1])
    statistic = np.einsum('rg,cgh,rh->rc', kept, farther, kept)
    first, second = kept @ generated.T, kept @ held_out.T
    deviation = np.sqrt(first * second * (first + second + 1) / 12)
    return (second * (statistic - first * second / 2) / deviation).sum(axis=1) / second.sum(axis=1)
