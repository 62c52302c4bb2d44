"""The command: from prepared sets and folders to one set, and what it refuses in one sentence."""

import csv
import json

import numpy as np
import pytest

from detect import prepare
from foundation.export.manifest import write_manifest
from input_pipeline.dataset.items import open_splits
from input_pipeline.dataset.summary import read_records
from tests.detect.drawn import save_picture
from tests.foundation.export.manifests import MANIFEST
from tests.input_pipeline import planted
from tests.input_pipeline.items import make_item, random_images, write
from tests.input_pipeline.names import private_paths, pseudonym

SPLITS = ('train', 'validation', 'test')


@pytest.fixture
def data(tmp_path):
    """Returns `run(*flags)`: the exit status of the command on two real images a split and two fakes a folder."""
    images = random_images(6, (16, 16, 1), np.uint8)
    items = [
        make_item(f'i{number}', [image], patient=f'p{number}', split=SPLITS[number // 2], label='ChestCT',
                  intensity=(0.0, 255.0), window=(0.0, 255.0), modality='unknown')
        for number, image in enumerate(images)
    ]  # fmt: skip
    write(items, tmp_path, 'reals')
    for split in SPLITS:
        for number in range(2):
            picture = random_images(1, (20, 16, 1), np.uint8, seed=number)[0]
            save_picture(tmp_path / split / f'{number}.png', picture)

    def run(*flags, fakes=tuple(f'gan={tmp_path / split}@{split}' for split in SPLITS)):
        arguments = ['--name=mixed', '--real', 'reals', f'--data_dir={tmp_path}', '--fakes', *fakes]
        return prepare.main([*arguments, *(flags or ('--resolution=16',))])

    return run


def _summary(tmp_path):
    return open_splits('mixed', tmp_path)['train'].summary


def test_a_set_of_both_classes(data, tmp_path, capsys):
    assert data('--resolution=16', '--modality', 'ChestCT=CT', '--licence=CC0') == 0
    summary = _summary(tmp_path)
    assert summary['classes_by_split'] == {split: {'gan': 2, 'real': 2} for split in SPLITS}
    assert summary['sizes']['largest'] == [16, 16]
    assert (summary['mask_ids'], summary['licence']) == ([0, 1], 'CC0')
    assert summary['modalities'] == {'CT': 6, 'unknown': 6}
    options = summary['options']
    assert (options['source'], options['real'], options['divided']) == ('detection', ['reals'], [])
    assert [(one['name'], one['split']) for one in options['sources']] == [('gan', split) for split in SPLITS]
    form = {'resolution': 16, 'channels': 1, 'window': 'auto', 'fit': 'pad', 'depth': 8, 'pixels': 'square'} | {
        'borders': 'cut'
    }
    assert options['form'] == form
    assert str(tmp_path / 'mixed') in capsys.readouterr().out


def test_sides_may_share_a_generator(data, tmp_path):
    many = tmp_path / 'many'
    for number in range(40):
        save_picture(many / f'{number}.png', random_images(1, (16, 16, 1), np.uint8, seed=number)[0])
    fakes = (f'gan={many}@train', f'gan={tmp_path / "test"}@test')
    assert data('--resolution=16', '--divide=train,validation', fakes=fakes) == 0
    counts = _summary(tmp_path)['classes_by_split']
    assert counts['train']['gan'] + counts['validation']['gan'] == 40
    assert 8 < counts['validation']['gan'] < 32  # half are expected, as of the real images
    assert counts['test']['gan'] == 2
    folder = open_splits('mixed', tmp_path)['train'].folder
    patients = [set(read_records(folder, split).patients) for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients))


@pytest.mark.parametrize(('patient', 'status'), [('reals/p0', 0), ('reals/p2', 1), ('reals/p4', 1)])
def test_an_altered_image_of_a_patient_of_another_side_is_refused(data, tmp_path, capsys, patient, status):
    """p0 is a training patient, p2 one of validation, p4 one of test."""
    altered = tmp_path / 'altered'
    save_picture(altered / 'images' / 'a.png', random_images(1, (16, 16, 1), np.uint8)[0])
    with (altered / 'index.csv').open('w', newline='') as file:
        csv.writer(file).writerows([('image', 'patient', 'split'), ('images/a.png', patient, 'train')])
    fakes = (f'tampered={altered}', *(f'gan={tmp_path / split}@{split}' for split in SPLITS))
    assert data('--resolution=16', fakes=fakes) == status
    if status:
        assert f"patient 'real/{patient}' is in two splits" in capsys.readouterr().err
        assert not (tmp_path / 'mixed').exists()


