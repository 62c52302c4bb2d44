"""A new data set out of prepared ones, for studies: `python -m input_pipeline.derive --help`."""

import argparse
import dataclasses
import functools
import hashlib
import itertools
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline import command
from input_pipeline.dataset.builder import Target, WriteOptions, write_dataset
from input_pipeline.dataset.catalogue import find_data_dir, place_of
from input_pipeline.dataset.items import Change, open_splits, rename_item, stored_items
from input_pipeline.dataset.splits import SplitFractions
from input_pipeline.decode import Split
from input_pipeline.errors import DataError, Refusals
from input_pipeline.flags import Parser, count
from input_pipeline.placement import fit_image, fit_mask
from input_pipeline.preprocessing import apply_window, stored_maximum
from input_pipeline.records import PERCENTILES, Item, Record
from input_pipeline.report import describe

_LARGEST_RESOLUTION = 2**14  # of whose images one alone has a gigabyte on the way


@dataclasses.dataclass(frozen=True)
class Derivation:
    """What a new data set takes from prepared ones.

    Attributes:
      source: the data set whose validation and test splits the new one gets, unchanged but for folds.
      fold, folds: the patients of the training and validation splits are dealt into so many folds, and the one of
        this number, from 0, becomes the validation split; 0 folds leave the splits as they are.
      train_fraction: share of its training patients, above 0 up to 1. Smaller shares of the same seed are parts of
        larger ones.
      block: where no patient is known, so many consecutive images count as one, for neighbours are
        alike; 0 leaves patients as they are.
      seed: decides which patients, which added images, and how masks are dealt.
      resolution: images are made square with so many pixels a side, padded; 0 leaves them as they are.
      repeat: how often each training image is there.
      added: data set whose training images come on top; '' for none.
      added_ratio: so many added images for each training image of the source (before `repeat`).
      added_only: the training split holds added images alone.
      shuffle_masks: the added images get each other's masks, by chance: a control.
      licence: of the new set; '' for that of the source.

    Raises:
      DataError: when a field has no meaning.
    """

    source: str
    fold: int
    folds: int
    train_fraction: float
    block: int
    seed: int
    resolution: int
    repeat: int
    added: str
    added_ratio: float
    added_only: bool
    shuffle_masks: bool
    licence: str

    def __post_init__(self) -> None:
        if not 0 < self.train_fraction <= 1:
            raise DataError(f'train_fraction={self.train_fraction} must be above 0 and at most 1.')
        if (self.fold and not self.folds) or (self.folds and not 0 <= self.fold < self.folds >= 2):
            raise DataError(
                f'fold={self.fold} of folds={self.folds}: give 2 folds or more, and a fold from 0 to one less.'
            )
        if min(self.resolution, self.block) < 0 or self.repeat < 1 or not 0 <= self.added_ratio < math.inf:
            raise DataError(
                f'resolution={self.resolution}, block={self.block}, repeat={self.repeat}, '
                f'added_ratio={self.added_ratio}: repeat must be at least 1, the others finite and not negative.'
            )
        if self.resolution > _LARGEST_RESOLUTION:
            raise DataError(f'resolution={self.resolution} is more than {_LARGEST_RESOLUTION}; make it smaller.')
        if (self.added_only or self.shuffle_masks or self.added_ratio) and not self.added:
            raise DataError(
                'added_only, shuffle_masks and added_ratio say what to do with added images: name a set.'
            )
        if self.added and not self.added_ratio:
            raise DataError(f'added={self.added} adds nothing with added_ratio=0; give how many for each image.')


