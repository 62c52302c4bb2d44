"""NRRD and MetaImage: values and geometry as in NIfTI, and headers that are refused."""

import sys

import nibabel as nib
import numpy as np
import pytest

from input_pipeline.errors import DataError
from input_pipeline.readers import itk_volume
from input_pipeline.readers.nifti_volume import open_volume
from input_pipeline.readers.pixels import to_physical

itk = pytest.importorskip('SimpleITK')
_SUFFIXES = ['.nrrd', '.nhdr', '.mha', '.mhd']


def _volume(dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 100, (5, 6, 7)).astype(dtype)


def _save(path, values, spacing=(0.5, 0.7, 2.0), direction=None, compress=False):
    """Writes (x, y, z) values in ITK's own axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = itk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(spacing)
    image.SetOrigin((10.0, -20.0, 30.0))
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    itk.WriteImage(image, str(path), compress)
    return image


@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize('suffix', _SUFFIXES)
@pytest.mark.parametrize(
    'direction', [None, [[0, 0, 1], [1, 0, 0], [0, -1, 0]], [[-1, 0, 0], [0, 0.8, 0.6], [0, 0.6, -0.8]]]
)
def test_records_are_those_of_the_same_nifti(tmp_path, read, suffix, direction, compress):
    image = _save(tmp_path / 'itk' / f'a{suffix}', _volume(), direction=direction, compress=compress)
    (tmp_path / 'nifti').mkdir()
    itk.WriteImage(image, str(tmp_path / 'nifti' / 'a.nii'))
    found, expected = read('nifti', tmp_path / 'itk'), read('nifti', tmp_path / 'nifti')
    assert not found.refused
    assert len(found.records) == len(expected.records) > 0
    for one, other in zip(found.records, expected.records, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_allclose(one.spacing, other.spacing, rtol=1e-6)
        assert (one.intensity, one.window, one.patient) == (other.intensity, other.window, other.patient)
    volume, same = open_volume(tmp_path / 'itk' / f'a{suffix}', 2**20), nib.load(tmp_path / 'nifti' / 'a.nii')
    turned = nib.as_closest_canonical(same)
    np.testing.assert_allclose(volume.affine, turned.affine, atol=1e-5)
    np.testing.assert_array_equal(volume.read(0), np.asarray(turned.dataobj))


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize('suffix', ['.NRRD', '.MHA'])
def test_types(tmp_path, read, dtype, suffix):
    values = _volume(dtype)
    _save(tmp_path / f'a{suffix.lower()}', values)
    (tmp_path / f'a{suffix.lower()}').rename(tmp_path / f'A{suffix}')
    records = read('nifti', tmp_path).records
    shown = np.stack([to_physical(record.image[..., 0], record.intensity) for record in records], -1)
    np.testing.assert_array_equal(
        shown, np.moveaxis(values, [0, 1], [1, 0])
    )  # x to the left, y to the back: as shown


def test_labels_pair_with_their_volumes(tmp_path, read):
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:3, 2, 3:6] = 255
    _save(tmp_path / 'a' / 'images' / 'p1.mha', _volume())
    _save(tmp_path / 'a' / 'labels' / 'p1.nrrd', labels)
    _save(tmp_path / 'b' / 'p2.nhdr', _volume(), compress=True)
    _save(tmp_path / 'b' / 'p2.seg.mhd', labels, compress=True)
    reading = read('nifti', tmp_path)
    assert not reading.refused
    assert {(item.key, item.patient) for item in reading.items} == {('a/images/p1.mha', 'p1'), ('b/p2.nhdr', 'p2')}
    assert set(np.unique([record.mask for record in reading.records])) == {0, 1}
    paired = read('paired_folder', tmp_path / 'a')
    assert [item.key for item in paired.items] == ['images/p1.mha']


def test_without_spacing_it_is_unknown(tmp_path, read):
    header = b'NRRD0004\ntype: short\ndimension: 3\nsizes: 5 6 7\nencoding: raw\nendian: little\n\n'
    (tmp_path / 'a.nrrd').write_bytes(header + _volume('<i2').T.tobytes())
    (record, *_) = read('nifti', tmp_path).records
    assert record.spacing == (0.0, 0.0, 0.0)


@pytest.mark.parametrize('suffix', _SUFFIXES)
@pytest.mark.parametrize('compress', [False, True])
def test_truncated_files_are_refused(tmp_path, read, suffix, compress):
    _save(tmp_path / f'a{suffix}', _volume(), compress=compress)
    _save(tmp_path / 'good.nrrd', _volume())
    files = sorted(tmp_path.glob('a.*'), key=lambda file: file.suffix == suffix)
    files[0].write_bytes(files[0].read_bytes()[:-60])  # that of the voxels, where there are two
    reading = read('nifti', tmp_path)
    assert set(reading.refused) == {f'a{suffix}'}
    assert {record.source for record in reading.records} == {'good.nrrd'}


@pytest.mark.parametrize(
    'name', ['../secret.raw', '/etc/hostname', 'link.raw', 'gone.raw', 'LIST', 'a%03d.raw 1 3 1']
)
@pytest.mark.parametrize('suffix', ['.nhdr', '.mhd'])
def test_headers_name_no_files_elsewhere(tmp_path, suffix, name):
    folder = tmp_path / 'set'
    folder.mkdir()
    (tmp_path / 'secret.raw').write_bytes(_volume('<i2').T.tobytes())
    (folder / 'link.raw').symlink_to(tmp_path / 'secret.raw')
    if suffix == '.nhdr':
        header = (
            'NRRD0004\ntype: short\ndimension: 3\nsizes: 5 6 7\nencoding: raw\nendian: little\n'
            + f'data file: {name}\n'
        )
    else:
        header = (
            f'ObjectType = Image\nNDims = 3\nDimSize = 5 6 7\nElementType = MET_SHORT\nElementDataFile = {name}\n'
        )
    (folder / f'a{suffix}').write_text(header)
    with pytest.raises(DataError, match=r'does not lie beside it|is missing|over several files'):
        open_volume(folder / f'a{suffix}', 2**20)


def test_without_the_library_it_says_what_to_install(tmp_path, read, monkeypatch):
    _save(tmp_path / 'a.nrrd', _volume())
    itk_volume._library.cache_clear()
    monkeypatch.setitem(sys.modules, 'SimpleITK', None)
    with pytest.raises(DataError, match=r'pip install "enhanced-gan\[itk\]"'):
        read('nifti', tmp_path)


def test_what_is_no_volume_is_refused(tmp_path, read):
    _save(tmp_path / 'good.mha', _volume())
    _save(tmp_path / 'large.mha', np.zeros((50, 60, 70), np.uint8))
    (tmp_path / 'text.nrrd').write_text('no header')
    (tmp_path / 'twice.nhdr').write_text('NRRD0004\ndata file: a.raw\ndatafile: b.raw\n')
    colours = itk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    itk.WriteImage(colours, str(tmp_path / 'colours.nrrd'))
    reading = read('nifti', tmp_path, pixel_limit=1000)
    assert {record.source for record in reading.records} == {'good.mha'}
    wanted = {
        'large.mha': 'pixel_limit',
        'text.nrrd': 'neither NRRD nor',
        'twice.nhdr': 'twice',
        'colours.nrrd': '3 components',
    }
    assert {name: wanted[name] in reason for name, reason in reading.refused.items()} == dict.fromkeys(
        wanted, True
    )
