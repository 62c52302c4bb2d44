"""A trained classifier, brought back from its workdir without its data."""

import dataclasses
import functools
import hashlib
import math
from pathlib import Path

import jax
import numpy as np

from backbones.networks import Network
from backbones.recipe import ClassifierRecipe, create_recipe
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.state import Variables
from foundation.training.supervised import restore_variables

CLASSIFIER_FILE = 'classifier.json'


@dataclasses.dataclass(frozen=True)
class ClassifierFacts:
    """What a finished run remembers of its classifier.

    Attributes:
      classes: names by logit.
      target: what they are: class or modality.
      temperature: of its probabilities.
      step: of its checkpoint.
    """

    classes: tuple[str, ...]
    target: str
    temperature: float
    step: int

    def write(self, workdir: Path, scores: dict[str, object]) -> None:
        """Keeps them, with the scores on the test split."""
        workdirs.write_json(workdir / CLASSIFIER_FILE, dataclasses.asdict(self) | {'test': scores})


def read_classifier_facts(workdir: Path) -> ClassifierFacts:
    """Reads what `ClassifierFacts.write` wrote.

    Raises:
      UserError: when the run is not finished, or of another task, or the file is damaged.
    """
    if not (workdir / CLASSIFIER_FILE).is_file():
        other = workdirs.has_begun(workdir) and not {'target', 'network'} <= set(workdirs.read_config(workdir))
        found, place = (', but a run of another task', 'ANOTHER') if other else ('', workdir)
        raise UserError(
            f'{workdir} holds no finished classifier{found}; train one with '
            f'python -m backbones.main --config=configs/backbones/classifier.py --workdir={place}.'
        )
    content = workdirs.read_json(workdir, CLASSIFIER_FILE)
    try:
        classes = tuple(map(str, content['classes']))
        facts = ClassifierFacts(classes, content['target'], float(content['temperature']), int(content['step']))
        if not isinstance(content['classes'], list) or not 0 < facts.temperature < math.inf:
            raise ValueError(f'classes {content["classes"]!r} at a temperature of {facts.temperature}')
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{workdir / CLASSIFIER_FILE} is damaged ({error}); '
            'run its training command again, which writes it anew.'
        ) from error
    return facts


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes:
      facts: what its logits mean.
      recipe: what it was made by, for its own classes.
      variables: its weights, the best on the validation split.
    """

    facts: ClassifierFacts
    recipe: ClassifierRecipe
    variables: Variables

    @classmethod
    def load(cls, workdir: Path) -> 'Classifier':
        """The classifier of a finished run.

        Raises:
          UserError: when it is not finished, or cannot be read.
        """
        facts = read_classifier_facts(workdir)
        recipe = create_recipe(workdirs.read_config(workdir)).with_classes(len(facts.classes))
        variables, _ = restore_best(recipe, workdir, step=facts.step)
        return cls(facts, recipe, variables)

    @property
    def network(self) -> Network:
        """Without weights."""
        return self.recipe.network


def restore_best(recipe: ClassifierRecipe, workdir: Path, *, step: int | None) -> tuple[Variables, Position]:
    """The variables that were best on the validation split.

    Args:
      recipe: of the run, for its own classes.
      workdir: of the run.
      step: of their checkpoint, as `ClassifierFacts.step` tells; None for the newest of the best that can be read.

    Raises:
      UserError: when there is none that can be read.
    """
    # The optimiser's state has the same shape whatever the number of steps.
    return restore_variables(workdir / BEST, functools.partial(recipe.create_state, 1), step)


def variables_checksum(variables: Variables) -> str:
    """SHA-256 of the names and values of all arrays, in the order of their names."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
