"""Reading: the same numbers from memory and from disk, from any position, in any number of processes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.sequential_writer import SequentialWriter

import input_pipeline
from input_pipeline import DataError, PhantomOptions, Preprocessing, to_unit
from tests.input_pipeline.items import make_item, random_images, write

UNLIMITED = 2**30


def _items(count=25, dtype=np.uint16, shape=(16, 12, 1), with_masks=True):
    generator = np.random.default_rng(0)
    return [
        make_item(
            f'image{number:02d}',
            random_images(1, shape, dtype, number),
            patient=f'p{number // 2}',
            split='train',
            label='abc'[number % 3],
            masks=[generator.integers(0, 3, (*shape[:2], 1)).astype(np.uint8)] if with_masks else None,
            modality=('CT', 'MR')[number % 2],
        )
        for number in range(count)
    ]


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write(_items(), folder)
    return folder


def _open(data_dir, name='small', **changes):
    fields = {'resolution': 16, 'channels': 1, 'window': 'stored', 'fit': 'pad', 'mask_classes': 2, 'context': 0}
    options = {
        'flip_horizontal': True,
        'flip_vertical': True,
        'seed': 5,
        'memory_budget_bytes': UNLIMITED,
        'modalities': (),
        'classes': (),
        'target': 'class',
        'foreground_share': 0.0,
    }
    preprocessing = Preprocessing(**fields | {key: changes[key] for key in changes if key in fields})
    options |= {key: changes[key] for key in changes if key in options}
    return input_pipeline.open_dataset(name, data_dir, changes.get('split', 'train'), preprocessing, **options)


def _take(data, count, resolution=16, position=0, batch_size=6, process_index=0, process_count=1):
    batches = data.batches(
        resolution, position, batch_size, process_index=process_index, process_count=process_count
    )
    return list(itertools.islice(batches, count))


def _assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys() == {'image', 'label'}
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize('resolution', [16, 8, 4])
@pytest.mark.parametrize('window', ['stored', 'volume', 'dataset', (-100.0, 500.0)])
def test_memory_and_disk_give_the_same_bits(data_dir, resolution, window):
    kept, streamed = _open(data_dir, window=window), _open(data_dir, window=window, memory_budget_bytes=0)
    assert streamed.decoded(resolution) is None
    first = _take(kept, 12, resolution)
    assert first[0]['image'].shape == (6, resolution, resolution, 3)
    assert first[0]['image'].dtype == np.float32
    _assert_same(first, _take(streamed, 12, resolution))


@pytest.mark.parametrize('budget', [0, UNLIMITED])
def test_random_access_equals_the_sequence(data_dir, budget):
    data = _open(data_dir, memory_budget_bytes=budget)
    whole = _take(data, 12)
    _assert_same(_take(data, 5, position=42), whole[7:])


@pytest.mark.parametrize('budget', [0, UNLIMITED])
def test_process_shards_concatenate_to_the_global_batch(data_dir, budget):
    data = _open(data_dir, memory_budget_bytes=budget)
    shards = [_take(data, 8, process_index=index, process_count=3) for index in range(3)]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shards, strict=True)
    ]
    _assert_same(joined, _take(data, 8))


def test_batches_are_the_selected_rows_of_the_decoded_arrays(data_dir):
    data = _open(data_dir)
    arrays, selection = data.decoded(16), data.selection(100, 6)
    batch = _take(data, 1, position=100)[0]
    for row, index in enumerate(selection['index']):
        image = np.concatenate([to_unit(arrays['image'][index]), to_unit(arrays['mask'][index])], axis=-1)
        image = image[:, ::-1] if selection['flip_horizontal'][row] else image
        image = image[::-1] if selection['flip_vertical'][row] else image
        np.testing.assert_array_equal(batch['image'][row], image)
        assert batch['label'][row] == arrays['label'][index]


def test_all_examples_in_order(data_dir):
    data = _open(data_dir, flip_horizontal=True)
    rows = list(data.in_order(8, batch_size=10))
    assert [len(row['label']) for row in rows] == [10, 10, 5]
    arrays = data.decoded(8)
    unflipped = {'flip_horizontal': np.zeros(25, bool), 'flip_vertical': np.zeros(25, bool)}
    expected = input_pipeline.unpack(arrays | unflipped)
    for name in ('image', 'label'):
        np.testing.assert_array_equal(np.concatenate([row[name] for row in rows]), expected[name])
    patients = np.concatenate([row['patient'] for row in rows])
    np.testing.assert_array_equal(patients, data.patients)
    assert len(set(patients)) == data.num_patients == 13
    assert data.patients_known


def test_decoded_arrays_are_the_stored_pixels(data_dir):
    arrays = _open(data_dir, fit='crop', resolution=8).decoded(8)
    records = [next(item.load()) for item in _items()]
    expected = np.stack([np.pad(r.image, [(0, 0), (2, 2), (0, 0)]) for r in records])
    full = _open(data_dir).decoded(16)
    np.testing.assert_array_equal(full['image'], expected)
    masks = np.stack([np.pad(r.mask, [(0, 0), (2, 2), (0, 0)]) for r in records])
    np.testing.assert_array_equal(full['mask'], np.concatenate([masks == 1, masks == 2], axis=-1) * 255)
    np.testing.assert_array_equal(full['label'], [number % 3 for number in range(25)])
    assert arrays['image'].shape == (25, 8, 8, 1)


def test_lower_resolutions_are_means_whatever_fits(data_dir):
    full = _open(data_dir).decoded(16)
    mean = lambda a: np.rint(a.reshape(25, 8, 2, 8, 2, -1).astype(float).mean((2, 4)))  # noqa: E731
    for budget in (UNLIMITED, 25 * (8 * 8 * 4 + 4)):  # the second has room for 8x8 only
        data = _open(data_dir, memory_budget_bytes=budget)
        half = data.decoded(8)
        for name in ('image', 'mask'):
            np.testing.assert_array_equal(half[name], mean(full[name]))
    assert data.decoded(16) is None
    with pytest.raises(DataError, match='12 is not 16 halved'):
        data.decoded(12)


def test_decoded_arrays_are_kept(data_dir):
    data = _open(data_dir)
    assert data.decoded(8)['image'] is data.decoded(8)['image']
    assert data.decoded(16)['image'] is data.decoded(16)['image']


def test_flips_happen_only_where_asked(data_dir):
    selection = _open(data_dir, flip_vertical=False).selection(0, 100)
    assert selection['flip_horizontal'].any()
    assert not selection['flip_vertical'].any()
    assert selection['index'].dtype == np.int32


def test_filters_and_attributes(data_dir):
    data = _open(data_dir)
    assert (data.name, data.num_examples, data.num_patients, data.classes) == ('small', 25, 13, ('a', 'b', 'c'))
    assert (data.channels, data.dtype, data.intensity, data.has_masks) == (1, np.uint16, (-1024, 3071), True)
    some = _open(data_dir, classes=('c', 'a'), modalities=('CT',), window=(0.0, 80.0), mask_classes=2)
    kept = [number for number in range(25) if number % 3 in (0, 2) and number % 2 == 0]
    assert (some.num_examples, some.classes, some.intensity) == (len(kept), ('c', 'a'), (0, 80))
    np.testing.assert_array_equal(some.decoded(4)['label'], [1 if number % 3 == 0 else 0 for number in kept])
    assert some.num_patients == len({number // 2 for number in kept})
    assert _open(data_dir, window='volume').intensity is None


def test_labels_can_tell_the_modality(data_dir):
    data = _open(data_dir, target='modality')
    assert data.classes == ('CT', 'MR')
    np.testing.assert_array_equal(data.decoded(4)['label'], [number % 2 for number in range(25)])
    some = _open(data_dir, target='modality', modalities=('MR',))
    assert some.classes == ('MR',)
    assert set(some.decoded(4)['label']) == {0}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'name': 'smal'}, r"no data set 'smal' in .* Did you mean small\? Prepare it with: python -m"),
        ({'name': '../small'}, 'is not a name'),
        ({'split': 'test'}, "no split 'test', only train; prepare it with a larger --test_fraction"),
        ({'split': 'tset'}, "no split 'tset', only train; name one of these"),
        ({'classes': ('ab',)}, "has no class 'ab', only a, b, c"),
        ({'modalities': ('DX',)}, "has no modality 'DX', only CT, MR"),
        ({'mask_classes': 1}, 'mask classes up to 2, mask_classes is 1'),
        ({'channels': 2}, 'images of 1 channels, which cannot become 2'),
    ],
)
def test_requests_that_do_not_fit_are_refused(data_dir, changes, message):
    with pytest.raises(DataError, match=message):
        _open(data_dir, **changes)


def test_batches_must_divide(data_dir):
    with pytest.raises(DataError, match='a batch of 6 cannot be divided among 4'):
        _take(_open(data_dir), 1, process_count=4)


def test_float_images_and_sets_without_masks(tmp_path):
    write(_items(dtype=np.float32, with_masks=False), tmp_path)
    with pytest.raises(DataError, match='no stored range'):
        _open(tmp_path, mask_classes=0)
    with pytest.raises(DataError, match='has no masks, but mask_classes is 2'):
        _open(tmp_path, window='volume')
    data = _open(tmp_path, window='volume', mask_classes=0)
    assert data.dtype == np.uint16
    assert data.decoded(16).keys() == {'image', 'label'}


def _damage(folder, how):
    shard = folder / 'small-train.array_record-00000'
    content = bytearray(shard.read_bytes())
    if how == 'cut':
        shard.write_bytes(content[: len(content) // 2])
    elif how == 'gone':
        shard.unlink()
    elif how == 'json':
        (folder / 'dataset_info.json').write_text('{')
    elif how == 'features':
        (folder / 'features.json').unlink()
    else:  # flipped bits in the records, the same size
        start = 200 if how == 'bits' else 0
        content[start:3000] = bytes(value ^ 0x5A for value in content[start:3000])
        shard.write_bytes(content)


@pytest.mark.parametrize('how', ['cut', 'gone', 'json', 'features', 'bits'])
@pytest.mark.parametrize('budget', [0, UNLIMITED])
def test_damaged_sets_are_reported(tmp_path, how, budget):
    write(_items(), tmp_path)
    _damage(tmp_path / 'small/1.0.0', how)
    with pytest.raises(DataError, match=r'damaged \(.*; prepare it again with --overwrite'):
        _take(_open(tmp_path, memory_budget_bytes=budget), 10)


def test_catalogue_sets_are_read_through_the_same_interface(tmp_path):
    folder = tmp_path / 'digits/3.0.1'
    folder.mkdir(parents=True)
    names = ['zero', 'one']
    features = tfds.features.FeaturesDict(
        {
            'image': tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
            'label': tfds.features.ClassLabel(names=names),
        }
    )
    identity = tfds.core.dataset_info.DatasetIdentity(
        name='digits', version=tfds.core.Version('3.0.1'), data_dir=str(folder), module_name='digits'
    )
    writer = SequentialWriter(
        tfds.core.DatasetInfo(builder=identity, features=features), 100, file_format='array_record'
    )
    images = random_images(10, (8, 8, 1), np.uint8)
    writer.initialize_splits(['train'])
    writer.add_examples({'train': [{'image': image, 'label': n % 2} for n, image in enumerate(images)]})
    writer.close_all()

    data = _open(tmp_path, 'digits', resolution=8, mask_classes=0)
    assert (data.num_patients, data.classes, data.intensity) == (10, ('zero', 'one'), (0, 255))
    assert not data.patients_known
    np.testing.assert_array_equal(data.decoded(8)['image'], np.stack(images))
    ones = _open(tmp_path, 'digits', resolution=8, mask_classes=0, classes=('one',), channels=3)
    np.testing.assert_array_equal(ones.decoded(8)['image'], np.repeat(np.stack(images[1::2]), 3, axis=-1))
    with pytest.raises(DataError, match="window must not be 'dataset'"):
        _open(tmp_path, 'digits', resolution=8, mask_classes=0, window='dataset')


PHANTOM = PhantomOptions(count=24, size=16, modalities=('CT', 'MR'), seed=1, images_per_patient=2)


def test_phantoms_are_drawn_when_missing(tmp_path):
    input_pipeline.ensure_prepared('phantom_small', tmp_path, PHANTOM)
    stamp = (tmp_path / 'phantom_small/1.0.0/summary.json').stat().st_mtime_ns
    input_pipeline.ensure_prepared('phantom_small', tmp_path, PHANTOM)
    assert (tmp_path / 'phantom_small/1.0.0/summary.json').stat().st_mtime_ns == stamp
    other = PhantomOptions(count=24, size=16, modalities=('CT', 'MR'), seed=2, images_per_patient=2)
    with pytest.raises(DataError, match='was drawn with seed=1, not 2'):
        input_pipeline.ensure_prepared('phantom_small', tmp_path, other)
    with pytest.raises(DataError, match=r"no data set 'lungs' .*--name=lungs"):
        input_pipeline.ensure_prepared('lungs', tmp_path, PHANTOM)


def test_no_tensorflow_is_loaded(tmp_path):
    code = f"""
import sys
import input_pipeline as ip
ip.ensure_prepared('phantom', {str(tmp_path)!r}, ip.PhantomOptions(12, 16, ('MR',), 0, 1))
p = ip.Preprocessing(resolution=16, channels=1, window='dataset', fit='pad', mask_classes=0, context=0)
for budget in (0, 10**9):
    data = ip.open_dataset('phantom', {str(tmp_path)!r}, 'train', p, flip_horizontal=False, flip_vertical=False,
                           seed=0, memory_budget_bytes=budget, modalities=(), classes=(), target='class',
                           foreground_share=0.0)
    next(data.batches(16, 0, 4, process_index=0, process_count=1))
assert not {{'tensorflow', 'torch'}} & set(sys.modules)
"""
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