def derive_dataset(derivation: Derivation, data_dir: Path, target: Target) -> dict[str, Any]:
    """Writes the new set, whole or not at all; returns its summary.

    Raises:
      DataError: when a set is missing or damaged, there are fewer added images than wanted, the sets do not fit
        together, the new set has the name of one of them, patients to be dealt into folds are not known, or one
        patient would be in two splits.
    """
    target.check_free()
    target.check_apart([derivation.source, derivation.added])
    source = open_splits(derivation.source, data_dir)
    change = functools.partial(_fit, derivation.resolution) if derivation.resolution else _keep
    block = _check_block(derivation, source['train'])
    by_split = {name: list(stored_items(split, name, block, change)) for name, split in source.items()}
    if derivation.folds:
        by_split = _deal_folds(derivation, by_split)
    items = by_split.pop('train')
    kept = _choose_patients(derivation, {item.patient for item in items})
    items = [item for item in items if item.patient in kept]
    wanted = _count_added(derivation, len(items))
    items = [] if derivation.added_only else [copy for item in items for copy in _repeat(item, derivation.repeat)]
    held_out = list(itertools.chain.from_iterable(by_split.values()))
    if wanted:
        patients = {item.patient for item in held_out if source['train'].patients_known}
        items += _added_items(derivation, data_dir, wanted, change, patients, 'mask' in source['train'].features)
    items += held_out
    recorded = {'source': 'derived', 'derivation': dataclasses.asdict(derivation), 'train_patients': sorted(kept)}
    licence = derivation.licence or source['train'].summary.get('licence', '')
    channels = source['train'].features['image'].shape[-1]
    options = WriteOptions(SplitFractions(0, 0), channels, PERCENTILES, recorded, licence)
    return write_dataset(items, target, options, Refusals(skip=False))


def _check_block(derivation: Derivation, train: Split) -> int:
    if derivation.block and train.patients_known:
        raise DataError(f'{derivation.source} knows its patients; leave block out.')
    if derivation.folds and not derivation.block and not train.patients_known:
        raise DataError(
            f'{derivation.source} knows no patients, and images dealt one by one would put neighbours into '
            'training and validation; give block, how many consecutive images count as one patient (1: no two are '
            'of one).'
        )
    return derivation.block


def _count_added(derivation: Derivation, images: int) -> int:
    wanted = round(derivation.added_ratio * images)
    if derivation.added and not wanted:
        raise DataError(
            f'added_ratio={derivation.added_ratio} of {images} images comes to no image; make it larger.'
        )
    return wanted


def _choose_patients(derivation: Derivation, patients: set[str]) -> set[str]:
    """The first ones in an order that the seed decides, so that a larger share holds the smaller."""
    ranked = _rank(patients, derivation.seed)
    return set(ranked[: max(round(derivation.train_fraction * len(patients)), 1)])


def _rank(patients: set[str], seed: int) -> list[str]:
    return sorted(patients, key=lambda patient: hashlib.sha256(f'{seed} {patient}'.encode()).digest())


def _deal_folds(derivation: Derivation, by_split: dict[str, list[Item]]) -> dict[str, list[Item]]:
    """The splits, in which one fold of the patients of training and validation is the validation split.

    Folds are dealt in the order of `_choose_patients`, a patient to each in turn; together they are all patients.

    Raises:
      DataError: when there are fewer patients than folds.
    """
    items = [*by_split['train'], *by_split.get('validation', [])]
    patients = _rank({item.patient for item in items}, derivation.seed)
    if len(patients) < derivation.folds:
        raise DataError(
            f'{derivation.source} has {len(patients)} patients in training and validation, fewer than '
            f'{derivation.folds} folds; take fewer.'
        )
    own = set(patients[derivation.fold :: derivation.folds])
    dealt: dict[str, list[Item]] = {'train': [], 'validation': []}
    for item in items:
        name = 'validation' if item.patient in own else 'train'
        dealt[name].append(dataclasses.replace(item, split=name))
    return by_split | dealt


def _repeat(item: Item, times: int) -> Iterator[Item]:
    """The item, and copies of the same patient under other keys."""
    yield item
    for number in range(1, times):
        yield rename_item(item, f'copy{number}/{item.key}', item.patient)


