"""Bringing back a trained generator from its workdir, or from where it was exported, without its data."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array

from backbones.classifier import variables_checksum
from backbones.images import DataFacts, read_facts
from foundation.training import checkpoints
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan.differential_privacy.ledger import PrivacySpent, read_spent
from gan.networks import Generator
from gan.recipe import GanRecipe, ImageFormat, recreate_recipe
from gan.schedule import Stage, fade_in
from gan.state import GanState
from gan.weights import is_exported, read_description, read_variables


class Weights(NamedTuple):
    """What a network draws with: its variables, averaged, and how far its last block has faded in (0 to 1)."""

    variables: Variables
    alpha: float | np.float32 | Array


@dataclasses.dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its averaged weights.

    Attributes:
      recipe: that it was trained by.
      facts: the data it was trained on.
      network: at the resolution that training had reached.
      weights: that it draws with.
      position: where in training it was saved.
      privacy: what is proved of its training; None for nothing.
    """

    recipe: GanRecipe
    facts: DataFacts
    network: Generator
    weights: Weights
    position: Position
    privacy: PrivacySpent | None = None

    @classmethod
    def load(cls, workdir: Path, step: int | None = None, *, best: bool = False) -> 'TrainedGenerator':
        """The generator of a run, see `restore_state`, or the one that was exported to `workdir`.

        Raises:
          UserError: when it cannot be read, a checkpoint is named of an exported generator, or the run's generator
            translates images and draws none of its own.
        """
        if is_exported(workdir):
            if best or step is not None:
                raise UserError(
                    f'{workdir} is an exported generator, of one checkpoint; leave --step and --best out.'
                )
            described = read_description(workdir)
            weights = Weights(read_variables(workdir, described), described.alpha)
            network = described.create_network()
            return cls(described.recipe, described.facts, network, weights, described.position, described.privacy)
        run = restore_state(workdir, step, best=best)
        if run.recipe.family.translates:
            raise UserError(
                f'{workdir} holds a run of {run.recipe.architecture}, whose generator translates images and draws '
                'none of its own; give images to gan.translate.'
            )
        return cls(
            recipe=run.recipe,
            facts=run.facts,
            network=run.recipe.generator_at(run.stage.resolution, run.image_format),
            weights=Weights(run.state.averaged('generator'), fade_in(run.stage, run.position.images_seen)),
            position=run.position,
            privacy=None if run.recipe.privacy is None else read_spent(workdir, run.position.images_seen),
        )

    @property
    def image_format(self) -> ImageFormat:
        """The channels and classes it draws."""
        return self.recipe.image_format(len(self.facts.classes))

    def checksum(self) -> str:
        """SHA-256 of all weights, in the order of their names."""
        return variables_checksum(self.weights.variables)


@dataclasses.dataclass(frozen=True)
class RestoredRun:
    """A run's state, and what it means.

    Attributes:
      recipe: of the run.
      facts: the data it was trained on.
      stage: of its growth.
      state: all its arrays.
      position: where in training it was saved.
    """

    recipe: GanRecipe
    facts: DataFacts
    stage: Stage
    state: GanState
    position: Position

    @property
    def image_format(self) -> ImageFormat:
        """The channels and classes of its images."""
        return self.recipe.image_format(len(self.facts.classes))


def read_recipe(workdir: Path) -> GanRecipe:
    """The recipe of a run of gan.main, with its data where they are, or of that of an exported generator.

    Raises:
      UserError: when there is none, or it is of another task or of an earlier version.
    """
    if is_exported(workdir):
        return read_description(workdir).recipe
    fields = workdirs.read_json(workdir, workdirs.CONFIG_FILE)
    if not {'architecture', 'generator'} <= fields.keys():
        raise UserError(
            f'{workdir} holds no generator that can be read: its run is of another task or of an earlier version; '
            'give the --workdir of a run of gan.main.'
        )
    try:
        recipe = recreate_recipe(fields)
    except (AttributeError, KeyError, TypeError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(
            f'{workdir / workdirs.CONFIG_FILE} does not fit this version ({reason}); '
            'use the version that trained the run.'
        ) from error
    target = None if recipe.target is None else recipe.target.find(workdir)
    return dataclasses.replace(recipe, images=recipe.images.find(workdir), target=target)


def check_checkpoint(step: int | None, *, best: bool) -> None:
    """Raises UserError where two checkpoints are named."""
    if best and step is not None:
        raise UserError('--best and --step name two checkpoints; leave one of them out.')


def restore_state(workdir: Path, step: int | None = None, *, best: bool = False) -> RestoredRun:
    """The state of a run, from its newest readable checkpoint, from that of `step`, or from the best.

    Raises:
      UserError: when the workdir holds no run, or no checkpoint that can be read.
    """
    if is_exported(workdir):
        raise UserError(
            f'{workdir} is an exported generator, not a run: encoders, discriminators and optimisers are not in '
            'it; give the run it is of.'
        )
    recipe, facts = read_recipe(workdir), read_facts(workdir)
    image_format = recipe.image_format(len(facts.classes))
    stages = {stage.name: stage for stage in recipe.stages(facts.num_examples)}

    def abstract(position: Position) -> GanState:
        return recipe.abstract_state(stages[position.phase].resolution, image_format)

    advice = 'train longer, with config.watch.images above 0' if best else 'train longer first'
    state, position = checkpoints.restore_state(
        workdir / (BEST if best else 'checkpoints'),
        abstract,
        step,
        missing=f'{workdir} holds no {"best " if best else ""}checkpoint yet; {advice}.',
    )
    return RestoredRun(recipe, facts, stages[position.phase], state, position)
