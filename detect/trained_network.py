"""A trained detector's network, brought back from its workdir without its data."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from ml_collections import ConfigDict

from backbones.classifier import variables_checksum
from backbones.encoders import read_encoder
from backbones.images import DataFacts, read_facts
from detect.networks import Detection, DetectorNetwork
from detect.recipe import DetectorRecipe, create_recipe
from detect.step import make_describe
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from foundation.training.state import Variables
from foundation.training.supervised import restore_variables

Images = Float32[np.ndarray, 'image height width channel']


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights, of which nobody knows yet what its scores mean.

    Attributes:
      workdir: of its run.
      recipe: what it was made by.
      facts: the data it was trained on.
      variables: its weights.
      position: where in training they were saved.
      describe: what it says of any number of images in [-1, 1], on the host.
    """

    workdir: Path
    recipe: DetectorRecipe
    facts: DataFacts
    variables: Variables
    position: Position
    describe: Callable[[Images], Detection]

    @property
    def network(self) -> DetectorNetwork:
        """Without weights."""
        return self.recipe.network

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of all weights."""
        return variables_checksum(self.variables)


def restore_network(workdir: Path, step: int | None, *, batch_size: int) -> TrainedNetwork:
    """The network that was best on the validation split, or that of a step.

    Args:
      workdir: of the run.
      step: of the checkpoint; None for the best.
      batch_size: images that it looks at together.

    Raises:
      UserError: when there is no run, or no checkpoint that can be read.
    """
    recipe, facts = create_recipe(read_detector_config(workdir)), read_facts(workdir)
    recipe = recipe.with_encoder(read_encoder(workdir))
    folder = workdir / ('checkpoints' if step is not None else BEST)
    # The optimiser's state has the same shape whatever the number of steps.
    variables, position = restore_variables(folder, functools.partial(recipe.create_state, 1), step)
    mapped = create_mapper(make_describe(recipe.network), parallel.create_mesh(), batch_size)
    return TrainedNetwork(workdir, recipe, facts, variables, position, functools.partial(mapped, variables))


def read_detector_config(workdir: Path) -> ConfigDict:
    """The config of a detector's run.

    Raises:
      UserError: when there is no run, or one of another kind.
    """
    config = workdirs.read_config(workdir)
    if not {'inputs', 'degrade', 'anomaly', 'network'} <= set(config.keys()):
        raise UserError(f'{workdir} holds no detector; give the --workdir of a run of detect.main.')
    return config
