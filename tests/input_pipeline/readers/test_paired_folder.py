"""Images with masks: pairing by name and by index, class ids, and what is refused."""

import csv
import struct

import numpy as np
import pytest
from PIL import Image

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import paired_folder
from input_pipeline.readers.masks import class_ids
from input_pipeline.records import ReaderOptions


def _image(path, seed=0, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path)


def _mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def _index(folder, header, *rows):
    with (folder / 'index.csv').open('w', newline='') as file:
        csv.writer(file).writerows([header, *rows])


def _square(value, size=(8, 6), dtype=np.uint8):
    values = np.zeros(size, dtype)
    values[2:5, 1:4] = value
    return values


@pytest.fixture
def folder(tmp_path):
    """Three images with binary masks, 0 and 255."""
    for name in 'abc':
        _image(tmp_path / 'images' / f'{name}.png', ord(name))
        _mask(tmp_path / 'masks' / f'{name}.png', _square(255))
    return tmp_path


@pytest.mark.parametrize(
    ('stored', 'ids'),
    [
        (_square(255), _square(1)),
        (_square(65535, dtype=np.uint16), _square(1)),
        (_square(1), _square(1)),
        (_square(2), _square(2)),
        (_square(3.0, dtype=np.float64), _square(3)),
        (_square(True, dtype=bool), _square(1)),
        (_square(254), _square(1)),
        (_square(255, dtype=np.int16), _square(1)),
        (_square(255, dtype=np.uint16), _square(1)),
        (_square(255.0, dtype=np.float32), _square(1)),
        (_square(65535, dtype=np.int32), _square(1)),
        (_square(255) * np.float32(1 / 255), _square(1)),
        (_square(0), _square(0)),
    ],
)
def test_class_ids(stored, ids):
    np.testing.assert_array_equal(class_ids(stored), ids)
    assert class_ids(stored).dtype == np.uint8


@pytest.mark.parametrize(
    'stored',
    [
        _square(200),
        _square(255) + np.eye(8, 6, dtype=np.uint8),
        _square(-1, dtype=np.int16),
        _square(0.5, dtype=np.float32),
    ],
)
def test_grey_levels_are_no_class_ids(stored):
    with pytest.raises(DataError, match='the mask has'):
        class_ids(stored)


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ([0, 30, 90, 255], r'grey edges come from .* --mask_threshold=127\.5'),
        ([0.0, 0.25, 1.0], r'resizing with interpolation gives.* --mask_threshold=0\.5'),
        ([0, 1, 2, 255], r'what 255 marks needs an id, or 0'),
        ([0, 200], r'for a binary mask give --mask_threshold=100'),
        ([0, 1001, 1002], r'make all of them one class with --mask_threshold=0'),
        ([0.0, 1 / 255, 2 / 255], r'divided by 255; multiply them by 255'),
        ([0.0, np.nan], r'not finite'),
        ([-1, 1], r'nothing below 0'),
    ],
)
def test_what_is_no_class_id_is_told_for_its_own_reason(values, reason):
    with pytest.raises(DataError, match=reason):
        class_ids(np.array(values))


def test_a_threshold_makes_one_class(folder, read):
    smooth = np.zeros((8, 6), np.uint8)
    smooth[2:6, 2:5] = [[10, 90, 10], [90, 255, 90], [90, 255, 90], [10, 90, 10]]
    _mask(folder / 'masks' / 'a.png', smooth)
    reading = read('paired_folder', folder, mask_threshold=80)
    assert not reading.refused
    masks = {record.key: record.mask[..., 0] for record in reading.records}
    np.testing.assert_array_equal(masks['images/a.png'], smooth > 80)
    np.testing.assert_array_equal(masks['images/b.png'], _square(1))


def _one_bit_bitmap(path, indices, greys):
    """A BMP of two colours, the first of index 0."""
    rows = b''.join(np.packbits(row).tobytes().ljust(4, b'\0') for row in indices[::-1])
    height, width = indices.shape
    head = struct.pack(
        '<2sIIIIiiHHIIiiII', b'BM', 62 + len(rows), 0, 62, 40, width, height, 1, 1, 0, len(rows), 0, 0, 2, 2
    )
    path.write_bytes(head + b''.join(bytes([grey, grey, grey, 0]) for grey in greys) + rows)


