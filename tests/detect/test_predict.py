"""Files of every kind get a line each: an answer, or the error."""

import hashlib
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.detect import drawn
from tests.gan.command import Commands, read_files
from tests.input_pipeline.series import random_values, save_frames, save_series
from tests.input_pipeline.test_inputs import NO_IMAGES

pytestmark = [  # of the real files; `detect.predict` silences these
    pytest.mark.filterwarnings('ignore:Expected explicit VR:UserWarning'),
    pytest.mark.filterwarnings('ignore:End of file reached before delimiter:UserWarning'),
]


@pytest.mark.parametrize(
    ('name', 'depth'),
    [('a.png', 8), ('a.png', 16), ('a.tif', 8), ('a.tif', 16), ('a.bmp', 8), ('a.jpg', 8), ('a.webp', 8)],
)
def test_pictures_of_all_formats(answer, judge, tmp_path, pictures, name, depth):
    picture = pictures[1][0]
    path = drawn.save_picture(tmp_path / 'in' / name, picture if depth == 8 else picture.astype(np.uint16) * 257)
    (line,) = answer(path).values()
    assert line['verdict'] in ('real', 'synthetic', "don't know")
    assert 0 < line['probability'] < 1
    assert (line['kind'], line['modality'], line['declared_synthetic']) == ('raster', 'unknown', None)
    assert line['files'] == [{'path': str(path), 'sha256': hashlib.sha256(path.read_bytes()).hexdigest()}]
    assert line['model_sha256'] == judge.detector.checksum
    assert (line['prevalence'], line['error_level']) == (0.01, 0.1)
    (one,) = line['slices']
    assert 0 <= one['row'] < 64
    assert 0 <= one['column'] < 64


def test_the_same_pixels_get_the_same_answer_in_any_lossless_file(answer, tmp_path, pictures):
    picture, folder = pictures[1][1], tmp_path / 'in'
    for name in ('a.png', 'b.tif', 'c.bmp'):
        drawn.save_picture(folder / name, picture)
    drawn.save_picture(folder / 'd.png', np.stack([picture] * 3, axis=-1))
    Image.fromarray(picture).convert('P').save(folder / 'e.gif')
    alpha = np.dstack([picture, np.full_like(picture, 255)])
    Image.fromarray(alpha, 'LA').save(folder / 'f.png')
    lines = answer(folder)
    assert len(lines) == 6
    assert max(one['probability'] for one in lines.values()) == pytest.approx(
        min(one['probability'] for one in lines.values()), abs=1e-5
    )


def test_a_palette_is_seen_in_its_colours(answer, tmp_path):
    """Indices are no grey levels: reversed indices of a reversed palette are the same picture."""
    values = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    for name, (indices, palette) in {'a': (values, colours), 'b': (255 - values, colours[::-1])}.items():
        picture = Image.fromarray(indices, 'P')
        picture.putpalette(palette.tobytes())
        picture.save(tmp_path / f'{name}.png')
    lines = answer(tmp_path / 'a.png', tmp_path / 'b.png')
    assert lines['a']['probability'] == pytest.approx(lines['b']['probability'], abs=1e-6)


def test_volumes_are_one_case_each(answer, tmp_path):
    values = random_values(70, 66, 5)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / 'in.nii.gz')
    (line,) = answer(tmp_path / 'in.nii.gz').values()
    assert (line['kind'], len(line['slices'])) == ('nifti', 5)
    assert [one['index'] for one in line['slices']] == list(range(5))
    (line,) = answer(tmp_path / 'in.nii.gz', axis=0).values()
    assert (len(line['slices']) or line['reason']) in (70, 'It has 66 pixels along its longer side')


def test_series_and_frames_are_one_case_each(answer, tmp_path):
    values = random_values(3, 64, 66)
    files = save_series(tmp_path / 'in' / 'series', values, [0.0, 2.0, 4.0])
    save_frames(tmp_path / 'in' / 'frames.dcm', values, [0.0, 2.0, 4.0])
    lines = answer(tmp_path / 'in')
    assert len(lines) == 2
    frames = lines['frames']
    (series,) = (line for name, line in lines.items() if name != 'frames')
    assert (series['kind'], series['modality'], len(series['slices'])) == ('dicom', 'CT', 3)
    assert [one['path'] for one in series['files']] == list(map(str, files))
    assert len(frames['slices']) == 3
    assert frames['probability'] == pytest.approx(series['probability'], abs=1e-5)


