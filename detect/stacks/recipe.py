"""What a detector of volumes is made of and trained by: a config, read once, as finished objects."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from backbones.schedule import CosineAdam, EpochSchedule
from configs.detect.schema import STACK
from configs.schema import check
from detect.data import DetectorData
from detect.networks import StackDetector
from detect.recipe import check_named
from foundation.training.errors import UserError
from foundation.training.fit import Pace
from foundation.training.supervised import SupervisedState, create_state


@dataclasses.dataclass(frozen=True)
class StackData:
    """The volumes that a detector of volumes learns from and is judged by.

    Attributes:
      name, data_dir: of the data set.
      sources: altered volumes of these alone; () all.
      modalities: only these; () all.
    """

    name: str
    data_dir: str
    sources: tuple[str, ...]
    modalities: tuple[str, ...]

    def as_seen_by(self, slices: DetectorData) -> DetectorData:
        """Their slices, read as a detector of images reads its own, with true labels."""
        request = dataclasses.replace(
            slices.request, name=self.name, data_dir=self.data_dir, modalities=self.modalities
        )
        return DetectorData(request, self.sources, labels='true')


@dataclasses.dataclass(frozen=True)
class StackRecipe:
    """A detector of volumes and its training.

    Attributes:
      data: what it learns from.
      slices_from: workdir of the detector of images that describes the slices, as the config names it.
      network: what is trained.
      slices: that stand for a longer volume.
      optimizer: of all weights.
      schedule: how long it trains, in volumes.
      pace: how the run goes on, in volumes.
    """

    data: StackData
    slices_from: str
    network: StackDetector
    slices: int
    optimizer: CosineAdam
    schedule: EpochSchedule
    pace: Pace

    def create_state(self, features: int, steps: int, key: PRNGKeyArray) -> SupervisedState:
        """A fresh state for slices of so many features, of a training of so many steps."""
        shape = (1, self.slices)
        variables = self.network.init(key, jnp.zeros((*shape, features)), jnp.ones(shape, bool))
        return create_state(variables, self.optimizer.create(steps))


def create_recipe(config: ConfigDict) -> StackRecipe:
    """Reads the config of a detector of volumes.

    Raises:
      UserError: for the first value that cannot be used.
    """
    check(STACK, config)
    data = config.data
    check_named(data.name)
    if not config.slices_from:
        raise UserError('config.slices_from is empty; name the workdir of a finished detector of images.')
    return StackRecipe(
        data=StackData(data.name, data.data_dir, tuple(data.sources), tuple(data.modalities)),
        slices_from=config.slices_from,
        network=StackDetector(config.stack.width),
        slices=config.stack.slices,
        optimizer=CosineAdam(**config.optimizer),
        schedule=EpochSchedule(config.schedule.epochs, config.schedule.batch_size, config.watch.epochs),
        pace=Pace.create(config.seed, config.run, sample=config.run.checkpoint_images),
    )
