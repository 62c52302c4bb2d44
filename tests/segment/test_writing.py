"""Written masks against their sources: place, direction and spacing, read by nibabel, pydicom and highdicom."""

import gzip
import hashlib
import io
import json

import cv2
import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from input_pipeline import DataError
from input_pipeline.errors import Refusals
from input_pipeline.incoming import find_incoming
from input_pipeline.records import ReaderOptions
from segment.writing.answers import TABLE_FILE, Order, answer_all
from segment.writing.dicom_seg import encode_dicom_seg
from segment.writing.files import choose_format, write_file, write_masks
from segment.writing.nifti import encode_nifti
from segment.writing.overlays import COLOURS, choose_slices, draw_contours, draw_overlay
from segment.writing.png import encode_png
from segment.writing.prediction import Prediction
from tests.input_pipeline.series import SPACING, TILTED, expected_place, random_values, save_frames, save_series
from tests.segment.thresholds import CHECKSUM, CLASSES, segment
from training.errors import UserError

OPTIONS = ReaderOptions('', (0.5, 99.5), 2**24, 2, '')


def _predict(*paths, axis=2, classes=CLASSES) -> Prediction:
    """The stand-in's masks of the only case in the paths."""
    options = ReaderOptions('', (0.5, 99.5), 2**24, axis, '')
    (incoming,) = find_incoming(paths, options, Refusals(skip=False))
    case = incoming.load()
    return Prediction(incoming, case, segment(case), classes, CHECKSUM)


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


def _save_nifti(path, kind=nib.Nifti1Image, codes='PIL', order='<'):
    """A tilted volume whose two affines differ, with texts that may name a patient."""
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    affine = affine @ np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = 10, -20, 30
    image = kind(random_values(5, 6, 7), affine, kind.header_class(endianness=order))
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    image = image.as_reoriented(turn)
    image.set_sform(image.affine, 1)
    moved = image.affine.copy()
    moved[:3, 3] += 1.5
    image.set_qform(moved, 2)
    image.header.set_xyzt_units('mm', 'sec')
    image.header['descrip'] = b'Mueller Jane'
    if 'db_name' in image.header:
        image.header['db_name'] = b'Mueller Jane'
    image.header['cal_max'] = 99
    image.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'Mueller Jane'))
    nib.save(image, path)
    return nib.load(path)


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('codes', ['RAS', 'LPS', 'SAR', 'PIL'])
def test_a_nifti_mask_lies_on_the_voxels_of_its_volume(tmp_path, axis, codes):
    source = _save_nifti(tmp_path / 'a.nii.gz', codes=codes)
    mask = _read_nifti(encode_nifti(_predict(tmp_path, axis=axis)))
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
    source = _save_nifti(tmp_path / name, kind, order=order)
    contents = encode_nifti(_predict(tmp_path))
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
    mask = _read_nifti(encode_nifti(_predict(folder)))
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
    found = _read_seg(encode_dicom_seg(_predict(folder)), tmp_path / 'mask')
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
    found = _read_seg(encode_dicom_seg(_predict(tmp_path / 'ct')), tmp_path / 'mask')
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
    found = _read_seg(encode_dicom_seg(_predict(series[0])), tmp_path / 'mask')
    descriptions = [found.get_segment_description(number) for number in found.segment_numbers]
    assert [description.segment_label for description in descriptions] == list(CLASSES)
    assert [description.segmented_property_type.meaning for description in descriptions] == list(CLASSES)
    (algorithm,) = descriptions[0].SegmentationAlgorithmIdentificationSequence
    assert descriptions[0].SegmentAlgorithmType == 'AUTOMATIC'
    assert algorithm.AlgorithmName == 'enhanced-gan U-Net'
    assert algorithm.AlgorithmVersion
    assert CHECKSUM in algorithm.AlgorithmParameters


def test_a_segmentation_of_nothing_is_written(series, tmp_path):
    prediction = _predict(series[0])
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
        encode_dicom_seg(_predict(tmp_path))


