"""Splits are by patient, stable, and complain."""

import dataclasses
import hashlib

import numpy as np
import pytest

from input_pipeline.dataset.splits import SPLITS, SplitFractions, assign_splits, describe_rule, hashed_split
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


STRATIFIED = SplitFractions(validation=0.1, test=0.2, stratify=True)


def _labelled(classes):
    return [
        dataclasses.replace(item, label=label)
        for item, label in zip(_items(classes), classes.values(), strict=True)
    ]


def _by_class(classes, splits):
    return {
        name: [sum(splits[p] == split for p, label in classes.items() if label == name) for split in SPLITS]
        for name in set(classes.values())
    }


def test_each_class_has_its_share():
    classes = {f'p{number}': 'rare' if number % 10 == 0 else 'common' for number in range(200)}
    splits = assign_splits(_labelled(classes), STRATIFIED)
    assert _by_class(classes, splits) == {'rare': [14, 2, 4], 'common': [126, 18, 36]}


@pytest.mark.parametrize(
    ('count', 'expected'), [(1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 1, 2])]
)
def test_small_classes(count, expected):
    classes = {f'p{number}': 'rare' for number in range(count)} | {f'q{number}': 'other' for number in range(30)}
    assert _by_class(classes, assign_splits(_labelled(classes), STRATIFIED))['rare'] == expected


def test_strata_follow_the_hash_and_move_patients_at_the_cuts_alone():
    classes = {f'p{number}': '' for number in range(1000)}
    few = dict.fromkeys(list(classes)[:800], '')
    ranked = sorted(few, key=lambda patient: hashlib.sha256(patient.encode()).digest())
    splits, grown = (assign_splits(_labelled(those), STRATIFIED) for those in (few, classes))
    assert [splits[patient] for patient in ranked] == ['test'] * 160 + ['validation'] * 80 + ['train'] * 560
    moved = [place for place, patient in enumerate(ranked) if splits[patient] != grown[patient]]
    assert all(min(abs(place - 160), abs(place - 240)) < 40 for place in moved)


def test_a_patient_of_several_classes_counts_for_the_rarest():
    classes = {f'p{number}': 'common' for number in range(30)}
    items = _labelled(classes)
    items += [dataclasses.replace(item, label='rare', key=f'{item.key}b') for item in items[:5]]
    splits = assign_splits(items, STRATIFIED)
    assert sorted(splits[f'p{number}'] for number in range(5)) == ['test', 'train', 'train', 'train', 'validation']


def test_named_splits_are_left_out_of_the_strata():
    classes = {f'p{number}': 'rare' for number in range(10)}
    items = [
        dataclasses.replace(item, split='train' if number < 7 else None)
        for number, item in enumerate(_labelled(classes))
    ]
    assert sorted(assign_splits(items, STRATIFIED)[f'p{number}'] for number in (7, 8, 9)) == sorted(SPLITS)
    assert describe_rule(items, STRATIFIED).startswith(
        'folders or columns; of others, the hash of each patient, cut by'
    )
    assert describe_rule(items[:7], STRATIFIED) == 'folders, columns or the set it comes from'
    assert describe_rule(items[7:], FRACTIONS).startswith('the hash of each patient, which stays')


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
