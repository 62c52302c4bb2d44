"""A trained stack detector, brought back from its workdir, and what it says of the slices of one volume."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from backbones.classifier import variables_checksum
from detect.fusion import probability_of_fake
from detect.networks import sample_slices
from detect.stacks.recipe import StackRecipe, create_recipe
from detect.stacks.step import make_describe
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.mapping import create_mapper
from foundation.training.state import Variables
from foundation.training.supervised import restore_variables

SLICES_FILE = 'slices.json'  # what the slices are described by
STACK_FILE = 'stack.json'  # what is known once training has ended


@dataclasses.dataclass(frozen=True)
class SliceFacts:
    """What a run remembers of the detector that describes its slices.

    Attributes:
      checksum: SHA-256 of its weights.
      features: of each slice.
    """

    checksum: str
    features: int


def read_slice_facts(workdir: Path) -> SliceFacts:
    """The facts of a run.

    Raises:
      UserError: when they are missing or damaged.
    """
    content = workdirs.read_json(workdir, SLICES_FILE)
    try:
        return SliceFacts(str(content['checksum']), int(content['features']))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{workdir / SLICES_FILE} is damaged ({error}); restore it from a copy.') from error


@dataclasses.dataclass(frozen=True)
class TrainedStack:
    """A stack detector with its weights.

    Attributes:
      recipe: what it was made by.
      slices_checksum: SHA-256 of the weights of the detector of slices.
      variables: its weights, the best on the validation split.
      position: where in training they were saved.
      describe: logits, and weights of the slices, of (stack, slice, feature) and which slices are valid.
    """

    recipe: StackRecipe
    slices_checksum: str
    variables: Variables
    position: Position
    describe: Callable[..., Any]

    @classmethod
    def load(cls, workdir: Path, *, batch_size: int) -> 'TrainedStack':
        """The network that was best on the validation split.

        Args:
          workdir: of the run.
          batch_size: volumes that it looks at together.

        Raises:
          UserError: when there is no run, or no checkpoint that can be read.
        """
        config = workdirs.read_config(workdir)
        if 'stack' not in config:
            raise UserError(f'{workdir} holds no stack detector; train one with configs/detect/stack.py.')
        recipe, described = create_recipe(config), read_slice_facts(workdir)
        # The optimiser's state has the same shape whatever the number of steps.
        create_state = functools.partial(recipe.create_state, described.features, 1)
        variables, position = restore_variables(workdir / BEST, create_state, None)
        mapped = create_mapper(make_describe(recipe.network), parallel.create_mesh(), batch_size)
        return cls(recipe, described.checksum, variables, position, functools.partial(mapped, variables))

    @functools.cached_property
    def checksum(self) -> str:
        """SHA-256 of all weights."""
        return variables_checksum(self.variables)


@dataclasses.dataclass(frozen=True)
class StackReader:
    """A finished stack detector at work.

    Attributes:
      trained: its network.
      temperature: of its logit.
    """

    trained: TrainedStack
    temperature: float

    def read(self, features: Float[np.ndarray, 'slice feature']) -> tuple[float, Float64[np.ndarray, ' slice']]:
        """The probability that a volume was altered, and what each slice weighs in it; NaN where not looked at.

        Args:
          features: of all slices of the volume.
        """
        wanted = self.trained.recipe.slices
        places = sample_slices(len(features), wanted)
        shown: Float32[np.ndarray, '1 slice feature'] = np.zeros((1, wanted, features.shape[1]), np.float32)
        shown[0, : len(places)] = features[places]
        logits, weights = self.trained.describe(shown, np.arange(wanted)[None] < len(places))
        spread = np.full(len(features), np.nan)
        spread[places] = weights[0, : len(places)]
        return float(probability_of_fake(logits, self.temperature)[0]), spread


def open_stack(workdir: Path, slices_checksum: str) -> StackReader:
    """The finished stack detector of a workdir.

    Args:
      workdir: of its run.
      slices_checksum: of the detector of images that describes the slices.

    Raises:
      UserError: when it is not finished, or was trained on what another detector says of slices.
    """
    if not (workdir / STACK_FILE).is_file():
        raise UserError(f'{workdir} holds no finished stack detector; run its training command to the end.')
    trained = TrainedStack.load(workdir, batch_size=1)
    finished = workdirs.read_json(workdir, STACK_FILE)
    if finished.get('checksum') != trained.checksum:
        raise UserError(f'{workdir} was trained on after it was finished; run its training command to the end.')
    if trained.slices_checksum != slices_checksum:
        raise UserError(
            f'{workdir} was trained on slices as {trained.recipe.slices_from} describes them; use that --workdir.'
        )
    try:
        return StackReader(trained, float(finished['temperature']))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{workdir / STACK_FILE} is damaged; run the training command again.') from error