@pytest.mark.parametrize('kind', ['palette', 'one bit'])
@pytest.mark.parametrize('white', [0, 1])
def test_white_is_the_foreground_whatever_its_index(folder, read, kind, white):
    picture = Image.fromarray(_square(1) if white else 1 - _square(1))
    picture.putpalette([0, 0, 0, 255, 255, 255] if white else [255, 255, 255, 0, 0, 0])
    if kind == 'palette':
        picture.save(folder / 'masks' / 'a.png')
    else:
        (folder / 'masks' / 'a.png').unlink()
        _one_bit_bitmap(folder / 'masks' / 'a.bmp', np.asarray(picture), picture.getpalette()[:6:3])
    reading = read('paired_folder', folder)
    np.testing.assert_array_equal(reading.by_source['images/a.png'][0].mask[..., 0], _square(1))


def test_a_threshold_shows_greys_and_counts_colours(folder, read):
    Image.fromarray(_square(255)).convert('1').save(folder / 'masks' / 'a.png')
    for name, palette in (('b', [255, 255, 255, 9, 9, 9, 0, 0, 0]), ('c', [0, 0, 0, 9, 0, 0, 200, 0, 0])):
        mask = Image.fromarray(_square(2) if name == 'c' else 2 - _square(2))
        mask.putpalette(palette)
        mask.save(folder / 'masks' / f'{name}.png')
    for threshold, names in ((1, 'abc'), (20, 'ab')):
        reading = read('paired_folder', folder, mask_threshold=threshold)
        for record in reading.records:
            expected = _square(1) if record.key[-5] in names else _square(0)
            np.testing.assert_array_equal(record.mask[..., 0], expected, err_msg=record.key)
        assert len(reading.records) == 3


