"""Files with random bytes changed: each gets an answer or an error, and never stops the others."""

import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.input_pipeline.series import random_values, save_series

pytestmark = [  # of the real files; `detect.predict` silences these
    pytest.mark.filterwarnings('ignore:Expected explicit VR:UserWarning'),
    pytest.mark.filterwarnings('ignore:End of file reached before delimiter:UserWarning'),
]


def _save_as(path, picture):
    """An image in a file of this kind; DICOM files are of series of their own."""
    path.parent.mkdir()
    if path.suffix == '.dcm':
        return save_series(path.parent, random_values(1, 64, 64), [0.0])[0]
    if '.nii' in path.name:
        nib.save(nib.Nifti1Image(random_values(64, 64, 2), np.eye(4)), path)
    elif path.suffix in ('.nrrd', '.mha'):
        itk = pytest.importorskip('SimpleITK')
        itk.WriteImage(itk.GetImageFromArray(random_values(2, 64, 64)), str(path))
    else:
        Image.fromarray(picture).save(path)
    return path


def _damage(content, generator):
    """Some bytes changed, and sometimes the end cut off."""
    data = np.frombuffer(content, np.uint8).copy()
    header = min(len(data), int(generator.choice([64, 512, len(data)])))
    places = generator.integers(0, header, int(generator.integers(1, 9)))
    data[places] = generator.integers(0, 256, len(places))
    end = len(data) if generator.random() < 0.7 else int(generator.integers(1, len(data)))
    return data[:end].tobytes()


@pytest.mark.parametrize('kind', ['png', 'tif', 'jpg', 'gif', 'dcm', 'nii', 'nii.gz', 'nrrd', 'mha'])
def test_damaged_bytes_never_raise(answer, tmp_path, pictures, kind):
    """Forty files with random bytes each: an answer or an error, and all the others are answered."""
    source, whole = (_save_as(tmp_path / name / f'source.{kind}', pictures[0][0]) for name in ('a', 'b'))
    folder, generator = tmp_path / 'in', np.random.default_rng(list(kind.encode()))
    folder.mkdir()
    for number in range(40):
        (folder / f'{number}.{kind}').write_bytes(_damage(source.read_bytes(), generator))
    shutil.copy(whole, folder / f'whole.{kind}')
    lines = answer(folder)
    assert lines['whole']['verdict']
    assert any('error' in line for line in lines.values())
    assert not [line for line in lines.values() if '\n' in line.get('error', '')]


def test_damaged_real_dicom_never_raises(answer, medical_data, tmp_path):
    """Of every compression but lossless JPEG, whose only decoder may end the process."""
    names = (
        '693_J2KI.dcm', 'examples_jpeg2k.dcm', 'SC_rgb_jpeg_dcmtk.dcm', 'SC_rgb_rle_2frame.dcm',
        'MR_small_jpeg_ls_lossless.dcm', 'JPEGLSNearLossless_08.dcm', 'examples_palette.dcm', 'MR_small_expb.dcm',
    )  # fmt: skip
    folder, generator = tmp_path / 'in', np.random.default_rng(0)
    folder.mkdir()
    for number in range(80):
        content = (medical_data / 'dicom' / names[number % len(names)]).read_bytes()
        (folder / f'{number}.dcm').write_bytes(_damage(content, generator))
    lines = answer(folder)
    assert 5 < sum('error' in line for line in lines.values()) < len(lines)
    assert not [line for line in lines.values() if '\n' in line.get('error', '')]


@pytest.mark.parametrize('place', [8, 12])
def test_jpeg_2000_that_claims_to_be_enormous_is_refused(answer, medical_data, tmp_path, place):
    """The decoder would reserve gigabytes for a header of 64x64 pixels."""
    content = bytearray((medical_data / 'dicom' / '693_J2KI.dcm').read_bytes())
    begin = content.index(b'\xff\x4f\xff\x51')
    content[begin + place : begin + place + 4] = (2**28).to_bytes(4)
    (tmp_path / 'a.dcm').write_bytes(content)
    assert 'its compressed pixels claim to be' in answer(tmp_path / 'a.dcm')['a.dcm']['error']
