"""Gaussians of real features: of each class, pooled (Mahalanobis distance), and at every place (PaDiM)."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Int64
from threadpoolctl import ThreadpoolController

from detect.anomaly.fitted import Fitted
from detect.anomaly.maps import Located, Stages, check_stages, join_stages, locate
from foundation.training.errors import UserError

_REGULARISATION = 0.01  # added to the diagonal of every covariance (section III-B)
_EXACT = jax.lax.Precision.HIGHEST
Maps = Float32[Array, 'batch height width channel']


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


@dataclasses.dataclass(frozen=True, eq=False)
class Padim(Fitted):
    """Gaussians at the places of the first stage's grid, where images are registered by and large.

    Attributes:
      total: channels of all stages together.
      channels: those used.
      means: of the Gaussians.
      whitening: W with W^T W = (S + 0.01 I)^-1 for each place.
    """

    total: Int64[np.ndarray, '']
    channels: Int64[np.ndarray, ' channel']
    means: Float32[np.ndarray, 'row column channel']
    whitening: Float32[np.ndarray, 'row column channel channel']

    def score(self, stages: Stages, height: int, width: int) -> Located:
        """Mahalanobis distance of every place, (x - mu)^T (S + 0.01 I)^-1 (x - mu) under the root (equation 2).

        Maps are enlarged to `height` and `width`, and smoothed; the score of an image is its map's largest value.

        Raises:
          UserError: when the stages have other sizes than those of the fit.
        """
        check_stages(stages, self.means.shape[:2], int(self.total))
        return locate(self._measure(tuple(stages), *self._on_device), height, width)

    @functools.cached_property
    def _measure(self) -> Callable[[Stages, Array, Array], Array]:
        """One program, as all of it takes less time than its parts one by one."""
        return jax.jit(lambda stages, *gaussians: _distances(join_stages(stages, self.channels), *gaussians))

    @functools.cached_property
    def _on_device(self) -> tuple[Array, Array]:
        return jnp.asarray(self.means), jnp.asarray(self.whitening)


def _distances(maps: Maps, means: Array, whitening: Array) -> Float32[Array, 'batch height width']:
    white = jnp.einsum('hwij,nhwj->nhwi', whitening, maps - means, precision=_EXACT)
    return jnp.sqrt(jnp.square(white).sum(axis=-1))


class _Moments(NamedTuple):
    """Of the maps seen so far: how many, their mean, and the sum of the products of what deviates from it."""

    images: Float32[Array, '']
    mean: Float32[Array, 'height width channel']
    scatter: Float32[Array, 'height width channel channel']


def fit_padim(batches: Iterable[Stages], *, channels: int, seed: int) -> Padim:
    """Fits the Gaussians in one pass; memory is that of a few matrices of channels a place.

    Args:
      batches: stages of real training images, the highest resolution first.
      channels: how many are used, drawn at random from all stages (section III-A: 100 of 448 lose little).
      seed: of the draw.

    Raises:
      UserError: when there are fewer than two images or too few channels, or a feature is not finite.
    """
    moments, chosen, total = None, np.empty(0, np.int64), 0
    for stages in batches:
        if moments is None:
            total = sum(stage.shape[-1] for stage in stages)
            chosen = _choose(total, channels, seed)
            moments = _no_moments(stages[0].shape[1:3], channels)
        check_stages(stages, moments.mean.shape[:2], total)
        moments = _add(moments, join_stages(stages, chosen))
    if moments is None or moments.images < 2:
        raise UserError('PaDiM needs at least two real images to be fitted on; give more.')
    mean, scatter = np.asarray(moments.mean), np.asarray(moments.scatter)
    if not (np.isfinite(mean).all() and np.isfinite(scatter).all()):
        raise UserError('PaDiM was given features that are not finite; check the network and its images.')
    return Padim(np.asarray(total, np.int64), chosen, mean, _whiten(scatter, int(moments.images)))


def _choose(total: int, channels: int, seed: int) -> Int64[np.ndarray, ' channel']:
    if channels > total:
        raise UserError(f'PaDiM is to use {channels} channels, but the stages have {total}; ask for fewer.')
    return np.sort(np.random.default_rng(seed).choice(total, channels, replace=False))


def _no_moments(grid: tuple[int, ...], channels: int) -> _Moments:
    shape = (*grid, channels)
    return _Moments(jnp.zeros(()), jnp.zeros(shape), jnp.zeros((*shape, channels)))


@jax.jit
def _add(moments: _Moments, maps: Maps) -> _Moments:
    """Moments with those of a batch (Chan et al. 1979, equation 2.1), which loses no precision to large means."""
    own = maps.mean(axis=0)
    deviations, step = maps - own, own - moments.mean
    total = moments.images + len(maps)
    scatter = jnp.einsum('nhwi,nhwj->hwij', deviations, deviations, precision=_EXACT)
    scatter += step[..., :, None] * step[..., None, :] * (moments.images * len(maps) / total)
    return _Moments(total, moments.mean + step * (len(maps) / total), moments.scatter + scatter)


def _whiten(
    scatter: Float32[np.ndarray, 'height width channel channel'], count: int
) -> Float32[np.ndarray, 'height width channel channel']:
    """Inverse Cholesky factors of the regularised covariances, in float64, a row at a time."""
    whitening = np.empty_like(scatter)
    for row, products in enumerate(scatter):
        covariances = products.astype(np.float64) / (count - 1) + _REGULARISATION * np.eye(products.shape[-1])
        whitening[row] = np.linalg.inv(np.linalg.cholesky(covariances))
    return whitening