@pytest.fixture
def bad_files(tmp_path, pictures):
    """Files that hold no image, by name, beside one that does."""
    folder = tmp_path / 'in'
    good = drawn.save_picture(folder / 'good.png', pictures[0][0]).read_bytes()
    volume = nib.Nifti1Image(np.full((64, 64, 3), np.nan, np.float32), np.eye(4))
    nib.save(volume, folder / 'nan.nii.gz')
    nib.save(nib.Nifti1Image(np.zeros((64, 64, 3), np.float32), np.eye(4)), folder / 'constant.nii')
    (dicom,) = save_series(folder / 'dicom', random_values(1, 64, 64), [0.0])
    content = dicom.read_bytes()
    shutil.rmtree(folder / 'dicom')
    written = {
        'empty.png': b'',
        'empty.dcm': b'',
        'empty.nii.gz': b'',
        'text.png': b'this is no picture',
        'text': b'neither is this',
        'truncated.png': good[: len(good) // 2],
        'truncated.dcm': content[:-100],
        'header.dcm': content[:400],
        'truncated.nii.gz': (folder / 'nan.nii.gz').read_bytes()[:40],
        'encrypted.png': bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)),
        'archive.zip': b'PK\x03\x04' + bytes(100),
        'movie.mp4': b'\0\0\0\x18ftypmp42' + bytes(100),
    }
    for name, data in written.items():
        (folder / name).write_bytes(data)
    drawn.save_picture(folder / 'constant.png', np.full((64, 64), 7, np.uint8))
    Image.new('1', (2000, 2000)).save(folder / 'huge.png')
    pages = [Image.fromarray(picture) for picture in pictures[0][:2]]
    pages[0].save(folder / 'pages.tif', save_all=True, append_images=pages[1:])
    return folder


def test_bad_files_get_a_line_and_the_others_are_answered(answer, bad_files):
    lines = answer(bad_files, bad_files / 'nothing.png')
    assert lines.pop('good')['verdict']
    errors = {name: line['error'] for name, line in lines.items()}
    for name, expected in {
        'empty.png': 'is not a readable picture',
        'empty.nii.gz': 'NIfTI',
        'text.png': 'is not a readable picture',
        'text': 'is no image that can be read',
        'truncated.png': 'cannot be decoded',
        'truncated.dcm': 'is truncated',
        'truncated.nii.gz': 'NIfTI',
        'encrypted.png': 'is not a readable picture',
        'archive.zip': 'is no image that can be read',
        'movie.mp4': 'is no image that can be read',
        'constant.png': 'is constant',
        'constant.nii': 'is constant',
        'nan.nii.gz': 'not finite',
        'huge.png': 'raise --pixel_limit',
        'pages.tif': 'holds 2 pages',
        'nothing.png': 'there is no such file or folder',
    }.items():
        assert expected in errors[name], name
    assert len(errors) == 18
    assert not [error for error in errors.values() if '\n' in error or 'Traceback' in error]


