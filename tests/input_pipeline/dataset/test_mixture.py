"""Real and synthetic images in one set: one function for all, patients apart, nothing that gives a class away."""

import dataclasses

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from input_pipeline.dataset.builder import Target
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.mixture import Mixture, MixtureForm, unify_record, write_mixture
from input_pipeline.errors import DataError, Refusals
from input_pipeline.preprocessing import Preprocessing
from tests.input_pipeline.items import make_item, random_images, write

RANGES = {np.uint8: (0.0, 255.0), np.uint16: (0.0, 65535.0)}
RAW = {'image': tfds.decode.SkipDecoding()}


def _form(resolution=16, channels=1, window='auto', fit='pad', depth=8, pixels='as_stored', borders='cut'):
    preprocessing = Preprocessing(resolution, channels, window, fit, mask_classes=0, context=0, pixels=pixels)
    return MixtureForm(preprocessing, depth, borders)


def _pictures(count, shape=(16, 16, 1), dtype=np.uint8, prefix='i', **fields):
    """A generator's or a user's pictures: their range is that of their type."""
    given = {'intensity': RANGES[dtype], 'window': RANGES[dtype], 'modality': 'unknown', 'split': 'train'} | fields
    images = random_images(count, shape, dtype)
    return [make_item(f'{prefix}{number}', [image], **given) for number, image in enumerate(images)]


def _mixture(synthetic, form=None, **fields):
    given = {'modalities': {}, 'licence': 'CC0', 'recorded': {'source': 'test'}} | fields
    return Mixture(reals=['reals'], synthetic=synthetic, form=form or _form(), **given)


def _write(mixture, data_dir):
    """The summary, and by key all records of the mixed set, with their splits."""
    summary = write_mixture(mixture, data_dir, Target('mixed', data_dir, False), Refusals(skip=False))
    records = {}
    for name, split in open_splits('mixed', data_dir).items():
        for index in range(len(split.records)):
            record = split.read(index)
            records[record.key] = (name, record)
    return summary, records


def _stored_bytes(data_dir):
    """The PNG files inside the set, by class."""
    found = {}
    for split in open_splits('mixed', data_dir).values():
        for record in split.records:
            example = split.all_features.deserialize_example_np(record, decoders=RAW)
            found.setdefault(split.classes[int(example['label'])], []).append(example['image'])
    return found


@pytest.mark.parametrize(
    ('dtype', 'shape', 'form'),
    [
        (np.uint8, (16, 16, 1), {}),
        (np.uint8, (40, 24, 1), {}),
        (np.uint8, (40, 24, 1), {'fit': 'crop'}),
        (np.uint8, (40, 24, 1), {'fit': 'resize'}),
        (np.uint8, (24, 40, 3), {}),
        (np.uint8, (24, 40, 1), {'channels': 3}),
        (np.uint16, (24, 40, 1), {}),
        (np.uint16, (24, 40, 1), {'depth': 16, 'window': 'stored'}),
        (np.uint16, (24, 40, 1), {'depth': 16}),
        (np.uint8, (24, 24, 1), {'window': (20.0, 200.0)}),
        (np.uint8, (24, 24, 1), {'window': 'volume'}),
    ],
)
def test_the_same_pixels_are_the_same_bytes_whatever_the_class(tmp_path, dtype, shape, form):
    write(_pictures(3, shape, dtype), tmp_path, 'reals')
    _write(_mixture({'gan': _pictures(3, shape, dtype)}, _form(**form)), tmp_path)
    stored = _stored_bytes(tmp_path)
    assert len(stored['real']) == 3
    assert sorted(stored['real']) == sorted(stored['gan'])
    assert len(set(stored['real'])) == 3


def test_both_depths_of_the_same_picture_become_the_same(tmp_path):
    """Rounding 16 bits to 8 in two steps is rounding once: half a level of 8 bits is no level of 16."""
    (image,) = random_images(1, (40, 40, 1), np.uint8)
    form = _form(window='stored')
    results = []
    for dtype, factor in ((np.uint8, 1), (np.uint16, 257)):
        (item,) = [make_item('a', [image.astype(dtype) * dtype(factor)], intensity=RANGES[dtype])]
        (record,) = item.load()
        results.append(unify_record(record, form, is_real=False).image)
    np.testing.assert_array_equal(*results)
    assert np.ptp(results[0]) > 50


