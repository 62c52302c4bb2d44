"""From a config to the objects it describes. The only place where fields of a config meet networks and losses."""

import dataclasses
import math

import optax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from foundation.training import compute
from foundation.training.errors import UserError
from gan import networks
from gan.augmentation import DiscriminatorAugmentation
from gan.checks import check_fields
from gan.losses import Objective
from gan.schedule import Stage, create_stages
from gan.state import GanState, Optimizers, create_pair, create_state
from gan.step import Adaptation, Averaging, Recipe


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """What the networks draw.

    Attributes:
      channels: of the image itself.
      mask_classes: mask channels beside them, one a foreground class.
      num_classes: classes of the condition; 0 without.
    """

    channels: int
    mask_classes: int
    num_classes: int

    @property
    def all_channels(self) -> int:
        """Image and mask channels together."""
        return self.channels + self.mask_classes


def check_config(config: ConfigDict) -> None:
    """Builds all that can be built without data.

    Raises:
      UserError: for the first value that cannot be used.
    """
    check_fields(config)
    compute.compute_dtype(config.compute_dtype)
    for stage in create_stages_of(config, num_examples=1):
        create_recipe(config, stage.resolution, ImageFormat(config.channels, config.mask_classes, 0))


def create_stages_of(config: ConfigDict, num_examples: int) -> tuple[Stage, ...]:
    """The stages that the config asks for, on so many images.

    Raises:
      UserError: see `schedule.create_stages`.
    """
    schedule = config.schedule.to_dict()
    epochs = schedule.pop('final_epochs')
    schedule['initial_resolution'] = schedule['initial_resolution'] or config.resolution
    schedule['final_images'] += epochs * num_examples
    try:
        return create_stages(final_resolution=config.resolution, **schedule)
    except ValueError as error:
        raise UserError(f'config: {error}') from error


def create_recipe(config: ConfigDict, resolution: int, image_format: ImageFormat) -> Recipe:
    """All that decides a step at one resolution.

    Raises:
      UserError: for a name that is unknown or a value out of range.
    """
    generator, discriminator = create_networks(config, resolution, image_format)
    augment = config.augment
    try:
        return Recipe(
            generator=generator,
            discriminator=discriminator,
            optimizers=create_optimizers(config),
            objective=Objective(**config.loss),
            averaging=Averaging(**config.average),
            augmentation=DiscriminatorAugmentation(tuple(augment.operations), image_format.mask_classes),
            adaptation=Adaptation(augment.target, augment.every, augment.images) if augment.adaptive else None,
            discriminator_steps=config.optimizer.discriminator_steps,
        )
    except ValueError as error:
        raise UserError(f'config: {error}') from error


def create_networks(
    config: ConfigDict, resolution: int, image_format: ImageFormat
) -> tuple[networks.Generator, networks.Discriminator]:
    """Both networks at one resolution of their growth."""
    shared = {
        'resolution': resolution,
        'channels': image_format.all_channels,
        'num_classes': image_format.num_classes,
        'dtype': compute.compute_dtype(config.compute_dtype),
    }
    fields = {name: dict(config[name]) for name in ('generator', 'discriminator')}
    for network in fields.values():
        if 'attention_resolution' in network:
            # The paper's block, or the last one where images stay smaller.
            network['attention_resolution'] = min(network['attention_resolution'], config.resolution)
    create_generator, create_discriminator = networks.ARCHITECTURES[config.architecture]
    return create_generator(**shared, **fields['generator']), create_discriminator(
        **shared, **fields['discriminator']
    )


def create_state_of(config: ConfigDict, recipe: Recipe, key: PRNGKeyArray) -> GanState:
    """A fresh state for a recipe."""
    networks = create_pair(recipe.generator, recipe.discriminator, recipe.optimizers, key)
    return create_state(networks, averaged=('generator',), augmentation_probability=config.augment.probability)


def create_optimizers(config: ConfigDict) -> Optimizers:
    """Adam for the generator and for the discriminator."""
    shared = {'b1': config.optimizer.b1, 'b2': config.optimizer.b2, 'eps': config.optimizer.eps}
    return {
        'generator': optax.adam(config.optimizer.generator_learning_rate, **shared),
        'discriminator': optax.adam(config.optimizer.discriminator_learning_rate, **shared),
    }


def cycle_length(config: ConfigDict) -> int:
    """Steps that repeat: with and without the penalty, and those of the discriminator alone."""
    return math.lcm(config.loss.penalty_every, config.optimizer.discriminator_steps)
