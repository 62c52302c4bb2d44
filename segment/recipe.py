"""What a segmenter is made of and trained by: a config, read once, as finished objects."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from backbones.encoders import Encoder
from backbones.images import ImageRequest, fill_channels, request_images
from configs.schema import changes, check
from configs.segment.schema import UNET
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fit import Pace
from foundation.training.supervised import SupervisedState, create_state
from input_pipeline import PatchShape
from segment.augmentation import SegmentationAugmentation
from segment.losses import LossWeights
from segment.networks import Levels, UNet, square_levels

_AXES = ('horizontal', 'vertical')
_RANGES = ('zoom', 'sigma', 'brightness_range', 'contrast_range', 'gamma_range')


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A segmenter and its training.

    Attributes:
      images: of training, with their masks.
      classes: names of the foreground classes, that of id 1 first.
      network: with its own encoder, until `with_encoder` gives it another.
      encoder: where the weights of another encoder come from; '' for its own.
      start_from: workdir of the run whose best network is the first; '' for one that is drawn.
      patch: side of the squares that the network is trained on, in pixels.
      slices: of the patches of volumes; None for a network of images.
      distance: millimetres between slices that volumes are resampled to; not above 0 for none.
      augmentation: of training images.
      loss: what the network is trained on.
      optimizer: of all its weights.
      steps, batch_size: of the training.
      watch_steps: between two looks at the validation split.
      device_memory_gib: images are kept on the device up to this size.
      pace: how the run goes on.
    """

    images: ImageRequest
    classes: tuple[str, ...]
    network: UNet
    encoder: str
    start_from: str
    patch: int
    slices: int | None
    distance: float
    augmentation: SegmentationAugmentation
    loss: LossWeights
    optimizer: optax.GradientTransformation
    steps: int
    batch_size: int
    watch_steps: int
    device_memory_gib: float
    pace: Pace

    @property
    def all_channels(self) -> int:
        """Channels of an image with its context."""
        return self.images.preprocessing.all_channels

    @property
    def volume_patch(self) -> PatchShape | None:
        """What the network is trained on; None for a network of images."""
        return None if self.slices is None else PatchShape(self.slices, self.patch)

    def with_encoder(self, encoder: Encoder | None) -> 'Recipe':
        """The same with another encoder in the network; unchanged for None.

        Raises:
          UserError: when patches are too small for it.
        """
        if encoder is None:
            return self
        if self.patch >> encoder.halvings < 1:
            raise UserError(
                f'config.patch is {self.patch}, but the encoder halves images {encoder.halvings} times; '
                f'make it {2**encoder.halvings} at least.'
            )
        strides, kernels = square_levels(encoder.halvings)
        network = self.network.clone(
            encoder=encoder.create(self.network.dtype), prepare=encoder.prepare, strides=strides, kernels=kernels
        )
        return dataclasses.replace(self, network=network)

    def create_state(self, key: PRNGKeyArray) -> SupervisedState:
        """A fresh state; an encoder's weights are drawn too."""
        depth = () if self.slices is None else (self.slices,)
        images = jnp.zeros((1, *depth, self.patch, self.patch, self.all_channels))
        return create_state(self.network.init(key, images), self.optimizer)


def create_recipe(config: ConfigDict) -> Recipe:
    """Reads a config that leaves nothing to the data any more.

    Raises:
      UserError, DataError: for the first value that cannot be used.
    """
    config = check(UNET, fill_channels(check(UNET, config, left_open=True)))
    fields, (strides, kernels) = config.network.to_dict(), _create_levels(config)
    del fields['depth']
    recipe = Recipe(
        images=request_images(
            config,
            mask_classes=config.mask_classes,
            context=config.context,
            target='class',
            foreground_share=config.schedule.foreground_share,
        ),
        classes=_name_classes(tuple(config.data.class_names), config.mask_classes),
        encoder=fields.pop('encoder'),
        start_from=config.start_from,
        network=UNet(
            **fields,
            strides=strides,
            kernels=kernels,
            num_classes=config.mask_classes + 1,
            encoder=None,
            prepare=None,
            dtype=compute.compute_dtype(config.compute_dtype),
        ),
        patch=config.patch,
        slices=config.volume.slices if config.dimensions == 3 else None,
        distance=config.volume.distance,
        augmentation=_create_augmentation(
            **config.augment.to_dict(), depth=config.dimensions == 3 and config.volume.mirror
        ),
        loss=LossWeights(**config.loss.to_dict()),
        optimizer=_create_optimizer(**config.optimizer.to_dict(), steps=config.schedule.steps),
        steps=config.schedule.steps,
        batch_size=config.schedule.batch_size,
        watch_steps=config.watch.steps,
        device_memory_gib=config.data.device_memory_gib,
        pace=Pace.create(config.seed, config.run, sample=config.run.sample_images),
    )
    _check_together(recipe)
    return recipe


