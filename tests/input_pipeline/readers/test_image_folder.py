"""Folders of pictures: layouts, depths, orientation, and what is refused."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import READERS
from input_pipeline.readers.pixels import to_physical
from input_pipeline.records import ReaderOptions


def _noise(*shape, dtype=np.uint8, seed=0):
    high = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype, endpoint=True)


def _save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def test_layouts_give_split_and_class(tmp_path, read):
    for number, place in enumerate(['train/cat/a.png', 'val/cat/b.png', 'test/dog/deep/er/c.png']):
        _save(tmp_path / 'wrapped' / place, _noise(6, 7, seed=number))
    for folder in (tmp_path, tmp_path / 'wrapped'):
        found = {(item.split, item.label) for item in read('image_folder', folder).items}
        assert found == {('train', 'cat'), ('validation', 'cat'), ('test', 'dog')}


def test_classes_without_splits_and_flat(tmp_path, read):
    _save(tmp_path / 'cat' / 'a.png', _noise(6, 7))
    _save(tmp_path / 'dog' / 'a.png', _noise(6, 7))
    assert [(item.split, item.label) for item in read('image_folder', tmp_path).items] == [
        (None, 'cat'),
        (None, 'dog'),
    ]
    flat = read('image_folder', tmp_path / 'cat')
    assert [(item.key, item.patient, item.label) for item in flat.items] == [('a.png', 'a.png', None)]


def test_what_lies_about_is_ignored_or_refused(tmp_path, read):
    _save(tmp_path / 'cat' / 'a.png', _noise(6, 7))
    _save(tmp_path / 'lost.png', _noise(6, 7))
    for name in ('notes.txt', 'table.csv', 'README', '.DS_Store', 'Thumbs.db', '__MACOSX/._a.png', '.git/x.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'x')
    (tmp_path / 'cat' / 'film.mp4').write_bytes(b'x')
    (tmp_path / 'cat' / 'empty.png').write_bytes(b'')
    reading = read('image_folder', tmp_path)
    assert [item.key for item in reading.items] == ['cat/a.png']
    assert set(reading.refused) == {'lost.png', 'cat/film.mp4', 'cat/empty.png'}
    assert 'class is unknown' in reading.refused['lost.png']


@pytest.mark.parametrize(
    ('name', 'shape', 'dtype'),
    [
        ('grey.png', (5, 9), np.uint8),
        ('colour.png', (5, 9, 3), np.uint8),
        ('alpha.png', (5, 9, 4), np.uint8),
        ('grey.tif', (5, 9), np.uint8),
        ('colour.bmp', (5, 9, 3), np.uint8),
        ('deep.png', (5, 9), np.uint16),
        ('deep_colour.png', (5, 9, 3), np.uint16),
        ('deep_alpha.png', (5, 9, 4), np.uint16),
        ('deep.tif', (5, 9), np.uint16),
        ('deep_colour.tif', (5, 9, 3), np.uint16),
        ('float.tif', (5, 9), np.float32),
    ],
)
def test_every_depth_is_kept(tmp_path, read, name, shape, dtype):
    values = (
        np.random.default_rng(1).normal(size=shape).astype(dtype)
        if dtype == np.float32
        else _noise(*shape, dtype=dtype)
    )
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(shape[2] if len(shape) == 3 else 1)
    assert cv2.imwrite(str(tmp_path / name), values[..., order] if order else values)
    (record,) = read('image_folder', tmp_path).records
    np.testing.assert_array_equal(record.image, np.atleast_3d(values)[..., :3])
    assert record.image.dtype == dtype
    np.testing.assert_array_equal(to_physical(record.image, record.intensity), record.image)


def test_palettes_and_alpha(tmp_path, read):
    values = _noise(6, 8)
    grey = Image.fromarray(values).quantize(256)
    grey.save(tmp_path / 'grey_palette.png')
    colour = Image.fromarray(_noise(6, 8, 3)).quantize(16)
    colour.save(tmp_path / 'colour_palette.png', transparency=bytes(range(16)))
    Image.fromarray(values).convert('LA').save(tmp_path / 'grey_alpha.png')
    still = Image.fromarray(_noise(6, 8, seed=1))
    still.save(tmp_path / 'still.gif')
    images = {record.key: record.image for record in read('image_folder', tmp_path).records}
    np.testing.assert_array_equal(images['grey_palette.png'][..., 0], np.asarray(grey.convert('L')))
    np.testing.assert_array_equal(images['colour_palette.png'], np.asarray(colour.convert('RGB')))
    np.testing.assert_array_equal(images['grey_alpha.png'][..., 0], values)
    np.testing.assert_array_equal(images['still.gif'][..., 0], np.asarray(still))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_equals_pillows(tmp_path, read, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = _noise(4, 6)
    _save(tmp_path / 'a.png', values, exif=exif)
    _save(tmp_path / 'b.tif', values, exif=exif)
    _save(tmp_path / 'c.tif', values, exif=exif, compression='tiff_deflate')
    with Image.open(tmp_path / 'a.png') as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    for record in read('image_folder', tmp_path).records:
        np.testing.assert_array_equal(record.image[..., 0], expected, err_msg=record.key)


def test_window_is_percentiles_of_the_image(tmp_path, read):
    values = _noise(50, 40, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), values)
    (record,) = read('image_folder', tmp_path, percentiles=(3.0, 90.0), modality='DX').records
    np.testing.assert_allclose(record.window, np.percentile(values, [3, 90]))
    assert record.modality == 'DX'


def test_unusable_pixels_are_refused_with_their_reason(tmp_path, read):
    _save(tmp_path / 'good.png', _noise(6, 7))
    _save(tmp_path / 'constant.png', np.full((6, 7), 9, np.uint8))
    for value, name in ((np.nan, 'nan.tif'), (np.inf, 'infinite.tif')):
        cv2.imwrite(str(tmp_path / name), np.array([[value, 1], [2, 3]], np.float32))
    for name in ('cut.jpg', 'cut.png'):
        _save(tmp_path / name, _noise(90, 90))
    cv2.imwrite(str(tmp_path / 'cut_deep.png'), _noise(90, 90, 3, dtype=np.uint16))
    for name in ('cut.jpg', 'cut.png', 'cut_deep.png'):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    pages = [Image.fromarray(_noise(6, 7, seed=seed)) for seed in (1, 2)]
    for name in ('pages.tif', 'film.gif', 'film.png', 'film.webp'):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    _save(tmp_path / 'large.png', _noise(70, 80))
    reading = read('image_folder', tmp_path, pixel_limit=10_000 - 1)
    pages = {'pages.tif/0000', 'pages.tif/0001'}
    assert {record.key for record in reading.records} == {'good.png', 'large.png'} | pages
    reasons = dict(reading.refused.items())
    assert reasons['constant.png'] == 'constant.png: is constant: every pixel is 9'
    assert 'not finite' in reasons['nan.tif']
    assert 'not finite' in reasons['infinite.tif']
    assert all('cannot be decoded' in reasons[name] for name in ('cut.jpg', 'cut.png', 'cut_deep.png'))
    for name in ('film.gif', 'film.png', 'film.webp'):
        assert 'holds 2 pages or frames' in reasons[name]
    assert len(reasons) == 9


@pytest.mark.parametrize('limit', [5599, 1000])
def test_pixel_limit_is_checked_from_the_header(tmp_path, read, limit):
    _save(tmp_path / 'small.png', _noise(6, 7))
    _save(tmp_path / 'large.png', _noise(70, 80))
    reading = read('image_folder', tmp_path, pixel_limit=limit)
    assert 'pixel_limit' in reading.refused['large.png']
    assert len(read('image_folder', tmp_path, pixel_limit=5600).records) == 2


def test_patients(tmp_path, read):
    for name in ('p1_left.png', 'p1_right.png', 'p2_left.png'):
        _save(tmp_path / name, _noise(6, 7))
    (tmp_path / 'unknown.png').write_bytes((tmp_path / 'p2_left.png').read_bytes())
    reading = read('image_folder', tmp_path, patient_pattern=r'(p\d+)_')
    assert [item.patient for item in reading.items] == ['p1', 'p1', 'p2']
    assert 'patient is unknown' in reading.refused['unknown.png']
    for pattern in ('(', 'p\\d'):
        with pytest.raises(DataError, match='patient_pattern'):
            read('image_folder', tmp_path, patient_pattern=pattern)


def test_links_that_leave_the_folder_are_refused(tmp_path, read):
    _save(tmp_path / 'outside' / 'secret.png', _noise(6, 7))
    _save(tmp_path / 'set' / 'a.png', _noise(6, 7))
    (tmp_path / 'set' / 'b.png').symlink_to(tmp_path / 'outside' / 'secret.png')
    (tmp_path / 'set' / 'folder').symlink_to(tmp_path / 'outside')
    (tmp_path / 'set' / 'c.png').symlink_to(tmp_path / 'set' / 'a.png')
    reading = read('image_folder', tmp_path / 'set')
    assert [item.key for item in reading.items] == ['a.png', 'c.png']
    assert set(reading.refused) == {'b.png', 'folder'}


def test_masks_among_pictures_are_refused(tmp_path, read):
    for name in (
        'cyst/a (1).png',
        'cyst/a (1)_mask.png',
        'cyst/a (1)_mask_1.png',
        'cyst/b_mask.png',
        'cyst/c-seg.PNG',
    ):
        _save(tmp_path / 'named' / name, _noise(6, 7))
    _save(tmp_path / 'named' / 'cyst' / 'c.jpg', _noise(6, 7))
    reading = read('image_folder', tmp_path / 'named')
    assert [item.key for item in reading.items] == ['cyst/a (1).png', 'cyst/b_mask.png', 'cyst/c.jpg']
    assert (
        'is a mask of cyst/a (1) by its name; --source=paired_folder' in reading.refused['cyst/a (1)_mask_1.png']
    )
    for name in ('train/Images/a.png', 'train/Masks/a.png', 'train/Masks/deep/b.png'):
        _save(tmp_path / 'folders' / name, _noise(6, 7))
    reading = read('image_folder', tmp_path / 'folders')
    assert [item.key for item in reading.items] == ['train/Images/a.png']
    assert 'lies in Masks/ beside images, so it is a mask' in reading.refused['train/Masks/deep/b.png']
    _save(tmp_path / 'classes' / 'labels' / 'a.png', _noise(6, 7))
    assert not read('image_folder', tmp_path / 'classes').refused


@pytest.mark.parametrize(
    ('name', 'advice'),
    [
        ('a.zip', '; unpack it first'),
        ('a.png.GZ', '; unpack it first'),
        ('a.nii.gz', '; --source=nifti reads such files'),
        ('a.DCM', '; --source=dicom reads such files'),
        ('a.jp2', '; convert it first, for example with OpenCV or ImageMagick'),
        ('a.xyz', ''),
    ],
)
def test_other_formats_are_refused_with_the_remedy(tmp_path, read, name, advice):
    _save(tmp_path / 'good.png', _noise(6, 7))
    (tmp_path / name).write_bytes(b'x')
    refused = read('image_folder', tmp_path).refused
    assert refused == {name: f'is not a picture (PNG, JPEG, TIFF, BMP, WebP, GIF){advice}'}


def test_nothing_usable_raises(tmp_path, read):
    with pytest.raises(DataError, match='not a folder'):
        read('image_folder', tmp_path / 'missing')
    with pytest.raises(DataError, match='holds no pictures'):
        read('image_folder', tmp_path)
    (tmp_path / 'a.png').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'nothing usable is left.*a\.png'):
        read('image_folder', tmp_path)


def test_without_skipping_the_first_refusal_raises(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no picture')
    options = ReaderOptions('', (0.5, 99.5), 2**24, 2, '')
    with pytest.raises(DataError, match=r'^a\.png: .*--on_error=skip leaves such files out and lists them\)\.$'):
        READERS['image_folder'](tmp_path, options, Refusals(skip=False))


def test_mednist(medical_data, read):
    folder = medical_data / 'mednist' / 'CXR'
    reading = read('image_folder', folder)
    assert len(reading.records) == 1000
    assert not reading.refused
    for record in reading.records[::100]:
        with Image.open(folder / record.source) as picture:
            np.testing.assert_array_equal(record.image[..., 0], np.asarray(picture))
