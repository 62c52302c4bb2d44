"""Written masks against their sources: place, direction and spacing, read by nibabel, pydicom and highdicom."""

import gzip
import io

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from foundation.export.pictures import MASK_COLOURS
from foundation.training.errors import UserError
from input_pipeline.errors import Refusals
from input_pipeline.inputs import find_incoming
from input_pipeline.readers.raster import read_indices
from segment.formats.files import choose_format, encode_dicom_seg, encode_nifti, encode_png, write_masks
from segment.formats.overlays import choose_slices, draw_contours, draw_overlay
from segment.formats.prediction import Prediction
from tests.input_pipeline.series import SPACING, TILTED, expected_place, random_values, save_frames, save_series
from tests.segment.sources import OPTIONS, predict, save_nifti, save_picture
from tests.segment.thresholds import CHECKSUM, CLASSES, segment


def _read_nifti(contents):
    (content,) = contents.values()
    assert list(contents) == ['.nii.gz']
    content = gzip.decompress(content)
    kind = nib.Nifti2Image if content[:4] in (b'\x1c\x02\0\0', b'\0\0\x02\x1c') else nib.Nifti1Image
    return kind.from_bytes(content)


def _expected_ids(values):
    """The stand-in's rule on physical values of a whole volume."""
    low, high = np.percentile(values, [0.5, 99.5])
    return np.digitize((values - low) / (high - low), (0.6, 0.85))


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('codes', ['RAS', 'LPS', 'SAR', 'PIL'])
def test_a_nifti_mask_lies_on_the_voxels_of_its_volume(tmp_path, axis, codes):
    source = save_nifti(tmp_path / 'a.nii.gz', codes=codes)
    mask = _read_nifti(encode_nifti(predict(tmp_path, axis=axis)))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), _expected_ids(source.get_fdata()))
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(mask.affine, source.affine)


@pytest.mark.parametrize(
    ('kind', 'name', 'order'),
    [
        (nib.Nifti1Image, 'a.nii.gz', '<'),
        (nib.Nifti1Image, 'a.nii', '>'),
        (nib.Nifti2Image, 'a.nii', '<'),
        (nib.Nifti1Pair, 'a.hdr', '<'),
    ],
)
def test_a_nifti_mask_keeps_the_header_but_no_texts(tmp_path, kind, name, order):
    source = save_nifti(tmp_path / name, kind, order=order)
    contents = encode_nifti(predict(tmp_path))
    mask = _read_nifti(contents)
    for form in ('get_sform', 'get_qform'):
        (found, found_code), (wanted, code) = (getattr(image, form)(coded=True) for image in (mask, source))
        np.testing.assert_array_equal(found, wanted)
        assert found_code == code
    assert mask.shape == source.shape
    assert mask.header.get_zooms() == source.header.get_zooms()
    assert mask.header.get_xyzt_units() == source.header.get_xyzt_units()
    assert mask.header.endianness == source.header.endianness
    assert (mask.header['sizeof_hdr'], mask.header['cal_max']) == (source.header['sizeof_hdr'], 0)
    assert b'Mueller' not in gzip.decompress(contents['.nii.gz'])


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 7, 1), (5, 6, 7, 2)])
def test_other_shapes_of_nifti(tmp_path, shape):
    nib.save(nib.Nifti1Image(random_values(*shape), np.diag([-2.0, 3.0, 4.0, 1.0])), tmp_path / 'a.nii')
    incoming, *others = find_incoming([tmp_path], OPTIONS, Refusals(skip=False))
    case = incoming.load()
    mask = _read_nifti(encode_nifti(Prediction(incoming, case, segment(case), CLASSES, CHECKSUM)))
    assert mask.shape == (shape[:3] if others else shape)
    np.testing.assert_array_equal(mask.affine, nib.load(tmp_path / 'a.nii').affine)


