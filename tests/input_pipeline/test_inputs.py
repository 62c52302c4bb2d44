"""Files found and read as they come in, and the way back to their voxels, against nibabel and pydicom."""

import dataclasses
import gzip
import zipfile

import cv2
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from input_pipeline import inputs
from input_pipeline.errors import DataError, Refusals
from input_pipeline.inputs import Incoming, find_incoming, read_header
from input_pipeline.readers import READERS, nifti_volume
from input_pipeline.readers.pixels import to_physical
from input_pipeline.records import ReaderOptions
from tests.input_pipeline.series import SPACING, expected_place, random_values, save_frames, save_series

# Reports, plans and structure sets among the real files.
NO_IMAGES = (
    'ExplVR_BigEndNoMeta', 'ExplVR_LitEndNoMeta', 'reportsi_with_empty_number_tags', 'rtplan', 'rtstruct',
    'test-SR',
)  # fmt: skip
OPTIONS = ReaderOptions('', (0.5, 99.5), 2**24, 2, '')


def _find(*paths, **changed) -> tuple[list[Incoming], dict[str, str]]:
    refusals = Refusals(skip=True)
    return find_incoming(paths, dataclasses.replace(OPTIONS, **changed), refusals), refusals.reasons


def _physical(case) -> np.ndarray:
    return np.stack([to_physical(record.image[..., 0], record.intensity) for record in case.records])


def _in_orientation(values, codes):
    """A file with the voxels of an RAS+ array on other axes."""
    image = nib.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    return image.as_reoriented(turn)


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('codes', ['RAS', 'LPS', 'SAR', 'PIL'])
def test_slices_of_a_volume_go_back_to_their_voxels(tmp_path, axis, codes):
    values = random_values(5, 6, 7)
    values[:2] = 0
    values[:, :2] = 0
    values[:, :, :2] = 0  # empty slices along every axis, which training leaves out
    nib.save(_in_orientation(values, codes), tmp_path / 'a.nii.gz')
    (incoming,), refused = _find(tmp_path / 'a.nii.gz', axis=axis)
    case = incoming.load()
    assert len(case.records) == values.shape[axis]
    np.testing.assert_array_equal(
        incoming.grid.restore(_physical(case)), nib.load(tmp_path / 'a.nii.gz').get_fdata()
    )
    assert (incoming.kind, incoming.name, refused) == ('nifti', 'a', {})


@pytest.mark.parametrize(('name', 'kind'), [('a.nhdr', 'nrrd'), ('a.mhd', 'metaimage'), ('A.MHA', 'metaimage')])
@pytest.mark.parametrize('axis', [0, 1, 2])
def test_volumes_of_nrrd_and_metaimage_are_one_case_with_their_voxels(tmp_path, name, kind, axis):
    itk = pytest.importorskip('SimpleITK')
    values = random_values(5, 6, 7)
    image = itk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetDirection([0, 0, 1, -1, 0, 0, 0, 1, 0])
    itk.WriteImage(image, str(tmp_path / name.lower()), kind == 'nrrd')  # compressed voxels have another name
    (tmp_path / name.lower()).rename(tmp_path / name)
    (incoming,), refused = _find(tmp_path, axis=axis)
    assert (incoming.kind, incoming.name, refused) == (kind, name[0], {})
    np.testing.assert_array_equal(incoming.grid.restore(_physical(incoming.load())), values)


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 1), (5, 6, 7), (5, 6, 7, 1)])
def test_the_shape_is_that_of_the_file(tmp_path, shape):
    values = random_values(*shape)
    nib.save(nib.Nifti1Image(values, np.diag([-2.0, 3.0, 4.0, 1.0])), tmp_path / 'a.nii')
    (incoming,), _ = _find(tmp_path)
    np.testing.assert_array_equal(incoming.grid.restore(_physical(incoming.load())), values)


def test_each_volume_along_the_fourth_axis_is_one(tmp_path):
    values = random_values(5, 6, 7, 2)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, -3.0, 4.0, 1.0])), tmp_path / 'a.nii.gz')
    found, _ = _find(tmp_path)
    assert [incoming.name for incoming in found] == ['a_volume0000', 'a_volume0001']
    for index, incoming in enumerate(found):
        np.testing.assert_array_equal(incoming.grid.restore(_physical(incoming.load())), values[..., index])


def test_volumes_of_a_packed_file_are_unpacked_in_one_go(tmp_path, monkeypatch):
    """Opened anew, each would be unpacked from the start: 200 volumes took 32 s in place of 2."""
    nib.save(nib.Nifti1Image(random_values(5, 6, 7, 4), np.eye(4)), tmp_path / 'a.nii.gz')
    opened = []

    def open_volume(path, limit):
        opened.append(path)
        return nifti_volume.open_volume(path, limit)

    monkeypatch.setattr(inputs, 'open_volume', open_volume)
    found, refused = _find(tmp_path / 'a.nii.gz')
    assert [len(incoming.load().records) for incoming in found] == [7] * 4
    assert (len(opened), refused) == (1, {})


