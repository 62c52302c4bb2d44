"""From a classifier's config to the objects it describes."""

import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from backbones import networks
from backbones.augmentation import ImageAugmentation
from backbones.networks.resnet import DEPTHS
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fields import RUN_LOWEST, check_values, find_field
from foundation.training.supervised import SupervisedState, create_state

ARCHITECTURES: dict[str, type[networks.Network]] = {'resnet': networks.ResNet, 'densenet': networks.DenseNet}
TARGETS = ('class', 'modality')
_RESOLUTIONS = (16, 32, 64, 128, 224, 256, 512, 1024)
_LOWEST = {
    'seed': 0,
    'channels': 1,
    'network.width': 1,
    'network.growth': 1,
    'network.stem_width': 1,
    'augment.shift': 0.0,
    'augment.contrast': 0.0,
    'augment.brightness': 0.0,
    'optimizer.learning_rate': 0.0,
    'optimizer.weight_decay': 0.0,
    'optimizer.warmup': 0.0,
    'optimizer.label_smoothing': 0.0,
    'schedule.epochs': 1,
    'schedule.batch_size': 1,
    'watch.epochs': 1,
    **RUN_LOWEST,
}
_HIGHEST = {
    'seed': 2**32 - 1,
    'augment.shift': 0.5,
    'augment.contrast': 1.0,
    'optimizer.warmup': 1.0,
    'optimizer.label_smoothing': 1.0,
}


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked without data.

    Raises:
      UserError: for the first value that cannot be used.
    """
    choices = {
        'architecture': tuple(ARCHITECTURES),
        'target': TARGETS,
        'resolution': _RESOLUTIONS,
        'network.depth': DEPTHS,
    }
    check_values(config, choices=choices, lowest=_LOWEST, highest=_HIGHEST)
    create_network(config, num_classes=2)
    check_blocks(config)


def check_blocks(config: ConfigDict) -> None:
    """Whether images are large enough for the means of 2x2 pixels between dense blocks, where there are any.

    Raises:
      UserError: when they are not.
    """
    blocks = find_field(config, 'network.blocks')
    if blocks is None:
        return
    if not blocks or min(blocks) < 1:
        raise UserError(f'config.network.blocks is {tuple(blocks)}; give each block one layer at least.')
    halvings = len(blocks) - 1 + (0 if config.network.small_stem else 2)
    if config.resolution >> halvings < 1:
        raise UserError(
            f'config.resolution is {config.resolution}, too few pixels for this network to halve so often; '
            'set config.network.small_stem to True.'
        )


def create_network(config: ConfigDict, num_classes: int) -> networks.Network:
    """The configured network for so many classes."""
    fields = config.network.to_dict()
    if 'blocks' in fields:
        fields['blocks'] = tuple(fields['blocks'])
    dtype = compute.compute_dtype(config.compute_dtype)
    return ARCHITECTURES[config.architecture](**fields, num_classes=num_classes, dtype=dtype)


def create_optimizer(config: ConfigDict, steps: int) -> optax.GradientTransformation:
    """AdamW whose rate rises over the first steps, and then falls to 0 along a cosine."""
    warmup = max(int(config.optimizer.warmup * steps), 1)
    rate = optax.warmup_cosine_decay_schedule(0.0, config.optimizer.learning_rate, warmup, max(steps, warmup + 1))
    return optax.adamw(rate, weight_decay=config.optimizer.weight_decay)


def create_augmentation(config: ConfigDict) -> ImageAugmentation:
    """How training images are varied."""
    return ImageAugmentation(
        shift=int(config.augment.shift * config.resolution),
        contrast=config.augment.contrast,
        brightness=config.augment.brightness,
    )


def create_state_of(config: ConfigDict, num_classes: int, steps: int, key: PRNGKeyArray) -> SupervisedState:
    """A fresh state."""
    images = jnp.zeros((1, config.resolution, config.resolution, config.channels))
    variables = create_network(config, num_classes).init(key, images)
    return create_state(variables, create_optimizer(config, steps))


def steps_in(config: ConfigDict, num_examples: int) -> tuple[int, int]:
    """Steps of the whole training, and of one epoch.

    Raises:
      UserError: when there are fewer images than a batch has.
    """
    batch_size = config.schedule.batch_size
    if num_examples < batch_size:
        raise UserError(
            f'config.schedule.batch_size is {batch_size}, but there are {num_examples} training images; '
            'make it smaller.'
        )
    epoch = num_examples // batch_size
    return epoch * config.schedule.epochs, epoch
