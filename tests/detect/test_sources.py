"""Folders of synthetic images: which side they are on, what they show, and where they were altered."""

import csv
import json

import numpy as np
import pytest

from detect.sources import divide, find_items, read_source
from foundation.export.manifest import DERIVED, write_manifest
from foundation.training.errors import UserError
from input_pipeline.dataset.splits import SplitFractions, hashed_split
from input_pipeline.errors import DataError, Refusals
from input_pipeline.records import ReaderOptions
from tests.detect.drawn import save_picture
from tests.foundation.export.manifests import MANIFEST
from tests.input_pipeline.items import make_item

OPTIONS = ReaderOptions('', (0.5, 99.5), 2**24, 2, '')
FINGERPRINTS = {'chest': 'ab' * 32}


def _picture(seed, shape=(16, 16)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _folder(path, rows=None, count=2, below='images'):
    """Pictures in a folder, and an index of them."""
    for number in range(count):
        save_picture(path / below / f'{number:03d}.png', _picture(number))
    if rows is not None:
        with (path / 'index.csv').open('w', newline='') as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def _rows(**columns):
    """A row of the index for each of two images."""
    return [
        {'image': f'images/{number:03d}.png'} | {name: values[number] for name, values in columns.items()}
        for number in range(2)
    ]


def _items(source, refusals=None):
    return find_items(source, OPTIONS, refusals or Refusals(skip=False))


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('{folder}', 'is not of the form NAME=FOLDER'),
        ('={folder}', 'is not of the form NAME=FOLDER'),
        ('gan=', 'is not of the form NAME=FOLDER'),
        ('gan=@train', 'is not of the form NAME=FOLDER'),
        ('my gan={folder}@train', "'my gan' is no name; use letters"),
        ('../gan={folder}@train', "'../gan' is no name"),
        ('gan={folder}/nothing@train', 'nothing is no folder'),
        ('gan={folder}', 'nothing tells on which of these patients the generator was trained; add @train'),
        ('gan={folder}@everything', '@everything is no folder'),
    ],
)
def test_what_names_no_source(tmp_path, text, expected):
    folder = _folder(tmp_path / 'out')
    with pytest.raises(UserError, match=expected):
        read_source(text.format(folder=folder), FINGERPRINTS)


def test_a_folder_with_an_at_in_its_name(tmp_path):
    folder = _folder(tmp_path / 'epoch@3')
    source = read_source(f'gan={folder}@test', FINGERPRINTS)
    assert (source.name, source.folder, source.split, source.weights) == ('gan', folder, 'test', '')


def test_translated_images_are_of_patients_and_bear_their_names(tmp_path):
    folder = _folder(tmp_path / 'out')
    write_manifest(folder, MANIFEST | {'synthetic': DERIVED})
    with pytest.raises(UserError, match='its images show patients; translate those of each split by itself'):
        read_source(f'gan={folder}', FINGERPRINTS)
    source = read_source(f'gan={folder}@test', FINGERPRINTS)
    assert (source.split, source.derived, source.is_foreign) == ('test', True, True)


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_the_manifest_decides_the_side(tmp_path, split):
    folder = _folder(tmp_path / 'out')
    write_manifest(folder, MANIFEST | {'data': MANIFEST['data'] | {'split': split}})
    for said in ('', f'@{split}'):
        source = read_source(f'gan={folder}{said}', FINGERPRINTS)
        assert (source.split, source.weights) == (split, 'ef' * 32)
        assert {item.split for item in _items(source)} == {split}


def test_what_contradicts_the_manifest_is_refused(tmp_path):
    folder = _folder(tmp_path / 'out')
    write_manifest(folder, MANIFEST)
    with pytest.raises(UserError, match=r"the train split of 'chest'; its images cannot be on the test side"):
        read_source(f'gan={folder}@test', FINGERPRINTS)


def test_a_generator_of_other_patients_may_be_on_any_side(tmp_path):
    folder = _folder(tmp_path / 'out')
    write_manifest(folder, MANIFEST)
    assert read_source(f'gan={folder}@test', {'chest': '00' * 32}).split == 'test'
    with pytest.raises(UserError, match='nothing tells on which of these patients'):
        read_source(f'gan={folder}', {'chest': '00' * 32})


@pytest.mark.parametrize('change', ['altered', 'missing', 'added'])
def test_a_release_that_is_not_whole_is_refused(tmp_path, change):
    folder = _folder(tmp_path / 'made')
    write_manifest(folder, MANIFEST)
    if change == 'missing':
        (folder / 'images' / '000.png').unlink()
    else:
        save_picture(folder / 'images' / ('000.png' if change == 'altered' else '009.png'), _picture(99))
    with pytest.raises(UserError, match=rf'is not what its manifest.json says \({change}: images/00\d.png\)'):
        read_source(f'made={folder}', FINGERPRINTS)


def test_an_altered_manifest_is_refused(tmp_path):
    folder = _folder(tmp_path / 'out')
    write_manifest(folder, MANIFEST)
    content = json.loads((folder / 'manifest.json').read_text())
    content['data']['split'] = 'test'
    (folder / 'manifest.json').write_text(json.dumps(content, indent=1) + '\n')
    with pytest.raises(UserError, match='was altered or damaged'):
        read_source(f'gan={folder}@test', FINGERPRINTS)


