"""What is written is what is read back by TFDS itself, and failures leave nothing."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_generated_pb2

from input_pipeline.dataset import builder
from input_pipeline.dataset.splits import SPLITS
from input_pipeline.errors import DataError
from tests.input_pipeline.items import OPTIONS, make_item, random_images, write


def _read(data_dir, name='small'):
    """All records by key, read by TFDS alone."""
    read = tfds.builder_from_directory(data_dir / name / '1.0.0')
    return {
        example['key'].decode(): example | {'split': split}
        for split in read.info.splits
        for example in read.as_data_source(split)
    }


def _volumes(patients=12, slices=3, dtype=np.uint16, channels=1):
    return [
        make_item(
            f'volume{n:02d}',
            random_images(slices, (6, 5, channels), dtype, n),
            patient=f'p{n // 2}',
            label='ab'[n % 2],
        )
        for n in range(patients)
    ]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize('channels', [1, 2, 3, 4, 5])
def test_pixels_come_back_exactly(tmp_path, dtype, channels):
    items = _volumes(4, dtype=dtype, channels=channels)
    write(items, tmp_path)
    stored = _read(tmp_path)
    records = [record for item in items for record in item.load()]
    assert len(stored) == len(records) == 12
    for record in records:
        np.testing.assert_array_equal(stored[record.key]['image'], record.image)
        assert stored[record.key]['image'].dtype == dtype


def test_every_field_comes_back(tmp_path):
    masks = [np.array([[0, 1], [2, 2]], np.uint8)[..., None]]
    images = random_images(1, (2, 2, 1), np.uint8)
    write([make_item(key, images, masks=masks, label=key, split='train', patient='p') for key in 'ab'], tmp_path)
    example = _read(tmp_path)['b']
    np.testing.assert_array_equal(example['mask'], masks[0])
    assert (example['label'], example['patient'], example['modality']) == (1, b'p', b'CT')
    assert example['source'] == b'b.png'
    np.testing.assert_array_equal(example['intensity'], [-1024, 3071])
    np.testing.assert_array_equal(example['window'], [-100, 900])
    np.testing.assert_array_equal(example['spacing'], [0.5, 0.5, 2.0])


def test_no_patient_is_in_two_splits(tmp_path):
    write(_volumes(80), tmp_path)
    splits = {}
    for example in _read(tmp_path).values():
        splits.setdefault(example['patient'], set()).add(example['split'])
    assert len(splits) == 40
    assert all(len(names) == 1 for names in splits.values())
    assert {next(iter(names)) for names in splits.values()} == {'train', 'validation', 'test'}


def test_types_widen_with_their_meaning(tmp_path):
    eight, sixteen = np.array([[[0], [100], [255]]], np.uint8), np.array([[[0], [7], [65535]]], np.uint16)
    items = [
        make_item(key, [image], intensity=(0.0, 255.0), split='train')
        for key, image in (('a', eight), ('b', sixteen))
    ]
    write(items, tmp_path)
    stored = _read(tmp_path)
    np.testing.assert_array_equal(stored['a']['image'][0, :, 0], [0, 25700, 65535])
    np.testing.assert_array_equal(stored['b']['image'], sixteen)

    images = [eight, sixteen, np.array([[[-3.5], [0], [1e6]]], np.float32)]
    write(
        [make_item(key, [image], split='train') for key, image in zip('abc', images, strict=True)],
        tmp_path,
        'floats',
    )
    stored = _read(tmp_path, 'floats')
    np.testing.assert_allclose(stored['a']['image'][0, :, 0], [0, 100 / 255, 1], rtol=1e-6)
    np.testing.assert_allclose(stored['b']['image'][0, :, 0], [0, 7 / 65535, 1], rtol=1e-6)
    np.testing.assert_array_equal(stored['c']['image'], images[2])


def test_channels_follow_the_majority_or_the_flag(tmp_path):
    colour = np.zeros((2, 2, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    grey = np.full((2, 2, 1), 77, np.uint8)
    items = [make_item(key, [image], split='train') for key, image in (('a', colour), ('b', grey), ('c', grey))]
    write(items, tmp_path)
    # ITU-R BT.601: 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert set(_read(tmp_path)['a']['image'].ravel()) == {124}
    write(items, tmp_path, 'colours', options=dataclasses.replace(OPTIONS, channels=3))
    stored = _read(tmp_path, 'colours')
    np.testing.assert_array_equal(stored['a']['image'], colour)
    np.testing.assert_array_equal(stored['b']['image'], np.full((2, 2, 3), 77))


def test_other_channel_mixes_are_refused(tmp_path):
    items = [
        make_item(key, random_images(1, (3, 3, c), np.uint8), split='train')
        for key, c in (('a', 1), ('b', 1), ('c', 4))
    ]
    with pytest.raises(DataError, match='c: 4 channels cannot become 1'):
        write(items, tmp_path)


def test_summary_counts_and_window(tmp_path):
    items = _volumes(40, slices=2)
    summary = write(items, tmp_path)
    stored = _read(tmp_path)
    assert sum(summary['splits'].values()) == 80
    for split in summary['splits']:
        kept = [example for example in stored.values() if example['split'] == split]
        assert summary['splits'][split] == len(kept)
        assert summary['patients'][split] == len({example['patient'] for example in kept})
    assert summary['classes'] == {'a': 40, 'b': 40}
    assert summary['sizes']['most_common'] == [6, 5]
    training = np.concatenate([e['image'].ravel() for e in stored.values() if e['split'] == 'train'])
    physical = -1024 + 4095 * training.astype(float) / 65535
    np.testing.assert_allclose(summary['window'], np.percentile(physical, (0.5, 99.5)), rtol=1e-4)
    everything = np.concatenate([e['image'].ravel() for e in stored.values()])
    extremes = np.array([everything.min(), everything.max()], float)
    np.testing.assert_allclose(summary['intensity_range'], -1024 + 4095 * extremes / 65535, rtol=1e-6)
    assert json.loads((tmp_path / 'small/1.0.0/summary.json').read_text()) == json.loads(json.dumps(summary))


def test_list_of_records_matches_the_stored_order(tmp_path):
    write(_volumes(20), tmp_path)
    with open(tmp_path / 'small/1.0.0/records.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    read = tfds.builder_from_directory(tmp_path / 'small/1.0.0')
    for split in read.info.splits:
        keys = [example['key'].decode() for example in read.as_data_source(split)]
        assert [row['key'] for row in rows if row['split'] == split] == keys


def test_the_bytes_of_a_record_depend_on_its_values_alone(tmp_path):
    """Protobuf writes its maps in another order in each process, unless it is asked to sort them."""
    write(_volumes(), tmp_path)
    read = tfds.builder_from_directory(tmp_path / 'small' / '1.0.0')
    raw = read.as_data_source('train', deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    for record in raw:
        assert record == tf_example_generated_pb2.Example.FromString(record).SerializeToString(deterministic=True)


def test_fingerprint_depends_on_content_only(tmp_path):
    items = _volumes()
    first = write(items, tmp_path)['fingerprint']
    assert write(items[::-1], tmp_path, 'again')['fingerprint'] == first
    changed = [
        *items[:-1],
        make_item(items[-1].key, random_images(3, (6, 5, 1), np.uint16, 99), patient='p5', label='b'),
    ]
    assert write(changed, tmp_path, 'changed')['fingerprint'] != first


def test_fingerprint_depends_on_who_is_in_which_split(tmp_path):
    """Else a run would be measured on patients that it was trained on, after the data were split anew."""
    items = [
        dataclasses.replace(item, split=SPLITS[number // 2 % len(SPLITS)])
        for number, item in enumerate(_volumes())
    ]
    other = {SPLITS[0]: SPLITS[-1], SPLITS[-1]: SPLITS[0]}
    swapped = [dataclasses.replace(item, split=other.get(item.split, item.split)) for item in items]
    assert write(items, tmp_path)['fingerprint'] != write(swapped, tmp_path, 'swapped')['fingerprint']


def _assert_nothing_left(data_dir):
    assert list(data_dir.rglob('*')) == []


def _failing(error):
    def load():
        raise error
        yield

    return dataclasses.replace(
        make_item('volume03', random_images(1, (6, 5, 1), np.uint16), patient='p1'), load=load
    )


@pytest.mark.parametrize(
    ('error', 'raised'),
    [
        (DataError('is truncated'), DataError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), DataError),
        (TypeError('of a decoder'), DataError),
    ],
)
def test_failure_leaves_nothing(tmp_path, error, raised):
    items = _volumes()
    items[3] = _failing(error)
    with pytest.raises(raised):
        write(items, tmp_path / 'data')
    _assert_nothing_left(tmp_path)


def test_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError('write() failed: No space left on device; writing x\nmore')

    monkeypatch.setattr(builder.SequentialWriter, 'add_examples', refuse)
    with pytest.raises(DataError, match='the disk is full'):
        write(_volumes(), tmp_path / 'data')
    _assert_nothing_left(tmp_path)


def test_skipping_leaves_bad_items_out_and_lists_them(tmp_path):
    items = _volumes()
    items[3] = _failing(DataError('is truncated'))
    items[5] = _failing(OSError(5, 'Input/output error'))
    items[5] = dataclasses.replace(items[5], key='volume05')
    summary = write(items, tmp_path, skip=True)
    assert summary['refused'] == {'volume03': 'is truncated', 'volume05': 'cannot be read (Input/output error)'}
    assert len(_read(tmp_path)) == sum(summary['splits'].values()) == 30


def test_existing_set_is_kept_unless_overwritten(tmp_path):
    first = write(_volumes(), tmp_path)['fingerprint']
    with pytest.raises(DataError, match='exists already; --overwrite replaces it'):
        write(_volumes(8), tmp_path)
    failing = _volumes()
    failing[3] = _failing(DataError('is broken'))
    with pytest.raises(DataError, match='is broken'):
        write(failing, tmp_path, overwrite=True)
    summary = tmp_path / 'small/1.0.0/summary.json'
    assert json.loads(summary.read_text())['fingerprint'] == first
    second = write(_volumes(8), tmp_path, overwrite=True)['fingerprint']
    assert json.loads(summary.read_text())['fingerprint'] == second != first
    assert [path.name for path in (tmp_path / 'small').iterdir()] == ['1.0.0']


def test_what_is_told_of_a_failure_is_what_is_in_place(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError('write() failed')

    write(_volumes(), tmp_path)
    monkeypatch.setattr(builder.SequentialWriter, 'add_examples', fail)
    with pytest.raises(DataError, match=r'cannot be written .*; .*small/1\.0\.0 is as it was\.$'):
        write(_volumes(), tmp_path, overwrite=True)


@pytest.mark.parametrize('second_has_mask', [False, True])
def test_masks_for_some_images_are_refused(tmp_path, second_has_mask):
    images, mask = random_images(1, (4, 4, 1), np.uint8), [np.zeros((4, 4, 1), np.uint8)]
    masks = (None, mask) if second_has_mask else (mask, None)
    items = [make_item(key, images, masks=m, split='train') for key, m in zip('ab', masks, strict=True)]
    with pytest.raises(DataError, match='b: it has a mask' if second_has_mask else 'b: it has no mask'):
        write(items, tmp_path)


def test_masks_of_another_size_are_refused(tmp_path):
    items = [
        make_item(key, random_images(1, (4, 4, 1), np.uint8), masks=[np.zeros((4, 5, 1), np.uint8)])
        for key in 'ab'
    ]
    with pytest.raises(DataError, match=r'its mask is \(4, 5\), the image \(4, 4\)'):
        write(items, tmp_path)


@pytest.mark.parametrize(
    ('items', 'message'),
    [
        ([], 'nothing to prepare'),
        ([make_item('a', random_images(1, (4, 4, 1), np.uint8), split='train')], 'needs two at least'),
        ([make_item('a', random_images(1, (4, 4, 1), np.uint8))] * 2, 'a appears twice'),
        ([make_item('a', [np.full((2, 2, 1), np.nan, np.float32)] * 2, split='train')], 'not finite'),
    ],
)
def test_unusable_sets_are_refused(tmp_path, items, message):
    with pytest.raises(DataError, match=message):
        write(items, tmp_path / 'data')
    _assert_nothing_left(tmp_path)


@pytest.mark.parametrize('name', ['', 'Upper', '1st', '../up', 'a/b', 'a-b'])
def test_bad_names_are_refused(tmp_path, name):
    with pytest.raises(DataError, match='is not a name'):
        write(_volumes(), tmp_path, name)
