"""The command from flags and paths to files and exit code; a stand-in takes the place of the network."""

import json
import shutil

import cv2
import nibabel as nib
import numpy as np
import pytest

from tests.gan.command import Commands, read_files
from tests.input_pipeline.series import random_values, save_series

COMMAND = 'tests.segment.predict_by_threshold'


@pytest.fixture(scope='module')
def commands(tmp_path_factory):
    """Commands of the project."""
    return Commands(tmp_path_factory.mktemp('shared'))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """A picture, a series, and a volume."""
    folder = tmp_path_factory.mktemp('images')
    cv2.imwrite(str(folder / 'a.png'), np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8))
    save_series(folder / 'ct', random_values(2, 6, 8), [0.0, 1.0])
    nib.save(nib.Nifti1Image(random_values(5, 6, 7), np.diag([2.0, 3.0, 4.0, 1.0])), folder / 'v.nii.gz')
    return folder


def test_every_file_is_answered_and_the_exit_code_tells_of_bad_ones(commands, images, tmp_path):
    bad = tmp_path / 'bad.nii.gz'
    bad.write_bytes(b'no volume')
    out = tmp_path / 'out'
    flags = (f'--workdir={tmp_path}/run', f'--out={out}')
    done = commands.run(COMMAND, *flags, str(images / 'a.png'), str(bad), '--axis=1', str(images))
    assert done.returncode == 1, done.stdout
    assert 'Traceback' not in done.stdout
    assert '3 of 3 cases segmented' in done.stdout
    assert 'bad.nii.gz: is not readable as NIfTI' in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith('Error: 1 of the files could not be segmented')
    table = json.loads((out / 'predictions.json').read_text())
    assert table['command']['axis'] == 1
    assert table['command']['largest_part_alone'] == ['Läsion 病変']
    assert 'Of Läsion 病変 the largest part alone is kept' in done.stdout
    assert sorted(row['slices'] for row in table['answered']) == [1, 2, 6]
    assert all((out / row['mask']).is_file() and (out / row['overlay']).is_file() for row in table['answered'])


def test_a_folder_without_any_image_is_told_what_to_name(commands, tmp_path):
    (tmp_path / 'empty').mkdir()
    done = commands.run(COMMAND, f'--workdir={tmp_path}/run', f'--out={tmp_path}/out', str(tmp_path / 'empty'))
    assert done.returncode == 1
    assert 'can be segmented; name pictures, DICOM files or volumes' in done.stdout
    assert not (tmp_path / 'out').exists()


def test_without_bad_files_the_exit_code_is_0_and_the_next_step_is_told(commands, images, tmp_path):
    folder = shutil.copytree(images, tmp_path / 'images')
    out = tmp_path / 'out'
    flags = (f'--workdir={tmp_path}/run', f'--out={out}', '--format=png', '--percentiles=1,99')
    done = commands.run(COMMAND, *flags, str(folder))
    assert done.returncode == 0, done.stdout
    assert f'Next: look at {out / "overlays"}' in done.stdout
    assert {path.suffix for path in (out / 'masks').rglob('*') if path.is_file()} == {'.png'}


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_same_bytes_in_the_end(commands, images, tmp_path):
    flags = (f'--workdir={tmp_path}/run', '--format=png', str(images))
    done = commands.run('tests.segment.predict_until_killed', f'--out={tmp_path}/out', *flags)
    assert done.returncode == -9, done.stdout
    assert not (tmp_path / 'out').exists()
    done = commands.run(COMMAND, f'--out={tmp_path}/out', *flags)
    assert 'Going on with 2 answers' in done.stdout
    assert '3 of 3 cases segmented' in done.stdout
    done = commands.run(COMMAND, f'--out={tmp_path}/whole', *flags)
    assert 'Going on' not in done.stdout
    assert read_files(tmp_path / 'out') == read_files(tmp_path / 'whole')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out', 'whole']