def test_real_series_keep_their_geometry(medical_data, tmp_path):
    folder = medical_data / 'dicom' / 'dicomdirtests' / '98892001' / 'CT5N'
    prediction = _predict(folder)
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
    mask = _read_nifti(encode_nifti(_predict(file)))
    source = nib.load(file)
    np.testing.assert_array_equal(mask.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), _expected_ids(source.get_fdata()))


def _save_picture(path, seed=0, shape=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    cv2.imwrite(str(path), values)
    return values


def test_png_masks_hold_class_ids(tmp_path):
    values = _save_picture(tmp_path / 'a.png')
    contents = encode_png(_predict(tmp_path))
    assert list(contents) == ['.png']
    mask = np.asarray(Image.open(io.BytesIO(contents['.png'])))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, _expected_ids(values))


def test_png_masks_of_a_volume_are_a_folder_of_slices(series, tmp_path):
    folder, ids = series
    prediction = _predict(folder)
    name = write_masks(prediction, 'png', tmp_path / 'out')
    slices = sorted((tmp_path / 'out' / name).iterdir())
    assert [path.name for path in slices] == ['0000.png', '0001.png', '0002.png', '0003.png']
    shown = np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in slices])
    np.testing.assert_array_equal(shown, ids[np.argsort(PLACES)])


@pytest.mark.parametrize(
    ('kind', 'wanted', 'given'),
    [
        ('raster', 'auto', 'png'), ('nifti', 'auto', 'nifti'), ('dicom', 'auto', 'dicom_seg'),
        ('dicom', 'nifti', 'nifti'), ('nifti', 'png', 'png'), ('dicom', 'png', 'png'),
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
    record = _predict(tmp_path).case.records[0]
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 8:12] = 2
    picture = draw_contours(record, mask, side=192)
    assert picture.shape == (128, 192, 3)
    drawn = (picture == COLOURS[1]).all(axis=-1)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max()) == (4 * 8, 8 * 8 - 1)
    assert (columns.min(), columns.max()) == (8 * 12, 12 * 12 - 1)
    assert not drawn[40:56, 104:136].any()
    assert not (draw_contours(record, np.zeros_like(mask), side=192) == COLOURS[1]).all(axis=-1).any()


@pytest.mark.parametrize(
    'classes', [CLASSES, ('海马', '$x_1$'), tuple(f'a rather long name {n}' for n in range(40))]
)
def test_sheets_are_drawn_with_any_names(series, classes):
    prediction = _predict(series[0], classes=classes)
    prediction.masks.flat[:40] = np.arange(40) % len(classes) + 1
    sheet = np.asarray(Image.open(io.BytesIO(draw_overlay(prediction))))
    for colour in COLOURS[: len(classes)]:
        assert (sheet == colour).all(axis=-1).any()
    prediction.masks[:] = 0
    sheet = np.asarray(Image.open(io.BytesIO(draw_overlay(prediction))))
    assert not any((sheet == colour).all(axis=-1).any() for colour in COLOURS)


def test_volumes_of_classes(series):
    prediction = _predict(series[0])
    prediction.masks[:] = 0
    prediction.masks[1, :2, :5] = 2
    millilitres = 10 * 0.5 * 0.75 * 2.5 / 1000  # slices lie 2.5 mm apart, though they are 3 mm thick
    assert prediction.measure() == {CLASSES[1]: {'pixels': 10, 'ml': round(millilitres, 6)}}


def _order(out, mask_format='auto'):
    return Order(out, mask_format, True, CLASSES, CHECKSUM, {'step': None})


@pytest.fixture
def mixed(tmp_path):
    """A picture, a series, a volume, and two files that cannot be read."""
    folder = tmp_path / 'in'
    _save_picture(folder / 'p' / 'a.png')
    save_series(folder / 'ct', random_values(2, 6, 8), [0.0, 1.0])
    _save_nifti(folder / 'v.nii.gz')
    (folder / 'cut.png').write_bytes((folder / 'p' / 'a.png').read_bytes()[:60])
    (folder / 'x.bin').write_bytes(b'x')
    return folder