def test_a_packed_file_without_its_last_volumes_is_refused_as_one(tmp_path):
    whole = nib.Nifti1Image(random_values(5, 6, 7, 4), np.eye(4)).to_bytes()
    for name, content in (('a', whole), ('b', whole[:-9])):
        (tmp_path / f'{name}.nii.gz').write_bytes(gzip.compress(content))
    (tmp_path / 'c.nii.gz').write_bytes((tmp_path / 'a.nii.gz').read_bytes()[:-99])
    found, refused = _find(tmp_path)
    assert {incoming.source for incoming in found} == {'a.nii.gz'}
    assert f'{len(whole)} bytes, {len(whole) - 9} can be unpacked' in refused['b.nii.gz']
    assert 'is truncated or damaged' in refused['c.nii.gz']


def test_real_files_are_read_as_for_training(medical_data):
    """Whatever a reader gives, there is a record with the same pixels, units and window."""
    for reader in ('dicom', 'nifti'):
        folder = medical_data / reader
        items = READERS[reader](folder, OPTIONS, Refusals(skip=True))
        wanted = set()
        for item in items:
            try:
                wanted |= {_fingerprint(record) for record in item.load()}
            except DataError:
                continue
        found, refused = _find(folder)
        given = set()
        for incoming in found:
            try:
                given |= {_fingerprint(record) for record in incoming.load().records}
            except DataError as error:
                refused[incoming.source] = str(error)
        assert len(wanted) > 40
        assert wanted <= given
        files = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
        known = {file.relative_to(folder).as_posix() for incoming in found for file in incoming.files}
        left_out = {name for name in files - known - set(refused) if '.txt' not in name.lower()}
        assert {name.split('.')[0] for name in left_out} <= {'LICENSE', 'COPYING', *NO_IMAGES}


def _fingerprint(record):
    return (
        record.image.tobytes(), record.image.shape, record.intensity, record.window, record.spacing,
        record.patient, record.modality,
    )  # fmt: skip


@pytest.fixture
def series(tmp_path):
    """Four images at uneven names, not in the order of their places."""
    values = random_values(4, 6, 8)
    values[1] = 5  # empty, and yet a slice
    files = save_series(tmp_path / 'series', values, [7.5, 0.0, 5.0, 2.5])
    return files, values[[1, 3, 2, 0]] - 1024.0


def test_a_series_is_one_case_in_the_order_of_positions(series):
    files, expected = series
    (incoming,), refused = _find(files[0].parent)
    case = incoming.load()
    np.testing.assert_array_equal(_physical(case), expected)
    assert [file.name for file in incoming.files] == ['01.dcm', '03.dcm', '02.dcm', '00.dcm']
    np.testing.assert_allclose(case.spacing, (2.5, *SPACING))
    assert (incoming.kind, refused) == ('dicom', {})
    affine = incoming.grid.affine([record.key for record in case.records])
    for column, row, index in [(0, 0, 0), (7, 5, 3), (2, 4, 1)]:
        wanted = expected_place(2.5 * index, row, column) * (-1, -1, 1)
        np.testing.assert_allclose((affine @ [column, row, index, 1])[:3], wanted, atol=1e-5)


def test_packed_files_of_a_series_keep_their_places(series):
    files, expected = series
    for file in files:
        file.with_suffix('.dcm.gz').write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    (incoming,), refused = _find(files[0].parent)
    case = incoming.load()
    np.testing.assert_array_equal(_physical(case), expected)
    affine = incoming.grid.affine([record.key for record in case.records])
    np.testing.assert_allclose(affine[:3, 3], expected_place(0, 0, 0) * (-1, -1, 1), atol=1e-5)
    header = read_header(incoming.files[0])
    assert (header.PatientID, refused) == ('4711', {})


def test_frames_of_one_file_are_ordered_and_alike(tmp_path):
    values = random_values(3, 6, 8)
    save_frames(tmp_path / 'frames.dcm', values, [5.0, 0.0, 2.5])
    (incoming,), _ = _find(tmp_path)
    case = incoming.load()
    np.testing.assert_array_equal(_physical(case), values[[1, 2, 0]] - 1024.0)
    affine = incoming.grid.affine([record.key for record in case.records])
    expected = expected_place(5.0, 5, 7) * (-1, -1, 1)
    np.testing.assert_allclose((affine @ [7, 5, 2, 1])[:3], expected, atol=1e-5)
    assert incoming.name == 'frames'


def test_uneven_slices_have_no_affine(tmp_path):
    save_series(tmp_path, random_values(3, 6, 8), [0.0, 1.0, 3.0])
    (incoming,), _ = _find(tmp_path)
    keys = [record.key for record in incoming.load().records]
    with pytest.raises(DataError, match='not evenly spaced'):
        incoming.grid.affine(keys)


