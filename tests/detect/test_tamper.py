"""Tampered copies of a prepared data set: whose, where, as what, and how they come back as altered volumes."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from detect import prepare, tamper
from detect.data import binary_labels
from detect.recipe import create_recipe
from detect.tampering import copies
from detect.tampering.copies import choose_patients
from detect.tampering.stacks import Listed
from input_pipeline.cases import number_volumes
from input_pipeline.dataset.items import open_splits
from input_pipeline.readers.raster import read_picture
from tests.detect.volumes import SHAPE, SPLITS, draw_lesions, write_volumes

SMALL = ['--side=8', '--blank=4', '--seam=1', '--width=2', '--steps=2']
DTYPES = {'uint8': np.uint8, 'uint16': np.uint16, 'float32': np.float32}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    """Volumes of every stored type, some without masks, single images, and what cannot be tampered with."""
    folder = tmp_path_factory.mktemp('tamper')
    for name, dtype in DTYPES.items():
        write_volumes(folder, f'volumes_{name}', dtype=dtype)
    write_volumes(folder, 'unmarked', masks=False)
    write_volumes(folder, 'singles', slices=1)
    write_volumes(folder, 'colours', channels=3)
    write_volumes(folder, 'empty', lesions=False)
    write_volumes(folder, 'descending', dtype=np.uint16, intensity=(3071.0, -1024.0))
    return folder


@pytest.fixture(scope='module')
def run(data_dir, tmp_path_factory):
    """Returns `run(data, kind, *flags)`: the folder, and rows of its index. Its inpainters fill in the median."""

    def run(data, kind, *flags):
        out = tmp_path_factory.mktemp('out') / 'copies'
        arguments = [f'--data={data}', f'--kind={kind}', f'--out={out}', f'--data_dir={data_dir}', *SMALL, *flags]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(copies, 'fit_inpainter', _fit_median)
            assert tamper.main(arguments) == 0
        return out, _read_index(out)

    return run


def _fit_median(cubes, region, *, width, steps, batch_size, seed):
    assert len(cubes) > 100
    return lambda cube: np.full_like(cube, np.median(cube[cube > -1]))


def _read_index(folder):
    with (folder / 'index.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def _records(data_dir, name):
    """All records by patient, in their order, and the split of each patient."""
    records, splits = {}, {}
    for split_name, split in open_splits(name, data_dir).items():
        for place in range(len(split.records)):
            record = split.read(place)
            records.setdefault(record.patient, []).append(record)
            splits[record.patient] = split_name
    return records, splits


def _pixels(folder, row, column):
    return read_picture(folder / row[column], 2**20)[..., 0]


@pytest.mark.parametrize('data', [*(f'volumes_{name}' for name in DTYPES), 'descending', 'singles'])
@pytest.mark.parametrize('kind', ['removed', 'identity'])
def test_what_the_mask_does_not_mark_stays_bit_for_bit(run, data_dir, data, kind):
    folder, rows = run(data, kind)
    records, splits = _records(data_dir, data)
    changed = {}
    places = dict.fromkeys(records, 0)
    for row in rows:
        set_name, _, patient = row['patient'].partition('/')
        record = records[patient][places[patient]]
        places[patient] += 1
        image, mask = _pixels(folder, row, 'image'), _pixels(folder, row, 'mask')
        assert (set_name, row['split'], row['label']) == (data, splits[patient], record.label)
        assert row['modality'] == 'MR'
        assert image.dtype == record.image.dtype
        assert set(np.unique(mask).tolist()) <= {0, 255}
        np.testing.assert_array_equal(image[mask == 0], record.image[..., 0][mask == 0])
        changed.setdefault(patient, []).append(mask > 0)
        for name in ('spacing', 'intensity', 'window'):
            assert tuple(map(float, row[name].split())) == getattr(record, name)
    for patient, masks in changed.items():
        foreground = np.stack([record.mask[..., 0] > 0 for record in records[patient]])
        assert len(masks) == len(records[patient])  # every slice
        assert (np.stack(masks) & foreground).any()  # where lesions are
        assert not np.stack(masks).all(axis=(1, 2)).any()


def test_lesions_go_where_there_is_none(run, data_dir):
    folder, rows = run('volumes_uint16', 'injected')
    records, _ = _records(data_dir, 'volumes_uint16')
    for row in rows:
        patient = row['patient'].partition('/')[2]
        record = records[patient][int(row['image'].rpartition('/')[2].removesuffix('.png'))]
        assert not (record.mask[..., 0] > 0)[_pixels(folder, row, 'mask') > 0].any()
    assert len({row['volume'] for row in rows}) == len(rows) // SHAPE[0]


def test_the_control_is_in_the_same_places_and_keeps_what_was_there(run, data_dir):
    records, _ = _records(data_dir, 'volumes_uint16')
    errors, places = {}, {}
    for kind in ('identity', 'removed'):
        folder, rows = run('volumes_uint16', kind)
        places[kind] = [[row[name] for name in ('patient', 'volume', 'row', 'column', 'slice')] for row in rows]
        changes = []
        for row in rows:
            record = records[row['patient'].partition('/')[2]][int(Path(row['image']).stem)]
            mask = _pixels(folder, row, 'mask') > 0
            changes.append(np.abs(_pixels(folder, row, 'image') - record.image[..., 0].astype(float))[mask])
        errors[kind] = np.concatenate(changes).mean() / 16  # in the 12 bits of the drawing
    assert places['identity'] == places['removed']
    assert 0 < errors['identity'] < errors['removed'] / 2
    assert errors['removed'] > 200  # of the 800 that lesions are brighter


@pytest.mark.parametrize(('share', 'patients'), [(0.5, {'train': 4, 'validation': 2, 'test': 2}),
                                                 (0.01, dict.fromkeys(SPLITS, 1)), (1, SPLITS)])  # fmt: skip
def test_a_share_of_the_patients_of_each_split(run, share, patients):
    _, rows = run('unmarked', 'identity', f'--share={share}')
    chosen = {(row['split'], row['patient']) for row in rows}
    assert {split: sum(own == split for own, _ in chosen) for split in SPLITS} == patients
    assert len(rows) == SHAPE[0] * len(chosen)


def test_splits_and_copies(run):
    folder, rows = run('unmarked', 'identity', '--splits=test', '--per_volume=3', '--share=1')
    assert {row['split'] for row in rows} == {'test'}
    centres = {(row['volume'], row['row'], row['column'], row['slice']) for row in rows}
    assert len(centres) == 3 * SPLITS['test']
    assert len(rows) == 3 * SPLITS['test'] * SHAPE[0]
    assert json.loads((folder / 'tampering.json').read_text())['splits'] == ['test']


@pytest.mark.slow
def test_a_trained_inpainter_makes_both_volumes_and_single_images(data_dir, tmp_path, capsys):
    for data in ('volumes_uint8', 'singles'):
        out = tmp_path / data
        arguments = [f'--data={data}', '--kind=removed', f'--out={out}', f'--data_dir={data_dir}', *SMALL]
        assert tamper.main([*arguments, '--splits=test']) == 0
        assert f'--real {data} --fakes removed={out}' in capsys.readouterr().out
        images = [_pixels(out, row, 'image') for row in _read_index(out)]
        assert len(images) == 2 * (1 if data == 'singles' else SHAPE[0])
        assert all(image.dtype == np.uint8 and np.ptp(image) > 0 for image in images)


def test_an_inpainter_knows_its_own_split_alone(run, data_dir, monkeypatch):
    seen = []

    def fit(stacks, count, *arguments, **options):
        own = list(stacks)
        seen.append({stack.case.patient for stack in own})
        assert count == len(own)
        return dict.fromkeys((1, 8), lambda cube: cube)

    monkeypatch.setattr(tamper, 'fit_inpainters', fit)
    run('volumes_uint8', 'removed')
    _, splits = _records(data_dir, 'volumes_uint8')
    assert seen == [{patient for patient, own in splits.items() if own == name} for name in SPLITS]


def test_the_same_seed_chooses_the_same_patients():
    listed = [Listed(f'v{number}', f'p{number // 2}', (number,)) for number in range(40)]
    chosen = choose_patients(listed, 0.5, 0)
    assert len(chosen) == 10
    assert chosen == choose_patients(listed[::-1], 0.5, 0)
    assert chosen != choose_patients(listed, 0.5, 1)
    assert chosen > choose_patients(listed, 0.2, 0)


@pytest.mark.parametrize(
    ('data', 'kind', 'flags', 'expected'),
    [
        ('unmarked', 'injected', [], 'unmarked has no masks of what there is to inject'),
        ('colours', 'removed', [], 'no volume shows tissue'),
        ('colours', 'identity', [], 'is in colour, and only grey images'),
        ('empty', 'injected', [], 'no volume shows anything in its mask'),
        (
            'empty',
            'identity',
            [],
            'no volume of the train split can be altered; of .*The mask of a volume shows',
        ),
        ('unmarked', 'removed', ['--side=10'], '--side=10 is no multiple of 4'),
        ('unmarked', 'removed', ['--blank=8'], '--side, --blank and --seam'),
        ('nothing', 'removed', [], "there is no data set 'nothing'"),
    ],
)
def test_refusals_leave_nothing_behind(data_dir, tmp_path, capsys, data, kind, flags, expected):
    out = tmp_path / 'copies'
    arguments = [f'--data={data}', f'--kind={kind}', f'--out={out}', f'--data_dir={data_dir}', *SMALL, *flags]
    assert tamper.main(arguments) == 1
    error = capsys.readouterr().err.split('detect.tamper: ')[-1]
    assert re.search(expected, error)
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_kept(data_dir, tmp_path, capsys):
    (tmp_path / 'mine.txt').write_text('mine')
    arguments = ['--data=unmarked', '--kind=identity', f'--out={tmp_path}', f'--data_dir={data_dir}', *SMALL]
    assert tamper.main(arguments) == 1
    assert 'exists already' in capsys.readouterr().err
    assert (tmp_path / 'mine.txt').read_text() == 'mine'


@pytest.mark.parametrize('flag', ['--share=0', '--share=1.5', '--per_volume=0', '--splits=none', '--kind=other'])
def test_flags_that_mean_nothing(flag, tmp_path):
    with pytest.raises(SystemExit, match=r'detect.tamper: .*--help explains the flags'):
        tamper.main(['--data=unmarked', '--kind=identity', f'--out={tmp_path / "x"}', flag])


@pytest.mark.parametrize('name', DTYPES)
def test_copies_become_volumes_of_the_same_patients_alike_but_for_what_was_altered(
    run, data_dir, name, create_config
):
    """Unaltered slices are the same pixels as in the real volume, and count as real."""
    data = f'volumes_{name}'
    folder, _ = run(data, 'removed')
    arguments = [
        f'--name=mixed_{name}',
        '--real',
        data,
        '--fakes',
        f'removed={folder}',
        f'--resolution={SHAPE[1]}',
    ]
    assert prepare.main([*arguments, f'--data_dir={data_dir}']) == 0
    for split_name, split in open_splits(f'mixed_{name}', data_dir).items():
        records = [split.read(place) for place in range(len(split.records))]
        reals = {record.patient: [] for record in records}
        for record in records:
            if record.label == 'real':
                reals[record.patient].append(record)
        fakes = [record for record in records if record.label == 'removed']
        assert len(fakes) == SHAPE[0] * SPLITS[split_name] / 2
        for number, record in enumerate(fakes):
            real = reals[record.patient][number % SHAPE[0]]
            same = record.mask == 0
            np.testing.assert_array_equal(record.image[same], real.image[same])
            assert (record.modality, record.spacing) == (real.modality, real.spacing) == ('MR', (1.0, 1.0, 1.0))
            assert (record.intensity, record.window) == (real.intensity, real.window)
        assert any((record.image != reals[record.patient][number % SHAPE[0]].image).any()
                   for number, record in enumerate(fakes))  # fmt: skip
        config = create_config(
            {'data.name': f'mixed_{name}', 'data.data_dir': str(data_dir), 'resolution': SHAPE[1]}
        )
        images = create_recipe(config).data.open(split_name, train=False)
        numbers = number_volumes(images.records.keys, images.records.patients)
        assert np.bincount(numbers).tolist() == [SHAPE[0]] * round(1.5 * SPLITS[split_name])
        expected = [int(record.label == 'removed' and record.mask.any()) for record in records]
        np.testing.assert_array_equal(binary_labels(images), expected)
        assert 0 < sum(expected) < len(fakes)


@pytest.mark.parametrize(('column', 'text'), [('intensity', '0'), ('window', 'nan 3'), ('spacing', '1 1 x')])
def test_an_index_with_bad_numbers_is_refused(run, data_dir, tmp_path, capsys, column, text):
    folder, rows = run('singles', 'identity')
    shutil.copytree(folder, tmp_path / 'copies')
    with (tmp_path / 'copies' / 'index.csv').open('w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([rows[0] | {column: text}, *rows[1:]])
    fakes, flags = f'identity={tmp_path / "copies"}', ['--resolution=16', f'--data_dir={data_dir}']
    assert prepare.main(['--name=bad', '--real', 'singles', '--fakes', fakes, *flags]) == 1
    assert f"index.csv: {column} of {rows[0]['image']} is '{text}'; give" in capsys.readouterr().err


def test_drawn_lesions_are_what_the_masks_show():
    volume, mask = draw_lesions(0)
    assert volume[mask].mean() > volume[~mask].mean() + 100
