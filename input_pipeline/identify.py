"""Tells which kind of set pictures belong to: `python -m input_pipeline.identify --help`."""

import argparse
import dataclasses
import functools
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from input_pipeline import command
from input_pipeline.dataset.catalogue import find_data_dir
from input_pipeline.errors import DataError, Refusals
from input_pipeline.flags import Parser, count, names
from input_pipeline.identification.exemplars import Exemplars, load_exemplars, save_exemplars
from input_pipeline.identification.measures import DEFAULT_MEASURE, MEASURES
from input_pipeline.identification.phantoms import phantom_exemplars
from input_pipeline.identification.recognition import Answers, Recogniser, join
from input_pipeline.identification.report import (
    Identification,
    accuracy,
    accuracy_table,
    confusion_table,
    judge,
    verdict_table,
)
from input_pipeline.identification.selection import build_exemplars
from input_pipeline.identification.thumbnails import Picture, in_chunks, read_pictures, read_prepared

_DESCRIPTION = """Tells which kind of set pictures belong to, by their likeness to exemplars of each kind.

  identify PATH...                             what files or folders look like
  identify --name=SET --split=test --compare   how often each measure is right on a prepared data set
  identify --build=FILE --name=SET             exemplars of a prepared set's classes, from its training split
  identify --build=FILE --kind=NAME=FOLDER...  exemplars of folders; --kind=NAME:MODALITY=FOLDER tells CT, MR, ...

Without --exemplars, phantoms of four kinds are the exemplars: good for phantoms and for trying out.
"""
_KIND = re.compile(r'([\w-]+)(?::(\w+))?=(.+)')
_CHUNK = 256  # pictures kept in memory at a time


@dataclasses.dataclass(frozen=True)
class _PictureKind:
    name: str
    modality: str
    path: Path


def _kind(text: str) -> _PictureKind:
    match = _KIND.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return _PictureKind(match[1], match[2] or '', Path(match[3]))


