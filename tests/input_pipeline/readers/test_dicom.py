"""DICOM trees against pydicom's own decoding, on real files and on files made here."""

import collections
import hashlib

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RTDoseStorage,
    SegmentationStorage,
    generate_uid,
)

from input_pipeline.errors import DataError
from input_pipeline.readers import dicom_file
from input_pipeline.readers.pixels import to_physical

# pydicom copes with these flaws and says so; `prepare` silences it.
pytestmark = [
    pytest.mark.filterwarnings('ignore:Expected explicit VR:UserWarning'),
    pytest.mark.filterwarnings('ignore:End of file reached before delimiter:UserWarning'),
]

REFUSED = {
    'JPEG-lossy.dcm': '12-bit',
    'JPGExtended.dcm': '12-bit',
    'MR_truncated.dcm': 'is truncated: its pixels need 8192 bytes, the file has 8130',
    'UN_sequence.dcm': 'holds no pixels',
    'empty_charset_LEI.dcm': 'holds no pixels',
    'liver_1frame.dcm': 'holds a segmentation, not an image',
    'meta_missing_tsyntax.dcm': 'holds no pixels',
    'nested_priv_SQ.dcm': 'holds no pixels',
    'no_meta_group_length.dcm': 'holds no pixels',
    'priv_SQ.dcm': 'holds no pixels',
}
# Objects that are no images by their kind; of texts and indices there are more.
PASSED_OVER = {
    'ExplVR_BigEndNoMeta.dcm': 'radiotherapy plans',
    'ExplVR_LitEndNoMeta.dcm': 'radiotherapy plans',
    'reportsi_with_empty_number_tags.dcm': 'structured reports',
    'rtplan.dcm': 'radiotherapy plans',
    'rtstruct.dcm': 'structure sets',
    'test-SR.dcm': 'structured reports',
}
IGNORED = {'LICENSE.pydicom', 'SOURCE.txt'}
# The same object in another encoding, with the file that is used instead.
COPIES = {
    'MR_small_bigendian.dcm': 'MR_small.dcm',
    'MR_small_expb.dcm': 'MR_small.dcm',
    'MR_small_jp2klossless.dcm': 'MR_small.dcm',
    'MR_small_jpeg_ls_lossless.dcm': 'MR_small.dcm',
    'SC_rgb_jpeg_gdcm.dcm': 'SC_rgb_gdcm_KY.dcm',
    'SC_rgb_small_odd_big_endian.dcm': 'SC_rgb_small_odd.dcm',
    'rtdose_expb.dcm': 'rtdose.dcm',
    'rtdose_expb_1frame.dcm': 'rtdose_rle_1frame.dcm',
    'zipMR.gz': 'MR_small.dcm',
}


def _expected(path):
    """Frames in physical units as pydicom decodes them: (frame, height, width, channel)."""
    dataset = pydicom.dcmread(path)
    values = pixel_array(dataset)
    if dataset.PhotometricInterpretation == 'PALETTE COLOR':
        values = apply_color_lut(values, dataset)
    elif dataset.SamplesPerPixel == 1:
        values = apply_modality_lut(values, dataset) * float(dataset.get('DoseGridScaling', 1))
    channels = 1 if values.ndim == 2 or (dataset.SamplesPerPixel == 1 and values.shape[-1] != 3) else 3
    return values.reshape(-1, dataset.Rows, dataset.Columns, channels)


def _padding(path):
    """Where pixels are padding: (frame, height, width, channel)."""
    dataset = pydicom.dcmread(path)
    if 'PixelPaddingValue' not in dataset or dataset.SamplesPerPixel > 1:
        return np.zeros(_expected(path).shape, bool)
    return (pixel_array(dataset) == dataset.PixelPaddingValue).reshape(_expected(path).shape)