@pytest.mark.parametrize('orientation', [3, 6])
def test_masks_of_palettes_are_turned_as_their_images_are(tmp_path, read, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    values = np.arange(48, dtype=np.uint8).reshape(8, 6)
    Image.fromarray(values).save(tmp_path / 'images' / 'a.png', exif=exif)
    mask = Image.fromarray((values > 40).astype(np.uint8))
    mask.putpalette([0, 0, 0, 200, 0, 0])
    mask.save(tmp_path / 'masks' / 'a.png', exif=exif)
    (record,) = read('paired_folder', tmp_path).records
    np.testing.assert_array_equal(record.mask, record.image > 40)


def test_transparency_that_tells_another_shape_is_refused(folder, read):
    white = np.full((8, 6, 4), 255, np.uint8)
    white[..., 3] = _square(255)
    _mask(folder / 'masks' / 'a.png', white)
    half = np.dstack([np.eye(8, 6, dtype=np.uint8) * 255, _square(255)])
    _mask(folder / 'masks' / 'b.png', half)
    cut_out = np.dstack([_square(255)] * 4)
    _mask(folder / 'masks' / 'c.png', cut_out)
    reading = read('paired_folder', folder)
    assert [record.key for record in reading.records] == ['images/c.png']
    assert 'only in its transparency' in reading.refused['images/a.png']
    assert 'another in its alpha' in reading.refused['images/b.png']


@pytest.mark.parametrize('masks', ['masks', 'labels'])
@pytest.mark.parametrize('ending', ['', '_mask', '_seg'])
def test_names_pair(tmp_path, read, masks, ending):
    for split in ('train', 'test'):
        _image(tmp_path / split / 'images' / 'deep' / 'a.jpg')
        _mask(tmp_path / split / masks / 'deep' / f'a{ending}.png', _square(2))
    reading = read('paired_folder', tmp_path)
    assert [(item.key, item.split) for item in reading.items] == [
        ('test/images/deep/a.jpg', 'test'),
        ('train/images/deep/a.jpg', 'train'),
    ]
    np.testing.assert_array_equal(reading.records[0].mask[..., 0], _square(2))
    assert not reading.refused


def test_one_bit_palette_and_colour_masks(folder, read):
    Image.fromarray(_square(255)).convert('1').save(folder / 'masks' / 'a.png')
    palette = Image.new('P', (6, 8))
    palette.putdata(_square(2).ravel().tolist())
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(folder / 'masks' / 'b.png')
    Image.fromarray(np.stack([_square(255), _square(0), _square(0)], -1)).save(folder / 'masks' / 'c.png')
    reading = read('paired_folder', folder)
    masks = {record.key: record.mask[..., 0] for record in reading.records}
    np.testing.assert_array_equal(masks['images/a.png'], _square(1))
    np.testing.assert_array_equal(masks['images/b.png'], _square(2))
    assert 'colour picture' in reading.refused['images/c.png']


def test_lonely_and_mismatched_files_are_refused(folder, read):
    _image(folder / 'images' / 'lonely.png')
    _mask(folder / 'masks' / 'nobody.png', _square(255))
    _mask(folder / 'masks' / 'b.png', _square(255, (6, 8)))
    (folder / 'masks' / 'c.png').write_bytes(b'no picture')
    _image(folder / 'other' / 'x.png')
    reading = read('paired_folder', folder)
    assert [record.key for record in reading.records] == ['images/a.png']
    assert reading.refused == {
        'images/lonely.png': 'has no mask',
        'masks/nobody.png': 'is a mask without an image',
        'images/b.png': 'images/b.png: image and mask masks/b.png have the sizes 6x8 and 8x6; they must be equal',
        'images/c.png': reading.refused['images/c.png'],
        'other/x.png': 'lies outside images/ and masks or labels/',
    }
    assert reading.refused['images/c.png'].startswith('masks/c.png: is not a readable picture')


def test_index_columns(folder, read):
    _index(
        folder,
        ['Image', ' MASK', 'Label', 'patient', 'extra', 'split'],
        ['images/a.png', 'masks/a.png', 'tumour', 'p1', 'x', 'Train'],
        ['images/b.png', 'masks/b.png', '', 'p1', '', 'valid'],
        ['images/c.png', 'masks/c.png', 'none', 'p2', '', 'guard'],
        [],
    )
    items = read('paired_folder', folder).items
    assert [(i.key, i.patient, i.split, i.label) for i in items] == [
        ('images/a.png', 'p1', 'train', 'tumour'),
        ('images/b.png', 'p1', 'validation', None),
    ]


def test_index_without_patients_takes_pattern_or_key(folder, read):
    _index(folder, ['image', 'mask'], ['images/a.png', 'masks/a.png'], ['images/b.png', 'masks/b.png'])
    assert [i.patient for i in read('paired_folder', folder).items] == ['images/a.png', 'images/b.png']
    assert [i.patient for i in read('paired_folder', folder, patient_pattern='/(.)').items] == ['a', 'b']


@pytest.mark.parametrize(
    ('row', 'reason'),
    [
        (['../secret.png', 'masks/a.png'], 'leaves the folder'),
        (['/etc/passwd', 'masks/a.png'], 'leaves the folder'),
        (['C:\\a.png', 'masks/a.png'], 'leaves the folder'),
        (['images\\..\\..\\secret.png', 'masks/a.png'], 'leaves the folder'),
        (['link.png', 'masks/a.png'], 'link that leaves the folder'),
        (['images/a.png', 'linked/secret.png'], 'link that leaves the folder'),
        (['images/missing.png', 'masks/a.png'], 'does not exist'),
        (['images/a.png', ''], 'has no mask'),
        (['', 'masks/a.png'], 'has no image'),
        (['images/b.png', 'masks/b.png'], 'a second time'),
    ],
)
def test_bad_rows_are_refused(folder, tmp_path_factory, read, row, reason):
    outside = tmp_path_factory.mktemp('outside')
    _image(outside / 'secret.png')
    _image(folder.parent / 'secret.png')
    (folder / 'link.png').symlink_to(outside / 'secret.png')
    (folder / 'linked').symlink_to(outside)
    _index(folder, ['image', 'mask'], ['images/b.png', 'masks/b.png'], row)
    reading = read('paired_folder', folder)
    assert [item.key for item in reading.items] == ['images/b.png']
    assert list(reading.refused) == ['index.csv#3']
    assert reason in reading.refused['index.csv#3']


@pytest.mark.parametrize(
    ('lines', 'reason'),
    [
        ([['image', 'mask', 'Mask'], ['a', 'b', 'c']], 'each column once'),
        ([['image', 'mask']], 'no rows'),
        ([['image', 'mask', 'split'], ['images/a.png', 'masks/a.png', 'guard']], 'no row belongs to a split'),
    ],
)
def test_unusable_indexes_raise(folder, read, lines, reason):
    _index(folder, *lines)
    with pytest.raises(DataError, match=reason):
        read('paired_folder', folder)


def test_a_foreign_index_is_passed_over_or_mapped(folder, read):
    _index(
        folder,
        ['File', 'Image', 'Ground truth', 'Case', 'Set'],
        ['images/a.png', '1', 'masks/a.png', 'p1', 'train'],
        ['images/b.png', '2', 'masks/b.png', 'p2', 'test'],
    )
    reading = read('paired_folder', folder)
    assert len(reading.items) == 3
    assert reading.notes[0].startswith('index.csv has no columns image and mask and is passed over')
    columns = (('image', 'file'), ('mask', 'Ground truth'), ('patient', 'Case'), ('split', 'Set'))
    reading = read('paired_folder', folder, columns=columns)
    assert [(i.key, i.patient, i.split) for i in reading.items] == [
        ('images/a.png', 'p1', 'train'),
        ('images/b.png', 'p2', 'test'),
    ]
    assert reading.passed_over == {'files that index.csv does not name': 2}
    with pytest.raises(DataError, match="no column 'Label', as --columns says; it has file, image, ground truth"):
        read('paired_folder', folder, columns=(('image', 'file'), ('mask', 'Label')))


def test_bare_names_of_an_index_lie_in_the_two_folders(folder, read):
    _index(folder, ['name', 'mask name'], ['a.png', 'a.png'], ['b.png', 'masks/b.png'], ['d.png', 'a.png'])
    reading = read('paired_folder', folder, columns=(('image', 'name'), ('mask', 'mask name')))
    assert [item.key for item in reading.items] == ['images/a.png', 'images/b.png']
    assert reading.refused == {'index.csv#4': "the file 'd.png' does not exist"}


def test_a_foreign_index_alone_is_refused(folder, read):
    (folder / 'masks').rename(folder / 'other')
    _index(folder, ['picture', 'mask'], ['images/a.png', 'other/a.png'])
    with pytest.raises(DataError, match=r'needs the columns image and mask.*--columns=image=NAME'):
        read('paired_folder', folder)
    assert len(read('paired_folder', folder, columns=(('image', 'picture'),)).records) == 1
    (folder / 'index.csv').unlink()
    with pytest.raises(DataError, match='--columns needs an index'):
        read('paired_folder', folder, columns=(('image', 'picture'),))


def test_folders_and_suffixes_in_capitals(tmp_path, read):
    _image(tmp_path / 'Images' / 'A.PNG')
    _mask(tmp_path / 'MASKS' / 'A_mask.PNG', _square(255))
    assert len(read('paired_folder', tmp_path).records) == 1


def test_neither_index_nor_folders_raises(tmp_path, read):
    _image(tmp_path / 'images' / 'a.png')
    with pytest.raises(DataError, match=r'needs an index\.csv'):
        read('paired_folder', tmp_path)


def test_brain_tumor_mri(medical_data):
    folder = medical_data / 'brain_tumor_mri'
    with (folder / 'index.csv').open() as file:
        rows = {row['image']: row for row in csv.DictReader(file) if row['split'] != 'guard'}
    items = paired_folder.scan(folder, ReaderOptions('MR', (0.5, 99.5), 2**24, 2, ''), Refusals(skip=False))
    assert {(i.key, i.split, i.label) for i in items} == {
        (key, {'val': 'validation'}.get(row['split'], row['split']), row['label']) for key, row in rows.items()
    }
    for item in items[::400]:
        (record,) = item.load()
        assert int(record.mask.sum()) == int(rows[item.key]['mask_pixels'])
        with Image.open(folder / item.key) as picture:
            np.testing.assert_array_equal(record.image[..., 0], np.asarray(picture))


def test_hippocampus_takes_patients_and_splits_from_the_index(medical_data):
    folder = medical_data / 'hippocampus'
    items = paired_folder.scan(folder, ReaderOptions('MR', (0.5, 99.5), 2**24, 2, ''), Refusals(skip=False))
    assert len(items) == 260
    assert {item.split for item in items} == {'train', 'validation', 'test'}
    assert items[0].patient == 'hippocampus_001'
    classes = {int(value) for record in items[0].load() for value in np.unique(record.mask)}
    assert classes == {0, 1, 2}
