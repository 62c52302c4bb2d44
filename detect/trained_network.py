"""A trained detector's network, brought back from its workdir without its data."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float32
from ml_collections import ConfigDict

from backbones.classifier import variables_checksum
from backbones.encoders import Encoder, read_encoder
from backbones.images import DataFacts, read_facts
from detect import setup
from detect.networks import Detection, DetectorNetwork
from detect.step import make_describe
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position, restore_state
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState

Images = Float32[np.ndarray, 'image height width channel']


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network with its weights.

    Attributes:
      config: of the run.
      facts: the data it was trained on.
      network: without weights.
      variables: its weights.
      position: where in training they were saved.
      describe: what it says of any number of images in [-1, 1], on the host.
    """

    config: ConfigDict
    facts: DataFacts
    network: DetectorNetwork
    variables: Variables
    position: Position
    describe: Callable[[Images], Detection]

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of all weights."""
        return variables_checksum(self.variables)


def restore_trained(workdir: Path, step: int | None, *, batch_size: int) -> Trained:
    """The network that was best on the validation split, or that of a step.

    Args:
      workdir: of the run.
      step: of the checkpoint; None for the best.
      batch_size: images that it looks at together.

    Raises:
      UserError: when there is no run, or no checkpoint that can be read.
    """
    config = workdirs.read_config(workdir)
    if not {'inputs', 'degrade', 'anomaly', 'network'} <= set(config.keys()):
        raise UserError(f'{workdir} holds no detector; give the --workdir of a run of detect.main.')
    setup.check_config(config)
    facts, encoder = read_facts(workdir), read_encoder(workdir)
    folder = workdir / ('checkpoints' if step is not None else BEST)
    missing = f'{workdir} holds no checkpoint that was measured; train longer first.'
    state, position = restore_state(folder, _make_abstract(config, encoder), step, missing=missing)
    network, variables = setup.create_network(config, encoder), state.network.variables
    mapped = create_mapper(make_describe(network), parallel.create_mesh(), batch_size)
    return Trained(config, facts, network, variables, position, functools.partial(mapped, variables))


def _make_abstract(config: ConfigDict, encoder: Encoder | None) -> Callable[[Position], SupervisedState]:
    def abstract(position: Position) -> SupervisedState:
        # The optimiser's state has the same shape whatever the number of steps.
        create = functools.partial(setup.create_state_of, config, encoder, 1)
        return jax.eval_shape(create, jax.random.key(0))

    return abstract
