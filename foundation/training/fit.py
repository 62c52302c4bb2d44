"""Beginning a run; fitting one network to labels: one phase of the loop, the best by validation, a last look."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from foundation.training import logs, loop, parallel
from foundation.training import workdir as workdirs
from foundation.training.feed import Batches
from foundation.training.phases import Phase, State, Step
from foundation.training.state import Variables
from foundation.training.supervised import SupervisedState
from foundation.training.workdir import RunRecord

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How a run goes on, whatever it trains.

    Attributes:
      seed: of all randomness.
      periods: how often things happen, and how calls are cut.
      checkpoints_to_keep: the newest ones.
    """

    seed: int
    periods: loop.Periods
    checkpoints_to_keep: int

    @classmethod
    def create(cls, seed: int, run: ConfigDict, *, sample: int) -> 'Pace':
        """The pace that a config's `run` asks for, where every step is like the others.

        Args:
          seed, run: parts of the config.
          sample: images between two pictures.
        """
        return cls(seed, loop.periods_of(run, cycle=1, sample=sample), run.checkpoints_to_keep)


@dataclasses.dataclass(frozen=True)
class Validation:
    """What is measured of the validation split while training goes on.

    Attributes:
      measure: `measure(variables)` returns values by name; called on every process.
      score: the name of the value that should be low; the state with the lowest is kept.
      every: images between two looks.
      curves: names of values that are drawn together, by title, see `logs.draw_curves`.
    """

    measure: Callable[[Variables], dict[str, float]]
    score: str
    every: int
    curves: Mapping[str, Sequence[str]]


def begin_run(
    workdir: Path,
    mesh: Mesh,
    *,
    record: RunRecord,
    files: Mapping[str, Mapping[str, Any]],
    told: Sequence[str],
    details: Sequence[str],
) -> None:
    """Writes what the folder of any run keeps, and tells what is trained, and how.

    Args:
      workdir: of the run; nothing was written there yet where it begins.
      mesh: the devices.
      record: see there.
      files: what the folder keeps beside the config, as JSON has it, by the names of files.
      told: the data, in a line or two.
      details: entries of log.txt alone: the networks.

    Raises:
      UserError: when the run in `workdir` cannot go on with these fields.
    """
    first = parallel.is_first_process()
    resumed = workdirs.prepare_workdir(workdir, record.config, fixed=record.fixed, write=first)
    if first:
        for name, content in files.items():
            workdirs.write_json(workdir / name, content)
        logs.log_to_file(workdir)
    changed = ''.join(f'\n{name} = {value!r}' for name, value in record.changes.items()) or ' none'
    _LOGGER.info('%s', logs.describe_run(mesh.size))
    _LOGGER.debug('Fields other than the defaults (%s has all):%s', workdir / workdirs.CONFIG_FILE, changed)
    for name, (old, new) in resumed.items():
        _LOGGER.info('Changed since the run was last started: %s, from %r to %r.', name, old, new)
    for entry in details:
        _LOGGER.debug('%s', entry)
    for entry in told:
        _LOGGER.info('%s', entry)
    if first:
        _LOGGER.info(
            'All fields are in %s, the networks in %s.', workdir / workdirs.CONFIG_FILE, workdir / logs.LOG_FILE
        )


def create_phase(
    name: str,
    *,
    steps: int,
    batch_size: int,
    step: Step,
    create_state: Callable[[PRNGKeyArray], SupervisedState],
    adopt: Callable[[SupervisedState], SupervisedState],
    open_feed: Callable[[int, Iterator[int]], Iterator[Batches]],
    batch: dict[str, jax.ShapeDtypeStruct],
) -> Phase:
    """All of the training of one network with one step.

    Args:
      name: see Phase.
      steps: in all.
      batch_size: rows of the global batch.
      step: `step(state, batch, key, controls) -> (state, metrics)`.
      create_state: a fresh state from a key, compiled.
      adopt: what a fresh state then gets from elsewhere, not compiled.
      open_feed, batch: see Phase.
    """
    return Phase(
        name=name,
        start=0,
        end=steps * batch_size,
        batch_size=batch_size,
        enter=lambda previous, key: create_state(key),
        adopt=lambda previous, entered: adopt(entered),
        cycle=(step,),
        controls=lambda images_seen: {'images_seen': images_seen},
        open_feed=open_feed,
        batch=batch,
        cost=1.0,
    )


def keep_state(state: SupervisedState) -> SupervisedState:
    """For `adopt`, where a fresh state gets nothing from elsewhere."""
    return state


def tabulate_network(create_state: Callable[[PRNGKeyArray], SupervisedState]) -> str:
    """All parameters with their shapes, for the log."""
    params = jax.eval_shape(create_state, jax.random.key(0)).network.params
    return f'Network:\n{parameter_overview.get_parameter_overview(params, include_stats=False)}'


def fit(
    phase: Phase,
    workdir: Path,
    mesh: Mesh,
    pace: Pace,
    *,
    record: RunRecord,
    files: Mapping[str, Mapping[str, Any]],
    told: Sequence[str],
    details: Sequence[str],
    validation: Validation,
    sample: Callable[[State, Phase, int], np.ndarray] | None,
    finish: Callable[[], None],
) -> loop.Outcome:
    """Trains from where `workdir` stopped; the best state by validation is kept, whatever comes after it.

    Args:
      phase: all of the training, see `create_phase`.
      workdir: of the run; nothing was written there yet where it begins.
      mesh: the devices.
      pace, record, validation: see there.
      files: what the folder keeps beside the config, as JSON has it, by the names of files.
      told: the data, in a line or two.
      details: entries of log.txt alone: the network.
      sample: see `loop.run`.
      finish: the last look, on every process; not called where training was stopped.

    Raises:
      UserError: when the run in `workdir` cannot go on with these fields; see `loop.run`.
    """
    first = parallel.is_first_process()
    begin_run(workdir, mesh, record=record, files=files, told=told, details=details)
    outcome = _train(phase, workdir, mesh, pace, validation, sample)
    if first:
        logs.draw_curves(workdir, validation.curves, {})
    if not outcome.stopped_by:
        finish()
    elif first:
        print(f'Stopped by {outcome.stopped_by}; all is saved in {workdir}.')
        print('Next: the same command goes on from here.')
    return outcome


def _train(
    phase: Phase,
    workdir: Path,
    mesh: Mesh,
    pace: Pace,
    validation: Validation,
    sample: Callable[[State, Phase, int], np.ndarray] | None,
) -> loop.Outcome:
    return loop.train_phase(
        phase,
        workdir,
        mesh,
        pace.periods,
        checkpoints_to_keep=pace.checkpoints_to_keep,
        seed=pace.seed,
        measure=functools.partial(_measure, validation, workdir),
        score=validation.score,
        every=validation.every,
        sample=sample,
    )


def _measure(
    validation: Validation, workdir: Path, state: SupervisedState, phase: Phase, images_seen: int
) -> dict[str, float]:
    if parallel.is_first_process():
        logs.draw_curves(workdir, validation.curves, {})
    return validation.measure(state.network.variables)
