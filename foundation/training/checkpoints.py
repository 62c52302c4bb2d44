"""Orbax checkpoints: asynchronous, atomic, a configured number kept, the newest readable one restored."""

import contextlib
import dataclasses
import inspect
import logging
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from foundation.training import parallel
from foundation.training.errors import UserError
from foundation.training.phases import State

_ASYNCIO_LOGGER = logging.getLogger('asyncio')
_READER = ocp.__path__[0]


@contextlib.contextmanager
def first_error_alone() -> Iterator[None]:
    """Hides errors of the reader's other tasks within the block, and from then on where the block fails."""
    if _is_waited_for in _ASYNCIO_LOGGER.filters:
        yield
        return
    previous_hook = sys.unraisablehook

    def tell_unless_of_the_reader(unraisable: 'sys.UnraisableHookArgs') -> None:
        if not _is_of_the_reader(unraisable.object):
            previous_hook(unraisable)

    _ASYNCIO_LOGGER.addFilter(_is_waited_for)
    sys.unraisablehook = tell_unless_of_the_reader
    yield
    sys.unraisablehook = previous_hook
    _ASYNCIO_LOGGER.removeFilter(_is_waited_for)


def _is_waited_for(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return 'exception was never retrieved' not in message and 'Task was destroyed' not in message


def _is_of_the_reader(dropped: object) -> bool:
    return inspect.iscoroutine(dropped) and dropped.cr_code.co_filename.startswith(_READER)


_LOGGER = logging.getLogger(__name__)
_STEP_DIGITS = 9


FORMAT = 3  # of checkpoints; those of 1 do not say so, and only those of 3 hold metrics that were not logged yet


@dataclasses.dataclass(frozen=True)
class Position:
    """Where in training a checkpoint was made, and how good it was where that was measured."""

    step: int
    images_seen: int
    phase: str
    score: float | None = None


class Checkpoints:
    """The checkpoints of one workdir.

    Args:
      folder: where they live; made when missing.
      keep: how many of the newest are kept; None only reads.
    """

    def __init__(self, folder: Path, keep: int | None):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=keep is not None,
            read_only=keep is None,
            save_interval_steps=0 if keep is None else 1,
            cleanup_tmp_directories=keep is not None,
            step_format_fixed_length=_STEP_DIGITS,
        )
        self._folder = folder.absolute()
        self._manager = ocp.CheckpointManager(self._folder, options=options, item_names=('state', 'position'))

    def save(self, state: State, position: Position, unlogged: Mapping[str, list[float]] | None = None) -> None:
        """Starts to write; the state may be donated as soon as this returns.

        Args:
          state: all of it.
          position: where it belongs.
          unlogged: metrics of the steps since the last line of the log, for `read_unlogged`.

        Raises:
          UserError: when this or the write before it failed, as on a full disk.
        """
        if position.step in self._manager.all_steps():
            return
        facts = dataclasses.asdict(position) | {'checksum': checksum(state), 'format': FORMAT}
        facts['unlogged'] = dict(unlogged or {})
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), position=ocp.args.JsonSave(facts))
        try:
            self._manager.save(position.step, args=items, force=True)
        except (OSError, ValueError) as error:
            raise self._write_error(error) from error

    def wait(self) -> None:
        """Returns when all is on disk.

        Raises:
          UserError: when it could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise self._write_error(error) from error

    def restore(
        self, abstract: Callable[[Position], State], step: int | None = None
    ) -> tuple[State, Position] | None:
        """The newest checkpoint that can be read, or the one of `step`.

        Args:
          abstract: shapes, types and sharding of the state at a position.
          step: a single step to restore; None tries them from the newest on.

        Returns:
          The state and its position, or None where there is no checkpoint at all.

        Raises:
          UserError: when there are checkpoints, but none can be read, or none of `step`.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        if step is not None and step not in steps:
            raise UserError(f'{self._folder} has no checkpoint of step {step}, only of {sorted(steps) or "none"}.')
        failures = []
        for candidate in steps if step is None else [step]:
            restored, reason = None, ''
            try:
                with first_error_alone():
                    restored = self._restore(abstract, candidate)
            # Whatever a damaged file makes the reader raise, an older checkpoint may still be whole.
            except Exception as error:
                reason = _first_line(error)
            # Processes that went on from different steps would wait for each other for ever.
            if not parallel.any_process(restored is None):
                return restored
            reason = reason or 'another process could not read it'
            failures.append(f'step {candidate}: {reason}')
            _LOGGER.warning('Checkpoint of step %d cannot be read (%s).', candidate, reason)
        if not failures:
            return None
        raise UserError(
            f'No checkpoint in {self._folder} can be read ({"; ".join(failures)}); '
            'restore the folder from a copy or start with another workdir.'
        )

    def set_aside_after(self, step: int) -> None:
        """Moves checkpoints newer than `step`, which could not be read, into `unreadable_checkpoints` beside them.

        The reason may pass, such as a storage that was away, so nothing is deleted.
        """
        newer = [candidate for candidate in self._manager.all_steps() if candidate > step]
        if parallel.is_first_process():
            for candidate in newer:
                target = self._folder.with_name('unreadable_checkpoints')
                target.mkdir(exist_ok=True)
                name = f'{candidate:0{_STEP_DIGITS}d}'
                os.replace(self._folder / name, tempfile.mkdtemp(prefix=f'{name}-', dir=target))
        parallel.any_process(False)  # the others wait until all are moved
        self._manager.reload()

    def newest(self) -> Position | None:
        """Position of the newest checkpoint; None where there is none.

        Raises:
          UserError: when it cannot be read.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        try:
            return self._read_position(step)[0]
        except Exception as error:  # whatever a damaged file makes the reader raise
            raise UserError(
                f'The checkpoint of step {step} in {self._folder} cannot be read ({_first_line(error)}); '
                'restore the folder from a copy or remove it.'
            ) from error

    def delete_after(self, step: int) -> None:
        """Deletes checkpoints newer than `step`."""
        for candidate in self._manager.all_steps():
            if candidate > step:
                self._manager.delete(candidate)

    def close(self) -> None:
        """Waits for writing to end. What fails only now is logged, since an error on its way goes first."""
        try:
            self._manager.close()
        except Exception as error:
            _LOGGER.warning('%s was not closed cleanly (%s).', self._folder, _first_line(error))

    def _restore(self, abstract: Callable[[Position], State], step: int) -> tuple[State, Position]:
        position, expected, version = self._read_position(step)
        wanted = abstract(position)
        former = version == 1 and hasattr(wanted, 'to_former')  # a kind of state that was arranged otherwise then
        arranged = wanted.to_former() if former else wanted
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(arranged))
        state = self._manager.restore(step, args=arguments).state
        if checksum(state) != expected:
            raise ValueError('its checksum is wrong: the disk returned other values than were written')
        return type(wanted).from_former(state) if former else state, position

    def read_unlogged(self, step: int) -> dict[str, list[float]]:
        """Metrics of the steps between the last line of the log and a checkpoint; {} of old checkpoints."""
        return self._read_facts(step).get('unlogged', {})

    def _read_facts(self, step: int) -> dict[str, Any]:
        return self._manager.restore(step, args=ocp.args.Composite(position=ocp.args.JsonRestore())).position

    def _read_position(self, step: int) -> tuple[Position, int, int]:
        """The position, the checksum of the state, and the format of both."""
        saved = self._read_facts(step)
        saved.pop('unlogged', None)
        expected, version = saved.pop('checksum'), saved.pop('format', 1)
        if version > FORMAT:
            raise ValueError(f'it has format {version}, of a later version; this one reads up to {FORMAT}')
        return Position(**saved), expected, version

    def _write_error(self, error: Exception) -> UserError:
        return UserError(
            f'A checkpoint could not be written to {self._folder} ({_first_line(error)}); free some space '
            'and run the same command again: it goes on from the last whole checkpoint.'
        )


def restore_state(
    folder: Path, abstract: Callable[[Position], State], step: int | None, *, missing: str
) -> tuple[State, Position]:
    """A state for use after training, whole on every device, with its position.

    Args:
      folder: of the checkpoints.
      abstract: shapes and types of the state at a position.
      step: a single step to restore; None for the newest that can be read.
      missing: what to say where the folder holds no checkpoint.

    Raises:
      UserError: when there is none, none can be read, or none of `step`.
    """
    sharding = parallel.replicated(parallel.create_mesh())
    if folder.is_dir():
        with contextlib.closing(Checkpoints(folder, keep=None)) as checkpoints:
            restored = checkpoints.restore(lambda position: parallel.abstract(abstract(position), sharding), step)
        if restored is not None:
            return restored
    raise UserError(missing)


def checksum(state: State) -> int:
    """CRC-32 of all arrays; the storage library does not notice when bits of them have changed on disk."""
    value = 0
    for leaf in jax.tree.leaves(state):
        value = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8), value)
    return value


def _first_line(error: Exception) -> str:
    text = str(error).strip().split('\n')[0] or type(error).__name__
    return text if len(text) <= 200 else f'{text[:200]}...'
