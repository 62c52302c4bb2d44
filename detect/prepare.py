"""Real and synthetic images as a data set for detectors: `python -m detect.prepare --help`."""

import argparse
import collections
import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.imitations import IMITATIONS, list_imitations
from detect.sources import Source, divide, find_items, read_source
from foundation.training.errors import UserError
from input_pipeline import command
from input_pipeline.advice import advise_detector
from input_pipeline.dataset.builder import Target
from input_pipeline.dataset.catalogue import find_data_dir, place_of
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.mixture import BORDERS, REAL, Mixture, MixtureForm, write_mixture
from input_pipeline.dataset.pseudonyms import CLEAR, Pseudonyms
from input_pipeline.dataset.splits import SPLITS
from input_pipeline.dataset.summary import read_records
from input_pipeline.dataset.user_key import load_key
from input_pipeline.decode import Split
from input_pipeline.errors import DataError, Refusals
from input_pipeline.flags import Parser, add_key, names, share
from input_pipeline.preprocessing import PIXELS
from input_pipeline.records import PIXEL_LIMIT, Item, reader_options
from input_pipeline.report import describe

_LONGEST = 2048  # pixels along the longer side of images that keep their own
_DESCRIPTION = """Real images of prepared data sets and synthetic ones of any folders, as one data set.

Both pass through the same window, size, depth and encoding. Real patients stay in their splits; the images of a
generator belong to the split of the patients it was trained on, which its manifest or @SPLIT tells.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    options = _parse(arguments)
    place = place_of(options.name, options.data_dir)
    work = functools.partial(_prepare, options)
    return command.run('detect.prepare', work, place, user_errors=(UserError,))


def _prepare(options: argparse.Namespace) -> None:
    target = Target(options.name, find_data_dir(options.data_dir), options.overwrite)
    target.check_free()
    target.check_apart(options.real)
    refusals = Refusals(skip=options.on_error == 'skip')
    real = {name: open_splits(name, target.data_dir) for name in options.real}
    sources = [read_source(text, _fingerprints(real)) for text in options.fakes]
    foreign = [source.folder for source in sources if source.is_foreign]
    hidden = Pseudonyms(load_key(options.key), foreign) if foreign else CLEAR
    mixture = _create_mixture(options, real, sources, hidden, refusals)
    summary = write_mixture(mixture, target.data_dir, target, refusals, hidden)
    shown = summary | {'refused': refusals.reasons, 'notes': refusals.notes}
    print(hidden.reveal(describe(shown, target.folder)))
    print(advise_detector(options.name, options.data_dir, options.resolution))


def _fingerprints(real: Mapping[str, Mapping[str, Split]]) -> dict[str, str]:
    """Of the real sets; refuses one whose patients nobody knows."""
    for name, splits in real.items():
        if not splits['train'].summary:
            raise DataError(f'{name} was not written by input_pipeline.prepare: its patients are not known.')
    return {name: splits['train'].summary['fingerprint'] for name, splits in real.items()}


def _real_patients(real: Mapping[str, Mapping[str, Split]]) -> set[str]:
    """As mixed sets name them."""
    return {
        f'{REAL}/{name}/{patient}'
        for name, splits in real.items()
        for split, opened in splits.items()
        for patient in read_records(opened.folder, split).patients
    }


def _create_mixture(
    options: argparse.Namespace,
    real: Mapping[str, Mapping[str, Split]],
    sources: Sequence[Source],
    hidden: Pseudonyms,
    refusals: Refusals,
) -> Mixture:
    summaries = [splits['train'].summary for splits in real.values()]
    counts = {split: sum(one['splits'].get(split, 0) for one in summaries) for split in SPLITS}
    known = _real_patients(real) if any(source.is_foreign for source in sources) else set()
    reading = reader_options(options.axis, options.pixel_limit)
    shared = {split: counts[split] for split in options.divide}
    items: dict[str, list[Item]] = {}
    skipping = Refusals(skip=True)  # finding goes on in any case; what was refused is told once, below
    for source in sources:
        found = find_items(source, reading, skipping)
        found = hidden.hide(found, known) if source.is_foreign else found
        items.setdefault(source.name, []).extend(found if source.derived else divide(found, shared))
    for path, reason in skipping.reasons.items():
        refusals.add(path, reason)
    form = _read_form(options)
    _add_imitations(items, options, real, form)
    _check_sides(counts, items)
    return Mixture(
        reals=options.real,
        synthetic=items,
        form=form,
        modalities=dict(options.modality or ()),
        licence=options.licence or ' AND '.join(sorted({one.get('licence', '') for one in summaries} - {''})),
        recorded=_describe_sources(options, sources, {one['dtype'] for one in summaries}, hidden),
    )


def _read_form(options: argparse.Namespace) -> MixtureForm:
    flags = vars(options) | {'fit': options.fit or 'pad'}
    if options.resolution is None:
        flags |= {'fit': 'native', 'resolution': options.longest or _LONGEST}
    return MixtureForm.from_dict(flags)


def _add_imitations(
    items: dict[str, list[Item]],
    options: argparse.Namespace,
    real: Mapping[str, Mapping[str, Split]],
    form: MixtureForm,
) -> None:
    """Raises UserError where folders of --fakes bear the name of an imitation."""
    taken = items.keys() & set(options.imitations)
    if taken:
        raise UserError(
            f'--fakes and --imitations both have {", ".join(sorted(taken))}; give the folder another name.'
        )
    items |= list_imitations(options.imitations, real, form, share=options.imitated, seed=options.seed)


def _check_sides(counts: Mapping[str, int], items: Mapping[str, Sequence[Item]]) -> None:
    """Raises UserError for a split with real images and no others, which could teach or test nothing."""
    found = collections.Counter(item.split for own in items.values() for item in own)
    for split, count in counts.items():
        if count and not found[split]:
            raise UserError(
                f'there are {count} real images and no synthetic ones in the {split} split; add images of a '
                f'generator that was trained on its patients (--fakes NAME=FOLDER@{split}), or let generators be '
                f'shared with --divide=train,{split if split != "train" else "validation"}.'
            )


def _describe_sources(
    options: argparse.Namespace, sources: Sequence[Source], depths: set[str], hidden: Pseudonyms
) -> dict[str, Any]:
    """What the summary keeps of where the images come from; where folders lay stays private."""
    return {
        'source': 'detection',
        'real': list(options.real),
        'divided': list(options.divide),
        'depths': sorted(depths),  # stored types of the real images
        'sources': [
            *(dataclasses.asdict(source) | {'folder': hidden.of(source.folder.name)} for source in sources),
            *(_describe_imitation(options, kind) for kind in options.imitations),
        ],
    }


def _describe_imitation(options: argparse.Namespace, kind: str) -> dict[str, Any]:
    """As other sources, which lie in no folder, in the splits of their patients."""
    source = Source(kind, Path(), '', '', altered=kind == 'blended', derived=True)
    return dataclasses.asdict(source) | {
        'folder': '',
        'imitation': {'share': options.imitated, 'seed': options.seed},
    }


def _modality(text: str) -> tuple[str, str]:
    content, equals, modality = text.partition('=')
    if not (content and equals and modality):
        raise ValueError(text)
    return content, modality


_modality.__name__ = 'class and modality like ChestCT=CT'  # argparse puts it into its message


def _window(text: str) -> str | tuple[float, float]:
    if text in ('auto', 'stored', 'volume'):
        return text
    low, high = map(float, text.split(','))
    return low, high


_window.__name__ = 'window: auto, stored, volume, or two numbers like -1000,400'


def _resolution(text: str) -> int | None:
    """None for native."""
    return None if text == 'native' else int(text)


_resolution.__name__ = 'resolution: pixels, or native'


def _add_form(parser: Parser) -> None:
    """The flags of what all images are made to be."""
    add = parser.add_argument
    add(
        '--resolution',
        type=_resolution,
        required=True,
        help="side of all images, at most the smallest one's; or native: each keeps its own pixels and shape",
    )
    add(
        '--longest',
        type=int,
        default=None,
        help=f'native images with a longer side than so many pixels ({_LONGEST} by default) shrink to it',
    )
    add('--channels', type=int, choices=(1, 3), default=1, help='of all images')
    add('--depth', type=int, choices=(8, 16), default=8, help='bits of all images; 16 only where all have them')
    add('--window', type=_window, default='auto', help='of real images: auto, stored, volume, or two numbers')
    add('--fit', choices=('pad', 'crop', 'resize'), help='how images are made square; pad by default')
    add(
        '--borders',
        choices=BORDERS,
        default='cut',
        help='of one grey value around an image: cut off first, or kept',
    )
    add(
        '--pixels',
        choices=PIXELS,
        default='square',
        help='before that: those that are not made square, or kept; native images keep them always',
    )


def _add_sources(parser: Parser) -> None:
    """The flags of where synthetic images come from."""
    add = parser.add_argument
    add(
        '--fakes',
        default=(),
        nargs='+',
        metavar='NAME=FOLDER[@SPLIT]',
        help='folders of images, each with the name of its generator (several may share it), and the split of '
        'these patients that it was trained on where no manifest or index tells',
    )
    add(
        '--imitations',
        choices=IMITATIONS,
        default=(),
        nargs='+',
        help='fakes that are made of the real images: halved and doubled again, or blended with one another',
    )
    add('--imitated', type=share, default=0.5, help='share of the patients of whom they are made')
    add('--seed', type=int, default=0, help='of all that chance decides about imitations')


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser('detect.prepare', _DESCRIPTION)
    add = parser.add_argument
    add('--name', required=True, help='name of the new data set')
    add('--real', required=True, nargs='+', help='names of prepared data sets')
    _add_sources(parser)
    add('--divide', type=names, default=(), help='splits that share generators, like train,validation')
    _add_form(parser)
    add('--modality', type=_modality, nargs='+', metavar='CLASS=MODALITY', help='what images of a class are')
    add('--axis', type=int, choices=(0, 1, 2), default=2, help='volumes are cut along it')
    add(
        '--pixel_limit',
        type=int,
        default=PIXEL_LIMIT,
        help='larger pictures, and volumes of four times as many voxels, are refused before decoding',
    )
    add('--on_error', choices=('fail', 'skip'), default='fail', help='at an unusable file: stop, or leave it out')
    add_key(add)
    add('--licence', default='', help='of the new data set; those of the real ones where it is not given')
    add('--data_dir', type=Path, help='folder of all data sets; $TFDS_DATA_DIR or ~/tensorflow_datasets')
    add('--overwrite', action='store_true', help='replace a data set of this name')
    options = parser.read(arguments)
    if not options.fakes and not options.imitations:
        parser.error('no synthetic image is named; give --fakes or --imitations')
    if len(set(options.imitations)) < len(options.imitations):
        parser.error(f'--imitations={" ".join(options.imitations)} names one twice')
    if options.resolution is None and options.fit:
        parser.error(f'--fit={options.fit} makes images square, and --resolution=native leaves their shape')
    if options.resolution is not None and options.longest is not None:
        parser.error(f'--longest={options.longest} is for --resolution=native alone')
    if set(options.divide) - set(SPLITS):
        parser.error(f'--divide={",".join(options.divide)} must name some of {", ".join(SPLITS)}')
    return options


if __name__ == '__main__':
    sys.exit(main())