_kind.__name__ = 'kind like chest_xray=FOLDER or chest_xray:DX=FOLDER'  # argparse puts it into its message


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    options = _parse(arguments)
    work = _build if options.build else _evaluate if options.name else _identify
    return command.run('identify', functools.partial(work, options), folder=None)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser('identify', _DESCRIPTION, argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('paths', nargs='*', type=Path, metavar='PATH', help='picture, DICOM, NIfTI or array file, or folder')
    add('--exemplars', type=Path, metavar='FILE', help='exemplars made with --build; phantoms where not given')
    add('--measure', choices=tuple(MEASURES), default=DEFAULT_MEASURE, help=f'default {DEFAULT_MEASURE}')
    add('--compare', action='store_true', help='a table of all measures')
    add('--json', action='store_true', help='print JSON')
    add('--limit', type=count, default=1000, help='files read of a folder, or of a class (default 1000)')
    add('--name', help='a prepared data set')
    add('--split', default='', help='its split; train to build (the default), test to measure (the default)')
    add('--classes', type=names, default=(), help='those of the set, separated by commas; all where not given')
    add('--data_dir', type=Path, help='folder of all data sets; $TFDS_DATA_DIR or ~/tensorflow_datasets')
    add('--build', type=Path, metavar='FILE', help='write exemplars and their thresholds to this .npz file')
    add('--kind', type=_kind, action='append', default=[], dest='kinds', metavar='NAME=FOLDER', help='to build')
    add('--exemplars_per_kind', type=count, default=24, help='to build (default 24)')
    add('--seed', type=int, default=0, help='of the choice of exemplars (default 0)')
    options = parser.read(arguments)
    _check(parser, options)
    return options


def _check(parser: Parser, options: argparse.Namespace) -> None:
    """Refuses combinations that have no meaning."""
    given = [bool(options.paths), bool(options.kinds), options.name is not None]
    if options.build and (options.paths or sum(given) != 1):
        parser.error('--build needs either --name=SET or one or more --kind=NAME=FOLDER, and no PATH')
    if not options.build and options.kinds:
        parser.error('--kind is of use only with --build=FILE')
    if not options.build and sum(given) != 1:
        parser.error('give either one or more PATHs or --name=SET')
    if options.name is None and (options.classes or options.split):
        parser.error('--split and --classes are of use only with --name=SET')
    kinds = [kind.name for kind in options.kinds]
    if len(set(kinds)) < len(kinds):
        parser.error('two --kind have the same name')


def _exemplars(options: argparse.Namespace) -> Exemplars:
    return load_exemplars(options.exemplars) if options.exemplars else phantom_exemplars()


def _measures(options: argparse.Namespace) -> list[str]:
    return list(MEASURES) if options.compare else [options.measure]


def _pixels(pictures: Sequence[Picture]) -> UInt8[np.ndarray, 'count 64 64']:
    return np.stack([picture.pixels for picture in pictures])


def _identify(options: argparse.Namespace) -> None:
    """Prints what every path looks like."""
    exemplars = _exemplars(options)
    recognisers = {measure: Recogniser(exemplars, measure) for measure in _measures(options)}
    verdicts = [verdict for path in options.paths for verdict in _verdicts(path, recognisers, options.limit)]
    if options.json:
        print(json.dumps([dataclasses.asdict(verdict) for verdict in verdicts], indent=2))
    else:
        print(verdict_table(verdicts))


def _verdicts(path: Path, recognisers: dict[str, Recogniser], limit: int) -> Iterator[Identification]:
    refusals = Refusals(skip=True)
    answers: dict[str, list[Answers]] = {measure: [] for measure in recognisers}
    for chunk in in_chunks(read_pictures(path, limit, refusals), _CHUNK):
        for measure, recogniser in recognisers.items():
            answers[measure].append(recogniser(_pixels(chunk)))
    _require(path, any(answers.values()), refusals)
    for measure, parts in answers.items():
        yield judge(str(path), measure, join(parts), refusals.reasons)


def _require(path: Path, found: bool, refusals: Refusals) -> None:
    """Raises DataError where a path gave no picture, with the first reason."""
    if found:
        return
    if not refusals.reasons:
        raise DataError(f'{path}: holds no picture.')
    file, reason = next(iter(refusals.reasons.items()))
    raise DataError(f'{file}: {reason}.')


def _evaluate(options: argparse.Namespace) -> None:
    """Prints how often measures are right on a split whose classes are known."""
    exemplars = _exemplars(options)
    data_dir, split = find_data_dir(options.data_dir), options.split or 'test'
    pictures = list(read_prepared(options.name, data_dir, split, options.classes, options.limit))
    labels, rows = [picture.label or '' for picture in pictures], []
    for measure in _measures(options):
        begin = time.monotonic()
        answers = Recogniser(exemplars, measure)(_pixels(pictures))
        rows.append(accuracy(measure, answers, labels, time.monotonic() - begin))
    if options.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
        return
    print(accuracy_table(rows))
    if not options.compare:
        print('\n' + confusion_table(answers, labels))


def _build(options: argparse.Namespace) -> None:
    """Writes exemplars of a prepared set's classes, or of folders."""
    if options.name:
        data_dir, split = find_data_dir(options.data_dir), options.split or 'train'
        found = read_prepared(options.name, data_dir, split, options.classes, options.limit)
        by_class = sorted(found, key=lambda picture: picture.label or options.name)
        grouped = itertools.groupby(by_class, key=lambda picture: picture.label or options.name)
        pictures = {label: list(own) for label, own in grouped}
    else:
        pictures = {kind.name: list(_folder(kind, options.limit)) for kind in options.kinds}
    exemplars = build_exemplars(pictures, options.exemplars_per_kind, options.seed)
    save_exemplars(exemplars, options.build)
    for kind, own in pictures.items():
        print(f'{kind}: {len(own)} pictures')
    print(f'{len(exemplars.pictures)} exemplars of {len(pictures)} kinds are in {options.build}.')


def _folder(kind: _PictureKind, limit: int) -> Iterator[Picture]:
    refusals = Refusals(skip=True)
    pictures = list(read_pictures(kind.path, limit, refusals))
    _require(kind.path, bool(pictures), refusals)
    for picture in pictures:
        yield dataclasses.replace(picture, modality=kind.modality) if kind.modality else picture


if __name__ == '__main__':
    sys.exit(main())
