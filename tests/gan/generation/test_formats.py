"""Files of every format: values and marks read back with independent libraries and with our own readers."""

import gzip
import io
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

import input_pipeline
from foundation.export.dicom import DicomEncoder
from foundation.export.nifti import NiftiEncoder
from foundation.export.pictures import PngEncoder
from foundation.training.errors import UserError
from gan.generation.writers import FORMATS, create_writer
from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers import READERS
from input_pipeline.readers.pixels import to_physical
from input_pipeline.readers.raster import read_indices
from input_pipeline.records import ReaderOptions
from tests.gan.generation.origins import fitted, make_masks, make_origin, make_stored

GREY_8 = {'dtype': 'uint8', 'intensity': (0.0, 255.0), 'modality': 'DX', 'spacing': None}
RELATIVE_MR = {'modality': 'MR', 'intensity': None}
FALLING = {'modality': 'DX', 'intensity': (4095.0, 0.0)}
COLOUR = {'channels': 3, 'dtype': 'uint8', 'intensity': None, 'modality': 'unknown', 'spacing': None}
FORMS = {
    'ct': {},
    'ct_8': {'dtype': 'uint8', 'intensity': (0.0, 255.0)},
    'ct_brain': {'intensity': (0.0, 80.0), 'lowest': -1024.0},
    'ct_relative': {'intensity': None},
    'ct_without_spacing': {'spacing': None},
    'mr': RELATIVE_MR,
    'mr_units': {'modality': 'MR', 'intensity': (0.0, 4095.0)},
    'grey_8': GREY_8,
    'falling': FALLING,
    'colour': COLOUR,
    'colour_16': {'channels': 3},
}
OPTIONS = ReaderOptions(modality='', percentiles=(0.5, 99.5), pixel_limit=2**20, axis=2, patient_pattern='')


def _physical(stored, intensity):
    """Written out apart from the code: the ends of the type are the ends of the range."""
    low, high = intensity or (0.0, float(np.iinfo(stored.dtype).max))
    return low + stored.astype(np.float64) * (high - low) / np.iinfo(stored.dtype).max


def _half_step(origin):
    low, high = origin.form.intensity or (0.0, float(np.iinfo(origin.form.dtype).max))
    return abs(high - low) / np.iinfo(origin.form.dtype).max / 2


def _write(folder, image_format, origin, stored, masks, labels=None):
    writer = create_writer(image_format, folder, origin, name='made', licence='CC0', signer=None)
    for number, (image, mask) in enumerate(zip(stored, masks, strict=True)):
        writer.write(image, mask, labels[number] if labels else '', 10 * number)
    writer.finish()


def _read_records(folder, source):
    items = READERS[source](folder, OPTIONS, Refusals(skip=False))
    return [record for item in items for record in item.load()]


