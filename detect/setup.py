"""From a detector's config to the objects it describes."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from ml_collections import ConfigDict

from backbones.augmentation import ImageAugmentation
from backbones.encoders import Encoder
from backbones.networks.resnet import DEPTHS
from backbones.setup import ARCHITECTURES, check_blocks, create_optimizer
from detect.degradations import Degradation
from detect.networks import INPUTS, DetectorNetwork
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fields import RUN_LOWEST, check_values
from foundation.training.supervised import SupervisedState, create_state

_LOWEST = {
    'seed': 0,
    'resolution': 16,
    'channels': 1,
    'attention_heads': 0,
    'network.width': 1,
    'network.num_stages': 1,
    'network.growth': 1,
    'network.stem_width': 1,
    'augment.shift': 0.0,
    'augment.contrast': 0.0,
    'augment.brightness': 0.0,
    'degrade.resampling': 0.0,
    'degrade.blur': 0.0,
    'degrade.noise': 0.0,
    'degrade.compression': 0.0,
    'adversarial.eps': 0.0,
    'adversarial.steps': 0,
    'optimizer.learning_rate': 0.0,
    'optimizer.weight_decay': 0.0,
    'optimizer.warmup': 0.0,
    'schedule.epochs': 1,
    'schedule.batch_size': 1,
    'anomaly.padim_features': 1,
    'anomaly.coreset': 10,
    'anomaly.images': 10,
    'watch.epochs': 1,
    **RUN_LOWEST,
}
_HIGHEST = {
    'seed': 2**32 - 1,
    'network.num_stages': 4,
    'augment.shift': 0.5,
    'augment.contrast': 1.0,
    'degrade.resampling': 1.0,
    'degrade.blur': 1.0,
    'degrade.noise': 1.0,
    'degrade.compression': 1.0,
    'optimizer.warmup': 1.0,
}
# Ends of strengths, and between what they must lie.
_RANGES = {'factor': (0.05, 1.0), 'sigma': (0.0, 100.0), 'deviation': (0.0, 2.0), 'quality': (1, 100)}


def check_config(config: ConfigDict) -> None:
    """Checks all that can be checked without data.

    Raises:
      UserError: for the first value that cannot be used.
    """
    choices = {
        'architecture': tuple(ARCHITECTURES),
        'channels': (1, 3),
        'network.depth': DEPTHS,
        'data.labels': ('true', 'random'),
    }
    check_values(config, choices=choices, lowest=_LOWEST, highest=_HIGHEST)
    check_blocks(config)
    if not config.data.name:
        raise UserError('config.data.name is empty; name a data set that detect.prepare wrote.')
    unknown = set(config.inputs) - set(INPUTS)
    if unknown or not config.inputs or len(set(config.inputs)) < len(config.inputs):
        raise UserError(f'config.inputs is {tuple(config.inputs)}; name some of {", ".join(INPUTS)}, each once.')
    for name, (lowest, highest) in _RANGES.items():
        ends = tuple(config.degrade[name])
        if len(ends) != 2 or not lowest <= ends[0] <= ends[1] <= highest:
            raise UserError(f'config.degrade.{name} is {ends}; give two ends, rising, from {lowest} to {highest}.')
    if (config.adversarial.eps > 0) != (config.adversarial.steps > 0):
        raise UserError('config.adversarial needs eps and steps, or neither.')


def check_channels(config: ConfigDict, channels: int) -> None:
    """Raises UserError where anomaly scores would use more channels than the network's maps have."""
    wanted = config.anomaly.padim_features
    if wanted > channels:
        raise UserError(
            f'config.anomaly.padim_features is {wanted}, but the maps have {channels} channels; make it smaller.'
        )


def create_network(config: ConfigDict, encoder: Encoder | None) -> DetectorNetwork:
    """The configured network; all branches have the encoder, or networks as configured where it is None."""
    dtype = compute.compute_dtype(config.compute_dtype)
    fields = {
        name: tuple(value) if isinstance(value, list | tuple) else value
        for name, value in config.network.to_dict().items()
    }
    encoders = tuple(
        ARCHITECTURES[config.architecture](**fields, num_classes=1, dtype=dtype)
        if encoder is None
        else encoder.create(dtype)
        for _ in config.inputs
    )
    prepare = _keep if encoder is None else encoder.prepare
    return DetectorNetwork(tuple(config.inputs), encoders, prepare, config.attention_heads)


def _keep(images: Array) -> Array:
    return images


def create_augmentation(config: ConfigDict) -> ImageAugmentation:
    """How training images are varied."""
    return ImageAugmentation(
        shift=int(config.augment.shift * config.resolution),
        contrast=config.augment.contrast,
        brightness=config.augment.brightness,
    )


def create_degradation(config: ConfigDict) -> Degradation:
    """How training images are degraded."""
    fields: dict[str, Any] = {
        name: tuple(value) if name in _RANGES else value for name, value in config.degrade.items()
    }
    return Degradation(**fields)


def attack_eps(config: ConfigDict) -> float:
    """Largest change of adversarial training, in units of images."""
    return config.adversarial.eps * 2 / 255


def create_state_of(config: ConfigDict, encoder: Encoder | None, steps: int, key: PRNGKeyArray) -> SupervisedState:
    """A fresh state."""
    images = jnp.zeros((1, config.resolution, config.resolution, config.channels))
    variables = create_network(config, encoder).init(key, images)
    return create_state(variables, create_optimizer(config, steps))
