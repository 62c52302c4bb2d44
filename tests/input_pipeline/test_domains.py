"""Two domains in turn: their orders, pairs, patients of both, and what is refused."""

import functools
import itertools

import numpy as np
import pytest

import input_pipeline
from input_pipeline import DataError, Preprocessing, open_domains, to_unit
from input_pipeline.dataset.summary import RecordTable
from input_pipeline.domains import pair_records
from tests.input_pipeline.items import make_item, random_images, write

UNLIMITED, SIDE = 2**30, 8


def _volume(patient, slices, *, kind, split='train', dtype=np.uint16, number=0):
    """Slices whose values tell patient and slice."""
    base = random_images(1, (SIDE, SIDE, 1), dtype, seed=number)[0]
    images = [base // 2 + np.asarray(own * 1000 % np.iinfo(dtype).max // 2, dtype) for own in range(slices)]
    return make_item(f'{kind}-{patient}', images, patient=patient, split=split, modality=kind)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('domains')
    ct = [_volume(f'p{number}', 3, kind='CT', number=number) for number in range(6)]
    ct.append(_volume('torn', 3, kind='CT', number=7))
    ct.append(_volume('far', 3, kind='CT', split='test', number=8))
    write(ct, folder, 'ct')
    mr = [_volume(f'p{number}', 3 if number < 4 else 2, kind='MR', number=20 + number) for number in range(6)]
    mr += [_volume('torn', 3, kind='MR', split='test', number=27), _volume('only', 2, kind='MR', number=28)]
    write(mr, folder, 'mr')
    write([_volume('a', 4, kind='DX', dtype=np.uint8, number=40)], folder, 'eight')
    return folder


def _opener(data_dir, name, *, seed, budget=UNLIMITED, window='stored', flip=True, modalities=()):
    return functools.partial(
        input_pipeline.open_dataset,
        name,
        data_dir,
        'train',
        Preprocessing(SIDE, 1, window, 'pad', mask_classes=0, context=0),
        flip_horizontal=flip,
        flip_vertical=False,
        seed=seed,
        memory_budget_bytes=budget,
        modalities=modalities,
        classes=(),
        target='class',
        foreground_share=0.0,
    )


def _open(data_dir, source='ct', target='mr', *, paired=False, budget=UNLIMITED, window='stored'):
    openers = [
        _opener(data_dir, name, seed=5 if paired else 5 + number, budget=budget, window=window)
        for number, name in enumerate((source, target))
    ]
    return open_domains(*openers, data_dir=data_dir, split='train', paired=paired)


def _take(data, count, position=0, batch_size=8, process_index=0, process_count=1):
    batches = data.batches(SIDE, position, batch_size, process_index=process_index, process_count=process_count)
    return [batch['image'] for batch in itertools.islice(batches, count)]


def test_a_patient_whom_the_other_domain_has_in_another_split_is_left_out(data_dir):
    data = _open(data_dir)
    assert set(data.source.records.patients) == {f'p{number}' for number in range(6)}
    assert set(data.target.records.patients) == {f'p{number}' for number in range(6)} | {'only'}
    assert (data.source.num_examples, data.target.num_examples) == (18, 18)
    assert data.source.num_patients == 6


@pytest.mark.parametrize('paired', [False, True])
def test_memory_and_disk_give_the_same_bits_from_any_position(data_dir, paired):
    kept, streamed = (_open(data_dir, paired=paired, budget=budget) for budget in (UNLIMITED, 0))
    assert streamed.decoded(SIDE) is None
    whole = _take(kept, 6)
    np.testing.assert_array_equal(whole, _take(streamed, 6))
    np.testing.assert_array_equal(_take(kept, 3, position=24), whole[3:])
    shards = [_take(kept, 6, process_index=index, process_count=2) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(shards, axis=1), whole)


def test_the_rows_that_devices_pick_are_those_of_the_batches(data_dir):
    data = _open(data_dir)
    arrays, chosen = data.decoded(SIDE), data.selection(8, 8)
    rows = to_unit(arrays['image'][chosen['index']])
    flipped = np.where(chosen['flip_horizontal'][:, None, None, None], rows[:, :, ::-1], rows)
    np.testing.assert_array_equal(flipped, _take(data, 1, position=8)[0])
    assert (chosen['index'][0::2] < data.source.num_examples).all()
    assert (chosen['index'][1::2] >= data.source.num_examples).all()


def test_unpaired_domains_are_in_orders_of_their_own(data_dir):
    chosen = _open(data_dir).selection(0, 36)['index']
    source, target = chosen[0::2], chosen[1::2] - 18
    assert sorted(source) == sorted(target) == list(range(18))
    assert (source == target).mean() < 0.5


def test_pairs_show_the_same_slice_and_are_mirrored_together(data_dir):
    data = _open(data_dir, paired=True)
    assert data.source.num_examples == data.target.num_examples == 12  # p4 and p5 have other numbers of slices
    names = [
        [
            (patient, key.rpartition('/')[2])
            for key, patient in zip(own.records.keys, own.records.patients, strict=True)
        ]
        for own in (data.source, data.target)
    ]
    assert names[0] == names[1]
    chosen = data.selection(0, 100)
    assert (chosen['index'][0::2] + 12 == chosen['index'][1::2]).all()
    for flips in (chosen['flip_horizontal'][0::2], chosen['flip_horizontal'][1::2]):
        np.testing.assert_array_equal(flips, chosen['flip_horizontal'][0::2])


def test_equal_keys_of_a_patient_pair_whatever_else_there_is(data_dir):
    one = _open(data_dir).source.records.select([0, 1, 2, 3])
    places = pair_records(one, one.select([3, 1]))
    assert [place.tolist() for place in places] == [[1, 3], [1, 0]]


def _table(keys, patient='p'):
    count = len(keys)
    return RecordTable(
        tuple(keys),
        count * (patient,),
        count * ('',),
        count * ('CT',),
        count * ((),),
        count * (SIDE,),
        count * (SIDE,),
    )


@pytest.mark.parametrize(
    ('source', 'target', 'expected'),
    [
        (['ct/000', 'ct/001', 'ct/002'], ['mr/0000', 'mr/0001', 'mr/0002'], [[0, 1, 2], [0, 1, 2]]),
        (['ct/000', 'ct/001'], ['mr/001', 'mr/002'], [[], []]),  # of each another empty slice is left out
        (['ct/000', 'ct/001'], ['ct/002', 'ct/003'], [[], []]),  # of one volume, by the classes of its slices
        (['ct/000'], ['ct/001'], [[], []]),
        (['ct/000'], ['mr/004'], [[0], [0]]),  # one image of each
        (['left'], ['right'], [[0], [0]]),
    ],
)
def test_slices_pair_by_their_numbers_in_the_volume(source, target, expected):
    places = pair_records(_table(source), _table(target))
    assert [place.tolist() for place in places] == expected


def test_domains_of_8_and_of_16_bits_keep_their_values(data_dir):
    kept, streamed = (_open(data_dir, 'eight', 'mr', budget=budget) for budget in (UNLIMITED, 0))
    assert kept.decoded(SIDE)['image'].dtype == np.uint16
    chosen = kept.selection(0, 8)
    rows = to_unit(kept.decoded(SIDE)['image'][chosen['index']])
    flipped = np.where(chosen['flip_horizontal'][:, None, None, None], rows[:, :, ::-1], rows)
    np.testing.assert_allclose(flipped, _take(streamed, 1)[0], atol=1e-7)


@pytest.mark.parametrize(
    ('names', 'options', 'expected'),
    [
        (('ct', 'ct'), {}, 'source and target are the same images of ct; name another set, or other classes'),
        (('ct', 'mr'), {'window': 'volume'}, "ct: images have a window each, .* set its window to 'dataset'"),
        (('ct', 'eight'), {'paired': True}, 'no image of ct has its counterpart in eight: .*train cyclegan'),
        (('ct', 'none'), {}, "there is no data set 'none'"),
    ],
)
def test_what_cannot_be_translated_is_refused(data_dir, names, options, expected):
    with pytest.raises(DataError, match=expected):
        _open(data_dir, *names, **options)


def test_facts_change_with_the_images(data_dir):
    facts = {_open(data_dir, *names).fingerprint for names in (('ct', 'mr'), ('mr', 'ct'), ('eight', 'mr'))}
    assert len(facts) == 3
    assert _open(data_dir).fingerprint in facts
