"""What a data set's report says should be looked into."""

import numpy as np
import pytest

from input_pipeline.dataset.plausibility import Plausibility, draw, look_at
from input_pipeline.records import Record


def _record(number, image, *, label=None, patient=None, mask=None, spacing=(0.0, 0.0, 0.0), modality='MR'):
    return Record(
        key=f'image{number}', image=image, patient=patient or f'p{number}', modality=modality, label=label,
        mask=mask, intensity=(0.0, 255.0), window=(0.0, 255.0), spacing=spacing, source=f'{number}.png',
    )  # fmt: skip


def _draw(seed, side=40):
    rough = np.random.default_rng(seed).integers(0, 256, (5, 5)).astype(np.uint8)
    return np.kron(rough, np.ones((side // 5, side // 5), np.uint8))[..., None]


def _gather(records, split=lambda number: 'train'):
    found = Plausibility()
    for number, record in enumerate(records):
        found.add(split(number), record, look_at(record, record.image))
    return found


def _sentences(records, split=lambda number: 'train', patients_known=True):
    return ' '.join(_gather(records, split).sentences(patients_known=patients_known))


def test_different_images_are_no_duplicates():
    text = _sentences([_record(number, _draw(number)) for number in range(60)])
    assert 'picture' not in text


@pytest.mark.parametrize('change', [lambda image: image, lambda image: np.clip(image.astype(int) + 2, 0, 255)])
def test_the_same_picture_in_two_splits_and_classes_is_told(change):
    images = [_draw(number) for number in range(20)]
    images[13] = change(images[4]).astype(np.uint8)
    records = [_record(number, image, label='ab'[number % 2]) for number, image in enumerate(images)]
    text = _sentences(records, split=lambda number: 'test' if number >= 10 else 'train')
    what = 'the same picture' if (images[13] == images[4]).all() else 'almost the same picture'
    assert f'1 images show {what} as another one (1 groups, 1 in several splits, 1 in several classes' in text
    assert 'image4 and image13' in text


def test_chains_of_near_duplicates_are_one_group():
    image = _draw(0).astype(int)
    records = [_record(number, np.clip(image + number, 0, 255).astype(np.uint8)) for number in range(4)]
    assert '3 images show almost the same picture as another one (1 groups' in _sentences(records)


def test_images_that_are_almost_empty_are_counted():
    blank = np.zeros((40, 40, 1), np.uint8)
    blank[0, 0] = 255
    assert '1 of 3 images are almost empty' in _sentences(
        [_record(n, i) for n, i in enumerate([blank, _draw(1), _draw(2)])]
    )


def test_spacings_are_told():
    spacings = [(0.5, 0.5, 1.0), (1.0, 1.0, 1.0), (0.5, 2.0, 1.0), (0.0, 0.0, 0.0)]
    text = _sentences([_record(number, _draw(number), spacing=spacing) for number, spacing in enumerate(spacings)])
    assert 'Pixels, once they are square, are 0.5 to 1 mm wide, known of 3 of 4 images' in text
    assert '1 images have pixels that are not square, up to 1 : 4; training makes them square' in text


def test_the_sheet_shows_pixels_that_training_makes_square():
    """16 x 80 pixels of 5 x 1 mm are as high as they are wide."""
    image = np.full((16, 80, 1), 200, np.uint8)
    image[0, 0] = 0
    for spacing, filled in (((5.0, 1.0, 1.0), 96), ((0.0, 0.0, 0.0), 19)):
        picture = draw(look_at(_record(0, image, spacing=spacing), image))
        assert (picture.any(axis=(1, 2)).sum(), picture.any(axis=(0, 2)).sum()) == (filled, 96)


def test_splits_that_lack_a_class_or_patients_are_told():
    records = [_record(number, _draw(number), label='b' if number < 2 else 'a') for number in range(12)]
    text = _sentences(records, split=lambda number: 'train' if number < 9 else 'test')
    assert 'There is no validation split' in text
    assert 'The test split has no image of b' in text
    assert (
        '3 test patients: what the release gate says of one image is wrong with a chance of 25.0% at least' in text
    )


@pytest.mark.parametrize(('patients', 'told'), [(1, True), (2, False)])
def test_one_id_for_all_is_told(patients, told):
    records = [_record(number, _draw(number), patient=f'p{number % patients}') for number in range(6)]
    assert ('All images have one patient id' in _sentences(records)) == told


def test_mixed_modalities_are_told():
    records = [_record(number, _draw(number), modality='CT' if number else 'MR') for number in range(3)]
    assert 'Modalities are mixed (CT 2, MR 1)' in _sentences(records)


def test_the_sheet_shows_images_as_training_sees_them():
    image = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (60, 1))[..., None]
    mask = np.zeros((60, 100, 1), np.uint8)
    mask[20:40, 20:40] = 1
    record = _record(0, image, mask=mask)
    picture = draw(look_at(record, image))
    assert picture.shape == (96, 96, 3)
    assert (picture[:18] == 0).all()  # padded to a square
    middle = picture[48].astype(int)
    assert (np.diff(middle[50:90, 1]) >= 0).all()
    assert middle[29, 0] > middle[29, 1] + 40  # the mask is red
    sheet = _gather([_record(number, _draw(number)) for number in range(100)]).sheet()
    assert sheet.shape == (6 * 114, 8 * 100, 3)
    np.testing.assert_array_equal(sheet, _gather([_record(n, _draw(n)) for n in range(100)]).sheet())
