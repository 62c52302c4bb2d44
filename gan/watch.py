"""An inexpensive look at how far generated images are from real ones, to see a collapse and to keep the best.

Distances are measured in random features, to training images: they rank the states of one run, and do not compare
with published scores. Memorised images have a short distance too.
"""

import logging

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

import input_pipeline
from foundation.training.best import Watch
from foundation.training.errors import UserError
from foundation.training.phases import Phase
from gan.features import create_extractor
from gan.samples import Sampler, read_reals
from gan.scores.gaussian import frechet_distance
from gan.scores.neighbours import coverage
from gan.setup import ImageFormat
from gan.state import GanState

SCORE = 'distance'
_LOGGER = logging.getLogger(__name__)
_NEIGHBOURS = 5  # of coverage
_BATCH_SIZE = 256


class Looker:
    """Measures samples of the averaged generator against training images of the same classes.

    Args:
      config: of the run.
      images: its training images.
      image_format: the channels and classes of the images.
      sampler: draws the samples.
    """

    def __init__(
        self, config: ConfigDict, images: input_pipeline.ImageData, image_format: ImageFormat, sampler: Sampler
    ) -> None:
        self._sampler, self._seed = sampler, config.seed
        self._extract, self._resolution = create_extractor(config.resolution), config.resolution
        count = min(config.watch.samples, images.num_examples)
        if count <= _NEIGHBOURS:
            raise UserError(
                f'The watch compares with training images, and needs more than {_NEIGHBOURS}; there are {count}: '
                'set config.watch.images to 0.'
            )
        real, labels = read_reals(images, config.resolution, count)
        self._real = self._features(real)
        self._labels = labels if image_format.num_classes else np.zeros_like(labels)
        halves = self._real[::2], self._real[1::2]
        _LOGGER.info(
            'Watching %d images; distance of half of the real ones to the other half: %.4g.',
            count,
            frechet_distance(*halves),
        )

    def measure(self, state: GanState, phase: Phase, images_seen: int) -> dict[str, float]:
        """`distance` (Frechet, lower is better) and `coverage` (0 to 1, higher is better)."""
        generated = self._features(self._sampler.draw(state, phase, images_seen, self._labels, self._seed))
        return {
            SCORE: frechet_distance(self._real, generated),
            'coverage': coverage(self._real, generated, _NEIGHBOURS),
        }

    def _features(
        self, images: Float[np.ndarray, 'count height width channel']
    ) -> Float[np.ndarray, 'count feature']:
        """Always of the same shape, so that one program serves all stages."""
        scale, count = self._resolution // images.shape[1], len(images)
        size = min(_BATCH_SIZE, count)
        rows = np.arange(-(-count // size) * size) % count
        features = []
        for start in range(0, len(rows), size):
            batch = images[rows[start : start + size]]
            features.append(np.asarray(self._extract(batch.repeat(scale, axis=1).repeat(scale, axis=2))))
        return np.concatenate(features)[:count]


def create_watch(
    config: ConfigDict, images: input_pipeline.ImageData, image_format: ImageFormat, sampler: Sampler
) -> Watch | None:
    """What the loop watches as configured; None for nothing."""
    if not config.watch.images:
        return None
    return Watch(
        every=config.watch.images,
        measure=Looker(config, images, image_format, sampler).measure,
        score=SCORE,
        on_collapse=config.watch.on_collapse,
        collapse_ratio=config.watch.collapse_ratio,
    )
