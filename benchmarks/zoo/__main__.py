"""Trains every method of the zoo for equal time on one data set, measures all alike, and writes tables and a page.

    python -m benchmarks.zoo --data=mednist --out=runs/zoo --minutes=8
    python -m benchmarks.zoo --data=mednist --out=runs/zoo --minutes=8 --only=dcgan,r3gan

What is done in --out is not done again, and training goes on after a kill: the same command, or one that names
other members, adds what is missing. `--rehearse` does all of it on phantoms, with numbers that mean nothing. Data
are split by patient as prepared; the classifier whose features are compared is trained on the same training split,
and the best state of each member is chosen by its watch, on training images. The test split decides nothing.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

import input_pipeline
from backbones import train as classifiers
from backbones.extractors import Extractor
from benchmarks import machine
from benchmarks.zoo.battles import let_fight
from benchmarks.zoo.measuring import measure
from benchmarks.zoo.members import MEMBERS, create_config
from benchmarks.zoo.page import write_results
from benchmarks.zoo.training import train_by_the_clock
from configs.backbones import classifier
from foundation.files import write_file
from foundation.training import launch
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.evaluation.extractors import create_extractor

_DATA = flags.DEFINE_string('data', None, 'Name of a prepared data set with classes.')
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'Folder of data sets; the usual one by default.')
_OUT = flags.DEFINE_string('out', 'runs/zoo', 'Folder of all runs, rows.jsonl, tables.md and index.html.')
_ONLY = flags.DEFINE_list('only', [], f'Members to train; all by default: {", ".join(MEMBERS)}.')
_MINUTES = flags.DEFINE_float('minutes', 8.0, 'Of training, for each.', lower_bound=0.0)
_NUM = flags.DEFINE_integer('num', 10_000, 'Generated images of each.', lower_bound=16)
_RESOLUTION = flags.DEFINE_enum('resolution', '32', ['16', '32'], 'Height and width.')
_REHEARSE = flags.DEFINE_bool('rehearse', False, 'Phantoms and seconds, to try the machinery.')
_ROWS = 'rows.jsonl'
_FIGHTING = 1_000  # images of each generator that discriminators judge


@dataclasses.dataclass(frozen=True)
class Terms:
    """What is the same for all members of a comparison, and may not change within one folder."""

    data: str
    data_dir: str
    resolution: int
    seconds: float
    count: int
    phantoms: int


def main(argv: Sequence[str]) -> None:
    """Trains and measures what is missing, then writes the page anew."""
    launch.reject_arguments(argv)
    terms, names, out = _read_terms(), _read_names(), Path(_OUT.value)
    _keep_terms(out, terms)
    launch.start_jax_alone('benchmarks.zoo')
    extractor = _train_extractor(terms, out / 'classifier')
    for name in names:
        if name not in _read_rows(out):
            _add_row(out, name, _compete(name, terms, out, extractor))
    rows = [row for name, row in _read_rows(out).items() if name in MEMBERS]
    rows.sort(key=lambda row: list(MEMBERS).index(row['name']))
    folders = {row['name']: out / row['name'] for row in rows if 'failed' not in row}
    battle = let_fight(folders, min(_FIGHTING, terms.count)) if folders else ({}, {})
    write_results(out, rows, battle, machine.describe('zoo'))
    print(f'Tables: {out / "tables.md"}   page: {out / "index.html"}')


def _read_terms() -> Terms:
    resolution, seconds = int(_RESOLUTION.value), 60 * _MINUTES.value
    if _REHEARSE.value:
        return Terms('phantom_zoo', str(Path(_OUT.value).absolute() / 'data'), resolution, seconds, 64, 240)
    if not _DATA.value:
        raise UserError('--data is missing; name a prepared data set with classes, or take --rehearse.')
    folder = str(input_pipeline.find_data_dir(_DATA_DIR.value))
    return Terms(_DATA.value, folder, resolution, seconds, _NUM.value, 0)


def _read_names() -> list[str]:
    for name in _ONLY.value:
        if name not in MEMBERS:
            raise UserError(f'--only={name} is no member; choose among {", ".join(MEMBERS)}.')
    return [name for name in MEMBERS if not _ONLY.value or name in _ONLY.value]


def _keep_terms(out: Path, terms: Terms) -> None:
    """Writes them, or checks that they are those that the folder began with."""
    ours = dataclasses.asdict(terms)
    if not (out / 'terms.json').exists():
        out.mkdir(parents=True, exist_ok=True)
        workdirs.write_json(out / 'terms.json', ours)
    before = workdirs.read_json(out, 'terms.json')
    for name, value in ours.items():
        if before.get(name) != value:
            raise UserError(
                f'{out} was begun with {name} = {before.get(name)}, and {value} would not compare; take the flags '
                'of the first start, or another --out.'
            )


def _describe_data(terms: Terms) -> ConfigDict:
    fields: dict[str, Any] = {'name': terms.data, 'data_dir': terms.data_dir}
    if terms.phantoms:
        fields['phantom'] = {'count': terms.phantoms, 'size': terms.resolution}
    return ConfigDict(fields)


def _train_extractor(terms: Terms, workdir: Path) -> Extractor:
    """The small classifier of the data's own classes."""
    config = classifier.get_config()
    config.resolution = terms.resolution
    config.data.update(_describe_data(terms))
    classifiers.train_and_evaluate(config, workdir)
    return create_extractor(str(workdir))


def _compete(name: str, terms: Terms, out: Path, extractor: Extractor) -> dict[str, Any]:
    """The row of a member: its scores, or why there are none."""
    config = create_config(MEMBERS[name], terms.resolution, _describe_data(terms))
    train_by_the_clock(config, out / name, terms.seconds)
    try:
        return measure(out / name, extractor, terms.count, terms.seconds)
    except UserError as error:  # nothing finite, or no state of the final size: that is a result, too
        return {'failed': str(error)}


def _read_rows(out: Path) -> dict[str, dict[str, Any]]:
    path = out / _ROWS
    lines = path.read_text().splitlines() if path.exists() else []
    return {row['name']: row for row in map(json.loads, lines)}


def _add_row(out: Path, name: str, row: dict[str, Any]) -> None:
    rows = {**_read_rows(out), name: {'name': name, 'title': MEMBERS[name].title, **row}}
    write_file(out / _ROWS, ''.join(f'{json.dumps(each)}\n' for each in rows.values()).encode())


if __name__ == '__main__':
    launch.run_command(
        main, packages=('gan', 'backbones', 'input_pipeline'), user_errors=(input_pipeline.DataError,)
    )
