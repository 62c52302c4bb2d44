"""Parzen log-likelihood: how likely real images are under a Gaussian at each generated one.

The first papers on GANs reported it (Goodfellow et al. 2014, arXiv:1406.2661, section 5). It stands here beside
their methods, and ranks nothing, for it misleads (Theis et al. 2016, arXiv:1511.01844). In hundreds of dimensions
no affordable number of samples comes near the true density: the width of the Gaussians decides, not the model.
Means of clusters, blurred as they are, score above real images in place of generated ones (tested).
"""

import math

import numpy as np
import scipy.special
from jaxtyping import Float, Float64

from foundation.statistics.jackknife import (
    ANY,
    FeatureSample,
    Score,
    create_estimate,
    find_faults,
    group_sums,
    kept_groups,
    leave_out,
)
from gan.scores.distances import distance_tiles, mean_of

BANDWIDTHS = 10 ** np.linspace(-2, 0.5, 26)  # of values in [0, 1]


def parzen_score(generated: FeatureSample, real: FeatureSample, bandwidth: float) -> Score:
    """Mean log-likelihood of real vectors in nats: log of the mean of N(x; g, bandwidth^2 I) over generated g.

    Args:
      generated, real: vectors and their groups.
      bandwidth: standard deviation in each dimension, from `choose_bandwidth` on images that are not `real`.
    """
    if fault := find_faults(1, generated=generated, real=real):
        return fault
    exponents = -_squared_distances(real.values, generated.values) / (2 * bandwidth**2)
    members = [exponents[:, generated.groups == group] for group in range(generated.group_count)]
    sums = np.stack([scipy.special.logsumexp(each, axis=1) for each in members], axis=1)
    kept = kept_groups(generated.group_count)
    counts = kept @ generated.sizes
    scale = generated.values.shape[1] * math.log(bandwidth * math.sqrt(2 * math.pi))
    likelihoods = scipy.special.logsumexp(sums[:, None], axis=2, b=kept[None]) - np.log(counts) - scale
    by_point = FeatureSample(likelihoods, real.groups, real.group_count)
    totals = leave_out(group_sums(by_point, lambda rows: rows.sum(axis=0)))
    values = np.diagonal(totals) / leave_out(real.sizes)
    return create_estimate(values, ANY, generated=len(generated), real=len(real))


def choose_bandwidth(
    generated: Float[np.ndarray, 'count feature'], validation: Float[np.ndarray, 'real feature']
) -> float:
    """That of BANDWIDTHS under which real vectors, kept for this choice, are the likeliest."""
    squared = _squared_distances(validation, generated)
    dimensions = generated.shape[1]
    means = [
        scipy.special.logsumexp(-squared / (2 * width**2), axis=1).mean() - dimensions * math.log(width)
        for width in BANDWIDTHS
    ]
    return float(BANDWIDTHS[int(np.argmax(means))])


def _squared_distances(
    first: Float[np.ndarray, 'row feature'], second: Float[np.ndarray, 'column feature']
) -> Float64[np.ndarray, 'row column']:
    squared = np.empty((len(first), len(second)))
    for rows, columns, tile in distance_tiles(first, second, mean_of(second)):
        squared[rows, columns] = tile
    return squared
