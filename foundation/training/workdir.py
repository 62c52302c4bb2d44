"""The run's folder: its resolved config, and the refusal to go on with another architecture."""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from foundation.files import write_file
from foundation.training.errors import UserError

CONFIG_FILE = 'config.json'
HISTORY_FILE = 'config_history.jsonl'


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
      fields: the resolved config as JSON has it, see `config_to_json`.
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


def config_to_json(config: ConfigDict) -> dict[str, Any]:
    """A config as JSON has it."""
    return json.loads(config.to_json_best_effort())


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