def test_real_files_equal_pydicom_or_are_refused(medical_data, read):
    folder = medical_data / 'dicom'
    reading = read('dicom', folder)
    loaded = {reason.split(':')[0]: reason for reason in reading.refused.values() if '.dcm: ' in reason}
    scanned = {name: reason for name, reason in reading.refused.items() if name.endswith('.dcm')}
    refused = scanned | loaded
    assert dict.fromkeys(REFUSED, True) == {name: REFUSED[name] in reason for name, reason in refused.items()}
    files = {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}
    assert set(reading.by_source) == files - set(REFUSED) - set(PASSED_OVER) - IGNORED - set(COPIES)
    assert collections.Counter(PASSED_OVER.values()).items() <= reading.passed_over.items()
    for copy, used in COPIES.items():
        if copy.endswith('.dcm'):
            np.testing.assert_array_equal(_expected(folder / copy), _expected(folder / used))
    for name, records in reading.by_source.items():
        frames = np.stack([to_physical(record.image, record.intensity) for record in records])
        expected, padding = _expected(folder / name), _padding(folder / name)
        np.testing.assert_allclose(frames[~padding], expected[~padding], rtol=1e-7, err_msg=name)
        step = abs(np.subtract(*records[0].intensity)) / 65535
        np.testing.assert_allclose(frames[padding], records[0].window[0], atol=step, err_msg=name)


def test_patients_are_pseudonyms(medical_data, read):
    reading = read('dicom', medical_data / 'dicom')
    identities = set()
    for path in (medical_data / 'dicom').rglob('*'):
        if path.is_file() and path.suffix in ('', '.dcm'):
            dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            identities |= {str(dataset.get('PatientID') or ''), str(dataset.get('PatientName') or '')}
    identities = {identity for identity in identities if len(identity) > 2}
    for record in reading.records:
        text = f'{record.key} {record.patient} {record.source}'
        assert not [identity for identity in identities if identity in text]
        assert len(record.patient) == 12
        int(record.patient, 16)
    identity = str(pydicom.dcmread(medical_data / 'dicom' / 'CT_small.dcm').PatientID)
    pseudonym = hashlib.sha256(f'enhanced-gan dicom {identity}'.encode()).hexdigest()[:12]
    assert reading.by_source['CT_small.dcm'][0].patient == pseudonym


def test_real_series_are_in_order(medical_data, read):
    folder = medical_data / 'dicom'
    records = read('dicom', folder / 'dicomdirtests' / '98892001' / 'CT5N').records
    heights = [
        pydicom.dcmread(folder / 'dicomdirtests/98892001/CT5N' / r.source).ImagePositionPatient[2] for r in records
    ]
    assert heights == sorted(heights)
    assert len(heights) == 5
    assert {record.window for record in records} == {records[0].window}
    volume = np.concatenate([to_physical(record.image, record.intensity).ravel() for record in records])
    np.testing.assert_allclose(records[0].window, np.percentile(volume, [0.5, 99.5]))
    assert records[0].spacing[2] == abs(np.median(np.diff(np.array(heights, float))))


