"""A trained classifier, brought back from its workdir without its data."""

import dataclasses
import hashlib
import math
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from backbones import setup
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position, restore_state
from foundation.training.errors import UserError
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState

CLASSIFIER_FILE = 'classifier.json'


@dataclasses.dataclass(frozen=True)
class Classifier:
    """What must be known of a classifier besides its network.

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


def write_classifier(workdir: Path, classifier: Classifier, scores: dict[str, object]) -> None:
    """Keeps it, with its scores on the test split."""
    workdirs.write_json(workdir / CLASSIFIER_FILE, dataclasses.asdict(classifier) | {'test': scores})


def read_classifier(workdir: Path) -> Classifier:
    """Reads what `write_classifier` wrote.

    Raises:
      UserError: when the run is not finished, or the file is damaged.
    """
    if not (workdir / CLASSIFIER_FILE).is_file():
        raise UserError(
            f'{workdir} holds no finished classifier; train one with '
            f'python -m backbones.main --config=configs/backbones/classifier.py --workdir={workdir}.'
        )
    content = workdirs.read_json(workdir, CLASSIFIER_FILE)
    try:
        classes = tuple(map(str, content['classes']))
        classifier = Classifier(classes, content['target'], float(content['temperature']), int(content['step']))
        if not isinstance(content['classes'], list) or not 0 < classifier.temperature < math.inf:
            raise ValueError(f'classes {content["classes"]!r} at a temperature of {classifier.temperature}')
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{workdir / CLASSIFIER_FILE} is damaged ({error}); '
            'run its training command again, which writes it anew.'
        ) from error
    return classifier


def restore_network(
    config: ConfigDict, workdir: Path, num_classes: int, *, step: int | None
) -> tuple[Variables, Position]:
    """The variables that were best on the validation split.

    Args:
      config, workdir: of the run.
      num_classes: that it tells apart.
      step: of their checkpoint, as `Classifier.step` tells; None for the newest of the best that can be read.

    Raises:
      UserError: when there is none that can be read.
    """

    def abstract(position: Position) -> SupervisedState:
        # The optimiser's state has the same shape whatever the number of steps.
        return jax.eval_shape(lambda key: setup.create_state_of(config, num_classes, 1, key), jax.random.key(0))

    missing = f'{workdir} holds no checkpoint that was measured; train longer first.'
    state, position = restore_state(workdir / BEST, abstract, step, missing=missing)
    return state.network.variables, position


def variables_checksum(variables: Variables) -> str:
    """SHA-256 of the names and values of all arrays, in the order of their names."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
