"""What a classifier is made of and trained by: a config, read once, as finished objects."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from backbones.augmentation import ImageAugmentation
from backbones.images import ImageRequest, fill_channels, request_images
from backbones.networks import DenseNet, Network, create_network
from backbones.schedule import CosineAdam, EpochSchedule
from configs.backbones.schema import CLASSIFIER
from configs.schema import check
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fit import Pace
from foundation.training.supervised import SupervisedState, create_state

_FEWEST_CLASSES = 2


@dataclasses.dataclass(frozen=True)
class ClassifierRecipe:
    """A classifier and its training.

    Attributes:
      images: what it learns from, and what their labels tell.
      network: for two classes, until `with_classes` tells how many there are.
      augmentation: of training images.
      label_smoothing: share of a label that all classes get.
      optimizer: of all weights.
      schedule: how long it trains.
      pace: how the run goes on.
      device_memory_gib: images are kept on the device up to this size.
    """

    images: ImageRequest
    network: Network
    augmentation: ImageAugmentation
    label_smoothing: float
    optimizer: CosineAdam
    schedule: EpochSchedule
    pace: Pace
    device_memory_gib: float

    @property
    def resolution(self) -> int:
        """Height and width of the images."""
        return self.images.preprocessing.resolution

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.images.preprocessing.channels

    def with_classes(self, count: int) -> 'ClassifierRecipe':
        """The same for so many classes."""
        return dataclasses.replace(self, network=self.network.clone(num_classes=count))

    def create_state(self, steps: int, key: PRNGKeyArray) -> SupervisedState:
        """A fresh state of a training of so many steps."""
        images = jnp.zeros((1, self.resolution, self.resolution, self.channels))
        return create_state(self.network.init(key, images), self.optimizer.create(steps))


def create_recipe(config: ConfigDict) -> ClassifierRecipe:
    """Reads a classifier's config.

    Raises:
      UserError, DataError: for the first value that cannot be used.
    """
    config = fill_channels(check(CLASSIFIER, config, left_open=True))
    dtype = compute.compute_dtype(config.compute_dtype)
    network = create_network(
        config.architecture, config.network.to_dict(), num_classes=_FEWEST_CLASSES, dtype=dtype
    )
    check_blocks(network, config.resolution)
    optimizer = config.optimizer.to_dict()
    return ClassifierRecipe(
        images=request_images(config, mask_classes=0, context=0, target=config.target, foreground_share=0.0),
        network=network,
        augmentation=ImageAugmentation(
            shift=int(config.augment.shift * config.resolution),
            contrast=config.augment.contrast,
            brightness=config.augment.brightness,
        ),
        label_smoothing=optimizer.pop('label_smoothing'),
        optimizer=CosineAdam(**optimizer),
        schedule=EpochSchedule(config.schedule.epochs, config.schedule.batch_size, config.watch.epochs),
        pace=Pace.create(config.seed, config.run, sample=config.run.checkpoint_images),
        device_memory_gib=config.data.device_memory_gib,
    )


def check_blocks(network: Network, resolution: int) -> None:
    """Whether images are large enough for the means of 2x2 pixels between dense blocks, where there are any.

    Raises:
      UserError: when they are not.
    """
    if not isinstance(network, DenseNet):
        return
    if not network.blocks or min(network.blocks) < 1:
        raise UserError(f'config.network.blocks is {network.blocks}; give each block one layer at least.')
    halvings = len(network.blocks) - 1 + (0 if network.small_stem else 2)
    if resolution >> halvings < 1:
        raise UserError(
            f'config.resolution is {resolution}, too few pixels for this network to halve so often; '
            'set config.network.small_stem to True.'
        )
