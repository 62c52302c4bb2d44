"""Distances between two sets of feature vectors, in float64 on the host."""

import numpy as np
import scipy.spatial.distance
from jaxtyping import Float

Features = Float[np.ndarray, '_ feature']


def frechet_distance(first: Features, second: Features) -> float:
    """Frechet distance of the Gaussians with the means and covariances (ddof = 1) of two sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500),
    where the trace of the root comes from the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2).

    Returns:
      A number that is 0 for equal sets; NaN where a feature is not finite.
    """
    sets = [np.asarray(features, np.float64) for features in (first, second)]
    if not all(np.isfinite(features).all() for features in sets):
        return float('nan')
    means = [features.mean(axis=0) for features in sets]
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in sets]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ covariances[1] @ root)
    shared = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    distance = np.square(means[0] - means[1]).sum() + sum(map(np.trace, covariances)) - 2 * shared
    return float(max(distance, 0.0))


def coverage(real: Features, generated: Features, neighbours: int = 5) -> float:
    """Share of the real vectors with a generated one nearer than their k-th real neighbour (strictly).

    Naeem et al. 2020, arXiv:2002.09797, equation 4. All distances are formed: for a few thousand vectors.

    Returns:
      A share, 0 where everything generated is somewhere else; NaN where a feature is not finite.

    Raises:
      ValueError: when there are not more real vectors than neighbours.
    """
    if len(real) <= neighbours:
        raise ValueError(f'{len(real)} real vectors have no neighbour number {neighbours}.')
    if not (np.isfinite(real).all() and np.isfinite(generated).all()):
        return float('nan')
    among = scipy.spatial.distance.cdist(real, real)
    radii = np.partition(among, neighbours, axis=1)[:, neighbours]  # the nearest of all is the vector itself
    nearest = scipy.spatial.distance.cdist(real, generated).min(axis=1)
    return float((nearest < radii).mean())
