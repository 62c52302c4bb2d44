"""The training images that are nearest to generated ones, found in one pass and bounded memory."""

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping

import jax.numpy as jnp
import numpy as np
import scipy.spatial.distance
from jaxtyping import Float

import input_pipeline
from gan.features import create_extractor, resized
from gan.recipe import GanRecipe

_LOGGER = logging.getLogger(__name__)
NEIGHBOURS = 3
LARGEST_SEARCH = 20_000  # training images
_BATCH_BYTES = 64 * 2**20
_LARGEST_BATCH = 256
PIXELS = 32  # a side, at which pixels are compared
_SCALE_IMAGES = 16  # training images that show which distances are common
Images = Float[np.ndarray, 'count height width channel']
Distances = Float[np.ndarray, 'query count']
Measure = Callable[[Images], Distances]


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest training images of each query.

    Attributes:
      images: the nearest first.
      distances: to them.
      common: median distance of some training images to their own nearest one; infinite where there is one only.
    """

    images: Float[np.ndarray, 'query neighbour height width channel']
    distances: Float[np.ndarray, 'query neighbour']
    common: float


class Nearest:
    """Keeps the nearest images of each query while images go by.

    Args:
      queries: how many.
      count: images kept for each.
    """

    def __init__(self, queries: int, count: int) -> None:
        self._count = count
        self.distances = np.empty((queries, 0))
        self.images = np.empty((queries, 0, 0, 0, 0), np.float32)

    def add(self, distances: Distances, images: Images) -> None:
        """Considers images at these distances."""
        known = self.distances.shape[1]
        every = np.concatenate([self.distances, distances], axis=1)
        order = np.argsort(every, axis=1, kind='stable')[:, : self._count]
        self.distances = np.take_along_axis(every, order, axis=1)
        self.images = np.stack(
            [
                np.stack([images[index - known] if index >= known else kept[index] for index in row])
                for kept, row in zip(self.images, order, strict=True)
            ]
        )


def read_training_images(
    recipe: GanRecipe, fingerprint: str, resolution: int
) -> tuple[int, int, Iterator[Images]]:
    """Opens at most LARGEST_SEARCH training images, in the order in which training first saw them, unflipped.

    Returns:
      How many will come, how many there are, and batches of them.

    Raises:
      DataError, UserError: when the data set is missing or no longer the one that was trained on.
    """
    # Read one by one, so that no more is decoded than is looked at.
    images = recipe.open_split(recipe.split)
    if images.fingerprint != fingerprint:
        raise input_pipeline.DataError(f'the data set {images.name!r} is not the one that the run was trained on.')
    count = min(images.num_examples, LARGEST_SEARCH)
    _LOGGER.info('%s: looking for the nearest of %d training images.', images.name, count)
    return count, images.num_examples, _batches(images, resolution, count)


def _batches(images: input_pipeline.ImageData, resolution: int, count: int) -> Iterator[Images]:
    size = min(max(_BATCH_BYTES // (resolution**2 * images.channels * 4), 1), _LARGEST_BATCH, count)
    stream = images.batches(resolution, 0, size, process_index=0, process_count=1)
    with contextlib.closing(stream):
        for start in range(0, count, size):
            yield next(stream)['image'][: count - start]


def find_neighbours(
    generated: Images,
    batches: Iterator[Images],
    measures: Mapping[str, Callable[[Images], Measure]],
    channels: int,
) -> dict[str, Neighbours]:
    """The nearest of all images in `batches`, by each measure.

    Args:
      generated: the queries, with the size and the channels of the batches.
      batches: training images.
      measures: by name, what makes a measure from its queries.
      channels: compared, the first of all; masks come behind them.
    """
    first = next(batches)
    scale = first[:_SCALE_IMAGES]
    queries = np.concatenate([generated, scale])[..., :channels]
    measure = {name: create(queries) for name, create in measures.items()}
    nearest = {name: Nearest(len(generated), NEIGHBOURS) for name in measures}
    common = {name: np.full(len(scale), np.inf) for name in measures}
    own = np.arange(len(scale))
    for batch in itertools.chain([first], batches):
        for name in measures:
            distances, among = np.split(measure[name](batch[..., :channels]), [len(generated)])
            nearest[name].add(distances, batch)
            if batch is first:
                among[own, own] = np.inf  # no image is its own neighbour
            common[name] = np.minimum(common[name], among.min(axis=1))
    return {
        name: Neighbours(found.images, found.distances, float(np.median(common[name])))
        for name, found in nearest.items()
    }


def by_features(queries: Images) -> Measure:
    """Euclidean distance in random features, see `gan.features`."""
    extract = create_extractor(queries.shape[1])
    known = np.asarray(extract(queries))

    def measure(images: Images) -> Distances:
        return scipy.spatial.distance.cdist(known, np.asarray(extract(images)))

    return measure


def by_pixels(queries: Images) -> Measure:
    """Root mean square difference of pixels as a share of their range, at 32x32 at most.

    The least one over the query and its mirror image, each shifted by up to one pixel of those in both directions.
    """
    small = reduced(queries, PIXELS).astype(np.float64)
    size = small.shape[1]
    margin = 1 if size >= 16 else 0
    inner = size - 2 * margin
    shifts = range(2 * margin + 1)
    variants = np.stack(
        [
            side[:, top : top + inner, left : left + inner].reshape(len(small), -1)
            for side in (small, small[:, :, ::-1])
            for top in shifts
            for left in shifts
        ],
        axis=1,
    )
    flat = variants.reshape(-1, variants.shape[-1])
    squares = np.square(flat).sum(axis=1)

    def measure(images: Images) -> Distances:
        centre = reduced(images, PIXELS)[:, margin : margin + inner, margin : margin + inner]
        others = centre.reshape(len(images), -1).astype(np.float64)
        squared = squares[:, None] - 2 * flat @ others.T + np.square(others).sum(axis=1)
        least = squared.reshape(*variants.shape[:2], -1).min(axis=1)
        return np.sqrt(np.maximum(least, 0) / flat.shape[1]) / 2  # the range of [-1, 1] is 2

    return measure


def reduced(images: Images, largest: int) -> Float[np.ndarray, 'count rows columns channel']:
    """Means of squares of pixels, so that no side is longer than `largest`."""
    return np.asarray(resized(jnp.asarray(images), min(images.shape[1], largest)))