@pytest.mark.parametrize('name', FORMS)
def test_dicom_values_and_marks(name):
    origin = make_origin(**FORMS[name])
    (stored,) = make_stored(origin)
    ending, content = DicomEncoder(origin).image(stored, 'a_ü', 7)
    read = pydicom.dcmread(io.BytesIO(content))
    assert ending == '.dcm'
    assert (read.SyntheticData, read.BurnedInAnnotation, read.ImageType[0]) == ('YES', 'NO', 'DERIVED')
    assert (str(read.PatientName), read.PatientID) == ('SYNTHETIC^000007', 'SYNTHETIC-abababababab-3-000007')
    assert (read.StudyDate, read.PatientBirthDate, read.PatientSex) == ('', '', '')
    assert 'Class: a_ü' in read.ImageComments
    (equipment,) = read.ContributingEquipmentSequence
    assert (equipment.Manufacturer, equipment.SoftwareVersions) == ('enhanced-gan', '1.2.3')
    assert 'ab' * 32 in equipment.ContributionDescription
    if read.PhotometricInterpretation == 'RGB':
        expected = stored if stored.dtype == np.uint8 else np.rint(stored / 257)
        np.testing.assert_array_equal(read.pixel_array, expected)
        return
    values = read.pixel_array * float(read.get('RescaleSlope', 1)) + float(read.get('RescaleIntercept', 0))
    expected = _physical(stored[..., 0], origin.form.intensity)
    assert np.abs(values - expected).max() < _half_step(origin) / 1000
    # Shown from end to end by the standard's linear function (PS3.3 C.11.2.1.2.1).
    ends = np.array([expected.min(), expected.max()]) - (float(read.WindowCenter) - 0.5)
    np.testing.assert_allclose(ends / (float(read.WindowWidth) - 1) + 0.5, [0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ('name', 'modality', 'kind', 'units', 'bits'),
    [
        ('ct', 'CT', 'CT Image Storage', 'HU', 16),
        ('ct_8', 'CT', 'CT Image Storage', 'US', 12),
        ('ct_relative', 'CT', 'CT Image Storage', 'US', 16),
        ('ct_brain', 'CT', 'CT Image Storage', 'HU', 16),
        ('ct_without_spacing', 'CT', 'Secondary Capture Image Storage', 'HU', 16),
        ('mr', 'MR', 'MR Image Storage', None, 16),
        ('mr_units', 'MR', 'MR Image Storage', 'US', 16),
        ('grey_8', 'DX', 'Secondary Capture Image Storage', 'US', 8),
        ('colour', 'OT', 'Secondary Capture Image Storage', None, 8),
    ],
)
def test_dicom_is_of_the_kind_of_its_data(name, modality, kind, units, bits):
    origin = make_origin(**FORMS[name])
    read = pydicom.dcmread(io.BytesIO(DicomEncoder(origin).image(make_stored(origin)[0], '', 0)[1]))
    assert (read.Modality, read.SOPClassUID.name, read.get('RescaleType')) == (modality, kind, units)
    assert read.BitsStored == bits
    assert read.get('PixelSpacing') == (None if origin.form.spacing is None else [0.7, 0.8])


@pytest.mark.skipif(shutil.which('dciodvfy') is None, reason='dciodvfy (Debian: dicom3tools) is not installed')
@pytest.mark.parametrize('name', FORMS)
def test_dicom_passes_an_independent_validator(tmp_path, name):
    origin = make_origin(**FORMS[name])
    (tmp_path / 'image.dcm').write_bytes(DicomEncoder(origin).image(make_stored(origin)[0], 'ill', 5)[1])
    done = subprocess.run(['dciodvfy', tmp_path / 'image.dcm'], capture_output=True, text=True, timeout=60)
    # SyntheticData is younger than some of its releases.
    faults = [line for line in done.stderr.splitlines() if line.startswith('Error') and '0x001c' not in line]
    assert faults == []
    assert 'Image' in done.stderr


def test_dicom_identities_are_new_and_repeatable():
    origin = make_origin()
    first, second = make_stored(origin, 2)

    def identities(encoder, stored, number):
        read = pydicom.dcmread(io.BytesIO(encoder.image(stored, '', number)[1]))
        return read.SOPInstanceUID, read.SeriesInstanceUID, read.StudyInstanceUID, read.FrameOfReferenceUID

    one = DicomEncoder(origin)
    assert one.image(first, '', 1) == DicomEncoder(make_origin()).image(first, '', 1)
    found = [identities(one, *image) for image in ((first, 1), (second, 1), (first, 2))]
    assert len({uid for image in found for uid in image}) == 12


def test_four_channels_are_refused_for_dicom_alone(tmp_path):
    origin = make_origin(channels=4)
    stored = make_stored(origin)
    with pytest.raises(UserError, match='DICOM holds images of 1 or 3 channels, this generator draws 4'):
        DicomEncoder(origin)
    ending, content = PngEncoder(origin).image(stored[0], '', 0)
    assert ending == '.tif'
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        np.testing.assert_array_equal(np.moveaxis(file.asarray(), 0, -1), stored[0])
        assert file.pages[0].description.startswith('SYNTHETIC')
    volume = nib.Nifti1Image.from_bytes(gzip.decompress(NiftiEncoder(origin).image(stored[0], '', 0)[1]))
    assert volume.shape == (6, 6, 1, 4)
    for channel in range(4):
        expected = _physical(stored[0, ..., channel], origin.form.intensity)
        np.testing.assert_allclose(volume.get_fdata()[..., 0, channel].T, expected, atol=0.5)


@pytest.mark.parametrize(
    ('form', 'dtype', 'error'),
    [
        ({}, np.int16, 0.5),
        ({'intensity': (0.0, 1.0), 'modality': 'MR'}, np.float32, 1e-7),
        ({'intensity': (-100000.0, 100000.0)}, np.float32, 0.01),
        ({'dtype': 'uint8', 'intensity': (0.0, 255.0), 'modality': 'DX'}, np.int16, 0),
        ({'intensity': (0.0, 65535.0), 'modality': 'DX'}, np.float32, 0),
        (FALLING, np.float32, 1e-3),
        (RELATIVE_MR, np.uint16, 0),
        (COLOUR, np.uint8, 0),
    ],
)
def test_nifti_values_and_type(form, dtype, error):
    origin = make_origin(**form)
    (stored,) = make_stored(origin)
    volume = nib.Nifti1Image.from_bytes(gzip.decompress(NiftiEncoder(origin).image(stored, '', 0)[1]))
    values = np.asarray(volume.dataobj)
    values = values[..., None] if values.ndim == 3 else values
    assert volume.get_data_dtype() == dtype
    known = b'' if origin.form.spacing else b' (spacing unknown)'
    assert bytes(volume.header['descrip']).startswith(b'SYNTHETIC' + known + b' enhanced-gan 1.2.3 model ab')
    expected = _physical(stored, origin.form.intensity)
    assert np.abs(np.swapaxes(values[:, :, 0], 0, 1) - expected).max() <= error
    units, zooms = volume.header.get_xyzt_units()[0], volume.header.get_zooms()[:2]
    assert units == ('unknown' if origin.form.spacing is None else 'mm')
    np.testing.assert_allclose(zooms, (1, 1) if origin.form.spacing is None else (0.8, 0.7), rtol=1e-6)


@pytest.mark.parametrize('form', [{}, GREY_8, RELATIVE_MR, COLOUR], ids=['hounsfield', 'grey_8', 'mr', 'colour'])
def test_png_keeps_every_bit_and_says_what_it_is(form):
    origin = make_origin(**form)
    (stored,) = make_stored(origin)
    ending, content = PngEncoder(origin).image(stored, '', 0)
    picture = Image.open(io.BytesIO(content))
    picture.load()
    assert ending == '.png'
    assert picture.text['Description'].startswith('SYNTHETIC')
    assert 'ab' * 32 in picture.text['Description']
    np.testing.assert_array_equal(np.asarray(picture).reshape(stored.shape), stored)


@pytest.mark.parametrize('form', [{}, FALLING, RELATIVE_MR], ids=['hounsfield', 'falling', 'relative'])
@pytest.mark.parametrize('image_format', ['dicom', 'nifti'])
def test_our_readers_read_exported_folders(tmp_path, image_format, form):
    """The same picture comes back, as bright and in the same units; masks lie on their images."""
    origin = make_origin(**form, mask_classes=2)
    stored, masks = make_stored(origin, 3), make_masks(3)
    _write(tmp_path, image_format, origin, stored, masks)
    records = _read_records(tmp_path, image_format)
    assert len({record.patient for record in records}) == 3
    for record in records:
        values = to_physical(record.image, record.intensity)
        original = min(stored, key=lambda image: np.abs(_physical(image, origin.form.intensity) - values).max())
        found = np.abs(_physical(original, origin.form.intensity) - values).max()
        assert found <= (0.5 if image_format == 'nifti' else _half_step(origin))
        assert record.spacing[:2] == pytest.approx((0.7, 0.8), rel=1e-6)
        if image_format == 'dicom':
            brighter = np.corrcoef(record.image.ravel(), original.ravel())[0, 1]
            assert brighter == pytest.approx(1)
    if image_format == 'nifti':
        assert sorted(record.mask.tobytes() for record in records) == sorted(mask.tobytes() for mask in masks)


@pytest.mark.parametrize('ids', [[0], [0, 1], [0, 1, 2, 7], [0, 200, 255]])
def test_a_mask_holds_class_ids_and_is_seen_in_colours(tmp_path, ids):
    mask = np.resize(np.asarray(ids, np.uint8), (6, 6, 1))
    ending, content = PngEncoder(make_origin()).mask(mask)
    assert ending == '.png'
    picture = Image.open(io.BytesIO(content))
    assert 'SYNTHETIC' in picture.text['Description']
    np.testing.assert_array_equal(np.asarray(picture), mask[..., 0])
    shown = np.asarray(picture.convert('RGB'))
    assert (shown[mask[..., 0] == 0] == 0).all()
    assert (shown[mask[..., 0] > 0].max(axis=-1) >= 200).all()
    (tmp_path / 'mask.png').write_bytes(content)
    np.testing.assert_array_equal(read_indices(tmp_path / 'mask.png', 2**20), mask)


def test_masks_beside_dicom_lie_in_its_space(tmp_path):
    origin = make_origin(mask_classes=2)
    masks = make_masks()
    _write(tmp_path, 'dicom', origin, make_stored(origin), masks)
    volume = nib.load(tmp_path / 'masks' / '000000.nii.gz')
    image = pydicom.dcmread(tmp_path / 'images' / '000000.dcm')
    np.testing.assert_array_equal(np.asarray(volume.dataobj)[..., 0].T, masks[0, ..., 0])
    row, column = 3, 5
    # Where the pixel lies: DICOM's axes run left and back (PS3.3 C.7.6.2.1.1), NIfTI's right and to the front.
    across, down = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
    place = np.array(image.ImagePositionPatient, float)
    place += across * column * image.PixelSpacing[1] + down * row * image.PixelSpacing[0]
    np.testing.assert_allclose(volume.affine @ [column, row, 0, 1], [-place[0], -place[1], place[2], 1], rtol=1e-6)


@pytest.mark.parametrize('form', [{}, GREY_8, COLOUR, {'channels': 4}], ids=['ct', 'grey_8', 'colour', 'four'])
def test_a_generated_data_set_is_read_as_it_was_drawn(tmp_path, form):
    origin = make_origin(**form, mask_classes=2, classes=('ill', 'well'))
    stored, masks = make_stored(origin, 4), make_masks(4)
    folder = tmp_path / 'made'
    folder.mkdir()
    _write(folder, 'tfds', origin, stored, masks, labels=['well', 'ill', 'well', 'well'])
    preprocessing = input_pipeline.Preprocessing(
        resolution=6, channels=origin.form.channels, window='auto', fit='pad', mask_classes=2, context=0
    )
    images = input_pipeline.open_dataset(
        'made', tmp_path, 'train', preprocessing, flip_horizontal=False, flip_vertical=False, seed=0,
        memory_budget_bytes=2**20, modalities=(), classes=(), target='class', foreground_share=0.0,
    )  # fmt: skip
    decoded = images.decoded(6)
    np.testing.assert_array_equal(decoded['image'], stored)
    np.testing.assert_array_equal(decoded['label'], [1, 0, 1, 1])
    np.testing.assert_array_equal(decoded['mask'] == 255, masks == [1, 2])
    assert (images.num_examples, images.num_patients, images.classes) == (4, 4, ('ill', 'well'))
    found = input_pipeline.find_provenance(
        'made', tmp_path, 'train', modalities=(), classes=(), preprocessing=fitted(6, 'pad'), resolution=6
    )
    assert (found.modality, found.licence) == (origin.form.modality, 'CC0')
    assert found.spacing == (None if origin.form.spacing is None else pytest.approx((0.7, 0.8)))
    assert sorted(path.name for path in folder.iterdir()) == ['1.0.0']


def test_a_data_set_needs_a_name_and_two_images(tmp_path):
    with pytest.raises(DataError, match="'Made-1' is not a name for a data set"):
        create_writer('tfds', tmp_path, make_origin(), name='Made-1', licence='', signer=None)
    writer = create_writer('tfds', tmp_path, make_origin(), name='made', licence='', signer=None)
    writer.write(make_stored(make_origin())[0], make_masks()[0], '', 0)
    with pytest.raises(DataError, match='a data set needs two at least'):
        writer.finish()


@pytest.mark.parametrize('image_format', FORMATS)
def test_the_same_images_give_the_same_bytes(tmp_path, image_format):
    origin = make_origin(mask_classes=2)
    trees = []
    for name in 'ab':
        folder = tmp_path / name / 'made'
        folder.mkdir(parents=True)
        _write(folder, image_format, origin, make_stored(origin, 3), make_masks(3))
        files = [path for path in folder.rglob('*') if path.is_file()]
        trees.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) >= 4
