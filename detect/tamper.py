"""Real volumes in which something was added or removed: `python -m detect.tamper --help`."""

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from detect.tampering.copies import choose_patients, fit_inpainters, tamper_stack
from detect.tampering.cubes import Region
from detect.tampering.files import Folder
from detect.tampering.inpainter import HALVINGS
from detect.tampering.stacks import Listed, Stack, list_stacks, read_stack
from detect.tampering.tampering import Inpaint
from foundation.training import launch
from foundation.training.canary import check_arithmetic
from foundation.training.errors import UserError
from foundation.training.logs import log_to_screen
from input_pipeline import command, complete_folder
from input_pipeline.dataset.catalogue import find_data_dir
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.splits import SPLITS
from input_pipeline.decode import Split
from input_pipeline.errors import Refusals
from input_pipeline.flags import Parser, count, names, share

FACTS = 'tampering.json'
_DESCRIPTION = """Copies of real volumes or images, altered in one place each, with masks of where.

A cube is cut out, its middle is made anew by a small network, and it goes back with the noise of the place.
`injected` adds what the masks of the data set show, `removed` takes it away (or alters any place, without masks),
and `identity` puts back what was there: the control, which no detector should find. Each split has a network of
its own, trained on its own patients. Lengths are in mm; in pixels, where the spacing is unknown.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    options = _parse(arguments)
    log_to_screen(('detect',))
    work = functools.partial(_tamper, options)
    return command.run('detect.tamper', work, options.out, user_errors=(UserError,))


def _tamper(options: argparse.Namespace) -> None:
    check_arithmetic()
    region = _create_region(options)
    splits = _open(options)
    with complete_folder(options.out, options.overwrite) as path:
        work = _Work(options, region, Folder(path, options.data), Refusals(skip=True))
        for name, split in splits.items():
            work.tamper(split, name)
        work.write_facts(splits)
    work.say_goodbye()


def _create_region(options: argparse.Namespace) -> Region:
    if options.side % 2**HALVINGS:
        raise UserError(f'--side={options.side} is no multiple of {2**HALVINGS}.')
    try:
        return Region(options.side, options.blank, options.seam)
    except ValueError as error:
        raise UserError(f'--side, --blank and --seam: {error}') from error


def _open(options: argparse.Namespace) -> dict[str, Split]:
    splits = open_splits(options.data, find_data_dir(options.data_dir))
    chosen = {name: split for name, split in splits.items() if name in options.splits}
    if not chosen:
        raise UserError(f'{options.data} has the splits {", ".join(splits)}, and none of --splits.')
    if not splits['train'].summary:
        raise UserError(f'{options.data} was not written by input_pipeline.prepare: its patients are not known.')
    if options.kind == 'injected' and 'mask' not in splits['train'].features:
        raise UserError(
            f'{options.data} has no masks of what there is to inject; use --kind=removed or prepare it with masks.'
        )
    return chosen


@dataclasses.dataclass(frozen=True)
class _Work:
    """What all splits share."""

    options: argparse.Namespace
    region: Region
    folder: Folder
    refusals: Refusals

    def tamper(self, split: Split, name: str) -> None:
        """Learns from all patients of the split, and alters the volumes of those chosen."""
        options, listed = self.options, list_stacks(split, name)
        inpainters = {} if options.kind == 'identity' else self._fit(split, name, listed)
        patients, before = choose_patients(listed, options.share, options.seed), self.folder.count
        chosen = [own for own in listed if own.patient in patients]
        for stack in self._read(split, chosen, f'{name}: {options.kind}'):
            try:
                copies = list(
                    tamper_stack(stack, options.per_volume, options.kind, self.region, inpainters, options.seed)
                )
            except UserError as error:
                self.refusals.add(stack.case.name, str(error))
                continue
            for copy in copies:
                self.folder.add(stack, copy, name)
        if self.folder.count == before:
            *_, (source, reason) = self.refusals.reasons.items()
            raise UserError(f'no volume of the {name} split can be altered; of {source}: {reason}')

    def _fit(self, split: Split, name: str, listed: Sequence[Listed]) -> dict[int, Inpaint]:
        options, stacks = self.options, self._read(split, listed, f'{name}: looking')
        return fit_inpainters(
            stacks,
            len(listed),
            options.kind,
            self.region,
            width=options.width,
            steps=options.steps,
            seed=options.seed,
        )

    def _read(self, split: Split, listed: Sequence[Listed], text: str) -> Iterator[Stack]:
        """Those that can be altered, with a progress bar."""
        seconds = 0.5 if sys.stderr.isatty() else 10.0
        for own in tqdm.tqdm(listed, desc=text, unit=' volumes', mininterval=seconds):
            try:
                stack = read_stack(split, own)
            except UserError as error:
                self.refusals.add(own.name, str(error))
                continue
            yield stack

    def write_facts(self, splits: Mapping[str, Split]) -> None:
        """How the copies were made."""
        names = ('data', 'kind', 'share', 'per_volume', 'width', 'steps', 'seed')
        facts: dict[str, Any] = {
            **{name: getattr(self.options, name) for name in names},
            'fingerprint': next(iter(splits.values())).summary['fingerprint'],
            'region': dataclasses.asdict(self.region),
            'splits': list(splits),
            'left_out': self.refusals.reasons,
        }
        (self.folder.path / FACTS).write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')

    def say_goodbye(self) -> None:
        """Tells what was made, and what comes next."""
        options, left = self.options, len(self.refusals.reasons)
        print(
            f'{self.folder.count} altered copies in {options.out}'
            + (f'; {left} volumes were left out, see {FACTS} there.' if left else '.')
        )
        print(
            f'Next: {launch.python()} -m detect.prepare --name={options.data}_{options.kind} '
            f'--real {options.data} --fakes {options.kind}={options.out} --resolution=SIDE'
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser('detect.tamper', _DESCRIPTION)
    add = parser.add_argument
    add('--data', required=True, help='name of the prepared data set of real volumes or images')
    add('--out', type=Path, required=True, help='new folder')
    add('--kind', required=True, choices=('injected', 'removed', 'identity'), help='what is done')
    add('--splits', type=names, default=SPLITS, help='those to alter, of those that there are')
    add('--share', type=share, default=0.5, help='of the patients of each split')
    add('--per_volume', type=count, default=1, help='copies of each volume, each altered in another place')
    add('--side', type=count, default=32, help='of the cube that is cut')
    add('--blank', type=count, default=20, help='side of its middle, which is made anew')
    add('--seam', type=float, default=2.0, help='inside the middle, over which new passes into old')
    add('--width', type=count, default=16, help='features of the network that makes middles')
    add('--steps', type=count, default=2000, help='of its training')
    add('--seed', type=int, default=0, help='of every choice by chance')
    add('--data_dir', type=Path, help='folder of all data sets; $TFDS_DATA_DIR or ~/tensorflow_datasets')
    add('--overwrite', action='store_true', help='replace the folder')
    options = parser.read(arguments)
    if not options.splits or set(options.splits) - set(SPLITS):
        parser.error(f'--splits={",".join(options.splits)} must name some of {", ".join(SPLITS)}')
    return options


if __name__ == '__main__':
    sys.exit(main())
