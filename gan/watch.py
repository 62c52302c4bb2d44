"""An inexpensive look at how far generated images are from real ones, to see a collapse and to keep the best.

Distances are measured to training images, in random features where the config names no extractor: they rank the
states of one run, and do not compare with published scores. Memorised images have a short distance too.
"""

import logging

import jax
import numpy as np
from jaxtyping import Float

import input_pipeline
from backbones.extractors import Extractor
from foundation.training.best import Watch
from foundation.training.errors import UserError
from foundation.training.phases import Phase
from gan.domains import TrainingImages
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.recipe import GanRecipe, ImageFormat, WatchPlan
from gan.samples import read_reals
from gan.scores.gaussian import frechet_distance
from gan.scores.neighbours import coverage
from gan.state import GanState
from gan.translation.samples import Samples

SCORE = 'distance'
_LOGGER = logging.getLogger(__name__)
_NEIGHBOURS = 5  # of coverage
_BATCH_SIZE = 256


class Looker:
    """Measures samples of the averaged generator against training images of the same classes.

    Args:
      recipe: of the run.
      images: its training images.
      image_format: the channels and classes of the images.
      samples: of the generator.
      extractor: in whose features images are compared.
    """

    def __init__(
        self,
        recipe: GanRecipe,
        images: input_pipeline.ImageData,
        image_format: ImageFormat,
        samples: Samples,
        extractor: Extractor,
    ) -> None:
        self._samples = samples
        # Random features see masks too; trained ones know images alone.
        self._channels = image_format.channels if recipe.watch.extractor else None
        self._variables, self._extract = extractor.variables, jax.jit(extractor.extract)
        self._resolution = recipe.resolution
        count = min(recipe.watch.samples, images.num_examples)
        if count <= _NEIGHBOURS:
            raise UserError(
                f'The watch compares with training images, and needs more than {_NEIGHBOURS}; there are {count}: '
                'set config.watch.images to 0.'
            )
        real, labels = read_reals(images, recipe.resolution, count)
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
        generated = self._features(self._samples.draw(state, phase, images_seen, self._labels))
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
            shown = np.clip(batch[..., : self._channels], -1, 1).repeat(scale, axis=1).repeat(scale, axis=2)
            features.append(np.asarray(self._extract(self._variables, shown).features))
        return np.concatenate(features)[:count]


def open_extractor(plan: WatchPlan, image_format: ImageFormat) -> Extractor | None:
    """In whose features a run is watched; None where it is not.

    Raises:
      UserError: when it cannot be read, or does not take such images.
    """
    if not plan.images:
        return None
    extractor = create_extractor(plan.extractor or RANDOM, 'config.watch.extractor')
    extractor.check_network('The watch')
    extractor.check_channels(image_format.channels)
    return extractor


def create_watch(
    recipe: GanRecipe,
    images: TrainingImages,
    image_format: ImageFormat,
    samples: Samples,
    extractor: Extractor | None,
) -> Watch | None:
    """What the loop watches, as the recipe says; None for nothing. What is translated shall be like the target."""
    plan = recipe.watch
    if extractor is None:
        return None
    real = images.target if isinstance(images, input_pipeline.Domains) else images
    return Watch(
        every=plan.images,
        measure=Looker(recipe, real, image_format, samples, extractor).measure,
        score=SCORE,
        on_collapse=plan.on_collapse,
        collapse_ratio=plan.collapse_ratio,
    )
