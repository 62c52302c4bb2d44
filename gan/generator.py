"""Bringing back a trained generator from its workdir, or from where it was exported, without its data."""

import dataclasses
from pathlib import Path

import jax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from backbones.classifier import variables_checksum
from backbones.images import DataFacts, read_facts
from foundation.training import checkpoints
from foundation.training import workdir as workdirs
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Position
from foundation.training.errors import UserError
from foundation.training.state import Variables
from gan import data as training_data
from gan import setup
from gan.networks import Generator
from gan.schedule import Stage, fade_in
from gan.state import GanState
from gan.weights import is_exported, read_description, read_variables


@dataclasses.dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its averaged weights.

    Attributes:
      network: at the resolution that training had reached.
      variables: for `network.apply`.
      alpha: how far its last block had faded in.
      image_format: the channels and classes it draws.
      facts: the data it was trained on.
      position: where in training it was saved.
    """

    network: Generator
    variables: Variables
    alpha: float
    image_format: setup.ImageFormat
    facts: DataFacts
    position: Position

    def checksum(self) -> str:
        """SHA-256 of all weights, in the order of their names."""
        return variables_checksum(self.variables)


@dataclasses.dataclass(frozen=True)
class Restored:
    """A run's state, and what it means.

    Attributes:
      config: of the run.
      facts: the data it was trained on.
      image_format: the channels and classes of its images.
      stage: of its growth.
      state: all its arrays.
      position: where in training it was saved.
    """

    config: ConfigDict
    facts: DataFacts
    image_format: setup.ImageFormat
    stage: Stage
    state: GanState
    position: Position


def read_gan_config(workdir: Path) -> ConfigDict:
    """The config of a run of gan.main, or of the one that an exported generator comes from.

    Raises:
      UserError: when there is none, or it is of another task or of an earlier version.
    """
    if is_exported(workdir):
        return read_description(workdir).config
    config = workdirs.read_config(workdir)
    if not {'architecture', 'generator'} <= set(config.keys()):
        raise UserError(
            f'{workdir} holds no generator that can be read: its run is of another task or of an earlier version; '
            'give the --workdir of a run of gan.main.'
        )
    return config


def restore_state(workdir: Path, step: int | None = None, *, best: bool = False) -> Restored:
    """The state of a run, from its newest readable checkpoint, from that of `step`, or from the best.

    Raises:
      UserError: when the workdir holds no run, or no checkpoint that can be read.
    """
    if is_exported(workdir):
        raise UserError(f'{workdir} is an exported generator, not a run; give the run it is of.')
    config = read_gan_config(workdir)
    facts = read_facts(workdir)
    image_format = training_data.image_format(config, facts.classes)
    stages = {stage.name: stage for stage in setup.create_stages_of(config, facts.num_examples)}

    def abstract(position: Position) -> GanState:
        return _abstract_state(config, stages[position.phase], image_format)

    advice = 'train longer, with config.watch.images above 0' if best else 'train longer first'
    state, position = checkpoints.restore_state(
        workdir / (BEST if best else 'checkpoints'),
        abstract,
        step,
        missing=f'{workdir} holds no {"best " if best else ""}checkpoint yet; {advice}.',
    )
    return Restored(config, facts, image_format, stages[position.phase], state, position)


def restore_generator(workdir: Path, step: int | None = None, *, best: bool = False) -> TrainedGenerator:
    """The generator of a run, see `restore_state`, or the one that was exported to `workdir`.

    Raises:
      UserError: when it cannot be read, or a checkpoint is named of an exported generator.
    """
    if is_exported(workdir):
        if best or step is not None:
            raise UserError(f'{workdir} is an exported generator, of one checkpoint; leave --step and --best out.')
        return _read_exported(workdir)
    restored = restore_state(workdir, step, best=best)
    stage = restored.stage
    return TrainedGenerator(
        network=setup.create_networks(restored.config, stage.resolution, restored.image_format)[0],
        variables=restored.state.averaged('generator'),
        alpha=fade_in(stage, restored.position.images_seen),
        image_format=restored.image_format,
        facts=restored.facts,
        position=restored.position,
    )


def _read_exported(folder: Path) -> TrainedGenerator:
    described = read_description(folder)
    return TrainedGenerator(
        network=described.create_network(),
        variables=read_variables(folder, described),
        alpha=described.alpha,
        image_format=described.image_format,
        facts=described.facts,
        position=described.position,
    )


def _abstract_state(config: ConfigDict, stage: Stage, image_format: setup.ImageFormat) -> GanState:
    recipe = setup.create_recipe(config, stage.resolution, image_format)

    def create(key: PRNGKeyArray) -> GanState:
        return setup.create_state_of(config, recipe, key)

    return jax.eval_shape(create, jax.random.key(0))
