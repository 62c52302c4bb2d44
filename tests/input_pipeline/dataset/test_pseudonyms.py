"""Pseudonyms of names, and sentences without the names in them."""

import dataclasses

import pytest

from input_pipeline.dataset.pseudonyms import CLEAR, Pseudonyms
from input_pipeline.errors import DataError, Refusals
from tests.input_pipeline.items import make_item, random_images

# From the key and each name: printf %s NAME | openssl dgst -sha256 -hmac KEY, the first 16 digits.
KEY = b'0123456789abcdef0123456789abcdef'
DOE, PNG = 'cec6ec81291d9bf1', '193df97846654000'


@pytest.fixture
def names(tmp_path):
    for path in ('Doe_Jane/scan one.png', 'Doe_Jane/scan one_mask.png', 'images/7731942.nii.gz'):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    return Pseudonyms(KEY, [tmp_path])


def test_a_name_is_its_keyed_hash(names):
    assert names.of('Doe_Jane') == DOE
    assert names.of_path('Doe_Jane/scan one.png') == f'{DOE}/{PNG}'
    assert names.of('') == ''
    assert Pseudonyms(KEY[::-1]).of('Doe_Jane') != DOE
    assert names.reveal(f'{DOE}/{PNG}/0003 of {"0" * 16}') == f'Doe_Jane/scan one.png/0003 of {"0" * 16}'


def test_numbers_that_readers_put_behind_a_key_stay_and_no_others(names):
    assert names.of_key('Doe_Jane/0003') == f'{DOE}/0003'
    assert names.of_key('19800229') == names.of('19800229')
    assert names.of_key('19800229/scan one.png') == f'{names.of("19800229")}/{PNG}'


def _records(item):
    return [(record.key, record.patient, record.source) for record in item.load()]


def test_records_are_hidden_as_their_items_are(names):
    images = random_images(2, (4, 4, 1), 'uint8')
    item, alone = names.hide([make_item('Doe_Jane', images, patient='Doe_Jane'), make_item('x', images[:1])])
    source = names.of('Doe_Jane.png')
    assert _records(item) == [(f'{DOE}/000', DOE, source), (f'{DOE}/001', DOE, source)]
    assert (alone.key, alone.patient) == (names.of('x'), names.of('x'))  # as before: no patient is known
    assert CLEAR.hide([item]) == [item]


def test_a_patient_of_digits_and_slashes_is_hidden_whole(names):
    [item] = names.hide([make_item('a/b', random_images(1, (4, 4, 1), 'uint8'), patient='site/19800229')])
    assert item.patient == names.of('site/19800229')
    [known] = names.hide([make_item('a/b', random_images(1, (4, 4, 1), 'uint8'), patient='real/p')], {'real/p'})
    assert known.patient == 'real/p'


def test_a_key_that_does_not_continue_that_of_its_item_is_hidden_too(names):
    odd = dataclasses.replace(make_item('Jane', random_images(1, (4, 4, 1), 'uint8')), key='Other')
    [item] = names.hide([odd])
    assert [key for key, *_ in _records(item)] == [names.of('Jane')]


@pytest.mark.parametrize(
    ('said', 'kept'),
    [
        ('is a mask of Doe_Jane/scan one by its name', 'is a mask of {Doe_Jane/scan one} by its name'),
        ('does not match (scan one.png), so its patient', 'does not match ({scan one.png}), so its patient'),
        ('Doe_Jane/x: lies in images/ beside masks', '{Doe_Jane/x}: lies in images/ beside masks'),
        ("the path '../Roe/x.png' leaves the folder", "the path '{../Roe/x.png}' leaves the folder"),
        ('cannot be decoded (ValueError: Roe (1980)); convert it', 'cannot be decoded (ValueError); convert it'),
        ('such as 7731942 or images/7731942.nii.gz.', 'such as {7731942} or {images/7731942.nii.gz}.'),
        ('a patient must have 12 images of 3 x 4, not 16', 'a patient must have 12 images of 3 x 4, not 16'),
    ],
)
def test_sentences_are_kept_without_names(names, said, kept):
    parts = kept.replace('{', '}').split('}')
    expected = ''.join(names.of_path(part) if place % 2 else part for place, part in enumerate(parts))
    scrubbed = names.scrub(Refusals(skip=True, reasons={'Doe_Jane/a': said}, notes=[said]))
    assert scrubbed.notes == [expected]
    assert scrubbed.reasons == {names.of_path('Doe_Jane/a'): expected}
    assert CLEAR.scrub(scrubbed) is scrubbed


def test_errors_speak_of_names_as_the_user_knows_them(names):
    hidden = names.of_path('Doe_Jane/scan one.png')
    with pytest.raises(DataError, match=r'^Doe_Jane/scan one\.png: is twice$'), names.speaking():
        raise DataError(f'{hidden}: is twice')
