"""From a config to the objects it describes. The only place where fields of a config meet networks and losses."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from gan.networks import Discriminator, Generator
from gan.schedule import Stage, create_stages
from gan.step import Averaging, Objective
from training.errors import UserError

Optimizers = tuple[optax.GradientTransformation, optax.GradientTransformation]
_LOWEST = {
    'seed': 0,
    'channels': 1,
    'generator.latent_size': 1,
    'generator.fmap_base': 1,
    'generator.fmap_max': 1,
    'discriminator.fmap_base': 1,
    'discriminator.fmap_max': 1,
    'discriminator.stddev_group': 1,
    'samples.rows': 1,
    'samples.columns': 1,
    'run.log_images': 1,
    'run.sample_images': 1,
    'run.checkpoint_images': 1,
    'run.checkpoints_to_keep': 1,
    'run.steps_per_call': 0,
    'run.max_skipped_in_a_row': 1,
}


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
    create_objective(config)
    compute_dtype(config)
    for name, lowest in _LOWEST.items():
        value = _field(config, name)
        if value < lowest:
            raise UserError(f'config.{name} is {value}, but must be at least {lowest}.')
    if config.seed >= 2**32:
        raise UserError(f'config.seed is {config.seed}, but must be below 2**32.')
    for name in ('generator', 'discriminator'):
        _check_attention(name, config[name])
    group = config.discriminator.stddev_group
    for stage in create_stages_of(config):
        if stage.batch_size > group and stage.batch_size % group:
            raise UserError(
                f'config.schedule.batch_size.at_{stage.resolution} is {stage.batch_size}, '
                f'but must be a multiple of config.discriminator.stddev_group, {group}.'
            )


def _field(config: ConfigDict, name: str) -> int:
    for part in name.split('.'):
        config = config[part]
    return config


def _check_attention(name: str, network: ConfigDict) -> None:
    resolutions = [0, *(8 << power for power in range(8))]
    if network.attention_resolution not in resolutions:
        raise UserError(
            f'config.{name}.attention_resolution is {network.attention_resolution}, '
            'but must be 0 or a power of two from 8 to 1024.'
        )
    chunk = network.attention_chunk
    if chunk < 0 or chunk & (chunk - 1):  # so that it divides the number of pixels
        raise UserError(f'config.{name}.attention_chunk is {chunk}, but must be 0 or a power of two.')


def create_stages_of(config: ConfigDict) -> tuple[Stage, ...]:
    """The stages that the config asks for.

    Raises:
      UserError: see `schedule.create_stages`.
    """
    try:
        return create_stages(final_resolution=config.resolution, **config.schedule.to_dict())
    except ValueError as error:
        raise UserError(f'config: {error}') from error


def create_objective(config: ConfigDict) -> Objective:
    """The loss and its penalty.

    Raises:
      UserError: for an unknown name.
    """
    try:
        return Objective(**config.loss)
    except ValueError as error:
        raise UserError(f'config: {error}') from error


def create_averaging(config: ConfigDict) -> Averaging:
    """The generator's running mean."""
    return Averaging(**config.average)


def create_networks(
    config: ConfigDict, resolution: int, image_format: ImageFormat
) -> tuple[Generator, Discriminator]:
    """Both networks at one resolution of their growth."""
    shared = {
        'resolution': resolution,
        'channels': image_format.all_channels,
        'num_classes': image_format.num_classes,
        'dtype': compute_dtype(config),
    }
    fields = {name: dict(config[name]) for name in ('generator', 'discriminator')}
    for network in fields.values():
        # The paper's block, or the last one where images stay smaller.
        network['attention_resolution'] = min(network['attention_resolution'], config.resolution)
    return Generator(**shared, **fields['generator']), Discriminator(**shared, **fields['discriminator'])


def create_optimizers(config: ConfigDict) -> Optimizers:
    """Adam for the generator and for the discriminator."""
    shared = {'b1': config.optimizer.b1, 'b2': config.optimizer.b2, 'eps': config.optimizer.eps}
    return (
        optax.adam(config.optimizer.generator_learning_rate, **shared),
        optax.adam(config.optimizer.discriminator_learning_rate, **shared),
    )


def compute_dtype(config: ConfigDict) -> jnp.dtype:
    """float32, bfloat16, or (`auto`) bfloat16 on accelerators and float32 on CPUs.

    Raises:
      UserError: for another name.
    """
    known = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
    known['auto'] = known['float32' if on_cpu() else 'bfloat16']
    if config.compute_dtype not in known:
        raise UserError(f'config.compute_dtype is {config.compute_dtype!r}; choose one of {sorted(known)}.')
    return jnp.dtype(known[config.compute_dtype])


def steps_per_call(config: ConfigDict) -> int:
    """Steps in one call of the device: as configured, or (0) many on accelerators and one on CPUs.

    A whole number of penalty cycles, so that full calls repeat one program.
    """
    if config.run.steps_per_call:
        return config.run.steps_per_call
    every = config.loss.penalty_every
    return 1 if on_cpu() else every * max(32 // every, 1)


def on_cpu() -> bool:
    """Whether the computation runs on CPUs."""
    return jax.default_backend() == 'cpu'
