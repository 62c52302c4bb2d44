"""Data sets out of others: which patients, which images, which masks, and that the test split stays as it is."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from input_pipeline.decode import open_split
from input_pipeline.derive import main
from input_pipeline.order import favour, shuffled_indices
from tests.input_pipeline.items import make_item, random_images, write

SPLITS = ('train', 'validation', 'test')
PATIENTS = {'train': range(10), 'validation': range(10, 13), 'test': range(13, 17)}


def _masks(image):
    return [(image[..., :1] // 90).astype(np.uint8)]


def _items(patients_known=True):
    """Two images of each patient, of different sizes."""
    items = []
    for split, numbers in PATIENTS.items():
        for number in numbers:
            for exposure in range(2):
                image = random_images(1, (12, 9 + exposure, 1), np.uint8, 2 * number + exposure)[0]
                key = f'i{number:02d}_{exposure}'
                patient = f'p{number:02d}' if patients_known else None
                items.append(make_item(key, [image], patient=patient, split=split, masks=_masks(image)))
    return items


def _generated(count, channels=1, with_masks=True, size=(12, 9)):
    items = []
    for number in range(count):
        image = random_images(1, (*size, channels), np.uint8, 1000 + number)[0]
        masks = _masks(image) if with_masks else None
        items.append(make_item(f'g{number:02d}', [image], split='train', masks=masks))
    return items


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write(_items(), folder, 'source')
    write(_items(patients_known=False), folder, 'unknown')
    write(_generated(24), folder, 'generated')
    write(_generated(4, with_masks=False), folder, 'unmarked')
    write(_generated(60, channels=3), folder, 'colour')
    write([*_generated(1), *_generated(3, size=(7, 30))[1:]], folder, 'sizes')
    held_out = [item for item in _items() if item.split == 'test']
    write([dataclasses.replace(item, split='train') for item in held_out], folder, 'held_out')
    return folder


@pytest.fixture
def derive(data_dir, tmp_path, capsys):
    """Returns `derive(**flags)`: the name and the summary of a new set."""
    numbers = itertools.count()

    def run(**flags):
        name = f'{tmp_path.name}_{next(numbers)}'.replace('-', '_')
        flags = {'source': 'source', 'name': name, 'data_dir': data_dir} | flags
        texts = [f'--{flag}' if value is True else f'--{flag}={value}' for flag, value in flags.items()]
        assert main(texts) == 0, capsys.readouterr().err
        return flags['name'], json.loads((data_dir / flags['name'] / '1.0.0' / 'summary.json').read_text())

    return run


def _read(data_dir, name, split):
    opened = open_split(data_dir / name / '1.0.0', split)
    return {record.key: record for record in map(opened.read, range(len(opened.records)))}


def _patients(data_dir, name, split='train'):
    return {record.patient for record in _read(data_dir, name, split).values()}


def _assert_same(records, others):
    assert records.keys() == others.keys()
    for key, record in records.items():
        for field in ('image', 'mask'):
            np.testing.assert_array_equal(getattr(record, field), getattr(others[key], field))
        for field in ('patient', 'label', 'intensity', 'window', 'spacing', 'modality'):
            assert getattr(record, field) == getattr(others[key], field)


def test_smaller_shares_are_parts_of_larger_ones(data_dir, derive):
    kept = {}
    for share, count in ((0.01, 1), (0.1, 1), (0.25, 2), (0.5, 5), (1.0, 10)):
        name, summary = derive(train_fraction=share)
        kept[share] = _patients(data_dir, name)
        assert len(kept[share]) == count
        assert summary['patients']['train'] == count
        assert summary['options']['train_patients'] == sorted(kept[share])
        assert summary['splits']['train'] == 2 * count  # all images of each
    assert kept[0.01] <= kept[0.25] < kept[0.5] < kept[1.0]
    others = {frozenset(_patients(data_dir, derive(train_fraction=0.25, seed=seed)[0])) for seed in range(1, 6)}
    assert len(others) > 2


@pytest.mark.parametrize(
    'flags',
    [
        {'train_fraction': 0.5},
        {'added': 'generated', 'added_ratio': 1.0},
        {'added': 'generated', 'added_ratio': 0.5, 'added_only': True, 'shuffle_masks': True},
        {'repeat': 3},
        {'added': 'colour', 'added_ratio': 3.0},
    ],
)
def test_validation_and_test_stay_as_they_are(data_dir, derive, flags):
    name, _ = derive(**flags)
    for split in ('validation', 'test'):
        _assert_same(_read(data_dir, name, split), _read(data_dir, 'source', split))
    patients = [_patients(data_dir, name, split) for split in SPLITS]
    assert not patients[0] & (patients[1] | patients[2])
    assert not patients[1] & patients[2]
    originals = _patients(data_dir, 'source') if not flags.get('added_only') else set()
    assert {patient for patient in patients[0] if not patient.startswith('added/')} <= originals


def test_folds_share_out_the_patients_of_training_and_validation(data_dir, derive):
    names = [derive(folds=4, fold=fold)[0] for fold in range(4)]
    everybody = _patients(data_dir, 'source') | _patients(data_dir, 'source', 'validation')
    held_out = [_patients(data_dir, name, 'validation') for name in names]
    assert sorted(patient for own in held_out for patient in own) == sorted(everybody)
    assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
    for name, own in zip(names, held_out, strict=True):
        assert _patients(data_dir, name) == everybody - own
        _assert_same(_read(data_dir, name, 'test'), _read(data_dir, 'source', 'test'))
    both = [_read(data_dir, names[0], split) for split in ('train', 'validation')]
    former = [_read(data_dir, 'source', split) for split in ('train', 'validation')]
    _assert_same(both[0] | both[1], former[0] | former[1])


def test_folds_of_unknown_patients_are_dealt_in_blocks_of_neighbours(data_dir, derive):
    keys = [key for split in ('train', 'validation') for key in _read(data_dir, 'unknown', split)]
    blocks = [set(keys[start : start + 4]) for start in range(0, len(keys), 4)]  # 20 of training, 6 of validation
    held_out = [
        set(_read(data_dir, derive(source='unknown', folds=3, fold=fold, block=4)[0], 'validation'))
        for fold in range(3)
    ]
    assert sorted(itertools.chain(*held_out)) == sorted(keys)
    assert all(block <= own or not block & own for block in blocks for own in held_out)


def test_the_same_command_gives_the_same_set(data_dir, derive):
    flags = {'train_fraction': 0.5, 'added': 'generated', 'added_ratio': 1.0, 'shuffle_masks': True}
    first, again, other = (derive(**flags, seed=seed)[1]['fingerprint'] for seed in (3, 3, 4))
    assert first == again != other


def test_what_was_asked_for_is_recorded(derive):
    _, summary = derive(train_fraction=0.5, licence='CC0-1.0')
    assert summary['licence'] == 'CC0-1.0'
    assert summary['options']['derivation']['train_fraction'] == 0.5
    assert derive()[1]['licence'] == 'CC0'  # that of the source


def test_repeated_images_are_of_the_same_patient(data_dir, derive):
    name, summary = derive(repeat=3, train_fraction=0.5)
    records = _read(data_dir, name, 'train')
    assert summary['splits']['train'] == len(records) == 30
    assert summary['patients']['train'] == 5
    originals = _read(data_dir, 'source', 'train')
    for key, record in records.items():
        original = originals[key.rpartition('/')[2]]
        assert record.patient == original.patient
        np.testing.assert_array_equal(record.image, original.image)
        np.testing.assert_array_equal(record.mask, original.mask)


@pytest.mark.parametrize(
    ('ratio', 'fraction', 'repeat'), [(0.5, 1.0, 1), (1.2, 1.0, 1), (2.0, 0.5, 1), (0.1, 1.0, 2)]
)
def test_added_images_are_so_many_for_each_of_the_source(data_dir, derive, ratio, fraction, repeat):
    flags = {'added': 'generated', 'added_ratio': ratio, 'train_fraction': fraction, 'repeat': repeat}
    records = _read(data_dir, derive(**flags)[0], 'train')
    added = {key: record for key, record in records.items() if key.startswith('added/')}
    count = round(20 * fraction)
    assert (len(added), len(records) - len(added)) == (round(ratio * count), count * repeat)
    generated = _read(data_dir, 'generated', 'train')
    for key, record in added.items():
        assert record.patient == key
        np.testing.assert_array_equal(record.image, generated[key.removeprefix('added/')].image)
        np.testing.assert_array_equal(record.mask, generated[key.removeprefix('added/')].mask)


def test_added_images_alone(data_dir, derive):
    name, _ = derive(added='generated', added_ratio=1.0, added_only=True)
    assert len(_read(data_dir, name, 'train')) == 20
    assert all(patient.startswith('added/') for patient in _patients(data_dir, name))


def test_shuffled_masks_are_dealt_among_the_added_images_and_none_is_lost(data_dir, derive):
    flags = {'added': 'generated', 'added_ratio': 1.0}
    plain, shuffled = (
        _read(data_dir, derive(**flags, **more)[0], 'train') for more in ({}, {'shuffle_masks': True})
    )
    assert plain.keys() == shuffled.keys()
    moved, masks = 0, {True: [], False: []}
    for key, record in plain.items():
        np.testing.assert_array_equal(record.image, shuffled[key].image)
        if key.startswith('added/'):
            moved += not np.array_equal(record.mask, shuffled[key].mask)
            masks[True].append(record.mask.tobytes())
            masks[False].append(shuffled[key].mask.tobytes())
        else:
            np.testing.assert_array_equal(record.mask, shuffled[key].mask)
    assert moved > 14  # of 20; one is expected to get its own
    assert sorted(masks[True]) == sorted(masks[False])


def test_blocks_of_neighbours_count_as_patients(data_dir, derive):
    name, summary = derive(source='unknown', block=4, train_fraction=0.6)
    assert summary['patients'] == {'train': 3, 'validation': 2, 'test': 2}
    assert not summary['unknown_patients']
    keys = sorted(_read(data_dir, 'unknown', 'train'))
    blocks = {}
    for key, record in _read(data_dir, name, 'train').items():
        blocks.setdefault(record.patient, []).append(keys.index(key))
    for places in blocks.values():
        assert [place - places[0] for place in places] == [0, 1, 2, 3]
        assert places[0] % 4 == 0


def test_smaller_images_keep_masks_and_spacing(data_dir, derive):
    name, summary = derive(resolution=6)
    assert summary['sizes']['most_common'] == [6, 6]
    originals = _read(data_dir, 'source', 'test')
    for key, record in _read(data_dir, name, 'test').items():
        original = originals[key]
        assert record.image.shape == record.mask.shape == (6, 6, 1)
        assert record.image.dtype == np.uint8
        np.testing.assert_allclose(record.spacing, (1.0, 1.0, 2.0))  # twelve rows of 0.5 mm became six
        inside = record.image[:, 1:5] if original.image.shape[1] == 9 else record.image[:, :5]
        assert abs(inside.mean() - original.image.mean()) < 12
        assert set(np.unique(record.mask)) <= set(np.unique(original.mask))


REFUSALS = [
    ({'train_fraction': 0.0}, 'train_fraction=0.0 must be above 0 and at most 1.'),
    ({'train_fraction': 1.5}, 'train_fraction=1.5 must be above 0'),
    ({'added_ratio': 1.0}, 'say what to do with added images: name a set.'),
    ({'shuffle_masks': True}, 'say what to do with added images: name a set.'),
    ({'added': 'generated'}, 'added=generated adds nothing with added_ratio=0'),
    ({'added': 'generated', 'added_ratio': -1.0}, 'finite and not negative'),
    ({'added': 'generated', 'added_ratio': float('nan')}, 'the others finite'),
    ({'added': 'generated', 'added_ratio': float('inf')}, 'the others finite'),
    ({'resolution': -1}, 'resolution=-1'),
    ({'resolution': 100_000}, 'resolution=100000 is more than 16384; make it smaller.'),
    ({'fold': 1}, 'fold=1 of folds=0: give 2 folds or more'),
    ({'folds': 1}, 'fold=0 of folds=1'),
    ({'folds': 3, 'fold': 3}, 'fold=3 of folds=3: give 2 folds or more, and a fold from 0 to one less.'),
    ({'source': 'unknown', 'folds': 3}, 'unknown knows no patients, and images dealt one by one'),
    ({'folds': 14}, 'source has 13 patients in training and validation, fewer than 14 folds; take fewer.'),
    ({'block': 2}, 'source knows its patients; leave block out.'),
    ({'added': 'generated', 'added_ratio': 2.0}, 'generated has 24 training images, but 40 are to be added'),
    ({'added': 'generated', 'added_ratio': 0.01}, 'comes to no image'),
    ({'added': 'generated', 'added_ratio': 0.01, 'added_only': True}, 'comes to no image'),
    ({'added': 'held_out', 'added_ratio': 0.1}, 'held_out trains on patient'),
    ({'added': 'unmarked', 'added_ratio': 0.1}, 'source has masks, but unmarked has none'),
    ({'source': 'unmarked', 'added': 'source', 'added_ratio': 0.5}, 'source has masks, but unmarked has none'),
    ({'added': 'sizes', 'added_ratio': 0.15, 'shuffle_masks': True}, 'give a resolution'),
    ({'source': 'nowhere'}, 'nowhere'),
    ({'added': 'nowhere', 'added_ratio': 1.0}, 'nowhere'),
    ({'name': 'source'}, 'this data set exists already; --overwrite replaces it.'),
    ({'name': 'source', 'overwrite': True}, 'source is what the new set is made of, so it is not replaced'),
    (
        {'name': 'generated', 'added': 'generated', 'added_ratio': 1.0, 'overwrite': True},
        'generated is what the new set is made of',
    ),
]


@pytest.mark.parametrize(('flags', 'expected'), REFUSALS)
def test_what_has_no_meaning_is_refused_in_one_sentence(data_dir, capsys, flags, expected):
    flags = {'source': 'source', 'name': 'refused', 'data_dir': data_dir} | flags
    texts = [f'--{flag}' if value is True else f'--{flag}={value}' for flag, value in flags.items()]
    assert main(texts) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('derive: ')]
    assert len(error) == 1
    assert expected in error[0]
    assert not (data_dir / 'refused').exists()


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (['--repeat=0'], 'count of at least 1'),
        (['--train_fraction=many'], 'invalid float'),
        (['--tran_fraction=1'], 'did you mean --train_fraction?'),
        (['--name'], '--name'),
    ],
)
def test_flags_that_cannot_be_read_end_the_command(flags, expected):
    with pytest.raises(SystemExit) as ended:
        main(['--source=a', '--name=b', *flags])
    assert str(ended.value.code).startswith('derive: ')  # exit status 1, as a text has
    assert expected in ended.value.code


@pytest.mark.parametrize('share', [0.0, 0.1, 0.33, 0.5, 0.9, 1.0])
def test_favoured_examples_take_their_share_of_the_places(share):
    size, favoured = 50, np.array([3, 7, 8, 40])
    length, start = 6000, 12345
    plain = shuffled_indices(5, start, length, size)
    mixed = favour(plain, favoured, share, 5, start)
    replaced = np.arange(start, start + length + 1) * share // 1
    chosen = np.diff(replaced) > 0
    np.testing.assert_array_equal(mixed[~chosen], plain[~chosen])
    assert set(mixed[chosen]) <= set(favoured)
    assert abs(chosen.sum() - share * length) <= 1
    counts = np.bincount(mixed[chosen], minlength=size)[favoured]
    assert np.ptp(counts) <= 2  # each as often, over whole epochs of their own


def test_favoured_examples_do_not_depend_on_how_the_sequence_is_cut():
    favoured, share, length = np.array([1, 2, 9]), 0.33, 500
    whole = favour(shuffled_indices(5, 0, length, 20), favoured, share, 5, 0)
    generator = np.random.default_rng(0)
    for _ in range(20):
        cuts = [0, *sorted(generator.choice(np.arange(1, length), 7, replace=False).tolist()), length]
        pieces = [
            favour(shuffled_indices(5, begin, end - begin, 20), favoured, share, 5, begin)
            for begin, end in itertools.pairwise(cuts)
        ]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert (favour(shuffled_indices(6, 0, length, 20), favoured, share, 6, 0) != whole).any()
