"""Sizes that compressed pixels claim for themselves."""

import struct

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from input_pipeline.errors import DataError
from input_pipeline.readers.dicom_file import read_frames, read_header

ROWS, COLUMNS = 48, 80
LIMIT = 2**20
# Where a file's codestream says its rows: what comes before them, and how they are packed.
PLACES = {
    JPEGBaseline8Bit: (b'\xff\xc0\x00\x0b\x08', '>H'),
    JPEGLSLossless: (b'\xff\xf7\x00\x0b\x08', '>H'),
    JPEG2000Lossless: (b'\xff\x4f\xff\x51\x00\x29\x00\x00' + struct.pack('>I', COLUMNS), '>I'),
}


@pytest.fixture(params=PLACES, ids=lambda syntax: syntax.keyword)
def compressed(request, tmp_path):
    """A DICOM file of one picture."""
    values = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS), np.uint8)
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = '1.2.840.10008.5.1.4.1.1.7', '1.2.3'
    dataset.PatientID, dataset.Modality = '4711', 'OT'
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = 'MONOCHROME2', 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    if request.param == JPEGBaseline8Bit:
        encoded = cv2.imencode('.jpg', values)[1].tobytes()
        dataset.file_meta.TransferSyntaxUID, dataset.PixelData = request.param, encapsulate([encoded])
        dataset['PixelData'].is_undefined_length = True
    else:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.PixelData = values.tobytes()
        dataset.compress(request.param, generate_instance_uid=False)
    path = tmp_path / 'a.dcm'
    dataset.save_as(path, enforce_file_format=True)
    return path, *PLACES[request.param]


def _claim(path, before, form, rows):
    content = path.read_bytes()
    place = content.index(before) + len(before)
    size = struct.calcsize(form)
    assert struct.unpack(form, content[place : place + size]) == (ROWS,)
    path.write_bytes(content[:place] + struct.pack(form, rows) + content[place + size :])


def test_those_of_the_header_are_read(compressed):
    path, _, _ = compressed
    (frame,) = read_frames(path, read_header(path, LIMIT))
    assert frame.shape == (ROWS, COLUMNS, 1)


@pytest.mark.parametrize('rows', [0, ROWS - 1, 65000])
def test_others_are_refused_before_anything_is_decoded(compressed, rows):
    _claim(*compressed, rows)
    with pytest.raises(DataError, match=rf'claim to be \({rows}, {COLUMNS}, 1\), other than its header says'):
        read_header(compressed[0], LIMIT)


@pytest.mark.parametrize('kept', [2, 6])
def test_a_codestream_that_ends_early_is_refused(compressed, kept):
    path, _, _ = compressed
    content = path.read_bytes()
    start = max(content.find(begin) for begin in (b'\xff\xd8\xff', b'\xff\x4f\xff\x51'))
    path.write_bytes(content[: start - 4] + struct.pack('<I', kept) + content[start : start + kept])
    with pytest.raises(DataError, match=r'damaged|cannot be decoded'):
        list(read_frames(path, read_header(path, LIMIT)))
