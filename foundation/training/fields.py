"""Checks of single fields of a config, by their dotted names."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from foundation.training.errors import UserError

# Of the fields of `config.run`, which all tasks have.
RUN_LOWEST = {
    'run.log_images': 1,
    'run.sample_images': 1,
    'run.checkpoint_images': 1,
    'run.checkpoints_to_keep': 1,
    'run.steps_per_call': 0,
    'run.max_skipped_in_a_row': 1,
}


def find_field(config: ConfigDict, name: str) -> Any:
    """A value by its dotted name; None where this architecture has no such field."""
    value: Any = config
    for part in name.split('.'):
        if part not in value:
            return None
        value = value[part]
    return value


def check_values(
    config: ConfigDict,
    *,
    choices: Mapping[str, Sequence[Any]],
    lowest: Mapping[str, float],
    highest: Mapping[str, float],
) -> None:
    """Checks values against what they may be; fields that this architecture does not have are left out.

    Raises:
      UserError: for the first value that cannot be used.
    """
    for name, known in choices.items():
        value = find_field(config, name)
        if value is not None and value not in known:
            raise UserError(f'config.{name} is {value!r}; choose one of {sorted(known)}.')
    for name in {**lowest, **highest}:
        value = find_field(config, name)
        if value is None:
            continue
        if not math.isfinite(value):
            raise UserError(f'config.{name} is {value}, which is no number to compute with.')
        if name in lowest and value < lowest[name]:
            raise UserError(f'config.{name} is {value}, but must be at least {lowest[name]}.')
        if name in highest and value > highest[name]:
            raise UserError(f'config.{name} is {value}, but must be at most {highest[name]}.')
