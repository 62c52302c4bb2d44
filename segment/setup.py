"""From a segmenter's config to the objects it describes."""

import logging
import math
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

import input_pipeline
from backbones.encoders import Encoder
from backbones.images import request_images
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fields import RUN_LOWEST, check_values, find_field
from foundation.training.supervised import SupervisedState, create_state
from segment.augmentation import SegmentationAugmentation
from segment.fingerprint import (
    Fingerprint,
    Suggestion,
    suggest_patch,
    suggest_reading,
    suggest_resolution,
    suggest_sizes,
)
from segment.losses import LossWeights
from segment.networks import UNet
from segment.networks.unet import NORMALIZATIONS

_LOGGER = logging.getLogger(__name__)
_TO_BE_SUGGESTED = (0, 'suggested')
_FITS = ('native', 'pad', 'resize')
_OPTIMIZERS = ('sgd', 'adamw')
_AXES = ('horizontal', 'vertical')
_PROBABILITIES = ('rotation', 'scaling', 'noise', 'blur', 'brightness', 'contrast', 'low_resolution', 'gamma')
_RANGES = ('zoom', 'sigma', 'brightness_range', 'contrast_range', 'gamma_range')
_LOWEST = {
    'seed': 0,
    'resolution': 8,
    'patch': 8,
    'channels': 1,
    'context': 0,
    'mask_classes': 1,
    'network.width': 1,
    'network.max_width': 1,
    'network.depth': 1,
    **{f'augment.{name}': 0.0 for name in ('scale', 'angle', 'deviation', *_PROBABILITIES)},
    'augment.shrink': 0.05,
    'loss.dice': 0.0,
    'loss.cross_entropy': 0.0,
    'loss.focal_gamma': 0.0,
    'loss.boundary': 0.0,
    'optimizer.learning_rate': 0.0,
    'optimizer.momentum': 0.0,
    'optimizer.weight_decay': 0.0,
    'optimizer.warmup': 0.0,
    'optimizer.clip': 1e-6,
    'schedule.steps': 1,
    'schedule.batch_size': 1,
    'schedule.foreground_share': 0.0,
    'watch.steps': 1,
    **RUN_LOWEST,
}
_HIGHEST = {
    'seed': 2**32 - 1,
    'mask_classes': 127,
    'network.depth': 8,
    **{f'augment.{name}': 1.0 for name in (*_PROBABILITIES, 'shrink')},
    'augment.angle': 180.0,
    'optimizer.momentum': 0.9999,
    'optimizer.warmup': 1.0,
    'schedule.foreground_share': 1.0,
}


def resolve(config: ConfigDict, fingerprint: Fingerprint) -> None:
    """Puts suggestions into the fields that ask for one, and shows all, with what the config has instead.

    What depends on another field follows that field, not the suggestion for it.
    """
    _take(config, suggest_resolution(fingerprint, config.data.fit))
    for suggestion in suggest_reading(fingerprint, config.resolution):
        _take(config, suggestion)
    resolve_sizes(config)


def resolve_sizes(config: ConfigDict) -> None:
    """Puts into the fields that ask for a suggestion what follows from the sizes of images and patches."""
    _take(config, suggest_patch(config.resolution))
    for suggestion in suggest_sizes(config.patch):
        _take(config, suggestion)


def _take(config: ConfigDict, suggestion: Suggestion) -> None:
    given = find_field(config, suggestion.field)
    if given in _TO_BE_SUGGESTED:
        config.update_from_flattened_dict({suggestion.field: suggestion.value})
        _LOGGER.info('config.%s = %s: %s.', suggestion.field, suggestion.value, suggestion.reason)
    elif given != suggestion.value:
        _LOGGER.info(
            'config.%s = %s as configured; suggested is %s: %s.',
            suggestion.field, given, suggestion.value, suggestion.reason,
        )  # fmt: skip


def check_config(config: ConfigDict) -> None:
    """Checks all values of a config whose suggestions are resolved.

    Raises:
      UserError: for the first value that cannot be used.
    """
    choices = {
        'data.fit': _FITS,
        'network.normalization': NORMALIZATIONS,
        'optimizer.name': _OPTIMIZERS,
    }
    check_values(config, choices=choices, lowest=_LOWEST, highest=_HIGHEST)
    if config.patch > config.resolution:
        raise UserError(f'config.patch is {config.patch}, more than config.resolution, {config.resolution}.')
    if not config.loss.dice and not config.loss.cross_entropy:
        raise UserError('config.loss.dice and config.loss.cross_entropy are both 0; nothing would be learnt.')
    if set(config.augment.mirror) - set(_AXES):
        raise UserError(f'config.augment.mirror is {config.augment.mirror}; choose among {_AXES}.')
    for name in _RANGES:
        ends = tuple(config.augment[name])
        if len(ends) != 2 or not 0 < ends[0] <= ends[1] < math.inf:
            raise UserError(f'config.augment.{name} is {ends}; give two positive numbers, the lower first.')
    _check_classes(config)
    _check_depth(config)


def _check_classes(config: ConfigDict) -> None:
    names = config.data.class_names
    if names and (len(names) != config.mask_classes or len(set(names)) != len(names)):
        raise UserError(
            f'config.data.class_names are {tuple(names)}; give each of the {config.mask_classes} classes a name.'
        )