def test_an_image_is_windowed_padded_and_quantised_as_defined(tmp_path):
    image = random_images(1, (32, 16, 1), np.uint16)[0]
    (record,) = make_item('a', [image], intensity=(-1000.0, 3000.0), spacing=(0.5, 0.5, 2.0)).load()
    unified = unify_record(record, _form(16, window=(-500.0, 1500.0)), is_real=True)
    physical = -1000 + 4000 / 65535 * image[..., 0].astype(np.float64)
    shown = np.clip((physical + 500) / 2000, 0, 1).reshape(16, 2, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(unified.image[:, 4:12, 0], 255 * shown, atol=0.51)
    assert not unified.image[:, :4].any()
    assert not unified.image[:, 12:].any()
    assert (unified.image.dtype, unified.intensity) == (np.uint8, (-500.0, 1500.0))
    assert unified.spacing == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(('fit', 'expected'), [('pad', (2.0, 2.0)), ('crop', (1.0, 1.0)), ('resize', (2.0, 1.0))])
def test_spacing_follows_the_pixels(fit, expected):
    (record,) = make_item('a', random_images(1, (32, 16, 1), np.uint8), spacing=(1.0, 1.0, 3.0)).load()
    assert unify_record(record, _form(16, fit=fit), is_real=True).spacing == (*expected, 3.0)


@pytest.mark.parametrize('fit', ['pad', 'crop', 'resize'])
@pytest.mark.parametrize('value', [0, 255])
@pytest.mark.parametrize('spare', [((0, 0), (40, 40)), ((9, 3), (0, 0)), ((30, 30), (30, 30))])
def test_a_border_changes_nothing(fit, value, spare):
    (record,) = _pictures(1, (20, 26, 1), masks=None)[0].load()
    altered = np.zeros((20, 26, 1), np.uint8)
    altered[5:9, 3:20] = 1
    record = dataclasses.replace(record, mask=altered)
    bordered = dataclasses.replace(
        record,
        image=np.pad(record.image, [*spare, (0, 0)], constant_values=value),
        mask=np.pad(altered, [*spare, (0, 0)]),
    )
    own, other = (unify_record(each, _form(fit=fit), is_real=False) for each in (record, bordered))
    np.testing.assert_array_equal(own.image, other.image)
    np.testing.assert_array_equal(own.mask, other.mask)
    assert own.spacing == other.spacing
    kept = unify_record(bordered, _form(fit='resize', borders='kept'), is_real=False)
    assert not np.array_equal(kept.image, own.image)


def test_pixels_are_made_square_with_what_was_altered():
    """8 x 32 pixels of 4 x 1 mm fill the square; without that they are a stripe, and its pixels stay oblong."""
    image, mask = np.full((8, 32, 1), 200, np.uint8), np.zeros((8, 32, 1), np.uint8)
    image[2:4, 8:16], mask[2:4, 8:16] = 50, 1
    (record,) = make_item('a', [image], masks=[mask], spacing=(4.0, 1.0, 3.0)).load()
    square = unify_record(record, _form(16, pixels='square', borders='kept'), is_real=False)
    np.testing.assert_array_equal(np.argwhere(square.mask[..., 0]).min(0), [4, 4])
    np.testing.assert_array_equal(np.argwhere(square.mask[..., 0]).max(0), [7, 7])
    assert square.image.all()
    assert square.spacing == (2.0, 2.0, 3.0)
    stripe = unify_record(record, _form(16, borders='kept'), is_real=False)
    assert stripe.image.any(axis=(1, 2)).sum() == 4
    assert stripe.spacing == (8.0, 2.0, 3.0)
    with pytest.raises(DataError, match='is 8 x 32, and enlarging it to 64'):
        unify_record(record, _form(64, pixels='square'), is_real=True)


@pytest.mark.parametrize('is_real', [True, False])
@pytest.mark.parametrize(
    ('shape', 'dtype', 'form', 'expected'),
    [
        ((15, 15, 1), np.uint8, {}, 'is 15 x 15, and enlarging it to 16 would tell it from the others'),
        ((15, 40, 1), np.uint8, {'fit': 'crop'}, 'is 15 x 40, and enlarging'),
        ((40, 15, 1), np.uint8, {'fit': 'resize'}, 'is 40 x 15, and enlarging'),
        ((16, 16, 1), np.uint8, {'depth': 16}, 'has 8 bits, which would tell it from images of 16'),
        ((16, 16, 1), np.float32, {'window': 'stored'}, 'holds floats, which have no stored range'),
    ],
)
def test_what_would_give_a_class_away_is_refused(shape, dtype, form, expected, is_real):
    (record,) = make_item('a', random_images(1, shape, dtype), intensity=(0.0, 1.0)).load()
    with pytest.raises(DataError, match=expected):
        unify_record(record, _form(**form), is_real=is_real)


def test_a_refused_file_stops_or_is_left_out(tmp_path):
    write(_pictures(3), tmp_path, 'reals')
    small = make_item('small', random_images(1, (8, 8, 1), np.uint8), split='train')
    mixture = _mixture({'gan': [*_pictures(2), small]})
    target = Target('mixed', tmp_path, False)
    with pytest.raises(DataError, match='gan/small: is 8 x 8, and enlarging'):
        write_mixture(mixture, tmp_path, target, Refusals(skip=False))
    assert not target.folder.exists()
    refusals = Refusals(skip=True)
    summary = write_mixture(mixture, tmp_path, target, refusals)
    assert summary['classes'] == {'gan': 2, 'real': 3}
    assert list(refusals.reasons) == ['gan/small']


def test_a_narrow_window_leaves_no_gaps_in_images_of_8_bits():
    """Spread over all levels, 100 levels would have gaps, which images of the other class have not."""
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for window in ('auto', 'stored', 'volume', (50.0, 150.0)):
        (record,) = make_item('a', [image], intensity=(0.0, 255.0), window=(60.0, 160.0)).load()
        unified = unify_record(record, _form(16, window=window), is_real=True)
        np.testing.assert_array_equal(unified.image, image)


def test_real_patients_stay_in_their_splits_and_sets_do_not_share_them(tmp_path):
    splits = ('train', 'validation', 'test')
    for name in ('reals', 'others'):
        items = [_pictures(2, prefix=split, split=split, patient=f'p_{split}') for split in splits]
        write([item for own in items for item in own], tmp_path, name)
    fakes = [item for split in splits for item in _pictures(1, prefix=split, split=split)]
    mixture = dataclasses.replace(_mixture({'gan': fakes}), reals=['reals', 'others'])
    summary, records = _write(mixture, tmp_path)
    assert summary['patients'] == {'train': 3, 'validation': 3, 'test': 3}
    patients = {record.patient: split for split, record in records.values() if record.label == 'real'}
    assert patients == {f'real/{name}/p_{split}': split for name in ('reals', 'others') for split in splits}


@pytest.mark.parametrize(('split', 'kept'), [('train', True), ('validation', False), ('test', False)])
def test_an_altered_image_stays_on_the_side_of_its_patient(tmp_path, split, kept):
    write(_pictures(2), tmp_path, 'reals')
    altered = make_item('a', random_images(1, (16, 16, 1), np.uint8), patient='real/reals/i1', split=split)
    if kept:
        assert _write(_mixture({'tampered': [altered]}), tmp_path)[0]['patients'] == {'train': 2}
    else:
        with pytest.raises(DataError, match=rf"patient 'real/reals/i1' is in two splits: .* in {split}"):
            _write(_mixture({'tampered': [altered]}), tmp_path)
        assert not (tmp_path / 'mixed').exists()


def test_masks_are_1_where_pixels_are_synthetic(tmp_path):
    ids = np.zeros((32, 16, 1), np.uint8)
    ids[8:16, 4:12] = 7
    anatomy = [np.full((32, 16, 1), 3, np.uint8)]
    images = random_images(1, (32, 16, 1), np.uint8)
    write([make_item(f'i{n}', images, masks=anatomy, split='train') for n in range(2)], tmp_path, 'reals')
    altered = make_item('a', images, masks=[ids], split='train')
    generated = make_item('g', images, split='train')
    summary, records = _write(_mixture({'tampered': [altered], 'gan': [generated]}), tmp_path)
    assert summary['mask_ids'] == [0, 1]
    assert not records['real/reals/i0'][1].mask.any()
    padded = cv2.copyMakeBorder(ids[::2, ::2, 0], 0, 0, 4, 4, cv2.BORDER_CONSTANT, value=0)
    np.testing.assert_array_equal(records['tampered/a'][1].mask[..., 0], padded > 0)
    shown = records['gan/g'][1].mask[..., 0]
    assert shown[:, 4:12].all()
    assert not shown[:, :4].any()
    assert not shown[:, 12:].any()


def test_classes_tell_modalities_and_sources_are_the_new_classes(tmp_path):
    items = [*_pictures(1, label='ChestCT'), *_pictures(1, prefix='b', label='BreastMRI')]
    write(items, tmp_path, 'reals')
    fakes = [*_pictures(1, label='ChestCT'), *_pictures(1, prefix='h', label='Hand', modality='DX')]
    modalities = {'ChestCT': 'CT', 'BreastMRI': 'MR'}
    summary, records = _write(_mixture({'dcgan': fakes}, modalities=modalities), tmp_path)
    found = {key: (record.label, record.modality) for key, (_, record) in records.items()}
    assert found == {
        'real/reals/i0': ('real', 'CT'),
        'real/reals/b0': ('real', 'MR'),
        'dcgan/i0': ('dcgan', 'CT'),
        'dcgan/h0': ('dcgan', 'DX'),
    }
    assert (summary['licence'], summary['options']['source']) == ('CC0', 'test')
    assert MixtureForm.from_dict(summary['options']['form']) == _form()


def test_a_source_is_not_named_real():
    with pytest.raises(DataError, match="'real' is the class of real images"):
        _mixture({'real': []})


@pytest.mark.parametrize(
    ('fields', 'expected'),
    [
        ({'depth': 12}, 'depth=12 must be 8 or 16'),
        ({'fit': 'native'}, 'images cannot keep their own pixels where at most 16 along a side are kept; keep 32'),
        ({'resolution': 0}, 'resolution=0'),
    ],
)
def test_a_form_that_cannot_be(fields, expected):
    with pytest.raises(DataError, match=expected):
        _form(**fields)


@pytest.mark.parametrize('window', ['auto', 'volume', (-1000.0, 400.0)])
def test_a_form_survives_json(window):
    form = _form(64, 3, window, 'crop', 16, 'square')
    stored = form.to_dict() | {'window': list(window) if isinstance(window, tuple) else window}
    assert MixtureForm.from_dict(stored) == form
    del stored['pixels'], stored['borders']  # as sets were prepared before there was a choice
    old = MixtureForm.from_dict(stored)
    assert (old.preprocessing.pixels, old.borders) == ('as_stored', 'kept')


@pytest.mark.parametrize(
    'change', [{'window': None}, {'resolution': 'big'}, {'window': [3, 2]}, {'depth': None}, {'borders': 1}]
)
def test_no_form_in_json(change):
    with pytest.raises(DataError):
        MixtureForm.from_dict(_form().to_dict() | change)


def test_only_the_splits_that_there_are_are_opened(tmp_path):
    write(_pictures(3), tmp_path, 'reals')
    assert list(open_splits('reals', tmp_path)) == ['train']
    with pytest.raises(DataError, match="there is no data set 'nothing'"):
        open_splits('nothing', tmp_path)


def _native(image, longest=64, **fields):
    (item,) = [make_item('a', [image], intensity=RANGES[image.dtype.type], window=(0.0, 200.0), **fields)]
    (record,) = item.load()
    return unify_record(record, _form(longest, fit='native'), is_real=False)


def test_images_that_keep_their_pixels_keep_them_all():
    (image,) = random_images(1, (40, 50, 1), np.uint8)
    made = _native(image)
    np.testing.assert_array_equal(made.image, image)
    assert made.mask.shape == (40, 50, 1)
    assert made.mask.all()
    (deep,) = random_images(1, (40, 50, 1), np.uint16)
    made = _native(deep)  # of percentiles
    np.testing.assert_array_equal(made.image, np.rint(np.clip(deep / 200, 0, 1) * 255).astype(np.uint8))


def test_images_that_are_too_long_shrink_by_area_and_keep_their_shape():
    (image,) = random_images(1, (64, 128, 1), np.uint8)
    made = _native(image, spacing=(0.5, 0.5, 2.0))
    expected = image.astype(np.float64).reshape(32, 2, 64, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(made.image[..., 0], expected, atol=0.51)
    assert made.mask.shape == (32, 64, 1)
    assert made.spacing == (1.0, 1.0, 2.0)


def test_images_of_too_few_pixels_are_refused_and_borders_leave_enough():
    (image,) = random_images(1, (31, 64, 1), np.uint8)
    with pytest.raises(DataError, match='is 31 x 64; fewer than 32 pixels along a side show too little'):
        _native(image)
    bordered = np.zeros((60, 60, 1), np.uint8)
    bordered[20:40, 10:50] = random_images(1, (20, 40, 1), np.uint8)[0] // 2 + 100
    assert _native(bordered).image.shape == (32, 40, 1)