def _dataset(values, **elements):
    """A CT image with the given stored values, (height, width) or (frame, height, width)."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.Modality = '4711', 'Doe^Jane', 'CT'
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = '1.2.3', '1.2.3.4'
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = values.shape[0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, 'MONOCHROME2'
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == 'i')
    dataset.add_new(
        'PixelData', 'OW' if values.dtype.itemsize > 1 else 'OB', values.tobytes() + b'\0' * (values.nbytes % 2)
    )
    dataset.update(
        {
            pydicom.datadict.tag_for_keyword(k): pydicom.DataElement(
                pydicom.datadict.tag_for_keyword(k), pydicom.datadict.dictionary_VR(k), v
            )
            for k, v in elements.items()
        }
    )
    return dataset


def _save(path, dataset, syntax=ExplicitVRLittleEndian, bare=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    if bare:
        dataset.save_as(path, implicit_vr=True, little_endian=True)
        return
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def _values(*shape, dtype=np.int16, seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(max(info.min, -1000), min(info.max, 3000), shape).astype(dtype)


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize('photometric', ['MONOCHROME1', 'MONOCHROME2'])
@pytest.mark.parametrize('slope', [1.0, 0.5, -2.0])
def test_units_are_kept_and_higher_is_brighter(tmp_path, read, dtype, photometric, slope):
    values = _values(6, 8, dtype=dtype)
    _save(
        tmp_path / 'a',
        _dataset(values, PhotometricInterpretation=photometric, RescaleSlope=slope, RescaleIntercept=-1024),
    )
    (record,) = read('dicom', tmp_path).records
    physical = values * slope - 1024.0
    np.testing.assert_allclose(to_physical(record.image[..., 0], record.intensity), physical, rtol=1e-12)
    brightness = -physical if photometric == 'MONOCHROME1' else physical
    order = np.argsort(record.image.ravel().astype(float), kind='stable')
    assert (np.diff(brightness.ravel()[order]) >= 0).all()
    expected = np.percentile(physical, [0.5, 99.5])
    np.testing.assert_allclose(
        record.window, expected[::-1] if photometric == 'MONOCHROME1' else expected, rtol=1e-6
    )
    assert record.image.dtype == {1: 'uint8', 2: 'uint16', 4: 'float32'}[values.dtype.itemsize]


def test_slices_are_sorted_along_the_normal(tmp_path, read):
    """Positions out of order, on a tilted plane, against instance numbers that say otherwise."""
    normal = np.array([0.0, -0.6, 0.8])
    for number, place in enumerate([3, 0, 4, 1, 2]):
        dataset = _dataset(
            _values(6, 8, seed=place),
            ImageOrientationPatient=[1, 0, 0, 0, 0.8, 0.6],
            ImagePositionPatient=list(2.5 * place * normal + 7),
            InstanceNumber=number,
            PixelSpacing=[0.5, 0.25],
        )
        _save(tmp_path / f'{number}', dataset)
    records = read('dicom', tmp_path).records
    assert [record.source for record in records] == ['1', '3', '4', '0', '2']
    np.testing.assert_allclose([record.spacing for record in records], [(0.5, 0.25, 2.5)] * 5)
    assert [record.key.split('/')[-1] for record in records] == [f'{place:05d}' for place in range(5)]


def test_without_positions_the_instance_number_sorts(tmp_path, read):
    for name, number in {'a': 10, 'b': 9, 'c': 100}.items():
        _save(tmp_path / name, _dataset(_values(6, 8), InstanceNumber=number))
    assert [record.source for record in read('dicom', tmp_path).records] == ['b', 'a', 'c']


def test_mixed_series_are_volumes_of_their_own(tmp_path, read):
    for seed, (name, size) in enumerate({'a': (6, 8), 'b': (6, 8), 'c': (9, 9)}.items()):
        _save(tmp_path / name, _dataset(_values(*size, seed=seed)))
    windows = {record.source: record.window for record in read('dicom', tmp_path).records}
    assert windows['a'] == windows['b'] != windows['c']


def test_one_damaged_slice_costs_only_itself(tmp_path, read):
    for number in range(3):
        _save(
            tmp_path / str(number),
            _dataset(_values(64, 64, seed=number), InstanceNumber=number),
            ExplicitVRLittleEndian,
        )
    dataset = pydicom.dcmread(tmp_path / '1')
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / '1')
    data = (tmp_path / '1').read_bytes()
    (tmp_path / '1').write_bytes(data[: len(data) // 2])
    reading = read('dicom', tmp_path)
    assert {record.source for record in reading.records} == {'0', '2'}
    assert len(reading.refused) == 1
    assert '1: is truncated' in next(iter(reading.refused.values()))


def test_empty_slices_are_left_out_and_empty_volumes_refused(tmp_path, read):
    _save(tmp_path / 'a', _dataset(_values(6, 8)))
    _save(tmp_path / 'b', _dataset(np.full((6, 8), 5, np.int16), InstanceNumber=2))
    _save(tmp_path / 'c', _dataset(np.full((6, 8), 5, np.int16), SeriesInstanceUID='1.2.9'))
    reading = read('dicom', tmp_path)
    assert [record.source for record in reading.records] == ['a']
    assert list(reading.refused.values()) == ['c: is constant: every pixel of its volume has the same value']


@pytest.mark.parametrize(
    'syntax', [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, pydicom.uid.RLELossless]
)
def test_frames_and_their_functional_groups(tmp_path, read, syntax):
    values = _values(3, 6, 8)
    dataset = _dataset(values)
    measures, shared, frames = pydicom.Dataset(), pydicom.Dataset(), []
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 3
    shared.PixelMeasuresSequence = [measures]
    for number in range(3):
        transformation, frame = pydicom.Dataset(), pydicom.Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = number + 1, 10 * number
        frame.PixelValueTransformationSequence = [transformation]
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    _save(tmp_path / 'a', dataset, ExplicitVRLittleEndian if syntax.is_encapsulated else syntax)
    if syntax.is_encapsulated:
        dataset = pydicom.dcmread(tmp_path / 'a')
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(tmp_path / 'a')
    records = read('dicom', tmp_path).records
    assert [record.key[-5:] for record in records] == ['/0000', '/0001', '/0002']
    for number, record in enumerate(records):
        physical = to_physical(record.image[..., 0], record.intensity)
        np.testing.assert_allclose(physical, values[number] * (number + 1.0) + 10 * number, rtol=1e-12)
        assert record.spacing == (0.5, 0.75, 3.0)


def test_what_a_frame_says_of_itself_comes_first():
    """Then what its file says of all frames, and last the top level (PS3.3, C.7.6.16)."""

    def group(thickness):
        measures, macros = pydicom.Dataset(), pydicom.Dataset()
        measures.SliceThickness, macros.PixelMeasuresSequence = thickness, [measures]
        return macros

    header = pydicom.Dataset()
    header.SliceThickness, found = 1.0, []
    for keyword, groups in (
        (None, []),
        ('SharedFunctionalGroupsSequence', [group(2.0)]),
        ('PerFrameFunctionalGroupsSequence', [pydicom.Dataset(), group(3.0)]),
    ):
        if keyword:
            setattr(header, keyword, groups)
        frames = (dicom_file.functional(header, n, 'PixelMeasuresSequence', 'SliceThickness') for n in (0, 1))
        found.append(tuple(map(float, frames)))
    assert found == [(1.0, 1.0), (2.0, 2.0), (2.0, 3.0)]


def test_files_without_preamble_and_transfer_syntax(tmp_path, read):
    values = _values(6, 8)
    _save(tmp_path / 'a', _dataset(values), bare=True)
    (record,) = read('dicom', tmp_path).records
    np.testing.assert_array_equal(to_physical(record.image[..., 0], record.intensity), values)


def test_missing_pixels_bombs_and_strangers_are_refused(tmp_path, read):
    _save(tmp_path / 'good', _dataset(_values(6, 8)))
    large = _dataset(_values(6, 8), Rows=60000, Columns=60000)
    _save(tmp_path / 'large', large)
    _save(tmp_path / 'frames', _dataset(_values(6, 8), NumberOfFrames=10**6))
    _save(tmp_path / 'short', _dataset(_values(6, 8), Rows=7))
    bomb = _dataset(_values(6, 8))
    bomb.add_new(0x00091001, 'OB', bytes(2**26))
    bomb.add_new(0x00090010, 'LO', 'bomb')
    _save(tmp_path / 'deflated', bomb, DeflatedExplicitVRLittleEndian)
    (tmp_path / 'stranger').write_bytes(b'hello' * 100)
    (tmp_path / 'empty.dcm').write_bytes(b'')
    (tmp_path / 'notes.txt').write_bytes(b'hello')
    (tmp_path / 'DICOMDIR').write_bytes(b'hello')
    (tmp_path / 'cut.dcm').write_bytes((tmp_path / 'good').read_bytes()[:200])
    reading = read('dicom', tmp_path, pixel_limit=10**5)
    assert [record.source for record in reading.records] == ['good']
    wanted = {
        'large': 'pixel_limit', 'frames': 'pixel_limit', 'short': 'is truncated', 'deflated': 'inflates to more',
        'stranger': 'is not DICOM', 'empty.dcm': 'is not DICOM', 'cut.dcm': '',
    }  # fmt: skip
    assert dict.fromkeys(wanted, True) == {
        name: wanted[name] in reason for name, reason in reading.refused.items()
    }


def test_names_of_patients_leave_the_source(tmp_path, read):
    _save(tmp_path / 'DOE_JANE_1970' / 'id-4711' / 'ct', _dataset(_values(6, 8)))
    (record,) = read('dicom', tmp_path).records
    assert record.source == f'{record.patient}/{record.patient}/ct'


def test_patient_falls_back_to_study_and_pattern_wins(tmp_path, read):
    for name, study in {'x1/a': '1.1', 'x1/b': '1.2', 'x2/c': '1.1'}.items():
        _save(
            tmp_path / name,
            _dataset(
                _values(6, 8),
                PatientID='',
                StudyInstanceUID=study,
                SeriesInstanceUID=study + name[-1].replace(name[-1], '.5'),
            ),
        )
    by_source = read('dicom', tmp_path).by_source
    assert by_source['x1/a'][0].patient == by_source['x2/c'][0].patient != by_source['x1/b'][0].patient
    by_source = read('dicom', tmp_path, patient_pattern='(x.)').by_source
    assert by_source['x1/a'][0].patient == by_source['x1/b'][0].patient != by_source['x2/c'][0].patient


def test_modality(tmp_path, read):
    _save(tmp_path / 'a', _dataset(_values(6, 8)))
    _save(tmp_path / 'b', _dataset(_values(6, 8), Modality='', SeriesInstanceUID='1.5'))
    by_source = read('dicom', tmp_path, modality='XA').by_source
    assert (by_source['a'][0].modality, by_source['b'][0].modality) == ('CT', 'XA')


@pytest.mark.parametrize('syntax', [JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize('bits', [10, 12, 16])
def test_compressed_signed_values_of_few_bits(tmp_path, read, syntax, bits):
    """Encoded by CharLS and OpenJPEG, whose streams hold the values at the precision of the header."""
    values = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (64, 66)).astype(np.int16)
    dataset = _dataset(values, BitsStored=bits, HighBit=bits - 1, RescaleSlope=2, RescaleIntercept=-3)
    _save(tmp_path / 'a.dcm', dataset)
    compressed = pydicom.dcmread(tmp_path / 'a.dcm')
    compressed.compress(syntax, generate_instance_uid=False)
    compressed.save_as(tmp_path / 'a.dcm')
    assert (compressed.PixelRepresentation, compressed.BitsStored, compressed.BitsAllocated) == (1, bits, 16)
    (record,) = read('dicom', tmp_path).records
    np.testing.assert_array_equal(to_physical(record.image[..., 0], record.intensity), values * 2.0 - 3)


def _without_pixels(kind, **elements):
    dataset = _dataset(_values(6, 8), SOPClassUID=kind, SOPInstanceUID=generate_uid(), **elements)
    for keyword in ('PixelData', 'Rows', 'Columns'):
        delattr(dataset, keyword)
    return dataset


def test_objects_without_images_are_passed_over(tmp_path, read):
    storage = '1.2.840.10008.5.1.4.1.1'
    kinds = {
        f'{storage}.88.11': 'structured reports',
        f'{storage}.88.67': 'structured reports',
        f'{storage}.88.59': 'key object selections',
        f'{storage}.11.1': 'presentation states',
        f'{storage}.481.3': 'structure sets',
        f'{storage}.481.5': 'radiotherapy plans',
        f'{storage}.104.1': 'encapsulated documents',
        '1.2.840.10008.1.3.10': 'DICOMDIR',
    }
    for number, kind in enumerate(kinds):
        _save(tmp_path / 'others' / str(number), _without_pixels(kind, Modality='OT'))
    _save(tmp_path / 'others' / 'DICOMDIR', _without_pixels('1.2.840.10008.1.3.10'))
    counts = collections.Counter(kinds.values()) + collections.Counter(['DICOMDIR'])
    with pytest.raises(DataError, match='holds no DICOM images, only 2 DICOMDIR, 2 structured reports, 1 key'):
        read('dicom', tmp_path / 'others')
    _save(tmp_path / 'image', _dataset(_values(6, 8)))
    reading = read('dicom', tmp_path)
    assert (set(reading.by_source), reading.refused, reading.passed_over) == ({'image'}, {}, counts)


@pytest.mark.parametrize('kind', [CTImageStorage, f'{RTDoseStorage[:-2]}.1', RTDoseStorage, SegmentationStorage])
def test_images_that_lost_their_pixels_are_refused(tmp_path, read, kind):
    _save(tmp_path / 'image', _dataset(_values(6, 8)))
    _save(tmp_path / 'lost', _without_pixels(kind))
    reading = read('dicom', tmp_path)
    assert (reading.refused, reading.passed_over) == ({'lost': 'holds no pixels (CT)'}, {})


def test_empty_folder_raises(tmp_path, read):
    with pytest.raises(DataError, match='holds no DICOM images'):
        read('dicom', tmp_path)
