"""Splits are by patient, stable, and complain."""

import hashlib

import numpy as np
import pytest

from input_pipeline.dataset.splits import SplitFractions, assign_splits, hashed_split
from input_pipeline.errors import DataError
from tests.input_pipeline.items import make_item, random_images

FRACTIONS = SplitFractions(validation=0.1, test=0.2)


def _items(patients, splits=None):
    image = random_images(1, (4, 4, 1), np.uint8)
    splits = splits or [None] * len(patients)
    return [
        make_item(f'image{number:04d}', image, patient=patient, split=split)
        for number, (patient, split) in enumerate(zip(patients, splits, strict=True))
    ]


def test_hash_is_sha256_of_the_patient_alone():
    share = int(hashlib.sha256(b'patient 7').hexdigest()[:16], 16) / 2**64
    expected = 'test' if share < 0.2 else 'validation' if share < 0.3 else 'train'
    assert hashed_split('patient 7', FRACTIONS) == expected


def test_shares_are_near_the_fractions():
    splits = list(assign_splits(_items([f'p{number}' for number in range(4000)]), FRACTIONS).values())
    # Three standard deviations of a binomial with 4000 draws.
    assert abs(splits.count('test') - 800) < 76
    assert abs(splits.count('validation') - 400) < 57


def test_a_grown_set_keeps_its_splits():
    few = assign_splits(_items([f'p{number}' for number in range(50)]), FRACTIONS)
    many = assign_splits(_items([f'p{number}' for number in range(500)]), FRACTIONS)
    assert few == {patient: many[patient] for patient in few}


def test_a_named_split_wins_for_all_items_of_the_patient():
    patients = [f'p{number}' for number in range(30)]
    items = _items(patients + patients, ['test'] * 10 + ['train'] * 20 + [None] * 30)
    splits = assign_splits(items, SplitFractions(validation=0.9, test=0.0))
    assert [splits[patient] for patient in patients] == ['test'] * 10 + ['train'] * 20


def test_one_patient_in_two_splits_is_refused_by_name():
    with pytest.raises(DataError, match=r"'ann' is in two splits: image0000 in train, image0002 in test"):
        assign_splits(_items(['ann', 'bob', 'ann'], ['train', 'train', 'test']), FRACTIONS)


def test_unknown_split_is_refused():
    with pytest.raises(DataError, match=r"image0001: split 'guard' is not one of"):
        assign_splits(_items(['a', 'b'], ['train', 'guard']), FRACTIONS)


def test_empty_training_split_is_refused():
    with pytest.raises(DataError, match='training split would be empty'):
        assign_splits(_items(['a', 'b'], ['test', 'validation']), FRACTIONS)


@pytest.mark.parametrize(('validation', 'test'), [(-0.1, 0.2), (0.5, 0.5), (0.9, 0.2)])
def test_impossible_fractions_are_refused(validation, test):
    with pytest.raises(DataError, match='must together be below 1'):
        SplitFractions(validation=validation, test=test)
