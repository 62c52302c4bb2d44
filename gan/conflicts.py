"""Parts of an experiment that do not go together, each with the fields that say so."""

from typing import TYPE_CHECKING

from foundation.training.errors import UserError

if TYPE_CHECKING:
    from gan.recipe import GanRecipe


def check_together(recipe: 'GanRecipe') -> None:
    """Raises UserError for the first two parts of a recipe that do not go together."""
    _check_masks(recipe)
    _check_augmentation(recipe)
    _check_annealing(recipe)
    _check_groups(recipe)
    _check_strided(recipe)


def _check_masks(recipe: 'GanRecipe') -> None:
    if recipe.mask_head and not recipe.images.preprocessing.mask_classes:
        raise UserError(
            'config.mask_head is True, but config.mask_classes is 0, so that there are no masks to draw; '
            'set mask_classes, or mask_head to False.'
        )


def _check_augmentation(recipe: 'GanRecipe') -> None:
    adaptive = recipe.adaptation is not None
    if adaptive and not recipe.objective.loss.has_signs:
        raise UserError(
            'config.augment.adaptive follows the sign of the logits, which means nothing under '
            f'config.loss.name = {recipe.objective.name!r}; choose another loss, or a fixed '
            'config.augment.probability.'
        )
    if (adaptive or recipe.augmentation_probability) and not recipe.augmentation.operations:
        raise UserError('config.augment.operations is empty: name some, or set adaptive and probability to 0.')


def _check_annealing(recipe: 'GanRecipe') -> None:
    if recipe.annealing is None:
        return
    if recipe.schedule.first_resolution != recipe.resolution:
        raise UserError(
            'config.anneal.images is set, but networks that grow start their optimizers anew at each size; '
            'set it to 0, or config.schedule.initial_resolution to 0.'
        )
    if recipe.adaptation is not None:
        raise UserError(
            'config.anneal.images and config.augment.adaptive both decide the probability of augmentations; '
            'set one of them to 0 or False.'
        )


def _check_groups(recipe: 'GanRecipe') -> None:
    """What discriminators that compare images of a batch ask for; others have no `stddev_group`."""
    if 'stddev_group' not in recipe.sections['discriminator']:
        return
    group, share = recipe.sections['discriminator']['stddev_group'], recipe.objective.penalty_share
    for name, batch_size in recipe.schedule.batch_size.items():
        penalised = max(1, round(batch_size * share))
        if penalised < batch_size and penalised > group and penalised % group:
            raise UserError(
                f'config.loss.penalty_share of {share} takes {penalised} of the {batch_size} images of '
                f'config.schedule.batch_size.{name}, which must be a multiple of '
                f'config.discriminator.stddev_group, {group}.'
            )
        if batch_size > group and batch_size % group:
            raise UserError(
                f'config.schedule.batch_size.{name} is {batch_size}, '
                f'but must be a multiple of config.discriminator.stddev_group, {group}.'
            )


def _check_strided(recipe: 'GanRecipe') -> None:
    """What discriminators of strided convolutions ask for; others have no kernels."""
    fields, objective = recipe.sections['discriminator'], recipe.objective
    if not {'layers', 'kernel_size'} <= fields.keys():
        return
    if recipe.resolution >> fields['layers'] < 1:
        raise UserError(
            f'config.discriminator.layers is {fields["layers"]}, but '
            f'{recipe.resolution} pixels cannot be halved so often.'
        )
    if fields['batch_norm'] and objective.penalty != 'none':
        raise UserError(
            f'config.loss.penalty is {objective.penalty!r}, a slope at single images, which batch normalization '
            "mixes; set config.discriminator.batch_norm to False or the penalty to 'none'."
        )
