"""What a config asks of differential privacy, and what does not go with it."""

import dataclasses
from typing import TYPE_CHECKING

from foundation.training import parallel
from foundation.training.errors import UserError
from gan.differential_privacy.gradient import PrivateGradient
from gan.layers import BATCH_STATS
from gan.step import pair_updates

if TYPE_CHECKING:
    from gan.recipe import GanRecipe

UNITS = ('image', 'patient')


@dataclasses.dataclass(frozen=True)
class PrivacyTerms:
    """What is protected, and how much.

    Attributes:
      noise_multiplier: standard deviation of the noise, in clip norms; 0 where epsilon decides it.
      epsilon: the budget; 0 without one.
      delta: of the guarantee.
      clip_norm: largest norm of the gradient of a pair.
      unit: `image` or `patient`.
      fill: share of a batch that is filled on average.
    """

    noise_multiplier: float
    epsilon: float
    delta: float
    clip_norm: float
    unit: str
    fill: float

    @property
    def is_asked_for(self) -> bool:
        """Whether there is to be noise at all."""
        return self.noise_multiplier > 0 or self.epsilon > 0

    def probability(self, batch_size: int, units: int) -> float:
        """With which each of so many units is in a batch.

        Raises:
          UserError: when all would always be.
        """
        if self.fill * batch_size >= units:
            raise UserError(
                f'config.privacy draws {self.fill * batch_size:g} of {units} {self.unit}s a batch on average, but '
                'it must be fewer than all; make config.schedule.batch_size or config.privacy.fill smaller.'
            )
        return self.fill * batch_size / units

    def create_gradient(self, batch_size: int) -> PrivateGradient:
        """The discriminator's gradient, of batches with room for so many images."""
        return PrivateGradient(
            self.clip_norm, self.noise_multiplier, self.fill * batch_size, parallel.create_mesh()
        )


def check_private(recipe: 'GanRecipe') -> None:
    """Raises UserError for what sees real images beside the noisy gradient, or mixes those of a batch."""
    if recipe.privacy is None:
        return
    for applies, reason in (*_find_leaks(recipe), *_find_mixtures(recipe)):
        if applies:
            raise UserError(f'Differential privacy (config.privacy) does not go with {reason}.')


def _find_leaks(recipe: 'GanRecipe') -> list[tuple[bool, str]]:
    """What looks at real images elsewhere, and what to do."""
    return [
        (
            recipe.family.updates is not pair_updates,
            f'config.architecture = {recipe.architecture!r}, which has updates of its own; choose another, as '
            'dcgan or progressive',
        ),
        (
            recipe.objective.loss.pairs,
            f'config.loss.name = {recipe.objective.name!r}, whose generator looks at real images; choose another',
        ),
        (
            recipe.adaptation is not None,
            "config.augment.adaptive, which follows the discriminator's verdict on real images; set it to False",
        ),
        (
            recipe.watch.images > 0,
            'config.watch.images, which compares with real images and keeps the best; set it to 0',
        ),
    ]


def _find_mixtures(recipe: 'GanRecipe') -> list[tuple[bool, str]]:
    """What makes the gradient of one image depend on others of its batch, and what to do."""
    judging, objective = recipe.sections['discriminator'], recipe.objective
    drawing = recipe.abstract_state(recipe.resolution, recipe.image_format(2)).networks['generator']
    return [
        (
            bool(judging.get('batch_norm', False)),
            'batch normalization of the discriminator, which mixes the images of a batch; set '
            'config.discriminator.batch_norm to False',
        ),
        (
            judging.get('stddev_group', 1) > 1,
            'the deviation within a batch, which compares its images; set config.discriminator.stddev_group to 1',
        ),
        (
            recipe.conditional and BATCH_STATS in drawing.model_state,
            'batch normalization of a conditional generator, which mixes the classes of a batch; set '
            'config.generator.batch_norm to False where there is that field, or config.conditional to False',
        ),
        (objective.joint_batches, 'config.loss.joint_batches, which mixes the images of a batch; set it to False'),
        (
            objective.penalty_share != 1,
            'config.loss.penalty_share, as images are judged one by one; set it to 1',
        ),
    ]
