"""Values of a config that no object it describes would refuse by itself."""

from ml_collections import ConfigDict

from foundation.training.best import ON_COLLAPSE
from foundation.training.errors import UserError
from foundation.training.fields import RUN_LOWEST, check_values
from gan.latents import DISTRIBUTIONS
from gan.networks import ARCHITECTURES
from gan.networks.dcgan import ACTIVATIONS
from gan.networks.heads import CONDITIONS

_LOWEST = {
    'seed': 0,
    'channels': 1,
    'mask_classes': 0,
    'generator.latent_size': 1,
    'generator.fmap_base': 1,
    'generator.fmap_max': 1,
    'generator.last_width': 1,
    'generator.max_width': 1,
    'generator.kernel_size': 1,
    'generator.class_embedding': 1,
    'discriminator.fmap_base': 1,
    'discriminator.fmap_max': 1,
    'discriminator.stddev_group': 1,
    'discriminator.first_width': 1,
    'discriminator.max_width': 1,
    'discriminator.kernel_size': 1,
    'discriminator.layers': 1,
    'optimizer.discriminator_steps': 1,
    'schedule.final_epochs': 0,
    'augment.probability': 0.0,
    'samples.rows': 1,
    'samples.columns': 1,
    **RUN_LOWEST,
    'watch.images': 0,
    'watch.samples': 16,
}
_HIGHEST = {
    'seed': 2**32 - 1,
    'augment.probability': 1.0,
    'watch.samples': 10_000,  # all their distances are formed
}
_CHOICES = {
    'architecture': tuple(ARCHITECTURES),
    'generator.latent_distribution': DISTRIBUTIONS,
    'generator.activation': ACTIVATIONS,
    'discriminator.condition': CONDITIONS,
    'watch.on_collapse': ON_COLLAPSE,
}
_ATTENTION_RESOLUTIONS = (0, *(8 << power for power in range(8)))


def check_fields(config: ConfigDict) -> None:
    """Checks ranges, choices, and fields that must fit together.

    Raises:
      UserError: for the first value that cannot be used.
    """
    check_values(config, choices=_CHOICES, lowest=_LOWEST, highest=_HIGHEST)
    if config.watch.collapse_ratio <= 1:
        raise UserError(f'config.watch.collapse_ratio is {config.watch.collapse_ratio}, but must be above 1.')
    for name in ('generator', 'discriminator'):
        if 'attention_resolution' in config[name]:
            _check_attention(name, config[name])
    _check_augmentation(config)
    if config.architecture == 'progressive':
        _check_groups(config)
    else:
        _check_one_stage(config)


def _check_attention(name: str, network: ConfigDict) -> None:
    if network.attention_resolution not in _ATTENTION_RESOLUTIONS:
        raise UserError(
            f'config.{name}.attention_resolution is {network.attention_resolution}, '
            'but must be 0 or a power of two from 8 to 1024.'
        )
    chunk = network.attention_chunk
    if chunk < 0 or chunk & (chunk - 1):  # so that it divides the number of pixels
        raise UserError(f'config.{name}.attention_chunk is {chunk}, but must be 0 or a power of two.')


def _check_augmentation(config: ConfigDict) -> None:
    if config.augment.adaptive and config.loss.name == 'wasserstein':
        raise UserError(
            'config.augment.adaptive follows the sign of the logits, which means nothing under '
            "config.loss.name = 'wasserstein'; choose another loss, or a fixed config.augment.probability."
        )
    if (config.augment.adaptive or config.augment.probability) and not config.augment.operations:
        raise UserError('config.augment.operations is empty: name some, or set adaptive and probability to 0.')


def _check_groups(config: ConfigDict) -> None:
    group, batch_sizes = config.discriminator.stddev_group, config.schedule.batch_size
    for name, batch_size in batch_sizes.items():
        if batch_size > group and batch_size % group:
            raise UserError(
                f'config.schedule.batch_size.{name} is {batch_size}, '
                f'but must be a multiple of config.discriminator.stddev_group, {group}.'
            )


def _check_one_stage(config: ConfigDict) -> None:
    if config.schedule.initial_resolution not in (0, config.resolution):
        raise UserError(
            f'config.schedule.initial_resolution is {config.schedule.initial_resolution}, but a network of '
            f'architecture {config.architecture!r} does not grow; set it to 0.'
        )
    if config.resolution < 8:
        raise UserError(f'config.resolution is {config.resolution}; {config.architecture!r} needs at least 8.')
    if 'layers' not in config.discriminator:
        return
    if config.resolution >> config.discriminator.layers < 1:
        raise UserError(
            f'config.discriminator.layers is {config.discriminator.layers}, but '
            f'{config.resolution} pixels cannot be halved so often.'
        )
    if not 0 <= config.discriminator.dropout < 1:
        raise UserError(
            f'config.discriminator.dropout is {config.discriminator.dropout}, but must be at least 0 and below 1.'
        )
    if config.discriminator.batch_norm and config.loss.penalty != 'none':
        raise UserError(
            f'config.loss.penalty is {config.loss.penalty!r}, a slope at single images, which batch normalization '
            "mixes; set config.discriminator.batch_norm to False or the penalty to 'none'."
        )
