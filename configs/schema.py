"""What fields a config may have: each is known here once, with its default, its bounds and what it means.

A schema creates configs, checks them, explains their fields, and says which of them a run began with for good
(`create`, `check`, `describe`, `changes`, `fixed_fields`).
"""

import dataclasses
import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from foundation.training import workdir as workdirs
from foundation.training.errors import UserError

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
      default: its value where a config does not name it; it decides the type.
      about: what it means, in one line.
      choices: all values that it may have; () leaves that to the other bounds.
      low, high: smallest and largest value; of each value where there is one for each resolution.
      above, below: the same, not reached themselves.
      fixed: it may not change once a run has begun.
      left_open: the value that leaves it to the data, whatever the bounds; None where there is no such value.
      before: what configs mean that were saved before there was the field; None where there always was.
    """

    default: Any
    about: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    fixed: bool = False
    left_open: Any = None
    before: Any = None


def added_field(default: Any, about: str, **limits: Any) -> Field:
    """A field that configs were once without; those mean its default. `limits` as in Field."""
    return Field(default, about, before=default, **limits)


@dataclasses.dataclass(frozen=True)
class Section:
    """Fields under one name.

    Attributes:
      fields: by name.
      about: what they are for.
      fixed: none of them may change once a run has begun.
    """

    fields: Mapping[str, 'Node']
    about: str = ''
    fixed: bool = False


@dataclasses.dataclass(frozen=True)
class Variants:
    """Sections of which a config has one, chosen by another field.

    Attributes:
      chosen_by: the dotted name of that field.
      sections: by its values.
      optional: a config whose choice is not among them has no such section.
    """

    chosen_by: str
    sections: Mapping[str, Section]
    optional: bool = False


Node = Field | Section | Variants


def create(schema: Section, **chosen: str) -> ConfigDict:
    """A config of all defaults.

    Args:
      schema: of the whole config.
      chosen: values of fields that choose variants, other than their defaults.
    """
    config = ConfigDict()
    for name, node in schema.fields.items():
        if isinstance(node, Field):
            config[name] = chosen.get(name, node.default)
    _fill(config, schema, config)
    return config


def check(schema: Section, config: ConfigDict, *, left_open: bool = False) -> ConfigDict:
    """Checks every value against its bounds and choices.

    Args:
      schema, config: of a run.
      left_open: whether fields may still be left to the data.

    Returns:
      The config; fields that it is older than have the values that it means.

    Raises:
      UserError: for the first value that cannot be used, and for fields that are missing or unknown.
    """
    config = _completed(schema, config)
    known = dict(walk(schema, config))
    values = dict(_values(config, known))
    for name in sorted(known.keys() | values.keys()):
        if name not in values:
            raise UserError(f'config.{name} is missing; begin the config with that of another file.')
        if name not in known:
            raise UserError(f'config.{name} is a field that no part of this run reads; leave it out.')
        field = known[name]
        if not (left_open and field.left_open is not None and values[name] == field.left_open):
            _check_field(name, field, values[name])
    return config


def as_begun(schema: Section, config: ConfigDict, workdir: Path) -> ConfigDict:
    """The config for going on in a workdir: without fields that the run there is older than, which is logged.

    What it leaves to the data stays as the data decided when the run began.

    Args:
      schema, config: of the run.
      workdir: of a run that began, or not yet.

    Raises:
      UserError: when the config that is saved there cannot be read.
    """
    if not workdirs.has_begun(workdir):
        return config
    saved = workdirs.read_config(workdir)
    begun = config.copy_and_resolve_references().unlock()
    for name, field in _added(schema, saved):
        section, last = _place(begun, name)
        if section is not None and last in section:
            if section[last] != field.before:
                _LOGGER.info('%s: its run is older than config.%s; it goes on as %r.', workdir, name, field.before)
            del section[last]
            _drop_if_empty(begun, name)
    for name, field in walk(schema, begun):
        here, last = _place(begun, name)
        there, _ = _place(saved, name)
        if field.left_open is not None and here and there and here.get(last) == field.left_open and last in there:
            here[last] = there[last]
    return begun.lock()


def _completed(schema: Section, config: ConfigDict) -> ConfigDict:
    """The config with the fields that it is older than, at the values that it means."""
    added = _added(schema, config)
    if not added:
        return config
    completed = config.copy_and_resolve_references().unlock()
    for name, field in added:
        *sections, last = name.split('.')
        place = completed
        for section in sections:
            if section not in place:
                place[section] = ConfigDict()
            place = place[section]
        place[last] = field.before
    return completed.lock()


def _drop_if_empty(config: ConfigDict, name: str) -> None:
    """Takes the section of a field away where no field is left in it."""
    section, _, _ = name.rpartition('.')
    if section and not _place(config, name)[0]:
        place, last = _place(config, section)
        if place is not None:
            del place[last]


def _added(schema: Section, config: ConfigDict) -> list[tuple[str, Field]]:
    """Fields, with their dotted names, that the config is older than."""
    known = dict(walk(schema, config))
    values = dict(_values(config, known))
    return [(name, field) for name, field in known.items() if field.before is not None and name not in values]


def _place(config: ConfigDict, name: str) -> tuple[ConfigDict | None, str]:
    """The section that a field of this dotted name is in, None where there is none; and its own name in it."""
    *sections, last = name.split('.')
    place: ConfigDict | None = config
    for section in sections:
        place = None if place is None else place.get(section)
    return place, last


def fixed_fields(schema: Section, config: ConfigDict) -> tuple[str, ...]:
    """Dotted names of the fields, and of whole sections, that may not change once a run has begun."""
    return tuple(sorted(_fixed(schema, config, '')))


def changes(schema: Section, config: ConfigDict) -> dict[str, Any]:
    """Fields whose values are not the defaults, by dotted name; plain values, tuples for lists."""
    known = dict(walk(schema, config))
    return {
        name: _plain(value)
        for name, value in _values(config, known)
        if name not in known or _plain(value) != _plain(known[name].default)
    }


def run_record(schema: Section, config: ConfigDict) -> workdirs.RunRecord:
    """What the folder and the log of a run keep of its config."""
    return workdirs.RunRecord(
        json.loads(config.to_json_best_effort()), fixed_fields(schema, config), changes(schema, config)
    )


def known_part(schema: Section, config: ConfigDict) -> ConfigDict:
    """The config without fields that the schema does not know, such as those of another version.

    Raises:
      KeyError: for a field of the schema that the config has not, and is not older than.
    """
    config = _completed(schema, config)
    known = dict(walk(schema, config))
    values, part = dict(_values(config, known)), ConfigDict()
    for name in known:
        *sections, last = name.split('.')
        place = part
        for section in sections:
            if section not in place:
                place[section] = ConfigDict()
            place = place[section]
        place[last] = values[name]
    return part.lock()


def walk(schema: Section, config: ConfigDict | None) -> Iterator[tuple[str, Field]]:
    """All fields with their dotted names; of variants, that which the config has, or all without a config."""
    yield from _walk(schema, config, '')


def describe(schema: Section) -> list[tuple[str, str, str, str]]:
    """A row for every field: dotted name, default, what it may be, and what it means."""
    rows: dict[str, tuple[str, str, str, str]] = {}
    for name, field in walk(schema, None):
        rows.setdefault(name, (name, repr(_plain(field.default)), _allowed(field), field.about))
    return list(rows.values())


def _fill(config: ConfigDict, section: Section, whole: ConfigDict) -> None:
    for name, node in section.fields.items():
        if isinstance(node, Field):
            if name not in config:
                config[name] = node.default
            continue
        for part in _sections(node, whole):
            config[name] = ConfigDict()
            _fill(config[name], part, whole)


def _walk(section: Section, config: ConfigDict | None, prefix: str) -> Iterator[tuple[str, Field]]:
    for name, node in section.fields.items():
        if isinstance(node, Field):
            yield prefix + name, node
            continue
        for part in _sections(node, config):
            yield from _walk(part, config, f'{prefix}{name}.')


def _fixed(section: Section, config: ConfigDict, prefix: str) -> Iterator[str]:
    for name, node in section.fields.items():
        if isinstance(node, Field):
            if node.fixed:
                yield prefix + name
            continue
        for part in _sections(node, config):
            if part.fixed:
                yield prefix + name
            else:
                yield from _fixed(part, config, f'{prefix}{name}.')


def _sections(node: Section | Variants, config: ConfigDict | None) -> tuple[Section, ...]:
    if isinstance(node, Section):
        return (node,)
    if config is None:
        return tuple(node.sections.values())
    choice = config[node.chosen_by]
    if node.optional and choice not in node.sections:
        return ()
    if choice not in node.sections:
        raise UserError(f'config.{node.chosen_by} is {choice!r}; choose one of {sorted(node.sections)}.')
    return (node.sections[choice],)


def _values(config: ConfigDict, known: Mapping[str, Field], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name in config:
        value = config[name]
        if isinstance(value, ConfigDict) and prefix + name not in known:
            yield from _values(value, known, f'{prefix}{name}.')
        else:
            yield prefix + name, value


def _check_field(name: str, field: Field, value: Any) -> None:
    if isinstance(value, ConfigDict):
        for part, own in value.items():
            _check_field(f'{name}.{part}', field, own)
        return
    if field.choices and value not in field.choices:
        raise UserError(f'config.{name} is {value!r}; choose one of {sorted(field.choices)}.')
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise UserError(f'config.{name} is {value}, which is no number to compute with.')
    for bound, holds, words in (
        (field.low, lambda x: value >= x, 'at least'),
        (field.high, lambda x: value <= x, 'at most'),
        (field.above, lambda x: value > x, 'above'),
        (field.below, lambda x: value < x, 'below'),
    ):
        if bound is not None and not holds(bound):
            raise UserError(f'config.{name} is {value}, but must be {words} {bound}.')


def _allowed(field: Field) -> str:
    if field.choices:
        return ', '.join(map(repr, (*field.choices, *[field.left_open] * (field.left_open is not None))))
    parts = [
        f'{words} {bound:,}'
        for bound, words in (
            (field.low, 'at least'),
            (field.above, 'above'),
            (field.high, 'at most'),
            (field.below, 'below'),
        )
        if bound is not None
    ]
    if parts and field.left_open is not None:
        parts.append(f'or {field.left_open!r}')
    return ', '.join(parts)


def _plain(value: Any) -> Any:
    """A value that can be compared, whether it went through JSON or not."""
    if isinstance(value, ConfigDict):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(own) for name, own in value.items()}
    return tuple(_plain(own) for own in value) if isinstance(value, list | tuple) else value
