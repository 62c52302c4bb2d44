"""An encoder trained without labels, brought back from its workdir without its data."""

import dataclasses
import logging
import math
from pathlib import Path

from backbones.contrastive.recipe import ContrastiveRecipe, create_contrastive_recipe
from backbones.networks import DenseNet, ResNet
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.state import Variables
from foundation.training.supervised import restore_variables

CONTRASTIVE_FILE = 'self_supervised.json'
COLLAPSED = -0.5  # uniformity above it; that of views spread over the sphere is -3 to -4
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ContrastiveFacts:
    """What a finished run remembers of its encoder.

    Attributes:
      step: of its checkpoint.
      contrast: the loss on the validation split, in nats.
      alignment, uniformity: there, see `loss`.
    """

    step: int
    contrast: float
    alignment: float
    uniformity: float

    def write(self, workdir: Path, neighbours: dict[str, object] | None) -> None:
        """Keeps them, with what the nearest neighbours knew; None without classes."""
        workdirs.write_json(workdir / CONTRASTIVE_FILE, dataclasses.asdict(self) | {'neighbours': neighbours})

    @property
    def has_collapsed(self) -> bool:
        """Whether all images have nearly the same place."""
        return self.uniformity > COLLAPSED


def read_contrastive_facts(workdir: Path) -> ContrastiveFacts:
    """Reads what `ContrastiveFacts.write` wrote.

    Raises:
      UserError: when the file is missing or damaged.
    """
    content = workdirs.read_json(workdir, CONTRASTIVE_FILE)
    names = [field.name for field in dataclasses.fields(ContrastiveFacts)]
    try:
        values = [float(content[name]) for name in names]
        if not all(map(math.isfinite, values)):
            raise ValueError(f'values {values}')
        return ContrastiveFacts(int(content['step']), *values[1:])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{workdir / CONTRASTIVE_FILE} is damaged ({error}); '
            'run its training command again, which writes it anew.'
        ) from error


@dataclasses.dataclass(frozen=True)
class ContrastiveEncoder:
    """A trained encoder, without its projection.

    Attributes:
      facts: how its training ended.
      recipe: what it was made by.
      variables: its weights, the best on the validation split.
    """

    facts: ContrastiveFacts
    recipe: ContrastiveRecipe
    variables: Variables

    @classmethod
    def load(cls, workdir: Path) -> 'ContrastiveEncoder':
        """The encoder of a finished run; tells where its features have collapsed.

        Raises:
          UserError: when it is not finished, or cannot be read.
        """
        facts = read_contrastive_facts(workdir)
        recipe = create_contrastive_recipe(workdirs.read_config(workdir))
        variables, _ = restore_contrastive(recipe, workdir, step=facts.step)
        if facts.has_collapsed:
            _LOGGER.warning(
                '%s: its features have collapsed (uniformity %.2f), so that what is measured in them means '
                'nothing; train it anew.',
                workdir,
                facts.uniformity,
            )
        return cls(facts, recipe, encoder_variables(variables))

    @property
    def network(self) -> ResNet | DenseNet:
        """Without weights."""
        return self.recipe.network.encoder


def encoder_variables(variables: Variables) -> Variables:
    """Of those of the whole network, the encoder's."""
    return {collection: own['encoder'] for collection, own in variables.items()}


def restore_contrastive(
    recipe: ContrastiveRecipe, workdir: Path, *, step: int | None
) -> tuple[Variables, Position]:
    """The variables of the whole network that were best on the validation split.

    Args:
      recipe, workdir: of the run.
      step: of their checkpoint; None for the newest of the best that can be read.

    Raises:
      UserError: when there is none that can be read.
    """
    return restore_variables(workdir / BEST, recipe.create_state, step)