def test_all_is_answered_but_what_cannot_be_read(mixed, tmp_path):
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    found = find_incoming([mixed], OPTIONS, refusals)
    rows = answer_all(found, segment, _order(out), refusals)
    table = json.loads((out / TABLE_FILE).read_text())
    assert table['answered'] == rows
    assert set(table['refused']) == {'cut.png', 'x.bin'}
    assert (table['weights_sha256'], table['classes']) == (CHECKSUM, {'1': CLASSES[0], '2': CLASSES[1]})
    assert [row['kind'] for row in rows] == ['dicom', 'raster', 'nifti']
    assert [row['mask'].split('.', 1)[1] for row in rows] == ['dcm', 'png', 'nii.gz']
    assert rows[1]['classes'][CLASSES[0]]['ml'] is None
    for row in rows:
        for file in row['files']:
            with open(file['path'], 'rb') as content:
                assert hashlib.sha256(content.read()).hexdigest() == file['sha256']
    written = {path.relative_to(out).as_posix() for path in out.rglob('*') if path.is_file()}
    assert written == {TABLE_FILE} | {row[part] for row in rows for part in ('mask', 'overlay')}


def test_a_format_that_does_not_fit_costs_only_its_own_files(mixed, tmp_path):
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    found = find_incoming([mixed / 'p', mixed / 'v.nii.gz'], OPTIONS, refusals)
    rows = answer_all(found, segment, _order(out, 'nifti'), refusals)
    assert [row['name'] for row in rows] == ['v']
    assert list(refusals.reasons) == ['p/a.png']
    assert 'cannot be written as nifti' in refusals.reasons['p/a.png']


def test_when_interrupted_the_table_tells_what_was_done(mixed, tmp_path):
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    found = find_incoming([mixed], OPTIONS, refusals)

    def interrupted(case):
        if case.records[0].modality != 'CT':
            raise KeyboardInterrupt
        return segment(case)

    with pytest.raises(KeyboardInterrupt):
        answer_all(found, interrupted, _order(out), refusals)
    table = json.loads((out / TABLE_FILE).read_text())
    assert (len(table['answered']), table['found']) == (1, 4)


def test_what_the_network_refuses_costs_only_its_own_case(mixed, tmp_path):
    refusals = Refusals(skip=True)
    found = find_incoming([mixed / 'p', mixed / 'v.nii.gz'], OPTIONS, refusals)

    def choosy(case):
        if len(case.records) == 1:
            raise DataError('has the wrong channels')
        return segment(case)

    assert len(answer_all(found, choosy, _order(tmp_path / 'out'), refusals)) == 1
    assert refusals.reasons == {'p/a.png': 'has the wrong channels'}


def test_no_mask_is_written_over_that_of_another_file(tmp_path):
    """The slices of a volume become a folder of pictures, which may be that of real ones."""
    _save_picture(tmp_path / 'in' / 'v' / '0001.png')
    _save_nifti(tmp_path / 'in' / 'v.nii.gz')
    refusals, out = Refusals(skip=True), tmp_path / 'out'
    rows = answer_all(find_incoming([tmp_path / 'in'], OPTIONS, refusals), segment, _order(out, 'png'), refusals)
    assert [row['name'] for row in rows] == ['v']
    assert refusals.reasons == {
        'v/0001.png': 'masks/v/0001.png holds the mask of another file already; segment this one by itself.'
    }
    assert len(list((out / 'masks' / 'v').iterdir())) == rows[0]['slices']


def test_an_interrupted_file_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr('segment.writing.files.os.replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / 'a.png', b'content')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(mixed, tmp_path):
    with pytest.raises(UserError, match='give --out a new folder'):
        answer_all([], segment, _order(mixed), Refusals(skip=True))
    (tmp_path / 'empty').mkdir()
    assert answer_all([], segment, _order(tmp_path / 'empty'), Refusals(skip=True)) == []
