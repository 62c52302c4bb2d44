"""What was measured, on disk at once: a file of JSON lines, and the same as Markdown tables.

A run that is killed at any moment leaves both readable: a line is appended whole, the tables are replaced whole.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accelerator.tasks import Row

ROWS_FILE = 'rows.jsonl'
TABLES_FILE = 'tables.md'
DONE, FAILED, LEFT_OUT, TIMED_OUT = 'done', 'failed', 'left out', 'timed out'
OVER = 'over'  # behind the rows of a task that was done to its end
_OWN = ('part', 'task', 'table', 'status', 'reason', 'device', 'xla_flags', 'run')


class Ledger:
    """The rows of a folder.

    Args:
      folder: where the files are; rows of earlier runs are kept.
      titles: a heading and an explanation for each part, in their order.
    """

    def __init__(self, folder: Path, titles: Mapping[str, tuple[str, str]]):
        self._folder, self._titles = folder, titles
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self, **wanted: Any) -> list[Row]:
        """All rows with these values; a line that was cut short is left out."""
        path = self._folder / ROWS_FILE
        rows = [_parse(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if row and all(row.get(name) == value for name, value in wanted.items())]

    def is_done(self, part: str, task: str, device: str, xla_flags: str) -> bool:
        """Whether a task was done on this device with these flags, to its end, in this run or an earlier one."""
        rows = self.rows(part=part, task=task, device=device, xla_flags=xla_flags)
        return bool(rows) and rows[-1]['status'] == OVER

    def write(
        self, *, part: str, task: str, device: str, xla_flags: str, run: str, status: str, **figures: Any
    ) -> None:
        """Adds a row, and makes the tables anew."""
        conditions = {'device': device, 'xla_flags': xla_flags, 'run': run}
        row = {'part': part, 'task': task, 'status': status, **figures, **conditions}
        path = self._folder / ROWS_FILE
        cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b'\n')
        with path.open('a') as file:
            file.write('\n' * cut + json.dumps(row) + '\n')
            file.flush()
            os.fsync(file.fileno())
        temporary = self._folder / f'.{TABLES_FILE}'
        temporary.write_text(render(self.rows(), self._titles))
        temporary.replace(self._folder / TABLES_FILE)


def _parse(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def render(rows: Sequence[Row], titles: Mapping[str, tuple[str, str]]) -> str:
    """Markdown: a section a part, a table for each kind of row, and what is missing with its reason."""
    rows = [row for row in rows if row['status'] != OVER]
    devices: dict[str, list[str]] = {}
    for row in rows:
        runs = devices.setdefault(str(row['device']), []) if row['device'] else []
        runs += [row['run']] * (row['run'] not in runs)
    pieces = ['\n'.join(f'- {device}: {", ".join(runs)}' for device, runs in devices.items())]
    for part, (title, explanation) in titles.items():
        own = [row for row in rows if row['part'] == part]
        if own:
            given = [row.get('xla_flags', '') for row in own if row['device']]
            flags = dict.fromkeys(f'`{value}`' if value else 'none' for value in given)
            pieces += [f'## {title}', explanation]
            pieces += [f'XLA_FLAGS: {"; or ".join(flags)}'] * bool(flags)
            pieces += _tell(own, with_device=len(devices) > 1, with_flags=len(flags) > 1)
    return '\n\n'.join(pieces) + '\n'


def _tell(rows: Sequence[Row], *, with_device: bool, with_flags: bool) -> list[str]:
    """The tables of a part, and what is missing. Of each task, device and flags only the last run counts."""
    tables: dict[str, list[Row]] = {}
    missing = []
    conditions = [(row['task'], row['device'], row.get('xla_flags', '')) for row in rows]
    for key in dict.fromkeys(conditions):
        own, task = [row for row, its in zip(rows, conditions, strict=True) if its == key], key[0]
        kept = [row for row in own if row['status'] == DONE]
        kept = [row for row in kept if row['run'] == kept[-1]['run']]
        for row in kept:
            tables.setdefault(str(row.get('table', task)), []).append(row)
        last = own[-1]
        if last['status'] != DONE and not (kept and last['status'] == LEFT_OUT):
            missing.append(f'- {task}: {last["status"]}; {last["reason"]}')
    shown = {'device': with_device, 'xla_flags': with_flags}
    hidden = [name for name in _OWN if not shown.get(name, False)]
    return [_table(own, hidden) for own in tables.values()] + ['\n'.join(missing)] * bool(missing)


def _table(rows: Sequence[Row], hidden: Collection[str]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in hidden))
    kinds = ['---' if any(isinstance(row.get(name), str) for row in rows) else '---:' for name in columns]
    lines = [columns, kinds, *([cell(row.get(name)) for name in columns] for row in rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.0f}' if 1000 <= abs(value) < 1e6 else f'{value:.3g}'
    if isinstance(value, list):
        return ', '.join(map(cell, value))
    return str(value).replace('|', '\\|').replace('\n', ' ')
