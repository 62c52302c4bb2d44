"""Which images make up a volume: what hospitals' folders hold beside plain stacks."""

import gzip
import itertools
import shutil

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from input_pipeline.readers.pixels import to_physical

AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)


def _write(path, value, place=None, *, orientation=AXIAL, values=None, **elements):
    """A slice whose brightest pixel is `value`, at `place` millimetres along z."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.PatientID, dataset.Modality = 'P', 'MR'
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = '1.2', '1.2.3'
    if values is None:
        values = np.zeros((6, 8), np.uint16)
        values[2, 3] = value
    if place is not None:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, place], list(orientation)
    dataset.PixelSpacing = [1, 1]
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, 'MONOCHROME2'
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, int(values.dtype.kind == 'i')
    dataset.PixelData = values.tobytes()
    for name, element in elements.items():
        if element is None:
            del dataset[name]
        else:
            setattr(dataset, name, element)
    _save(path, dataset)
    return dataset


def _save(path, dataset):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def _volumes(reading):
    """The brightest values of the slices of each volume, slices in the order of their keys."""
    records = sorted(reading.records, key=lambda record: record.key)
    groups = itertools.groupby(records, key=lambda record: record.key.split('/')[1])
    return sorted([round(float(to_physical(r.image, r.intensity).max())) for r in group] for _, group in groups)


def _notes(reading):
    return ' '.join(reading.notes)


@pytest.mark.parametrize(
    'marks',
    [
        [{'TemporalPositionIdentifier': 1}, {'TemporalPositionIdentifier': 2}],
        [{'EchoNumbers': 1, 'EchoTime': 2.5}, {'EchoNumbers': 2, 'EchoTime': 5}],
        [{'ImageType': ['ORIGINAL', 'PRIMARY', 'M']}, {'ImageType': ['ORIGINAL', 'PRIMARY', 'P']}],
        [{'AcquisitionNumber': 7}, {'AcquisitionNumber': 9}],
        [{'AcquisitionTime': '100000'}, {'AcquisitionTime': '100003.5'}],
        [{}, {}],  # by their numbers alone
    ],
)
def test_several_images_at_each_place_are_several_volumes(tmp_path, read, marks):
    for (turn, mark), k in itertools.product(enumerate(marks), range(4)):
        _write(tmp_path / f'{k}{turn}', 100 * (turn + 1) + k, 3 * k, InstanceNumber=10 * turn + k + 1, **mark)
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102, 103], [200, 201, 202, 203]]
    assert '2 volumes' in _notes(reading)


def test_the_time_of_each_slice_tells_no_volumes_apart(tmp_path, read):
    for k in range(4):
        _write(tmp_path / f'{k}', 100 + k, 3 * k, AcquisitionTime=f'10000{k}', TriggerTime=k)
    assert _volumes(read('dicom', tmp_path)) == [[100, 101, 102, 103]]


def test_images_that_nothing_tells_apart_are_refused(tmp_path, read):
    for k, turn in itertools.product(range(3), range(2)):
        _write(tmp_path / f'{k}{turn}', 100 + turn, 3 * k, InstanceNumber=1)
    for k in range(3):
        _write(tmp_path / f'other{k}', 50 + k, 3 * k, SeriesInstanceUID='1.2.9')
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[50, 51, 52]]
    assert len(reading.refused) == 6
    assert all('nothing in their headers tells them apart' in reason for reason in reading.refused.values())


def test_copies_are_used_once_and_one_uid_for_all_is_no_copy(tmp_path, read):
    for k in range(3):
        _write(tmp_path / f'{k}.dcm', 100 + k, 2 * k, SOPInstanceUID='1.2.3.4')
    shutil.copy(tmp_path / '1.dcm', tmp_path / '1(1).dcm')
    with (tmp_path / '2.dcm').open('rb') as plain, gzip.open(tmp_path / '2.dcm.gz', 'wb') as packed:
        packed.write(plain.read())
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102]]
    assert '2 files are copies' in _notes(reading)
    assert set(reading.by_source) == {'0.dcm', '1.dcm', '2.dcm'}


def test_packed_files_are_read(tmp_path, read):
    for k in range(3):
        _write(tmp_path / 'plain' / f'{k}.dcm', 100 + k, 2 * k)
        with gzip.open(tmp_path / f'{k}.dcm.gz', 'wb') as packed:
            packed.write((tmp_path / 'plain' / f'{k}.dcm').read_bytes())
    shutil.rmtree(tmp_path / 'plain')
    assert _volumes(read('dicom', tmp_path)) == [[100, 101, 102]]


@pytest.mark.parametrize('centre', [0.0, 0.005, 0.5, -1e-9])
def test_directions_that_differ_by_rounding_are_one(tmp_path, read, centre):
    for k in range(6):
        sine = centre + 1e-8 * (-1) ** k
        cosine = np.sqrt(1 - sine * sine)
        axes = [f'{value:.10f}' for value in (cosine, sine, -0.0 if k % 2 else 0.0, -sine, cosine, 0.0)]
        _write(tmp_path / f'{k}', 100 + k, 2 * k, orientation=axes)
    assert _volumes(read('dicom', tmp_path)) == [[100, 101, 102, 103, 104, 105]]


def test_a_scout_and_derived_images_are_no_part_of_the_stack(tmp_path, read):
    for k in range(4):
        _write(tmp_path / f'{k}', 100 + k, 2 * k, ImageType=['ORIGINAL', 'PRIMARY', 'AXIAL'])
        _write(tmp_path / f'mean{k}', 500 + k, 2 * k + 1, ImageType=['DERIVED', 'SECONDARY', 'MPR'])
    _write(tmp_path / 'scout', 900, 0, orientation=CORONAL, ImageType=['ORIGINAL', 'PRIMARY', 'LOCALIZER'])
    _write(tmp_path / 'axial_scout', 901, 3, ImageType=['ORIGINAL', 'PRIMARY', 'LOCALIZER'])
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102, 103], [500, 501, 502, 503], [900], [901]]
    assert 'In series of other images, and volumes of their own: localizers (2).' in _notes(reading)
    assert 'derived images (4).' in _notes(reading)


def _write_frames(path, places, orientations, brightest, **elements):
    """A multi-frame file."""
    values = np.zeros((len(places), 6, 8), np.uint16)
    values[:, 2, 3] = brightest
    groups = []
    for place, axes in zip(places, orientations, strict=True):
        group, position, orientation = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient, orientation.ImageOrientationPatient = list(place), list(axes)
        group.PlanePositionSequence, group.PlaneOrientationSequence = [position], [orientation]
        groups.append(group)
    _write(
        path, 0, values=values, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=len(places),
        PerFrameFunctionalGroupsSequence=groups, **elements,
    )  # fmt: skip


def test_frames_are_in_the_order_of_their_places(tmp_path, read):
    order = [3, 4, 5, 0, 1, 2]
    _write_frames(tmp_path / 'a.dcm', [(0, 0, 2.0 * k) for k in order], [AXIAL] * 6, [100 + k for k in order])
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102, 103, 104, 105]]
    assert [record.spacing[2] for record in reading.records] == [2.0] * 6


def test_three_planes_of_one_localizer_are_three_volumes(tmp_path, read):
    places = [(0, 0, 0), (0, 0, 5), (3, 0, 0), (8, 0, 0), (0, 4, 0)]
    _write_frames(tmp_path / 'a.dcm', places, [AXIAL] * 2 + [SAGITTAL] * 2 + [CORONAL], [100, 101, 300, 301, 500])
    found = _volumes(read('dicom', tmp_path))
    assert [sorted(volume) for volume in found] == [[100, 101], [300, 301], [500]]


def test_missing_slices_are_told_with_the_gap(tmp_path, read):
    for k in (0, 1, 2, 5, 6):
        _write(tmp_path / f'{k}', 100 + k, 2.5 * k)
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102, 105, 106]]
    assert '1 gaps, the widest 7.5 mm, where slices are 2.5 mm apart' in _notes(reading)
    assert reading.records[0].spacing[2] == 2.5


def test_names_decide_where_nothing_else_does_and_that_is_told(tmp_path, read):
    for k in range(12):
        _write(tmp_path / f'IM{k}', 100 + k)
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [list(range(100, 112))]
    assert 'order of their names' in _notes(reading)


def test_without_series_uid_a_folder_of_a_study_is_a_series(tmp_path, read):
    for folder, k in itertools.product('ab', range(3)):
        _write(tmp_path / folder / f'{k}', 100 * (1 + (folder == 'b')) + k, 2 * k, SeriesInstanceUID=None)
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102], [200, 201, 202]]
    assert 'without SeriesInstanceUID' in _notes(reading)


def test_two_patients_under_one_uid_are_two_volumes_and_told(tmp_path, read):
    for patient, k in itertools.product('AB', range(3)):
        _write(tmp_path / patient / f'{k}', 100 * (1 + (patient == 'B')) + k, 2 * k, PatientID=patient)
    reading = read('dicom', tmp_path)
    assert _volumes(reading) == [[100, 101, 102], [200, 201, 202]]
    assert '1 SeriesInstanceUIDs belong to several patients' in _notes(reading)
    assert len({record.patient for record in reading.records}) == 2


@pytest.mark.parametrize(('value', 'limit'), [(-2000, None), (-32768, None), (-2000, -1990), (3000, None)])
def test_padding_is_in_no_window_and_shown_darkest(tmp_path, read, value, limit):
    random = np.random.default_rng(0)
    for k in range(3):
        values = random.integers(-1000, 400, (16, 16)).astype(np.int16)
        values[:5] = value
        more = {} if limit is None else {'PixelPaddingRangeLimit': limit}
        dataset = _write(tmp_path / f'{k}', 0, 2 * k, values=values, RescaleSlope=1, RescaleIntercept=0, **more)
        dataset.add_new('PixelPaddingValue', 'SS', value)
        _save(tmp_path / f'{k}', dataset)
    for record in read('dicom', tmp_path).records:
        physical = to_physical(record.image, record.intensity)
        assert -1000 <= record.window[0] < -980
        assert 380 < record.window[1] <= 399
        np.testing.assert_allclose(physical[:5], record.window[0], atol=1)
        assert physical[5:].min() >= -1000
        assert physical.max() <= 399


@pytest.mark.parametrize('padding', [-32768, 1000])
def test_padding_of_reversed_images_is_darkest_too(tmp_path, read, padding):
    values = np.arange(256, dtype=np.int16).reshape(16, 16)
    values[:5] = padding
    dataset = _write(tmp_path / 'a', 0, values=values, PhotometricInterpretation='MONOCHROME1')
    dataset.add_new('PixelPaddingValue', 'SS', padding)
    _save(tmp_path / 'a', dataset)
    _write(tmp_path / 'b', 100, SeriesInstanceUID='1.2.9')
    (record,) = [record for record in read('dicom', tmp_path).records if record.source == 'a']
    assert (record.image[:5] <= record.image[5:].min() + 2).all()


@pytest.mark.parametrize('signed', [False, True])
@pytest.mark.parametrize('high', [11, 15])
def test_values_are_those_of_the_bits_that_are_stored(tmp_path, read, signed, high):
    truth = np.arange(-1000, 1048, 8, dtype=np.int64).reshape(16, 16) + (0 if signed else 1000)
    stored = ((truth & 0xFFF) << (high - 11)) | (0x8000 if high == 11 else 0)  # an overlay in the highest bit
    if high == 11 and not signed:
        stored[8:] &= 0xFFF
    kind = {'PixelRepresentation': int(signed), 'BitsStored': 12, 'HighBit': high}
    _write(tmp_path / 'a', 0, values=stored.astype(np.uint16), **kind)
    _write(tmp_path / 'b', 100, SeriesInstanceUID='1.2.9')
    (record,) = [record for record in read('dicom', tmp_path).records if record.source == 'a']
    np.testing.assert_allclose(to_physical(record.image, record.intensity)[..., 0], truth)