def _save_itk(path, itk, shape, text=''):
    """A volume in a place, with directions, that no format rounds; returns it and its values."""
    values = random_values(*shape)
    image = itk.GetImageFromArray(np.ascontiguousarray(values.T), isVector=False)
    image.SetSpacing((0.1, 2 / 3, 2.5, 1.0)[: len(shape)])
    image.SetOrigin((10.1, -20 / 3, 30.0, 0.0)[: len(shape)])
    angle, directions = 0.3, np.eye(len(shape))
    directions[:2, :2] = [[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]]
    image.SetDirection(directions.ravel().tolist())
    if text:
        image.SetMetaData('PatientName', text)
    itk.WriteImage(image, str(path))
    return itk.ReadImage(str(path)), values


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize(
    ('name', 'wanted', 'ending'),
    [
        ('a.nrrd', 'auto', '.nrrd'),
        ('a.nhdr', 'auto', '.nrrd'),
        ('a.mha', 'auto', '.mha'),
        ('A.mhd', 'auto', '.mha'),
        ('a.mha', 'nifti', '.nii.gz'),
    ],
)
def test_a_mask_of_nrrd_and_metaimage_lies_on_the_voxels_of_its_volume(tmp_path, axis, name, wanted, ending):
    itk = pytest.importorskip('SimpleITK')
    (tmp_path / 'in').mkdir()
    source, values = _save_itk(tmp_path / 'in' / name, itk, (5, 6, 7), 'Mueller Jane')
    prediction = predict(tmp_path / 'in', axis=axis)
    (written,) = write_masks(prediction, choose_format(prediction.incoming.kind, wanted), tmp_path / 'out')
    assert written == f'masks/{name[0]}{ending}'
    mask = itk.ReadImage(str(tmp_path / 'out' / written))
    np.testing.assert_array_equal(itk.GetArrayFromImage(mask).T, _expected_ids(values))
    assert mask.GetPixelID() == itk.sitkUInt8
    near = 1e-5 if wanted == 'nifti' else 0  # NIfTI holds 32 bits of each
    for geometry in ('GetSize', 'GetOrigin', 'GetSpacing', 'GetDirection'):
        np.testing.assert_allclose(getattr(mask, geometry)(), getattr(source, geometry)(), rtol=near, atol=near)
    assert b'Mueller' not in (tmp_path / 'out' / written).read_bytes()


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 1), (5, 6, 7, 1)])
@pytest.mark.parametrize('ending', ['.nrrd', '.mha'])
def test_a_mask_of_nrrd_and_metaimage_has_the_axes_of_its_file(tmp_path, shape, ending):
    itk = pytest.importorskip('SimpleITK')
    source, values = _save_itk(tmp_path / f'a{ending}', itk, shape)
    (name,) = write_masks(predict(tmp_path / f'a{ending}'), {'.mha': 'metaimage'}.get(ending, 'nrrd'), tmp_path)
    mask = itk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(itk.GetArrayFromImage(mask).T, _expected_ids(values))
    assert (mask.GetSize(), mask.GetOrigin()) == (source.GetSize(), source.GetOrigin())
    assert (mask.GetSpacing(), mask.GetDirection()) == (source.GetSpacing(), source.GetDirection())


PLACES = [7.5, 0.0, 5.0, 2.5]


@pytest.fixture(params=['files', 'frames'])
def series(request, tmp_path):
    """Four planes on a tilted stack, not in order: as single files, and as one multi-frame file."""
    values = random_values(4, 6, 8)
    if request.param == 'files':
        save_series(tmp_path / 'ct', values, PLACES)
    else:
        save_frames(tmp_path / 'ct' / 'a.dcm', values, PLACES)
    return tmp_path / 'ct', _expected_ids(values)


def test_a_series_becomes_nifti_in_the_same_place(series):
    folder, ids = series
    mask = _read_nifti(encode_nifti(predict(folder)))
    values = np.asarray(mask.dataobj)
    assert mask.shape == (8, 6, 4)
    assert mask.header.get_xyzt_units()[0] == 'mm'
    to_voxel = np.linalg.inv(mask.affine)
    for image, row, column in np.ndindex(4, 6, 8):
        voxel = nib.affines.apply_affine(to_voxel, expected_place(PLACES[image], row, column) * (-1, -1, 1))
        np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-4)
        assert values[tuple(np.rint(voxel).astype(int))] == ids[image, row, column]


def _read_seg(contents, path):
    assert list(contents) == ['.dcm']
    path.write_bytes(contents['.dcm'])
    return highdicom.seg.segread(path)


def test_a_series_becomes_a_segmentation_in_the_same_place(series, tmp_path):
    folder, ids = series
    found = _read_seg(encode_dicom_seg(predict(folder)), tmp_path / 'mask')
    shared = found.SharedFunctionalGroupsSequence[0]
    np.testing.assert_allclose(shared.PlaneOrientationSequence[0].ImageOrientationPatient, TILTED)
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, SPACING)
    frames = zip(found.PerFrameFunctionalGroupsSequence, found.pixel_array, strict=True)
    rebuilt = np.zeros_like(ids)
    for group, pixels in frames:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        places = [np.linalg.norm(np.subtract(position, expected_place(place, 0, 0))) for place in PLACES]
        assert min(places) < 1e-4
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rebuilt[int(np.argmin(places))][pixels > 0] = number
    np.testing.assert_array_equal(rebuilt, ids)


