"""Arrays of images: MedMNIST's and PanNuke's layouts, plain arrays, and what is refused."""

import zipfile

import numpy as np
import pytest

from input_pipeline.errors import DataError
from input_pipeline.readers.pixels import to_physical


def _images(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('channels', [(), (3,)])
def test_medmnist(tmp_path, read, save, channels):
    arrays = {}
    for number, (split, count) in enumerate({'train': 12, 'val': 2, 'test': 3}.items()):
        arrays[f'{split}_images'] = _images(count, 8, 9, *channels, seed=number)
        arrays[f'{split}_labels'] = (
            (np.arange(count) % (11 if split == 'train' else 3)).reshape(-1, 1).astype(np.uint8)
        )
    save(tmp_path / 'pathmnist.npz', **arrays)
    reading = read('arrays', tmp_path / 'pathmnist.npz')
    assert not reading.refused
    for split, name in {'train': 'train', 'val': 'validation', 'test': 'test'}.items():
        items = [item for item in reading.items if item.split == name]
        assert [item.label for item in items] == [
            f'{int(label):02d}' for label in arrays[f'{split}_labels'].ravel()
        ]
        records = [r for r in reading.records if r.source == f'pathmnist.npz/{split}_images']
        stacked = np.stack([record.image for record in records])
        np.testing.assert_array_equal(stacked.reshape(arrays[f'{split}_images'].shape), arrays[f'{split}_images'])
    assert reading.items[2].key == 'pathmnist.npz/test_images/2'


def test_multi_label_sets_have_no_classes(tmp_path, read):
    np.savez(
        tmp_path / 'chestmnist.npz', train_images=_images(4, 8, 9), train_labels=np.tri(4, 14, dtype=np.uint8)
    )
    reading = read('arrays', tmp_path)
    assert {item.label for item in reading.items} == {None}
    assert 'several labels an image' in reading.notes[0]


def test_pannuke(tmp_path, read):
    """Instance numbers in a channel for each of five classes, and the background last."""
    fold, masks_fold = tmp_path / 'images' / 'fold1', tmp_path / 'masks' / 'fold1'
    fold.mkdir(parents=True)
    masks_fold.mkdir(parents=True)
    images = _images(3, 8, 8, 3, dtype=np.float64)
    masks = np.zeros((3, 8, 8, 6))
    masks[0, 1:3, 1:3, 0] = 17
    masks[0, 5:7, 5:7, 4] = 300
    masks[..., 5] = 1 - (masks[..., :5] > 0).any(-1)
    np.save(fold / 'images.npy', images)
    np.save(fold / 'types.npy', np.array(['Breast', 'Colon', 'Breast']))
    np.save(masks_fold / 'masks.npy', masks)
    reading = read('arrays', tmp_path, patient_pattern='(fold.)')
    assert [(item.label, item.patient) for item in reading.items] == [
        ('Breast', 'fold1'), ('Colon', 'fold1'), ('Breast', 'fold1'),
    ]  # fmt: skip
    expected = np.zeros((8, 8), np.uint8)
    expected[1:3, 1:3], expected[5:7, 5:7] = 1, 5
    np.testing.assert_array_equal(reading.records[0].mask[..., 0], expected)
    assert not reading.records[1].mask.any()
    np.testing.assert_array_equal(np.stack([record.image for record in reading.records]), images)


@pytest.mark.parametrize('dtype', [np.int16, np.uint16, np.int32, np.float32, '>i2', '>f8'])
@pytest.mark.parametrize('order', ['C', 'F'])
def test_plain_arrays(tmp_path, read, dtype, order):
    values = _images(4, 5, 6, dtype=dtype) - 100
    np.save(tmp_path / 'scans.npy', np.asarray(values, order=order))
    records = read('arrays', tmp_path).records
    restored = np.stack([to_physical(record.image[..., 0], record.intensity) for record in records])
    np.testing.assert_array_equal(restored, values)


@pytest.mark.parametrize('trailing', [(), (1,), (3,)])
def test_masks_of_ids_and_one_hot(tmp_path, read, trailing):
    ids = np.random.default_rng(3).integers(0, 3, (4, 5, 6))
    masks = np.eye(3)[ids] if trailing == (3,) else ids.reshape(*ids.shape, *trailing)
    np.savez(tmp_path / 'a.npz', images=_images(4, 5, 6), masks=masks)
    records = read('arrays', tmp_path).records
    np.testing.assert_array_equal(np.stack([record.mask[..., 0] for record in records]), ids)


def test_boolean_masks(tmp_path, read):
    masks = np.random.default_rng(3).integers(0, 2, (4, 5, 6)).astype(bool)
    np.savez(tmp_path / 'a.npz', images=_images(4, 5, 6), masks=masks)
    records = read('arrays', tmp_path).records
    np.testing.assert_array_equal(np.stack([record.mask[..., 0] for record in records]), masks)


def test_scanning_reads_headers_only(tmp_path, read):
    """A terabyte that is not there: the header alone must be enough to refuse it."""
    np.save(tmp_path / 'good.npy', _images(2, 5, 6))
    with (tmp_path / 'huge.npy').open('wb') as file:
        np.lib.format.write_array_header_1_0(
            file, {'descr': '|u1', 'fortran_order': False, 'shape': (10**6, 1000, 1000)}
        )
    with zipfile.ZipFile(tmp_path / 'huge.npz', 'w') as archive:
        archive.writestr('images.npy', (tmp_path / 'huge.npy').read_bytes())
    reading = read('arrays', tmp_path)
    assert len(reading.records) == 2
    assert all('is truncated' in reading.refused[name] for name in ('huge.npy', 'huge.npz'))


@pytest.mark.parametrize(
    ('kind', 'shape'), [('|u1', (2**62, 8, -1)), ('|u1', (-1, 5, 6)), ('|S0', (2**62, 5, 6)), ('|V0', (2**62, 5, 6))]
)
def test_headers_that_describe_no_bytes_are_refused(tmp_path, read, kind, shape):
    np.save(tmp_path / 'good.npy', _images(2, 5, 6))
    with (tmp_path / 'damaged.npy').open('wb') as file:
        np.lib.format.write_array_header_1_0(file, {'descr': kind, 'fortran_order': False, 'shape': shape})
        file.write(bytes(100))
    reading = read('arrays', tmp_path)
    assert len(reading.records) == 2
    assert 'is empty' in reading.refused['damaged.npy']


def test_unusable_arrays_are_refused(tmp_path, read):
    np.save(tmp_path / 'good.npy', _images(2, 5, 6))
    np.save(tmp_path / 'objects.npy', np.array([{'a': 1}, None], dtype=object))
    np.savez(tmp_path / 'objects.npz', images=np.array([[1], None], dtype=object))
    np.save(tmp_path / 'flat.npy', _images(5, 6))
    np.save(tmp_path / 'volumes.npy', _images(2, 28, 28, 28))
    np.save(tmp_path / 'large.npy', _images(2, 90, 90))
    np.save(tmp_path / 'text.npy', np.full((2, 5, 6), 'x'))
    np.save(tmp_path / 'empty.npy', np.zeros((0, 5, 6)))
    np.savez(tmp_path / 'counts.npz', images=_images(2, 5, 6), masks=_images(3, 5, 6))
    np.savez(
        tmp_path / 'odd.npz', images=_images(2, 5, 6), something=_images(2, 5, 6), test_masks=_images(2, 5, 6)
    )
    (tmp_path / 'broken.npz').write_bytes(b'PK no archive')
    (tmp_path / 'picture.png').write_bytes(b'x')
    reading = read('arrays', tmp_path, pixel_limit=8000)
    wanted = {
        'objects.npy': 'never unpickled', 'objects.npz': 'never unpickled', 'flat.npy': 'has the shape (5, 6)',
        'volumes.npy': 'at most 16 channels', 'large.npy': 'pixel_limit', 'text.npy': 'not pixels',
        'empty.npy': 'is empty', 'counts.npz/images': '(3, 5, 6)',
        'odd.npz/test_masks': 'no array of images', 'broken.npz': 'not readable', 'picture.png': 'neither',
    }  # fmt: skip
    assert dict.fromkeys(wanted, True) == {
        name: wanted[name] in reason for name, reason in reading.refused.items()
    }
    assert {record.source for record in reading.records} == {'good.npy', 'odd.npz/images'}
    assert reading.notes == [
        'odd.npz/something: is neither images, masks, labels nor types by its name, and not used.'
    ]


def test_damage_found_while_loading(tmp_path, read):
    images = _images(3, 50, 60, dtype=np.float32)
    images[1] = 5
    images[2, 3, 4] = np.nan
    np.save(tmp_path / 'a.npy', images)
    np.savez_compressed(tmp_path / 'b.npz', images=_images(3, 150, 160))
    data = bytearray((tmp_path / 'b.npz').read_bytes())
    data[40_000:40_100] = bytes(100)
    (tmp_path / 'b.npz').write_bytes(bytes(data))
    reading = read('arrays', tmp_path)
    assert [record.key for record in reading.records] == ['a.npy/0']
    assert 'is constant' in reading.refused['a.npy/1']
    assert 'not finite' in reading.refused['a.npy/2']
    assert 'not readable as an array' in reading.refused['b.npz/images/0']


@pytest.mark.parametrize(
    ('shape', 'channels'),
    [
        ((4, 1, 20, 30), 1),
        ((4, 3, 9, 9), 3),
        ((4, 3, 20, 16), 3),
        ((4, 9, 9, 3), 3),
        ((4, 8, 30, 40), 8),
        ((4, 5, 5, 5), None),
        ((4, 3, 5, 4), None),
    ],
)
def test_sizes_tell_which_axis_holds_channels(tmp_path, read, shape, channels):
    images = _images(*shape)
    np.savez(tmp_path / 'a.npz', images=images)
    if channels is None:
        with pytest.raises(DataError, match='channels may be the second or the last axis'):
            read('arrays', tmp_path)
        return
    reading = read('arrays', tmp_path)
    stacked = np.stack([record.image for record in reading.records])
    is_first = shape[1] == channels
    np.testing.assert_array_equal(stacked, np.moveaxis(images, 1, -1) if is_first else images)
    assert [note.endswith(f'{channels} channels of {shape[2]} x {shape[3]}.') for note in reading.notes] == [
        True
    ] * is_first


def test_masks_with_channels_first(tmp_path, read):
    ids = np.random.default_rng(3).integers(0, 3, (4, 20, 30))
    for masks in (ids[:, None], np.moveaxis(np.eye(3)[ids], -1, 1)):
        np.savez(tmp_path / 'a.npz', images=_images(4, 3, 20, 30), masks=masks)
        records = read('arrays', tmp_path).records
        np.testing.assert_array_equal(np.stack([record.mask[..., 0] for record in records]), ids)


def test_boolean_images_are_black_and_white(tmp_path, read):
    images = _images(4, 5, 6) > 100
    np.savez(tmp_path / 'a.npz', images=images)
    records = read('arrays', tmp_path).records
    np.testing.assert_array_equal(np.stack([record.image[..., 0] for record in records]), images * 255)


def test_channels_of_masks_without_background_are_refused(tmp_path, read):
    masks = np.zeros((2, 5, 6, 2), np.uint8)
    masks[:, 1:3, 1:3, 0] = masks[:, 3:, 3:, 1] = 1
    masks[1, ..., 0] = 1
    np.savez(tmp_path / 'a.npz', images=_images(2, 5, 6), masks=masks)
    reading = read('arrays', tmp_path)
    assert [record.key for record in reading.records] == ['a.npz/images/1']
    assert 'put a channel of the background before the others' in reading.refused['a.npz/images/0']


@pytest.mark.parametrize(
    ('labels', 'names', 'note'),
    [
        (np.array([0.0, 1.0, 1.0]), ['0', '1', '1'], ''),
        (np.array([False, True, True]), ['0', '1', '1'], ''),
        (np.array([b'cat', b'dog', b'dog']), ['cat', 'dog', 'dog'], ''),
        (np.eye(3)[[0, 2, 2]], ['0', '2', '2'], 'is one-hot'),
    ],
)
def test_classes_of_other_types(tmp_path, read, labels, names, note):
    np.savez(tmp_path / 'a.npz', images=_images(3, 5, 6), labels=labels)
    reading = read('arrays', tmp_path)
    assert [item.label for item in reading.items] == names
    assert [note in found for found in reading.notes] == ([True] if note else [])


def test_measurements_are_no_classes(tmp_path, read):
    np.savez(tmp_path / 'a.npz', images=_images(3, 5, 6), labels=np.array([0.5, 1.0, 1.0]))
    with pytest.raises(DataError, match='no whole numbers; classes are whole numbers or text'):
        read('arrays', tmp_path)


def test_names_of_classes_and_what_else_lies_beside(tmp_path, read):
    arrays = {'train_images': _images(3, 5, 6), 'train_labels': np.array([0, 1, 1])}
    np.savez(tmp_path / 'a.npz', **arrays, class_names=np.array(['cat', 'dog']), ages=np.array([1, 2, 3]))
    reading = read('arrays', tmp_path)
    assert [item.label for item in reading.items] == ['cat', 'dog', 'dog']
    assert [note.split(':')[0] for note in reading.notes] == ['a.npz/ages']
    assert not reading.refused
    np.savez(tmp_path / 'a.npz', **arrays, class_names=np.array(['cat']), about=np.array([{'a': 1}], object))
    reading = read('arrays', tmp_path)
    assert [item.label for item in reading.items] == ['0', '1', '1']
    assert [note.split(':')[0] for note in reading.notes] == ['a.npz/about', 'a.npz/class_names']


def test_arrays_of_other_names_are_refused_with_those_wanted(tmp_path, read):
    with (tmp_path / 'SET.NPZ').open('wb') as file:
        np.savez(file, x_train=_images(3, 5, 6), y_train=np.arange(3))
    with pytest.raises(DataError, match=r'x_train: is neither.*save images as `images`'):
        read('arrays', tmp_path)


def test_nothing_usable_raises(tmp_path, read):
    with pytest.raises(DataError, match='holds no arrays'):
        read('arrays', tmp_path)
    with pytest.raises(DataError, match='not a folder'):
        read('arrays', tmp_path / 'missing.npz')
