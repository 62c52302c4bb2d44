"""Whether maps tell the truth: they point at what was changed, and come from what the network learned."""

from collections.abc import Callable

import jax
import numpy as np
import scipy.ndimage
import scipy.stats
from jaxtyping import Bool, Float, Float32, Float64, PyTree

Maps = Float[np.ndarray, 'count height width']
Images = Float32[np.ndarray, 'count height width channel']


def pointing_game(
    maps: Maps, masks: Bool[np.ndarray, 'count height width'], tolerance: int
) -> Float64[np.ndarray, ' count']:
    """Whether the hottest pixel lies in the mask (Zhang et al. 2018, arXiv:1608.00507, section 4.2).

    Args:
      maps: not constant, if they are to say anything.
      masks: what was changed.
      tolerance: pixels (in rows, columns or both) by which the hottest one may miss it.

    Returns:
      1 or 0; where several pixels are the hottest, the share of them that is in the mask, so that a constant map
      gets what chance gets; NaN where the mask is empty or the map not finite.
    """
    size = 2 * tolerance + 1
    reached = scipy.ndimage.maximum_filter(masks.astype(np.uint8), (1, size, size)) > 0
    hottest = maps == maps.max(axis=(1, 2), keepdims=True)
    hits = (hottest & reached).sum(axis=(1, 2)) / np.maximum(hottest.sum(axis=(1, 2)), 1)
    usable = masks.any(axis=(1, 2)) & np.isfinite(maps).all(axis=(1, 2))
    return np.where(usable, hits, np.nan)


def deletion_curves(
    score_of: Callable[[Images], Float[np.ndarray, ' count']],
    images: Images,
    maps: Maps,
    *,
    steps: int,
    fill: float,
) -> Float64[np.ndarray, 'count step']:
    """Scores while more and more pixels are blanked, the hottest first (Petsiuk et al. 2018, arXiv:1806.07421).

    Args:
      score_of: such as p(fake).
      images: in [-1, 1].
      maps: of the images.
      steps: in which all pixels are blanked, each as many.
      fill: what blanked pixels are set to.

    Returns:
      `steps` + 1 scores of each image, that of the untouched image first.
    """
    count, height, width, _ = images.shape
    order = np.argsort(-maps.reshape(count, -1), axis=1, kind='stable')
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(height * width)[None], axis=1)
    ranks = ranks.reshape(count, height, width, 1)
    scores = []
    for step in range(steps + 1):
        blanked = ranks < round(step * height * width / steps)
        scores.append(np.asarray(score_of(np.where(blanked, np.float32(fill), images)), np.float64))
    return np.stack(scores, axis=1)


def curve_areas(curves: Float64[np.ndarray, 'count step']) -> Float64[np.ndarray, ' count']:
    """Area under each curve over the share of blanked pixels, by trapezia; low where maps name what matters."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def rank_correlations(before: Maps, after: Maps) -> Float64[np.ndarray, ' count']:
    """Spearman's correlation of each pair of maps over its pixels; NaN where one of them is constant.

    Near 0 for maps of a network and of the same with `shuffle_parameters`; near 1, the map shows the image and not
    what was learned (Adebayo et al. 2018, arXiv:1810.03292, section 3).
    """
    flat = [maps.reshape(len(maps), -1).astype(np.float64) for maps in (before, after)]  # as ranks will be
    ranks = [scipy.stats.rankdata(maps, axis=1) for maps in flat]
    first, second = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    spread = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    products = (first * second).sum(axis=1)
    return np.divide(products, spread, out=np.full(len(before), np.nan), where=spread > 0)


def shuffle_parameters(params: PyTree, seed: int) -> PyTree[np.ndarray]:
    """The same numbers in every array, at random places: a network of the same make that has learned nothing."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.permutation(np.ravel(leaf)).reshape(np.shape(leaf)), params)
