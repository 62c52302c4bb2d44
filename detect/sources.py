"""Folders of synthetic images: what `gan.generate` or `detect.tamper` wrote, or what a user collected."""

import csv
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundation.export.manifest import DERIVED
from foundation.export.verification import read_whole
from foundation.training.errors import UserError
from input_pipeline.dataset.mixture import REAL
from input_pipeline.dataset.splits import SPLITS, SplitFractions, hashed_split
from input_pipeline.errors import Refusals
from input_pipeline.inputs import Incoming, find_incoming
from input_pipeline.readers.paths import inside
from input_pipeline.readers.raster import read_picture
from input_pipeline.records import Item, ReaderOptions, Record

INDEX = 'index.csv'
IMAGES = 'images'
_NUMBERS = {'spacing': 3, 'intensity': 2, 'window': 2}  # columns of the index, and how many each holds


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of one generator's images, or of one kind of altered ones.

    Attributes:
      name: of the generator or the kind.
      folder: of its images.
      split: of the patients that the generator was trained on; '' where the index tells each image's split.
      weights: SHA-256 of the generator's weights; '' where nothing tells them.
      altered: whether its images are real ones that were altered, with masks of where.
      derived: whether they show patients, as those of `gan.translate` do, and bear the names of their files.
    """

    name: str
    folder: Path
    split: str
    weights: str
    altered: bool
    derived: bool = False

    @property
    def is_foreign(self) -> bool:
        """Whether its files may be named after anything, as no manifest says that a generator here named them."""
        return not self.weights or self.derived


def read_source(text: str, fingerprints: Mapping[str, str]) -> Source:
    """Reads NAME=FOLDER or NAME=FOLDER@SPLIT.

    Args:
      text: as given on the command line.
      fingerprints: of the real data sets, by name.

    Raises:
      UserError: when it is not of this form, the folder is missing or not what its manifest says, or nothing tells
        on which patients its generator was trained.
    """
    name, equals, rest = text.partition('=')
    path, _, said = rest.rpartition('@') if rest.rpartition('@')[2] in SPLITS else (rest, '', '')
    folder = Path(path)
    if not (name and equals and path):
        raise UserError(f'--fakes={text} is not of the form NAME=FOLDER or NAME=FOLDER@SPLIT.')
    if not name.replace('_', '').replace('-', '').isalnum():
        raise UserError(f'--fakes={text}: {name!r} is no name; use letters, digits, - and _.')
    if not folder.is_dir():
        raise UserError(f'--fakes={text}: {folder} is no folder.')
    manifest = read_whole(folder)
    weights = '' if manifest is None else manifest['model']['weights_sha256']
    rows = _read_index(folder).values()
    altered = manifest is None and any(row.get('mask') for row in rows)
    derived = manifest is not None and manifest['synthetic'] == DERIVED
    if derived and not said:
        raise UserError(
            f'--fakes={text}: its images show patients; translate those of each split by itself, and add the '
            'split that they are in: @train, @validation or @test.'
        )
    split = said if derived else _find_split(text, folder, said, manifest, fingerprints)
    return Source(name, folder, split, weights, altered, derived)


def _find_split(
    text: str, folder: Path, said: str, manifest: Mapping[str, Any] | None, fingerprints: Mapping[str, str]
) -> str:
    """The side on which the patients are that the generator knows."""
    if manifest is not None and manifest['data']['fingerprint'] in fingerprints.values():
        known = manifest['data']['split']
        if said not in ('', known):
            raise UserError(
                f'--fakes={text}: its manifest says that the generator was trained on the {known} split of '
                f'{manifest["data"]["name"]!r}; its images cannot be on the {said} side.'
            )
        return known
    told = 'split' in _columns(folder)
    if said and told:
        raise UserError(f'--fakes={text}: {folder / INDEX} tells the split of each image; leave out @{said}.')
    if said or told:
        return said
    raise UserError(
        f'--fakes={text}: nothing tells on which of these patients the generator was trained; add @train, '
        '@validation or @test (any of them, if on none).'
    )


def _columns(folder: Path) -> set[str]:
    return set(next(iter(_read_index(folder).values()), {}))


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the index by the image they are about; none where there is no index."""
    if not (folder / INDEX).is_file():
        return {}
    try:
        with (folder / INDEX).open(encoding='utf-8-sig', newline='') as file:
            return {row['image']: row for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UserError(f'{folder / INDEX} is no table with a column image ({error}).') from error


def find_items(source: Source, options: ReaderOptions, refusals: Refusals) -> list[Item]:
    """Its images and volumes, each of the split of its source, or of its row in the index.

    Raises:
      UserError: when there is none, the index is no table, or one has no split.
    """
    rows = _read_index(source.folder)
    below = source.folder / IMAGES if (source.folder / IMAGES).is_dir() else source.folder
    found = find_incoming([below], options, refusals)
    if not found:
        raise UserError(f'{below} holds no image that can be read.')
    prefix = f'{IMAGES}/' if below != source.folder else ''
    return [_create_item(source, one, rows.get(f'{prefix}{one.source}', {}), options) for one in found]


def _create_item(source: Source, incoming: Incoming, row: Mapping[str, str], options: ReaderOptions) -> Item:
    key = f'{source.folder.name}/{incoming.name}'
    # Masks of whole generated images show what they show, not where.
    mask = inside(source.folder, row['mask']) if source.altered and row.get('mask') else None
    split = source.split or row.get('split')
    if not split:
        raise UserError(f'{source.folder / INDEX} tells no split of {incoming.source}; give each image one.')
    return Item(
        key=key,
        patient=f'{REAL}/{row["patient"]}' if row.get('patient') else f'{source.name}/{key}',
        split=split,
        label=row.get('label') or None,
        dtype='uint8',  # what it is stored as is decided for all sources alike
        channels=1,
        load=functools.partial(_load, key, incoming, mask, _told(source, row), options.pixel_limit),
    )


def _told(source: Source, row: Mapping[str, str]) -> dict[str, Any]:
    """What the index knows of an image and its file does not: of altered ones, what their values mean."""
    told: dict[str, Any] = {'modality': row['modality']} if row.get('modality') else {}
    for name, count in (_NUMBERS if source.altered else {'spacing': _NUMBERS['spacing']}).items():
        if row.get(name):
            try:
                told[name] = tuple(map(float, row[name].split()))
            except ValueError:
                told[name] = ()
            if len(told[name]) != count or not np.isfinite(told[name]).all():
                raise UserError(
                    f'{source.folder / INDEX}: {name} of {row["image"]} is {row[name]!r}; give {count} numbers.'
                )
    return told


def _load(
    key: str, incoming: Incoming, mask: Path | None, told: Mapping[str, Any], pixel_limit: int
) -> Iterator[Record]:
    ids = None if mask is None else (read_picture(mask, pixel_limit)[..., :1] > 0).astype(np.uint8)
    records = incoming.load().records
    for number, record in enumerate(records):
        own = f'{key}/{number:05d}' if incoming.grid is not None else key
        yield dataclasses.replace(record, key=own, mask=ids, **told)


def divide(items: Sequence[Item], among: Mapping[str, int]) -> list[Item]:
    """Deals out the images of the sides that share their generators, by a hash of their patients.

    Args:
      items: of any split; those of a split in `among` are dealt out again, but altered images of real patients
        stay where these are.
      among: the splits that share generators, with their numbers of real images.
    """
    total = sum(among.values())
    if not total:
        return list(items)
    fractions = SplitFractions(among.get('validation', 0) / total, among.get('test', 0) / total)
    return [
        dataclasses.replace(item, split=hashed_split(item.patient, fractions))
        if item.split in among and not item.patient.startswith(f'{REAL}/')
        else item
        for item in items
    ]
