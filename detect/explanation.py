"""Where a detector looks: Grad-CAM, drawn over the image, and put to the test by deletion and insertion."""

from collections.abc import Callable

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
import scipy.stats
from jaxtyping import Array, Bool, Float, Float32, Float64, Int, PyTree, UInt8

from foundation.training.errors import UserError

_OPACITY = 0.6  # of the hottest colour
# Nine colours, evenly spaced, of matplotlib's table `inferno` (Smith and van der Walt 2015, CC0).
_COLOURS = np.asarray(
    [
        [0, 0, 4], [33, 12, 74], [87, 16, 110], [138, 34, 106], [188, 55, 84], [227, 89, 51], [249, 140, 10],
        [249, 201, 50], [252, 255, 164],
    ],
    np.float32,
)  # fmt: skip


def colour_map(heat: Float[np.ndarray, 'height width']) -> UInt8[np.ndarray, 'height width 3']:
    """The colour of each value from 0, black, to 1, pale yellow; lightness rises evenly."""
    places = np.clip(heat, 0, 1) * (len(_COLOURS) - 1)
    colours = [np.interp(places, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.rint(np.stack(colours, axis=-1)).astype(np.uint8)


def draw_heat(
    image: Float[np.ndarray, 'height width'], heat: Float[np.ndarray, 'height width']
) -> UInt8[np.ndarray, 'height width 3']:
    """A grey image tinted by its map; where the map is 0, the image stays as it is.

    Args:
      image: in [-1, 1].
      heat: from 0 to 1, on a scale of the whole data set; see `gradcam.scale_maps`.
    """
    grey = np.clip((image + 1) * 127.5, 0, 255)[..., None]
    share = _OPACITY * np.clip(heat, 0, 1)[..., None]
    return np.rint((1 - share) * grey + share * colour_map(heat)).astype(np.uint8)


def draw_frames(
    picture: UInt8[np.ndarray, 'height width 3'],
    frames: Int[np.ndarray, 'frame 3'],
    weights: Float[np.ndarray, ' frame'],
) -> UInt8[np.ndarray, 'height width 3']:
    """A picture with squares, the brighter the higher their weights; the highest is white.

    Args:
      picture: in colours.
      frames: first row, first column and side of each.
      weights: above 0 somewhere, none below 0.
    """
    framed = picture.copy()
    for place in np.argsort(weights, kind='stable'):
        top, left, side = frames[place].tolist()
        shade = round(255 * float(weights[place] / weights.max()))
        cv2.rectangle(framed, (left, top), (left + side - 1, top + side - 1), (shade,) * 3)
    return framed


# From the last feature maps of images to their logits, higher for fake; each logit depends on its own image alone.
Decide = Callable[[Float[Array, 'batch row column channel']], Float[Array, ' batch']]


def grad_cam(
    decide: Decide, maps: Float[Array, 'batch row column channel'], height: int, width: int
) -> Float32[Array, 'batch {height} {width}']:
    """ReLU(sum_k mean(dy/dA_k) A_k) of each image, enlarged bilinearly (equations 1 and 2).

    In units of the logit times those of its slope; see `fit_scale`. An image without any evidence of being fake
    is 0 everywhere.

    Args:
      decide: the part of the network behind the maps, in evaluation mode.
      maps: the A_k.
      height, width: of the images.
    """
    weights = jax.grad(lambda points: decide(points).sum())(maps).mean(axis=(1, 2), keepdims=True)
    evidence = jax.nn.relu((weights * maps).astype(jnp.float32).sum(axis=-1))
    return jax.image.resize(evidence, (len(maps), height, width), 'bilinear')


def fit_scale(maps: Float[np.ndarray, 'count height width'], quantile: float) -> float:
    """The value that is shown as the hottest, one for a whole data set: a high quantile of all its pixels.

    A scale of each image's own would make a real image look as hot as a fake one.

    Args:
      maps: of training images, not below 0.
      quantile: such as 0.999.

    Raises:
      UserError: when that quantile is 0 or not finite.
    """
    scale = float(np.quantile(maps, quantile))
    if not np.isfinite(scale) or scale <= 0:
        raise UserError(
            f'The {quantile} quantile of {len(maps)} training maps is {scale}, which is no scale; '
            'take a higher one, or maps with evidence in them.'
        )
    return scale


def scale_maps(
    maps: Float[np.ndarray, 'count height width'], scale: float
) -> Float[np.ndarray, 'count height width']:
    """Maps from 0 to 1, where 1 is the scale or more."""
    return np.clip(maps / scale, 0, 1)


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