def _name_classes(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Names of so many foreground classes; without any, their ids."""
    if names and (len(names) != count or len(set(names)) != len(names)):
        raise UserError(f'config.data.class_names are {names}; give each of the {count} classes a name.')
    return names or tuple(f'class {class_id}' for class_id in range(1, count + 1))


def _create_levels(config: ConfigDict) -> tuple[Levels, Levels]:
    """Strides and kernels of the network.

    Raises:
      UserError: for those of volumes that are not as many as the resolutions, or other numbers than 1, 2 and 3.
    """
    plane_strides, plane_kernels = square_levels(config.network.depth)
    if config.dimensions == 2:
        _check_left_open(config)
        return plane_strides, plane_kernels
    given = {
        'strides': (config.volume.strides, plane_strides, (1, 2)),
        'kernels': (config.volume.kernels, plane_kernels, (1, 3)),
    }
    for name, (own, planes, allowed) in given.items():
        if len(own) != len(planes) or not set(own) <= set(allowed):
            raise UserError(
                f'config.volume.{name} is {tuple(own)}; with config.network.depth={config.network.depth} give '
                f'{len(planes)} numbers, each {allowed[0]} or {allowed[1]}.'
            )
    strides, kernels = (
        tuple((int(depth), *plane) for depth, plane in zip(own, planes, strict=True))
        for own, planes, _ in given.values()
    )
    return strides, kernels


def _check_left_open(config: ConfigDict) -> None:
    """Raises UserError for what only volumes have."""
    for name in changes(UNET, config):
        if name.startswith('volume.'):
            raise UserError(f'config.{name} is for volumes; add --config.dimensions=3, or leave it out.')


def _create_augmentation(mirror: Sequence[str], *, depth: bool, **others: Any) -> SegmentationAugmentation:
    """Raises UserError for axes that there are not, and ends that are no range."""
    if set(mirror) - set(_AXES):
        raise UserError(f'config.augment.mirror is {mirror}; choose among {_AXES}.')
    for name in _RANGES:
        ends = others[name] = tuple(others[name])
        if len(ends) != 2 or not 0 < ends[0] <= ends[1] < math.inf:
            raise UserError(f'config.augment.{name} is {ends}; give two positive numbers, the lower first.')
    return SegmentationAugmentation(mirror=(*mirror, *['depth'] * depth), **others)


def _create_optimizer(
    name: str,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    warmup: float,
    clip: float,
    *,
    steps: int,
) -> optax.GradientTransformation:
    """SGD with Nesterov's momentum and a polynomial decay (nnU-Net), or AdamW; gradients are clipped."""
    clipping = optax.clip_by_global_norm(clip)
    if name == 'sgd':
        falling = optax.polynomial_schedule(learning_rate, 0.0, 0.9, steps)
        decay = optax.add_decayed_weights(weight_decay)
        return optax.chain(clipping, decay, optax.sgd(falling, momentum, nesterov=True))
    rising = max(int(warmup * steps), 1)
    rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, rising, max(steps, rising + 1))
    return optax.chain(clipping, optax.adamw(rate, weight_decay=weight_decay))


def _check_together(recipe: Recipe) -> None:
    """Raises UserError for values that do not go together."""
    resolution = recipe.images.preprocessing.resolution
    if recipe.patch > resolution:
        raise UserError(f'config.patch is {recipe.patch}, more than config.resolution, {resolution}.')
    if not recipe.loss.dice and not recipe.loss.cross_entropy:
        raise UserError('config.loss.dice and config.loss.cross_entropy are both 0; nothing would be learnt.')
    depth = recipe.network.halvings
    if recipe.slices is not None:
        _check_volumes(recipe)
    if recipe.patch >> depth < 2 and not recipe.encoder:
        raise UserError(
            f'config.patch is {recipe.patch}, too few pixels to be halved {depth} times; make '
            'config.network.depth smaller, or the patch larger.'
        )


def _check_volumes(recipe: Recipe) -> None:
    """Raises UserError for what networks of volumes cannot do."""
    assert recipe.slices is not None
    if recipe.encoder:
        raise UserError(
            f'config.network.encoder is {recipe.encoder}, a network of images; leave it out, or use '
            'config.dimensions=2.'
        )
    if recipe.images.preprocessing.context:
        raise UserError('config.context is for config.dimensions=2; volumes have their slices around each anyway.')
    shrink = recipe.network.multiples[0]
    if recipe.slices < shrink:
        raise UserError(
            f'config.volume.slices is {recipe.slices}, but config.volume.strides make one of {shrink}; give more '
            'slices, or strides of 1.'
        )