def _added_items(
    derivation: Derivation, data_dir: Path, wanted: int, change: Change, held_out: set[str], has_masks: bool
) -> list[Item]:
    """So many of the added set's training images, as patients of their own; none of a held-out patient."""
    split = open_splits(derivation.added, data_dir)['train']
    if ('mask' in split.features) != has_masks:
        one, other = (derivation.source, derivation.added)[:: 1 if has_masks else -1]
        raise DataError(f'{one} has masks, but {other} has none; both must have them, or neither.')
    items = sorted(stored_items(split, 'train', 0, change), key=lambda item: item.key)
    leaked = held_out & {item.patient for item in items if split.patients_known}
    if leaked:
        raise DataError(
            f'{derivation.added} trains on patient {min(leaked)!r}, whom {derivation.source} holds out; add '
            'images of other patients.'
        )
    if len(items) < wanted:
        raise DataError(f'{derivation.added} has {len(items)} training images, but {wanted} are to be added; '
                        'generate more, or lower added_ratio.')  # fmt: skip
    chance = random.Random(derivation.seed)
    chosen = sorted(chance.sample(range(len(items)), wanted))
    givers = chance.sample(chosen, len(chosen)) if derivation.shuffle_masks else chosen
    added = []
    for own, giver in zip(chosen, givers, strict=True):
        name = f'added/{items[own].key}'
        item = items[own] if own == giver else _with_mask_of(items[own], items[giver])
        added.append(rename_item(item, name, name))
    return added


def _with_mask_of(item: Item, giver: Item) -> Item:
    def load() -> Iterator[Record]:
        for record, other in zip(item.load(), giver.load(), strict=True):
            if record.image.shape[:2] != other.image.shape[:2]:
                raise DataError(
                    f'its size is not that of {giver.key}, whose mask it gets; give a resolution, which makes '
                    'all images alike'
                )
            yield dataclasses.replace(record, mask=other.mask)

    return dataclasses.replace(item, load=load)


def _keep(record: Record) -> Record:
    return record


def _fit(resolution: int, record: Record) -> Record:
    """The image on a square grid, padded with what its window shows darkest."""
    largest = stored_maximum(record.image.dtype)
    unit = apply_window(record.image, (0.0, largest), (0.0, largest))
    image = fit_image(unit, resolution, 'pad')
    if record.image.dtype != np.float32:
        image = np.rint(image * np.float32(largest)).astype(record.image.dtype)
    mask = None if record.mask is None else fit_mask(record.mask, resolution, 'pad')
    scale = max(record.image.shape[:2]) / resolution
    rows, columns, slices = record.spacing
    return dataclasses.replace(record, image=image, mask=mask, spacing=(rows * scale, columns * scale, slices))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 1 for bad input, 130 when interrupted.

    Args:
      arguments: flags without the program's name; None for those of the process.
    """
    options = _parse(arguments)
    return command.run('derive', functools.partial(_derive, options), place_of(options.name, options.data_dir))


def _derive(options: argparse.Namespace) -> None:
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(Derivation)}
    data_dir = find_data_dir(options.data_dir)
    target = Target(options.name, data_dir, options.overwrite)
    print(describe(derive_dataset(Derivation(**fields), data_dir, target), target.folder))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        'derive',
        'A data set with fewer training patients, smaller images, or images of another set added. '
        'Validation and test patients stay those of the source, but for --folds, which deals the first anew.',
    )
    add = parser.add_argument
    add('--source', required=True, help='name of the prepared data set')
    add('--name', required=True, help='name of the new data set')
    add('--data_dir', type=Path, help='folder of all data sets; $TFDS_DATA_DIR or ~/tensorflow_datasets')
    add('--overwrite', action='store_true', help='replace a data set of this name')
    add('--folds', type=int, default=0, help='deals the patients of training and validation into so many folds')
    add('--fold', type=int, default=0, help='the fold, from 0, that becomes the validation split')
    add('--train_fraction', type=float, default=1.0, help='share of the training patients to keep')
    add('--block', type=int, default=0, help='where no patient is known: consecutive images that count as one')
    add('--seed', type=int, default=0, help='decides which patients; smaller shares are parts of larger ones')
    add('--resolution', type=int, default=0, help='makes images square with so many pixels a side; 0 does not')
    add('--repeat', type=count, default=1, help='how often each training image is there')
    add('--added', default='', help='data set whose training images are added, as patients of their own')
    add('--added_ratio', type=float, default=0.0, help='added images for each training image')
    add('--added_only', action='store_true', help='train on the added images alone')
    add('--shuffle_masks', action='store_true', help="give the added images each other's masks (a control)")
    add('--licence', default='', help='of the new set; that of the source where it is not given')
    return parser.read(arguments)


if __name__ == '__main__':
    sys.exit(main())
