"""Mahalanobis distance of pooled features to the nearest real class (Lee et al. 2018, arXiv:1807.03888)."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Float64, Int
from threadpoolctl import ThreadpoolController

from detect.anomaly.fitted import Fitted
from foundation.training.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Mahalanobis(Fitted):
    """Gaussians of the classes, which share one covariance S.

    Attributes:
      means: of the classes.
      whitening: W with W^T W = S^-1.
    """

    means: Float64[np.ndarray, 'class feature']
    whitening: Float64[np.ndarray, 'feature feature']

    def score(self, features: Float[np.ndarray, 'count feature']) -> Float64[np.ndarray, ' count']:
        """min_c (f - mu_c)^T S^-1 (f - mu_c) of each vector; higher is stranger."""
        # Threads of BLAS keep spinning for a while, beside the network that looks at the next image.
        with _blas().limit(limits=1, user_api='blas'):
            white, means = (vectors @ self.whitening.T for vectors in (features, self.means))
        scores = np.full(len(features), np.inf)
        for mean in means:
            np.minimum(scores, np.square(white - mean).sum(axis=1), out=scores)
        return scores


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def fit_mahalanobis(
    features: Float[np.ndarray, 'count feature'], labels: Int[np.ndarray, ' count']
) -> Mahalanobis:
    """Fits a mean for each label that occurs, and one covariance for all, shrunk after Ledoit and Wolf.

    Raises:
      UserError: when features are not finite, or do not vary enough to have a covariance.
    """
    if not len(features) or not np.isfinite(features).all():
        raise UserError(
            'Mahalanobis distances need features of one image at least, all finite; check the network.'
        )
    classes, places = np.unique(labels, return_inverse=True)
    means = np.stack([features[places == place].mean(axis=0, dtype=np.float64) for place in range(len(classes))])
    covariance = shrunk_covariance(features - means[places])
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise UserError(
            f'The features of {len(features)} real images have no invertible covariance; give more images.'
        ) from error
    return Mahalanobis(means, np.linalg.inv(factor))


def shrunk_covariance(residuals: Float64[np.ndarray, 'count feature']) -> Float64[np.ndarray, 'feature feature']:
    """(1 - s) S + s m I of centred vectors, S their covariance and m the mean of its diagonal.

    s is the share that is nearest to the true covariance (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4,
    section 3.2); it is 0 for endless images, and nearer to 1 the fewer images there are for a feature.
    """
    count, features = residuals.shape
    covariance = residuals.T @ residuals / count
    mean = np.trace(covariance) / features
    spread = np.square(covariance).sum()
    distance = spread - features * mean**2  # squared, of S from m I
    fourth_moment = np.square(np.square(residuals).sum(axis=1)).sum() / count
    error = min((fourth_moment - spread) / count, distance)  # squared, of S from the true covariance
    share = error / distance if error > 0 else 0.0
    shrunk = (1 - share) * covariance
    shrunk[np.diag_indices(features)] += share * mean
    return shrunk
