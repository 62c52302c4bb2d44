"""The run's folder: its resolved config, no other architecture in it, and no second process that trains there."""

import contextlib
import dataclasses
import datetime as dt
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ml_collections import ConfigDict

from foundation.files import write_file
from foundation.training import parallel
from foundation.training.errors import UserError

CONFIG_FILE = 'config.json'
HISTORY_FILE = 'config_history.jsonl'
LOCK_FILE = 'writer.lock'
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The config of a run, for its folder and its log.

    Attributes:
      config: all its fields, as JSON has them.
      fixed: dotted names of fields, and of whole sections, that may not change once training has begun.
      changes: fields that are not the defaults, by dotted name.
    """

    config: Mapping[str, Any]
    fixed: Sequence[str]
    changes: Mapping[str, Any]


def prepare_workdir(
    workdir: Path, fields: Mapping[str, Any], *, fixed: Sequence[str], write: bool
) -> dict[str, tuple[Any, Any]]:
    """Creates the folder and saves the config, or checks that the run in it can go on with this one.

    What changes is added to `config_history.jsonl`: a line with the time and, by field, the old and the new value.

    Args:
      workdir: the folder.
      fields: the resolved config as JSON has it.
      fixed: fields, dotted, that may not change once training has begun, nor any field below them.
      write: False on all processes but one.

    Returns:
      Fields that were free to change and did, by dotted name: the old and the new value.

    Raises:
      UserError: when a fixed field differs, naming it with both values.
    """
    changed: dict[str, tuple[Any, Any]] = {}
    if has_begun(workdir):
        before = read_json(workdir, CONFIG_FILE)
        _check_same(workdir, before, fields, fixed)
        old, new = _flatten(before), _flatten(fields)
        changed = {name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]}
    if write:
        workdir.mkdir(parents=True, exist_ok=True)
        if changed:
            line = {'time': dt.datetime.now(dt.UTC).isoformat(timespec='seconds'), 'changed': changed}
            with (workdir / HISTORY_FILE).open('a') as file:
                file.write(json.dumps(line) + '\n')
        write_json(workdir / CONFIG_FILE, fields)
    return changed


def has_begun(workdir: Path) -> bool:
    """Whether a run was started in the folder before."""
    return (workdir / CONFIG_FILE).exists()


def read_config(workdir: Path) -> ConfigDict:
    """The config saved in a workdir, locked, with tuples, which JSON does not know.

    Raises:
      UserError: when there is none.
    """
    return config_from_json(read_json(workdir, CONFIG_FILE))


def config_from_json(content: Mapping[str, Any]) -> ConfigDict:
    """A config that went through JSON, locked, with tuples again."""
    return ConfigDict(_with_tuples(content)).lock()


def read_json(workdir: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run.

    Raises:
      UserError: when it is missing or damaged.
    """
    path = workdir / name
    if not path.is_file():
        raise UserError(f'{workdir} holds no {name}; give the --workdir of a run of this project.')
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f'{path} is damaged ({error}); restore it from a copy.') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} is damaged (it holds no fields); restore it from a copy.')
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file atomically."""
    write_file(path, (json.dumps(content, indent=2) + '\n').encode())


def _with_tuples(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _with_tuples(value)
        if isinstance(value, Mapping)
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in tree.items()
    }


def _check_same(workdir: Path, old: Mapping[str, Any], new: Mapping[str, Any], fixed: Sequence[str]) -> None:
    before, after = _flatten(old), _flatten(new)
    for name in sorted(before.keys() | after.keys()):
        held = any(name == field or name.startswith(f'{field}.') for field in fixed)
        if held and name not in before:
            raise UserError(
                f'{workdir} holds a run whose config has no {name}; use the config and the version that it was '
                'started with, or another --workdir.'
            )
        if held and before.get(name) != after.get(name):
            raise UserError(
                f'{workdir} holds a run with {name}={before.get(name)}, not {after.get(name)}; '
                f'use --config.{name}={before.get(name)} to go on with it, or another --workdir.'
            )


def _flatten(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flatten(value, f'{prefix}{name}.') if isinstance(value, Mapping) else {prefix + name: value}
    return flat


@contextlib.contextmanager
def one_writer(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in a workdir within the block; all processes of a run call it together.

    The system drops the lock with the process, so that none is left by one that was killed. A folder that was made
    for the lock alone is removed.

    Raises:
      UserError: naming the process that trains there.
    """
    first = parallel.is_first_process()
    refusal, lock, made = '', None, not workdir.exists()
    if first:
        try:
            lock = _lock(workdir)
        except UserError as error:
            refusal = str(error)
    if parallel.any_process(bool(refusal)):  # else the others would wait for the first for ever
        raise UserError(refusal or f'{workdir} is not free, as the first process tells.')
    try:
        yield
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):  # while it is locked, so that nobody else's is removed
                (workdir / LOCK_FILE).unlink()
                if made:
                    workdir.rmdir()
            lock.close()


def _lock(workdir: Path) -> BinaryIO:
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / LOCK_FILE
    while True:
        lock = path.open('a+b')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                lock.close()
                raise UserError(_describe_other(path)) from error
            _LOGGER.warning(
                '%s is on a file system without locks (%s); make sure yourself that nobody else trains there.',
                workdir,
                error.strerror,
            )
        if _is_there(path, lock):
            break
        lock.close()  # of a writer that ended just now
    lock.truncate(0)
    started = dt.datetime.now(dt.UTC).isoformat(timespec='seconds')
    lock.write(json.dumps({'process': os.getpid(), 'host': socket.gethostname(), 'started': started}).encode())
    lock.flush()
    return lock


def _is_there(path: Path, lock: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _describe_other(path: Path) -> str:
    other = 'another process'
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # it may not have written yet
        facts = json.loads(path.read_bytes())
        other = f'process {facts["process"]} of {facts["host"]}, started {facts["started"]}'
    return f'{path.parent} is in use: {other}, trains there; wait for its end, stop it, or use another --workdir.'
