"""Which patient belongs to which split."""

import collections
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from input_pipeline.errors import DataError
from input_pipeline.records import Item

SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class SplitFractions:
    """Expected shares of the patients that no folder and no index assigns to a split.

    Attributes:
      validation: share of the validation split.
      test: share of the test split; the rest is for training.
      stratify: whether each class is cut by these shares, instead of each patient drawn by them.

    Raises:
      DataError: when the shares leave nothing for training.
    """

    validation: float
    test: float
    stratify: bool = False

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
    share = _rank(patient)
    if share < fractions.test:
        return 'test'
    return 'validation' if share < fractions.test + fractions.validation else 'train'


def _rank(patient: str) -> float:
    """From 0 to 1."""
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], 'big') / 2**64


def stratified_splits(classes: Mapping[str, str], fractions: SplitFractions) -> dict[str, str]:
    """The splits of patients, each class cut by the fractions in the order of its patients' hashes.

    The lowest go to the test split and the next to validation, as `hashed_split` has it, but each class has its
    share, and one patient at least where it has three. When patients are added, those near a cut may change their
    split.

    Args:
      classes: of each patient.
      fractions: shares of each class.
    """
    splits: dict[str, str] = {}
    for name in set(classes.values()):
        patients = sorted((patient for patient in classes if classes[patient] == name), key=_rank)
        least = int(len(patients) >= len(SPLITS))
        test, validation = (
            max(round(len(patients) * share), least) if share else 0
            for share in (fractions.test, fractions.validation)
        )
        test = min(test, max(len(patients) - 1, 0))  # one is left to train on
        validation = min(validation, max(len(patients) - test - 1, 0))
        for place, patient in enumerate(patients):
            splits[patient] = 'test' if place < test else 'validation' if place < test + validation else 'train'
    return splits


def _rarest_class(items: Sequence[Item]) -> dict[str, str]:
    """Of each patient, the class that the fewest patients have; '' for those without classes."""
    found: dict[str, set[str]] = {}
    for item in items:
        found.setdefault(item.patient, set()).add(item.label or '')
    counts = collections.Counter(label for labels in found.values() for label in labels)
    return {
        patient: min(labels, key=lambda label: (not label, counts[label], label))
        for patient, labels in found.items()
    }


def assign_splits(items: Sequence[Item], fractions: SplitFractions) -> dict[str, str]:
    """The split of every patient.

    A split that an item names wins, for all items of its patient; other patients are hashed, or stratified.

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
    drawn = {patient: hashed_split(patient, fractions) for patient in patients - set(named)}
    if fractions.stratify:
        drawn = stratified_splits(_rarest_class([item for item in items if item.patient in drawn]), fractions)
    splits = {
        patient: str(named[patient].split) if patient in named else drawn[patient] for patient in sorted(patients)
    }
    if 'train' not in splits.values():
        raise DataError(
            f'the training split would be empty ({len(patients)} patients): lower --validation_fraction '
            'and --test_fraction, or add images.'
        )
    return splits


def describe_rule(items: Sequence[Item], fractions: SplitFractions) -> str:
    """What decided the splits, to be told."""
    named = {item.patient for item in items if item.split is not None}
    rule = (
        'the hash of each patient, cut by class; patients at the cuts may move when others are added'
        if fractions.stratify
        else 'the hash of each patient, which stays when others are added; --stratify gives each class its share'
    )
    if not named:
        return rule
    return (
        'folders, columns or the set it comes from'
        if named >= {item.patient for item in items}
        else f'folders or columns; of others, {rule}'
    )