def test_a_segmentation_refers_to_its_sources(tmp_path):
    values = random_values(4, 6, 8)
    files = save_series(tmp_path / 'ct', values, PLACES)
    found = _read_seg(encode_dicom_seg(predict(tmp_path / 'ct')), tmp_path / 'mask')
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in files]
    pixels = found.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(pixels, _expected_ids(values))
    referenced = found.ReferencedSeriesSequence[0]
    source = pydicom.dcmread(files[0])
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == set(uids)
    for keyword in ('PatientID', 'PatientName', 'StudyInstanceUID', 'FrameOfReferenceUID'):
        assert str(found[keyword].value) == str(source[keyword].value)
    assert found.SeriesInstanceUID != source.SeriesInstanceUID


def test_a_segmentation_says_what_made_it(series, tmp_path):
    found = _read_seg(encode_dicom_seg(predict(series[0])), tmp_path / 'mask')
    descriptions = [found.get_segment_description(number) for number in found.segment_numbers]
    assert [description.segment_label for description in descriptions] == list(CLASSES)
    assert [description.segmented_property_type.meaning for description in descriptions] == list(CLASSES)
    (algorithm,) = descriptions[0].SegmentationAlgorithmIdentificationSequence
    assert descriptions[0].SegmentAlgorithmType == 'AUTOMATIC'
    assert algorithm.AlgorithmName == 'enhanced-gan U-Net'
    assert algorithm.AlgorithmVersion
    assert CHECKSUM in algorithm.AlgorithmParameters


def test_a_segmentation_of_nothing_is_written(series, tmp_path):
    prediction = predict(series[0])
    prediction.masks[:] = 0
    found = _read_seg(encode_dicom_seg(prediction), tmp_path / 'mask')
    assert len(found.segment_numbers) == 2
    assert not found.pixel_array.any()


def test_sources_that_cannot_be_referred_to(tmp_path):
    for file in save_series(tmp_path, random_values(2, 6, 8), [0.0, 1.0]):
        dataset = pydicom.dcmread(file)
        del dataset.FrameOfReferenceUID
        dataset.save_as(file)
    with pytest.raises(UserError, match=r'DICOM SEG cannot refer to it \(.*Frame.Of.Reference.*use --format='):
        encode_dicom_seg(predict(tmp_path))


def test_real_series_keep_their_geometry(medical_data, tmp_path):
    folder = medical_data / 'dicom' / 'dicomdirtests' / '98892001' / 'CT5N'
    prediction = predict(folder)
    found = _read_seg(encode_dicom_seg(prediction), tmp_path / 'mask')
    sources = sorted((pydicom.dcmread(file) for file in folder.iterdir()), key=lambda s: s.ImagePositionPatient[2])
    pixels = found.get_pixels_by_source_instance([s.SOPInstanceUID for s in sources], combine_segments=True)
    np.testing.assert_array_equal(pixels, prediction.masks)
    mask = _read_nifti(encode_nifti(prediction))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), pixels.transpose(2, 1, 0))
    for index, source in enumerate(sources):
        first = nib.affines.apply_affine(mask.affine, (0, 0, index))
        np.testing.assert_allclose(first * (-1, -1, 1), source.ImagePositionPatient, atol=1e-3)


def test_real_volumes_keep_their_geometry(medical_data, tmp_path):
    file = medical_data / 'hippocampus' / 'images' / 'hippocampus_003.nii.gz'
    mask = _read_nifti(encode_nifti(predict(file)))
    source = nib.load(file)
    np.testing.assert_array_equal(mask.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), _expected_ids(source.get_fdata()))


def test_png_masks_hold_class_ids(tmp_path):
    values = save_picture(tmp_path / 'a.png')
    contents = encode_png(predict(tmp_path))
    assert list(contents) == ['.png']
    picture = Image.open(io.BytesIO(contents['.png']))
    ids = _expected_ids(values)
    assert np.unique(ids).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(np.asarray(picture), ids)
    colours = np.asarray([(0, 0, 0), *MASK_COLOURS[:2]], np.uint8)
    np.testing.assert_array_equal(np.asarray(picture.convert('RGB')), colours[ids])
    (tmp_path / 'mask.png').write_bytes(contents['.png'])
    np.testing.assert_array_equal(read_indices(tmp_path / 'mask.png', 2**20)[..., 0], ids)