def test_a_split_without_fakes_is_refused_with_what_to_do(data, tmp_path, capsys):
    assert data('--resolution=16', fakes=(f'gan={tmp_path / "train"}@train',)) == 1
    message = capsys.readouterr().err
    assert 'there are 2 real images and no synthetic ones in the validation split' in message
    assert '--fakes NAME=FOLDER@validation' in message
    assert '--divide=train,validation' in message


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (('--resolution=17',), 'real/reals/i0: is 16 x 16, and enlarging it to 17'),
        (('--resolution=16', '--depth=16'), 'has 8 bits, which would tell it from images of 16'),
        (('--resolution=0',), 'resolution=0'),
        (('--resolution=16', '--window=5,1'), 'the lower end must be below the upper one'),
        (('--resolution=16', '--real', 'nothing'), "there is no data set 'nothing'"),
    ],
)
def test_what_cannot_be_made_alike(data, tmp_path, capsys, flags, expected):
    assert data(*flags) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('detect.prepare: ')
    assert expected in error
    assert not (tmp_path / 'mixed').exists()


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (
            ('--resolution=16', '--divide=train,dev'),
            'dev must name some of train, validation, test',
        ),
        (('--resolution=16', '--modality', 'CT'), 'class and modality like ChestCT=CT'),
        (('--resolution=16', '--window=wide'), 'two numbers like -1000,400'),
        (('--resolution=16', '--fit=native'), 'invalid choice'),
        (('--resolution=16', '--resolutoin=4'), '--resolutoin'),
    ],
)
def test_flags_that_cannot_be(data, flags, expected):
    with pytest.raises(SystemExit) as stopped:
        data(*flags)
    assert expected in str(stopped.value.code)


def test_an_unusable_file_stops_or_is_listed(data, tmp_path, capsys):
    (tmp_path / 'train' / 'bad.png').write_bytes(b'no picture')
    assert data('--resolution=16') == 1
    assert 'bad: is not a readable picture' in capsys.readouterr().err
    assert data('--resolution=16', '--on_error=skip') == 0
    [(refused, reason)] = _summary(tmp_path)['refused'].items()
    assert refused == f'gan/{pseudonym("train/bad")}'
    assert reason.startswith('is not a readable picture: damaged')


def test_an_existing_set_is_not_replaced_unasked(data, tmp_path, capsys):
    assert data('--resolution=16') == 0
    assert data('--resolution=8') == 1
    assert '--overwrite replaces it' in capsys.readouterr().err
    assert data('--resolution=8', '--overwrite') == 0
    assert _summary(tmp_path)['options']['form']['resolution'] == 8


def test_a_real_set_is_never_replaced_by_what_is_made_of_it(data, tmp_path, capsys):
    before = open_splits('reals', tmp_path)['train'].summary
    assert data('--resolution=16', '--name=reals', '--overwrite') == 1
    assert 'reals is what the new set is made of, so it is not replaced' in capsys.readouterr().err
    assert open_splits('reals', tmp_path)['train'].summary == before


def test_a_set_of_the_catalogue_is_refused(data, tmp_path, capsys):
    """It has no list of records; nobody knows its patients."""
    assert data('--resolution=16') == 0
    (tmp_path / 'reals' / '1.0.0' / 'summary.json').unlink()
    assert data('--resolution=16', '--overwrite') == 1
    assert 'reals was not written by input_pipeline.prepare' in capsys.readouterr().err


def test_a_generator_whose_manifest_tells_the_real_set(data, tmp_path, capsys):
    fingerprint = json.loads((tmp_path / 'reals' / '1.0.0' / 'summary.json').read_text())['fingerprint']
    told = MANIFEST['data'] | {'fingerprint': fingerprint, 'split': 'validation'}
    write_manifest(tmp_path / 'train', MANIFEST | {'data': told})
    assert data('--resolution=16') == 1
    assert 'its images cannot be on the train side' in capsys.readouterr().err


def test_names_of_foreign_folders_are_hidden_and_patients_of_the_real_set_known(data, tmp_path):
    """An altered image of a real patient stays his; whoever else an index names is hidden."""
    folder = tmp_path / f'{planted.NAME} files'
    rows = [('a.png', 'reals/p0'), ('b.png', f'{planted.NAME}/{planted.BIRTH}')]
    for number, (name, _) in enumerate(rows):
        save_picture(folder / planted.ACCESSION / name, random_images(1, (16, 16, 1), np.uint8, seed=number)[0])
    with (folder / 'index.csv').open('w', newline='') as file:
        named = [(f'{planted.ACCESSION}/{name}', patient) for name, patient in rows]
        csv.writer(file).writerows([('image', 'patient'), *named])
    fakes = (f'gan={folder}@train', *(f'gan={tmp_path / split}@{split}' for split in SPLITS[1:]))
    assert data('--resolution=16', fakes=fakes) == 0
    assert planted.find_leaks(tmp_path / 'mixed') == []
    made = tmp_path / 'mixed/1.0.0'
    patients = read_records(made, 'train').patients
    assert 'real/reals/p0' in patients
    assert f'real/{planted.NAME}/{planted.BIRTH}' in private_paths(made).values()
    assert _summary(tmp_path)['options']['sources'][0]['folder'] == pseudonym(folder.name)


def test_a_set_without_foreign_folders_needs_no_key(data, tmp_path, monkeypatch):
    monkeypatch.setenv('ENHANCED_GAN_KEY', str(tmp_path / 'none'))
    for split in SPLITS:
        write_manifest(tmp_path / split, MANIFEST)
    assert data('--resolution=16') == 0
    assert not (tmp_path / 'mixed/1.0.0' / planted.PRIVATE).exists()
    (tmp_path / 'test' / 'manifest.json').unlink()
    assert data('--resolution=16', '--overwrite') == 1