def test_a_series_without_spacing_has_no_affine(tmp_path):
    files = save_series(tmp_path, random_values(1, 6, 8), [0.0])
    dataset = pydicom.dcmread(files[0])
    del dataset.PixelSpacing
    dataset.save_as(files[0])
    (incoming,), _ = _find(tmp_path)
    with pytest.raises(DataError, match='position, orientation or spacing'):
        incoming.grid.affine([record.key for record in incoming.load().records])


def test_a_series_named_by_its_files_and_across_folders_is_one(series, tmp_path):
    files, expected = series
    (tmp_path / 'other').mkdir()
    moved = files[2].rename(tmp_path / 'other' / 'x')
    (incoming,), refused = _find(files[0], files[1], files[3], moved, files[0].parent)
    np.testing.assert_array_equal(_physical(incoming.load()), expected)
    assert incoming.name.startswith('series_')
    assert refused == {}


def test_a_damaged_slice_is_told_and_the_others_are_read(series):
    files, expected = series
    dataset = pydicom.dcmread(files[2])
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    dataset.save_as(files[2])
    files[2].write_bytes(files[2].read_bytes()[:-30])
    (incoming,), refused = _find(files[0].parent)
    case = incoming.load()
    np.testing.assert_array_equal(_physical(case), expected[[0, 1, 3]])
    assert list(refused) == ['02.dcm']
    assert [file.name for file in incoming.files_of(case)] == ['01.dcm', '03.dcm', '00.dcm']


def test_bad_files_are_told_and_the_others_are_found(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'good.png'), picture)
    whole = (tmp_path / 'good.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'text.png').write_text('no picture')
    cv2.imwrite(str(tmp_path / 'constant.png'), np.full((8, 8), 3, np.uint8))
    cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((5000, 5000), np.uint8))
    (tmp_path / 'paper.pdf').write_bytes(b'%PDF-1.7')
    (tmp_path / 'noise.nii.gz').write_bytes(bytes(range(256)) * 4)
    (tmp_path / 'test.mgz').write_bytes(b'x')
    (tmp_path / 'notes.txt').write_text('beside images, and left out')
    (tmp_path / 'DICOMDIR').write_bytes(b'index')
    with zipfile.ZipFile(tmp_path / 'scans.zip', 'w') as archive:
        archive.writestr('a.dcm', b'x')
    (save,) = save_series(tmp_path / 'ct', random_values(1, 6, 8), [0.0])
    save.write_bytes(save.read_bytes()[:-20])
    found, refused = _find(tmp_path, tmp_path / 'nowhere.png')
    loaded = []
    for incoming in found:
        try:
            loaded.append(incoming.load().name)
        except DataError as error:
            refused[incoming.source] = str(error)
    assert loaded == ['good.png']
    wanted = {
        'cut.png': 'cannot be decoded', 'text.png': 'not a readable picture', 'constant.png': 'is constant',
        'large.png': 'pixel_limit', 'paper.pdf': 'no image that can be read', 'noise.nii.gz': 'NIfTI',
        'test.mgz': 'mri_convert', 'scans.zip': 'no image that can be read', 'ct/00.dcm': 'is truncated',
        'nowhere.png': 'there is no such file',
    }  # fmt: skip
    assert dict.fromkeys(wanted, True) == {name: wanted[name] in reason for name, reason in refused.items()}


def test_objects_without_images_are_passed_over_in_folders_and_refused_by_name(tmp_path):
    save_series(tmp_path / 'ct', random_values(2, 6, 8), [0.0, 1.0])
    report = pydicom.dcmread(tmp_path / 'ct' / '01.dcm')
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.1.1.88.11'
    del report.PixelData
    report.save_as(tmp_path / 'ct' / 'report')
    refusals = Refusals(skip=True)
    (incoming,) = find_incoming([tmp_path], OPTIONS, refusals)
    assert len(incoming.files) == 2
    assert refusals.notes == ['1 structured reports hold no images and are passed over.']
    assert not refusals.reasons
    found, refused = _find(tmp_path / 'ct' / 'report')
    assert (found, refused) == ([], {'report': 'holds no pixels (CT)'})


def test_files_of_one_stem_get_names_of_their_own(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    for name in ('a.png', 'A.bmp', 'b/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    nib.save(nib.Nifti1Image(random_values(3, 4, 5), np.eye(4)), tmp_path / 'a.nii.gz')
    found, _ = _find(tmp_path)
    names = [incoming.name for incoming in found]
    assert len({name.lower() for name in names}) == 4
    assert sorted(name.lower() for name in names) == ['a', 'a_2', 'a_3', 'b/a']


def test_a_picture_is_turned_upright(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(values).save(tmp_path / 'a.tif', exif=exif)
    (incoming,), _ = _find(tmp_path)
    (record,) = incoming.load().records
    np.testing.assert_array_equal(record.image[..., 0], np.rot90(values, -1))
    assert (incoming.kind, incoming.grid) == ('raster', None)