def test_png_masks_of_a_volume_are_a_folder_of_slices(series, tmp_path):
    folder, ids = series
    prediction = predict(folder)
    names = write_masks(prediction, 'png', tmp_path / 'out')
    assert [name.rpartition('/')[2] for name in names] == ['0000.png', '0001.png', '0002.png', '0003.png']
    shown = np.stack([Image.open(tmp_path / 'out' / name) for name in names])
    np.testing.assert_array_equal(shown, ids[np.argsort(PLACES)])


@pytest.mark.parametrize(
    ('kind', 'wanted', 'given'),
    [
        ('raster', 'auto', 'png'), ('nifti', 'auto', 'nifti'), ('dicom', 'auto', 'dicom_seg'),
        ('dicom', 'nifti', 'nifti'), ('nifti', 'png', 'png'), ('dicom', 'png', 'png'),
        ('nrrd', 'auto', 'nrrd'), ('metaimage', 'auto', 'metaimage'), ('nifti', 'nrrd', None),
        ('raster', 'nifti', None), ('raster', 'dicom_seg', None), ('nifti', 'dicom_seg', None),
    ],
)  # fmt: skip
def test_formats(kind, wanted, given):
    if given is None:
        with pytest.raises(
            UserError, match=rf'masks of {kind} files cannot be written as {wanted}; use --format='
        ):
            choose_format(kind, wanted)
    else:
        assert choose_format(kind, wanted) == given


@pytest.mark.parametrize(
    ('foreground', 'chosen'),
    [
        ({}, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]),
        ({7: 3}, [7]),
        ({20: 9, 3: 1}, [3, 20]),
        ({number: number for number in range(1, 16)}, list(range(4, 16))),
    ],
)
def test_the_sheet_shows_the_slices_with_most_foreground(foreground, chosen):
    masks = np.zeros((24, 4, 5), np.uint8)
    for index, count in foreground.items():
        masks[index].flat[:count] = 1
    assert choose_slices(masks).tolist() == chosen


def test_contours_lie_around_regions_in_the_aspect_of_the_spacing(tmp_path):
    save_series(tmp_path, random_values(1, 16, 16), [0.0])  # pixels 0.5 mm high and 0.75 mm wide
    record = predict(tmp_path).case.records[0]
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 8:12] = 2
    picture = draw_contours(record, mask, side=192)
    assert picture.shape == (128, 192, 3)
    drawn = (picture == MASK_COLOURS[1]).all(axis=-1)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max()) == (4 * 8, 8 * 8 - 1)
    assert (columns.min(), columns.max()) == (8 * 12, 12 * 12 - 1)
    assert not drawn[40:56, 104:136].any()
    assert not (draw_contours(record, np.zeros_like(mask), side=192) == MASK_COLOURS[1]).all(axis=-1).any()


@pytest.mark.parametrize(
    'classes', [CLASSES, ('海马', '$x_1$'), tuple(f'a rather long name {n}' for n in range(40))]
)
def test_sheets_are_drawn_with_any_names(series, classes):
    prediction = predict(series[0], classes=classes)
    prediction.masks.flat[:40] = np.arange(40) % len(classes) + 1
    sheet = np.asarray(Image.open(io.BytesIO(draw_overlay(prediction))))
    for colour in MASK_COLOURS[: len(classes)]:
        assert (sheet == colour).all(axis=-1).any()
    prediction.masks[:] = 0
    sheet = np.asarray(Image.open(io.BytesIO(draw_overlay(prediction))))
    assert not any((sheet == colour).all(axis=-1).any() for colour in MASK_COLOURS)


def test_volumes_of_classes(series):
    prediction = predict(series[0])
    prediction.masks[:] = 0
    prediction.masks[1, :2, :5] = 2
    millilitres = 10 * 0.5 * 0.75 * 2.5 / 1000  # slices lie 2.5 mm apart, though they are 3 mm thick
    expected = prediction.segmentation.expected_dice[1]
    assert prediction.measure() == {
        CLASSES[1]: {'pixels': 10, 'ml': round(millilitres, 6), 'expected_dice': round(expected, 4)}
    }
