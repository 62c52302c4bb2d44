"""What an encoder without labels is made of and trained by: a config, read once, as finished objects."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from backbones.contrastive.network import ContrastiveNetwork
from backbones.contrastive.views import ViewPlan
from backbones.images import ImageRequest, fill_channels, request_images
from backbones.networks import create_network
from backbones.recipe import check_blocks
from backbones.schedule import CosineAdam
from configs.backbones.schema import SELF_SUPERVISED
from configs.schema import check
from foundation.training import compute
from foundation.training.errors import UserError
from foundation.training.fit import Pace
from foundation.training.supervised import SupervisedState, create_state


@dataclasses.dataclass(frozen=True)
class ContrastiveRecipe:
    """An encoder without labels, and its training.

    Attributes:
      images: what it learns from.
      network: the encoder and its projection.
      views: of training images.
      temperature: of the loss.
      spare_patients: whether images of one patient are not told apart.
      optimizer: of all weights.
      steps: of the whole training.
      batch_size: images of the global batch; each has two views.
      watched: images between two looks at the validation split, whole batches.
      pace: how the run goes on.
      device_memory_gib: images are kept on the device up to this size.
    """

    images: ImageRequest
    network: ContrastiveNetwork
    views: ViewPlan
    temperature: float
    spare_patients: bool
    optimizer: CosineAdam
    steps: int
    batch_size: int
    watched: int
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

    def create_state(self, key: PRNGKeyArray) -> SupervisedState:
        """A fresh state."""
        images = jnp.zeros((1, self.resolution, self.resolution, self.channels))
        return create_state(self.network.init(key, images), self.optimizer.create(self.steps))


def create_contrastive_recipe(config: ConfigDict) -> ContrastiveRecipe:
    """Reads the config of an encoder without labels.

    Raises:
      UserError, DataError: for the first value that cannot be used.
    """
    config = fill_channels(check(SELF_SUPERVISED, config, left_open=True))
    dtype = compute.compute_dtype(config.compute_dtype)
    encoder = create_network(config.architecture, config.network.to_dict(), num_classes=1, dtype=dtype)
    check_blocks(encoder, config.resolution)
    batch_size = config.schedule.batch_size
    if config.schedule.images < batch_size:
        raise UserError(
            f'config.schedule.images is {config.schedule.images}, fewer than a batch has ({batch_size}); '
            'make it larger.'
        )
    return ContrastiveRecipe(
        images=request_images(config, mask_classes=0, context=0, target='class', foreground_share=0.0),
        network=ContrastiveNetwork(encoder, **config.projection),
        views=ViewPlan(
            **config.views,
            mirror_horizontal=config.data.flip_horizontal,
            mirror_vertical=config.data.flip_vertical,
        ),
        temperature=config.contrast.temperature,
        spare_patients=config.contrast.spare_patients,
        optimizer=CosineAdam(**config.optimizer),
        steps=config.schedule.images // batch_size,
        batch_size=batch_size,
        watched=max(config.watch.images // batch_size, 1) * batch_size,
        pace=Pace.create(config.seed, config.run, sample=config.run.checkpoint_images),
        device_memory_gib=config.data.device_memory_gib,
    )