def test_real_dicom_files(answer, medical_data):
    """Everything in the folder is answered or refused; sizes below the detector's are not judged."""
    folder = medical_data / 'dicom'
    lines = answer(folder)
    told = {file['path'] for line in lines.values() for file in line.get('files', ())}
    told |= {str(folder / name) for name, line in lines.items() if 'error' in line}
    there = {str(path) for path in folder.rglob('*') if path.is_file() and path.name != 'DICOMDIR'}
    passed_over = {'LICENSE.pydicom', 'SOURCE.txt', *(f'{name}.dcm' for name in NO_IMAGES)}
    assert {Path(file).name for file in there - told} == passed_over
    errors = {name: line['error'] for name, line in lines.items() if 'error' in line}
    for name, expected in {
        'MR_truncated.dcm': 'is truncated',
        'UN_sequence.dcm': 'holds no pixels',
        'liver_1frame.dcm': 'holds a segmentation',
        'JPEG-lossy.dcm': '12-bit',
    }.items():
        assert expected in errors[name], name
    answers = {name: line for name, line in lines.items() if 'error' not in line}
    assert answers['CT_small']['modality'] == 'CT'
    assert answers['CT_small']['slices']
    assert any(line['slices'] for line in answers.values() if line['modality'] == 'MR')
    small = [line for line in answers.values() if 'along its longer side' in (line['reason'] or '')]
    others = [line for line in answers.values() if 'was trained on CT, MR alone' in (line['reason'] or '')]
    assert small
    assert others
    assert all(line['verdict'] == "don't know" for line in small + others)


@pytest.mark.slow
def test_the_command(detector_workdir, bad_files, tmp_path):
    """Exit code 1 with bad files, 0 without."""
    commands = Commands(tmp_path)
    workdir, out = f'--workdir={detector_workdir}', tmp_path / 'out.jsonl'
    done = commands.run('detect.predict', workdir, str(bad_files), '--error_level=0.1', f'--out={out}')
    assert done.returncode == 1, done.stdout
    assert 'Traceback' not in done.stdout
    assert '1 of 18 answered' in done.stdout
    assert done.stdout.strip().splitlines()[-1] == 'Error: 17 could not be answered; their lines tell why.'
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 18
    good, out = str(bad_files / 'good.png'), tmp_path / 'good.jsonl'
    flags = ('--error_level=0.1', '--prevalence=0.001', f'--out={out}')
    done = commands.run('detect.predict', workdir, good, *flags)
    assert done.returncode == 0, done.stdout
    line = json.loads(out.read_text())
    assert line['probability_at_prevalence'] < line['probability']


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_same_bytes_in_the_end(detector_workdir, tmp_path, pictures):
    commands, out = Commands(tmp_path / 'shared'), tmp_path / 'out.jsonl'
    for number in range(4):
        drawn.save_picture(tmp_path / 'in' / f'{number}.png', pictures[0][number])
    flags = (f'--workdir={detector_workdir}', '--error_level=0.1', f'--overlays={tmp_path}/o', f'--out={out}')
    done = commands.run('tests.detect.predict_until_killed', *flags, str(tmp_path / 'in'))
    assert done.returncode == -9, done.stdout
    written = []
    for told in (True, False):
        done = commands.run('detect.predict', *flags, str(tmp_path / 'in'))
        assert ('Going on with 2 answers' in done.stdout) == told
        assert '4 of 4 answered' in done.stdout
        assert not list(tmp_path.glob('incomplete.*'))
        written.append((out.read_bytes(), read_files(tmp_path / 'o')))
        out.unlink()
        shutil.rmtree(tmp_path / 'o')
    assert written[0] == written[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('form', 'depths', 'bits'), [({'depth': 16}, ['uint16'], 8), ({'window': 'stored'}, ['uint8'], 16)]
)
def test_the_command_answers_images_of_another_depth_and_says_so_once(
    detector_workdir, tmp_path, pictures, form, depths, bits
):
    workdir = shutil.copytree(detector_workdir, tmp_path / 'run')
    known = json.loads((workdir / 'detector.json').read_text())
    (workdir / 'detector.json').write_text(json.dumps(known | {'form': known['form'] | form, 'depths': depths}))
    paths = []
    for number in range(2):
        picture = pictures[0][number]
        shown = picture if bits == 8 else picture.astype(np.uint16) * 16
        paths.append(str(drawn.save_picture(tmp_path / f'{number}.png', shown)))
    out = tmp_path / 'out.jsonl'
    done = Commands(tmp_path).run('detect.predict', f'--workdir={workdir}', f'--out={out}', *paths)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count('Note: Some images have another depth') == 1
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(0 < line['probability'] < 1 for line in lines)
    assert all(line['note'].endswith('it is shown in its own percentiles.') for line in lines)
