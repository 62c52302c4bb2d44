"""Which patient belongs to which split."""

import dataclasses
import hashlib
from collections.abc import Sequence

from input_pipeline.errors import DataError
from input_pipeline.records import Item

SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class SplitFractions:
    """Expected shares of the patients that no folder and no index assigns to a split.

    Attributes:
      validation: share of the validation split.
      test: share of the test split; the rest is for training.

    Raises:
      DataError: when the shares leave nothing for training.
    """

    validation: float
    test: float

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise DataError(
                f'validation_fraction={self.validation} and test_fraction={self.test} must not be negative, '
                'and must together be below 1.'
            )


def hashed_split(patient: str, fractions: SplitFractions) -> str:
    """The split of a patient, from the SHA-256 of the name alone.

    It does not depend on which other patients there are, so a set that grows keeps its splits.
    """
    digest = hashlib.sha256(patient.encode()).digest()
    share = int.from_bytes(digest[:8], 'big') / 2**64
    if share < fractions.test:
        return 'test'
    return 'validation' if share < fractions.test + fractions.validation else 'train'


def assign_splits(items: Sequence[Item], fractions: SplitFractions) -> dict[str, str]:
    """The split of every patient.

    A split that an item names wins, for all items of its patient; other patients are hashed.

    Raises:
      DataError: when a patient is named in two splits, a split is unknown, or nothing is left to train on.
    """
    named: dict[str, Item] = {}
    for item in items:
        if item.split is None:
            continue
        if item.split not in SPLITS:
            raise DataError(f'{item.key}: split {item.split!r} is not one of {", ".join(SPLITS)}.')
        earlier = named.setdefault(item.patient, item)
        if earlier.split != item.split:
            raise DataError(
                f'patient {item.patient!r} is in two splits: {earlier.key} in {earlier.split}, {item.key} in '
                f'{item.split}; a patient must stay in one, or the model is tested on what it was trained on.'
            )
    patients = {item.patient for item in items}
    splits = {
        patient: str(named[patient].split) if patient in named else hashed_split(patient, fractions)
        for patient in sorted(patients)
    }
    if 'train' not in splits.values():
        raise DataError(
            f'the training split would be empty ({len(patients)} patients): lower --validation_fraction '
            'and --test_fraction, or add images.'
        )
    return splits