def check_fits(config: ConfigDict, *splits: input_pipeline.ImageData) -> None:
    """Raises UserError when images that are to stay as they are have no room."""
    largest = max(images.largest_side for images in splits)
    if config.data.fit == 'native' and largest > config.resolution:
        raise UserError(
            f'The largest image has {largest} pixels a side, more than config.resolution, {config.resolution}; '
            'make that larger, or use --config.data.fit=pad.'
        )


def check_shown(
    config: ConfigDict, images: input_pipeline.ImageData, validation: input_pipeline.ImageData
) -> None:
    """Raises UserError when a class is in no training mask, or nothing is in those of the validation split."""
    shown = images.class_images
    for class_id in range(1, config.mask_classes + 1 if shown else 0):
        if class_id > len(shown) or not shown[class_id - 1]:
            raise UserError(
                f'{images.name}: no training image shows class {class_id} of {config.mask_classes}, so it cannot '
                'be learnt; split the patients otherwise, or number the classes in the masks without it.'
            )
    if shown and not any(validation.class_images):
        raise UserError(f'{images.name}: no validation image shows any foreground; give that split some that do.')


def _check_depth(config: ConfigDict) -> None:
    if config.patch >> config.network.depth < 2 and not config.network.encoder:
        raise UserError(
            f'config.patch is {config.patch}, too few pixels to be halved {config.network.depth} times; make '
            'config.network.depth smaller, or the patch larger.'
        )


def check_encoder(config: ConfigDict, encoder: Encoder) -> None:
    """Raises UserError when patches are too small for the encoder."""
    if config.patch >> encoder.halvings < 1:
        raise UserError(
            f'config.patch is {config.patch}, but the encoder halves images {encoder.halvings} times; '
            f'make it {2**encoder.halvings} at least.'
        )


def check_before(config: ConfigDict) -> None:
    """Checks what must hold before the data are looked at.

    Raises:
      UserError: for the first value that cannot be used.
    """
    given = {name: low for name, low in _LOWEST.items() if find_field(config, name) not in _TO_BE_SUGGESTED}
    choices = {'data.fit': (*_FITS, 'suggested'), 'optimizer.name': _OPTIMIZERS}
    check_values(config, choices=choices, lowest=given, highest=_HIGHEST)


def open_plain(config: ConfigDict) -> input_pipeline.ImageData:
    """Opens the training split only to look at its records as they are stored.

    Raises:
      DataError: when the data set is missing or damaged.
    """
    plain = config.copy_and_resolve_references()
    with plain.unlocked():
        plain.resolution, plain.data.window, plain.data.fit = plain.resolution or 1, 'volume', 'pad'
    request = request_images(plain, mask_classes=0, context=0, target='class', foreground_share=0.0)
    return request.open('train', flip=False, in_memory=False)


def open_images(config: ConfigDict, split: str, *, train: bool) -> input_pipeline.ImageData:
    """Opens a split as the network sees it.

    Raises:
      DataError: when the data set is missing, damaged, or not what the config expects.
    """
    request = request_images(
        config,
        mask_classes=config.mask_classes,
        context=config.context,
        target='class',
        foreground_share=config.schedule.foreground_share if train else 0.0,
    )
    return request.open(split, flip=train, in_memory=train)


def create_network(config: ConfigDict, encoder: Encoder | None) -> UNet:
    """The configured network."""
    fields = config.network.to_dict()
    fields.pop('encoder')
    dtype = compute.compute_dtype(config.compute_dtype)
    if encoder is not None:
        fields['depth'] = encoder.halvings
    return UNet(
        **fields,
        num_classes=config.mask_classes + 1,
        encoder=None if encoder is None else encoder.create(dtype),
        prepare=None if encoder is None else encoder.prepare,
        dtype=dtype,
    )


def all_channels(config: ConfigDict) -> int:
    """Channels of an image with its context."""
    return config.channels * (2 * config.context + 1)


def create_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """SGD with Nesterov's momentum and a polynomial decay (nnU-Net), or AdamW; gradients are clipped."""
    options, steps = config.optimizer, config.schedule.steps
    clip = optax.clip_by_global_norm(options.clip)
    if options.name == 'sgd':
        rate = optax.polynomial_schedule(options.learning_rate, 0.0, 0.9, steps)
        decay = optax.add_decayed_weights(options.weight_decay)
        return optax.chain(clip, decay, optax.sgd(rate, options.momentum, nesterov=True))
    warmup = max(int(options.warmup * steps), 1)
    rate = optax.warmup_cosine_decay_schedule(0.0, options.learning_rate, warmup, max(steps, warmup + 1))
    return optax.chain(clip, optax.adamw(rate, weight_decay=options.weight_decay))


def create_augmentation(config: ConfigDict) -> SegmentationAugmentation:
    """How training images are varied."""
    return SegmentationAugmentation(**{name: _fixed(value) for name, value in config.augment.items()})


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def create_loss(config: ConfigDict) -> LossWeights:
    """What the network is trained on."""
    return LossWeights(**config.loss.to_dict())


def create_state_of(config: ConfigDict, encoder: Encoder | None, key: PRNGKeyArray) -> SupervisedState:
    """A fresh state; an encoder's weights are drawn too."""
    images = jnp.zeros((1, config.patch, config.patch, all_channels(config)))
    variables = create_network(config, encoder).init(key, images)
    return create_state(variables, create_optimizer(config))