def test_the_index_tells_split_patient_and_class_of_each_image(tmp_path):
    rows = _rows(split=('train', 'test'), patient=('reals/p1', ''), label=('CT', ''))
    source = read_source(f'gan={_folder(tmp_path / "out", rows)}', FINGERPRINTS)
    first, second = _items(source)
    assert (first.split, first.patient, first.label) == ('train', 'real/reals/p1', 'CT')
    assert (second.split, second.patient, second.label) == ('test', 'gan/out/001', None)
    assert (first.key, second.key) == ('out/000', 'out/001')
    (record,) = second.load()
    np.testing.assert_array_equal(record.image[..., 0], _picture(1))
    assert record.key == 'out/001'


def test_a_side_that_contradicts_the_index_is_refused(tmp_path):
    folder = _folder(tmp_path / 'out', _rows(split=('train', 'test')))
    with pytest.raises(UserError, match=r'index.csv tells the split of each image; leave out @train'):
        read_source(f'gan={folder}@train', FINGERPRINTS)


@pytest.mark.parametrize('split', ['', None])
def test_an_image_without_a_split_is_named(tmp_path, split):
    rows = _rows(split=('train', split))
    if split is None:
        rows = rows[:1]
    source = read_source(f'gan={_folder(tmp_path / "out", rows)}', FINGERPRINTS)
    with pytest.raises(UserError, match=r'index.csv tells no split of 001.png; give each image one'):
        _items(source)


@pytest.mark.parametrize('content', [b'number,split\n1,train\n', b'\xff\xfe\x00\n'])
def test_an_index_that_is_no_table(tmp_path, content):
    folder = _folder(tmp_path / 'out')
    (folder / 'index.csv').write_bytes(content)
    with pytest.raises(UserError, match=r'index\.csv is no table with a column image'):
        read_source(f'gan={folder}', FINGERPRINTS)


def _with_masks(path, **columns):
    rows = _rows(mask=('masks/0.png', ''), **columns)
    mask = np.zeros((16, 16), np.uint8)
    mask[2:5, 3:9] = 255
    save_picture(path / 'masks' / '0.png', mask)
    return _folder(path, rows), mask


def test_masks_tell_which_pixels_were_altered(tmp_path):
    folder, mask = _with_masks(tmp_path / 'out', split=('train', 'train'), patient=('reals/p1', 'reals/p2'))
    source = read_source(f'tampered={folder}', FINGERPRINTS)
    assert source.altered
    (altered,), (whole,) = (item.load() for item in _items(source))
    np.testing.assert_array_equal(altered.mask[..., 0], mask > 0)
    assert whole.mask is None


def test_masks_of_whole_images_show_anatomy(tmp_path):
    folder, _ = _with_masks(tmp_path / 'out')
    write_manifest(folder, MANIFEST)
    source = read_source(f'gan={folder}', FINGERPRINTS)
    assert not source.altered
    assert [record.mask for item in _items(source) for record in item.load()] == [None, None]


def test_a_mask_outside_the_folder_is_refused(tmp_path):
    rows = _rows(split=('train', 'train'), mask=('../secret.png', ''))
    save_picture(tmp_path / 'secret.png', _picture(9))
    source = read_source(f'gan={_folder(tmp_path / "out", rows)}', FINGERPRINTS)
    with pytest.raises(DataError, match=r"'\.\./secret.png' leaves the folder"):
        _items(source)


def test_pictures_without_a_folder_of_their_own_and_bad_ones(tmp_path):
    folder = _folder(tmp_path / 'out', count=3, below='.')
    (folder / 'bad.png').write_bytes(b'no picture')
    (folder / 'odd.txt').write_text('notes')
    source = read_source(f'gan={folder}@train', FINGERPRINTS)
    *good, bad = _items(source)
    assert [record.key for item in good for record in item.load()] == ['out/000', 'out/001', 'out/002']
    with pytest.raises(DataError, match='is not a readable picture'):
        list(bad.load())
    (folder / 'bad.dcm').write_bytes(b'no image')
    refusals = Refusals(skip=True)
    assert len(_items(source, refusals)) == 4
    assert list(refusals.reasons) == ['bad.dcm']
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='empty holds no image that can be read'):
        _items(read_source(f'gan={tmp_path / "empty"}@train', FINGERPRINTS))


def test_sides_that_share_generators_are_dealt_by_patient():
    image = [np.zeros((2, 2, 1), np.uint8)]
    items = [make_item(f'i{n}', image, patient=f'p{n // 2}', split='train') for n in range(400)]
    dealt = divide(items, {'train': 300, 'validation': 100})
    shares = SplitFractions(0.25, 0.0)
    assert [item.split for item in dealt] == [hashed_split(item.patient, shares) for item in items]
    assert {item.patient for item in dealt if item.split == 'train'}.isdisjoint(
        item.patient for item in dealt if item.split == 'validation'
    )
    assert sum(item.split == 'validation' for item in dealt) == pytest.approx(100, abs=30)
    assert divide(items, {}) == items


def test_what_is_not_shared_or_altered_stays():
    image = [np.zeros((2, 2, 1), np.uint8)]
    held_out = [make_item(f'h{n}', image, patient=f'q{n}', split='test') for n in range(50)]
    altered = [make_item(f'a{n}', image, patient=f'real/reals/p{n}', split='train') for n in range(50)]
    assert divide([*held_out, *altered], {'train': 1, 'validation': 1}) == [*held_out, *altered]
