"""The command: its messages, its exit codes, and that it leaves nothing half-done."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from foundation.export.manifest import DERIVED, write_manifest
from input_pipeline.dataset import catalogue
from input_pipeline.prepare import main
from tests.foundation.export.manifests import MANIFEST
from tests.input_pipeline.items import random_images
from tests.input_pipeline.names import pseudonym


@pytest.fixture
def pictures(tmp_path):
    """A folder per class, twelve patients with two pictures each."""
    folder = tmp_path / 'pictures'
    for number, image in enumerate(random_images(24, (9, 7, 1), np.uint8)):
        path = folder / ('healthy', 'ill')[number % 2] / f'p{number // 2:02d}_{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return folder


def _arguments(folder, *more, name='small'):
    data_dir = folder.parent / 'data'
    return ['--source=image_folder', f'--path={folder}', f'--name={name}', f'--data_dir={data_dir}', *more]


def test_folder_becomes_a_data_set(pictures, capsys):
    assert main(_arguments(pictures, '--modality=DX', r'--patient_pattern=(p\d+)_')) == 0
    output = capsys.readouterr().out
    summary = json.loads((pictures.parent / 'data/small/1.0.0/summary.json').read_text())
    assert sum(summary['splits'].values()) == 24
    assert sum(summary['patients'].values()) == 12
    assert summary['modalities'] == {'DX': 24}
    assert summary['options']['path'] == pseudonym('pictures')  # where it lay is nobody's business
    for text in ('healthy', 'images', 'patients', '9x7', 'DX 24', 'refused     none', 'no patients are known'):
        assert (text in output) == (text != 'no patients are known'), text
    assert re.search(r'python -m gan.main --config=configs/gan/\w+.py .*--config.data.name=small', output)


def test_a_release_that_is_not_whole_is_refused_and_a_foreign_manifest_means_nothing(pictures, capsys):
    (pictures / 'manifest.json').write_text('{"name": "of another program"}')
    assert main(_arguments(pictures, name='foreign')) == 0
    write_manifest(pictures, MANIFEST)
    assert main(_arguments(pictures, name='whole')) == 0
    (pictures / 'ill' / 'p00_1.png').unlink()
    assert main(_arguments(pictures, name='cut')) == 1
    assert 'missing: ill/p00_1.png' in capsys.readouterr().err
    assert not (pictures.parent / 'data' / 'cut').exists()


@pytest.mark.parametrize('place', ['pictures', 'its parent'])
def test_translated_images_are_said_to_be_derived_from_patients(pictures, capsys, place):
    told = 'All of this is derived from patient data: it shows the anatomy'
    write_manifest(pictures if place == 'pictures' else pictures.parent, MANIFEST | {'synthetic': DERIVED})
    sets = pictures.parent.with_name(f'{pictures.parent.name}_sets')  # no part of what the manifest lists
    assert main([*_arguments(pictures), f'--data_dir={sets}']) == 0
    assert told in capsys.readouterr().out
    (summary,) = sets.rglob('summary.json')
    assert any(told in note for note in json.loads(summary.read_text())['notes'])


def test_the_licence_is_kept_and_shown(pictures, capsys):
    assert main(_arguments(pictures, '--licence=CC-BY-4.0', name='stated')) == 0
    assert 'licence     CC-BY-4.0' in capsys.readouterr().out
    assert main(_arguments(pictures, name='silent')) == 0
    assert 'licence     not stated' in capsys.readouterr().out
    summaries = [pictures.parent / f'data/{name}/1.0.0/summary.json' for name in ('stated', 'silent')]
    assert [json.loads(path.read_text())['licence'] for path in summaries] == ['CC-BY-4.0', '']


def test_unknown_patients_are_pointed_out(pictures, capsys):
    assert main(_arguments(pictures)) == 0
    assert 'no patients are known' in capsys.readouterr().out


@pytest.mark.parametrize('column', ['', ',patient'])
def test_a_split_column_tells_no_patient(pictures, column):
    for path in sorted(pictures.rglob('*.png')):
        cv2.imwrite(str(path.with_suffix('.tif')), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 128)
    rows = [
        f'{path.relative_to(pictures)},{path.relative_to(pictures).with_suffix(".tif")},'
        f'{("train", "test")[int(path.stem[1:3]) % 2]}{column and "," + path.stem[:3]}'
        for path in sorted(pictures.rglob('*.png'))
    ]
    (pictures / 'index.csv').write_text('\n'.join([f'image,mask,split{column}', *rows]) + '\n')
    arguments = [argument.replace('image_folder', 'paired_folder') for argument in _arguments(pictures)]
    assert main(arguments) == 0
    summary = json.loads((pictures.parent / 'data/small/1.0.0/summary.json').read_text())
    assert sum(summary['patients'].values()) == (12 if column else 24)
    assert summary['unknown_patients'] == (not column)


def test_bad_file_stops_or_is_listed(pictures, capsys):
    (pictures / 'ill' / 'broken.png').write_bytes(b'no image')
    assert main(_arguments(pictures)) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('prepare: ill/broken.png')
    assert '--on_error=skip' in message
    assert not (pictures.parent / 'data').exists()
    assert main(_arguments(pictures, '--on_error=skip')) == 0
    assert 'refused     1 files:\n  ill/broken.png: ' in capsys.readouterr().out


def test_existing_set_needs_overwrite(pictures, capsys):
    assert main(_arguments(pictures)) == 0
    assert main(_arguments(pictures)) == 1
    assert 'exists already; --overwrite replaces it' in capsys.readouterr().err
    assert main(_arguments(pictures, '--overwrite')) == 0


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--modalty=CT'], 'unknown argument --modalty, did you mean --modality?'),
        (['--on_eror=skip'], 'unknown argument --on_eror, did you mean --on_error?'),
        (['--axis=3'], 'argument --axis: invalid choice: 3'),
        (['--columns=image'], 'invalid mapping like image=FileName,mask=Segmentation'),
        (['--columns=picture=a'], 'of image, mask, label, patient, split'),
        (['--columns=image=a'], '--columns is of use only with --source=paired_folder'),
        (['--mask_threshold=1'], 'reads no masks, so --mask_threshold is of no use'),
        (['--percentiles=5'], "argument --percentiles: invalid pair of percentiles like 0.5,99.5 value: '5'"),
        (['--percentiles=99,1'], 'invalid pair of percentiles'),
        (['--channels=0'], 'invalid count of at least 1'),
    ],
)
def test_wrong_flags_exit_with_one_sentence(pictures, capsys, more, message):
    with pytest.raises(SystemExit) as exit_:
        main(_arguments(pictures, *more))
    assert message in exit_.value.code
    assert '\n' not in exit_.value.code


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--source=image_folder', '--name=x'], '--source=image_folder needs --path'),
        (['--source=phantom', '--name=x', '--path=.'], '--source=phantom takes no --path'),
        (['--source=folder', '--name=x'], 'argument --source: invalid choice'),
        (['--source=phantom'], 'required: --name'),
    ],
)
def test_missing_flags_exit_with_one_sentence(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(arguments)


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--name=Bad-Name'], "'Bad-Name' is not a name"),
        (['--test_fraction=1.0'], 'must together be below 1'),
        (['--path=/nowhere/at/all'], '/nowhere/at/all'),
    ],
)
def test_bad_values_exit_with_1(pictures, capsys, more, message):
    assert main(_arguments(pictures, *more)) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_phantom_needs_no_files(tmp_path, capsys):
    arguments = ['--source=phantom', '--name=phantom', f'--data_dir={tmp_path}', '--count=12', '--size=16']
    assert main([*arguments, '--modalities=CT,MR', '--images_per_patient=1']) == 0
    summary = json.loads((tmp_path / 'phantom/1.0.0/summary.json').read_text())
    assert summary['modalities'] == {'CT': 6, 'MR': 6}
    assert summary['options']['phantom']['modalities'] == ['CT', 'MR']
    assert main([*arguments, '--overwrite', '--modalities=CT,US']) == 1
    assert 'CT, MR, DX' in capsys.readouterr().err


def test_catalogue_without_tensorflow_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(catalogue.importlib.util, 'find_spec', lambda name: None)
    assert main(['--source=catalogue', '--name=cifar10', f'--data_dir={tmp_path}']) == 1
    assert 'pip install "enhanced-gan[catalogue]"' in capsys.readouterr().err


def test_default_folder_is_that_of_tfds(monkeypatch, tmp_path):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    assert catalogue.find_data_dir(None) == tmp_path
    monkeypatch.delenv('TFDS_DATA_DIR')
    assert str(catalogue.find_data_dir(None)).endswith('/tensorflow_datasets')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_stopping_leaves_nothing(tmp_path, number):
    data_dir = tmp_path / 'data'
    command = [sys.executable, '-m', 'input_pipeline.prepare', '--source=phantom', '--name=phantom']
    command += [f'--data_dir={data_dir}', '--count=100000', '--size=64']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob('*.array_record*')) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1] == 'prepare: interrupted; nothing was kept.'
    assert 'Traceback' not in error
    assert not data_dir.exists()
