"""DICOM signatures agree with those of DCMTK both ways, and no byte of a data set changes unnoticed."""

import io
import shutil
import struct
import subprocess

import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from foundation.signing import dicom_signature, dicom_stream
from foundation.signing.dicom_signature import check_dicom_signature, sign_dicom
from foundation.training.errors import UserError
from tests.foundation.signing.made import TIME, dicom, key_folder, keys

needs_dcmsign = pytest.mark.skipif(
    shutil.which('dcmsign') is None, reason='dcmsign (Debian: dcmtk) is not installed'
)
FORMS = {
    'ct': {},
    'colour': {'channels': 3, 'dtype': 'uint8', 'intensity': None, 'modality': 'unknown', 'spacing': None},
}


def _sign(content):
    return sign_dicom(content, keys().dicom, TIME)


def _check(content, authority='Hospital X'):
    return check_dicom_signature(content, keys(authority).authority if authority else None)


def _save(dataset, **options):
    file = io.BytesIO()
    dataset.save_as(file, **options)
    return file.getvalue()


def _nested(undefined):
    """A file with sequences in one another, of defined or undefined lengths."""
    dataset = pydicom.dcmread(io.BytesIO(dicom()))
    empty = pydicom.Dataset()
    dataset.ContributingEquipmentSequence.append(empty)
    dataset.ReferencedImageSequence = []
    for element in (dataset['ContributingEquipmentSequence'], dataset['ReferencedImageSequence']):
        element.is_undefined_length = undefined
        for item in element.value:
            item.is_undefined_length_sequence_item = undefined
    return _save(dataset)


def _compressed(syntax):
    dataset = pydicom.dcmread(io.BytesIO(dicom()))
    dataset.compress(syntax, generate_instance_uid=False)
    return _save(dataset)


FILES = {
    'ct': dicom,
    'colour': lambda: dicom(**FORMS['colour']),
    'nested': lambda: _nested(False),
    'undefined lengths': lambda: _nested(True),
    'RLE': lambda: _compressed(RLELossless),
    'JPEG-LS': lambda: _compressed(JPEGLSLossless),
}


@needs_dcmsign
@pytest.mark.parametrize('name', FILES)
def test_dcmsign_accepts_ours_as_a_signature_of_the_creator(tmp_path, name):
    path = tmp_path / 'signed.dcm'
    path.write_bytes(_sign(FILES[name]()))
    options = ['--verify', '+rc', '+cf', str(key_folder() / 'certificate_authority.pem')]
    done = subprocess.run(['dcmsign', *options, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'Signature Verification : OK' in done.stderr
    content = bytearray(path.read_bytes())
    content[content.index(b'\xe0\x7f\x10\x00') + 20] ^= 1  # of the pixels
    path.write_bytes(content)
    assert subprocess.run(['dcmsign', *options, str(path)], capture_output=True).returncode != 0


@needs_dcmsign
@pytest.mark.parametrize('digest', ['+m2', '+m5'])
@pytest.mark.parametrize('name', FILES)
def test_ours_accepts_those_of_dcmsign(tmp_path, name, digest):
    plain, signed = tmp_path / 'plain.dcm', tmp_path / 'signed.dcm'
    plain.write_bytes(FILES[name]())
    own = [str(key_folder() / file) for file in ('dicom_key.pem', 'dicom_certificate.pem')]
    subprocess.run(
        ['dcmsign', '+s', *own, '+pc', digest, '+sp', '1', plain, signed], check=True, capture_output=True
    )
    assert _check(signed.read_bytes()).state == 'held', _check(signed.read_bytes())


@needs_dcmsign
def test_a_partial_or_weak_signature_is_not_taken_for_a_whole_one(tmp_path):
    plain, signed = tmp_path / 'plain.dcm', tmp_path / 'signed.dcm'
    plain.write_bytes(dicom())
    own = [str(key_folder() / file) for file in ('dicom_key.pem', 'dicom_certificate.pem')]
    part = ['-t', 'SOPInstanceUID', '-t', 'PatientID']
    subprocess.run(['dcmsign', '+s', *own, '+m2', *part, plain, signed], check=True, capture_output=True)
    finding = _check(signed.read_bytes())
    assert finding.state == 'unclear'
    assert 'is right but does not cover (0008,0005), (0008,0008)' in finding.detail
    subprocess.run(['dcmsign', '+s', *own, '+ms', plain, signed], check=True, capture_output=True)
    assert _check(signed.read_bytes()).state == 'unclear'
    assert "('SHA1')" in _check(signed.read_bytes()).detail


def test_only_two_sequences_are_added():
    content = dicom()
    signed = pydicom.dcmread(io.BytesIO(_sign(content)))
    assert signed.DigitalSignaturesSequence[0].DigitalSignatureDateTime == f'{TIME:%Y%m%d%H%M%S}+0000'
    assert len(signed.DigitalSignaturesSequence[0].Signature) == 3072 // 8
    del signed.DigitalSignaturesSequence, signed.MACParametersSequence
    assert _save(signed) == content
    assert _sign(content) == _sign(content)


def test_all_that_can_be_signed_is():
    signed = pydicom.dcmread(io.BytesIO(_sign(dicom())))
    tags = {int(tag) for tag in signed.MACParametersSequence[0].DataElementsSigned}
    assert tags == {int(tag) for tag in signed.keys()} - {0x4FFE0001, 0xFFFAFFFA}  # noqa: SIM118
    assert {0x0008001C, 0x7FE00010, 0x00080018, 0x00280030, 0x0018A001} <= tags


def test_a_changed_byte_of_the_data_set_is_noticed():
    content = _sign(dicom())
    assert _check(content).state == 'held'
    _, elements = dicom_stream.read_file(content)
    unnoticed = []
    for place in range(elements[0].start, len(content), 7):  # once all, with all bits, were tried
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        if _check(bytes(altered)).state == 'held':
            unnoticed.append(place)
    assert unnoticed == []


def test_a_file_that_ends_early_is_refused():
    content = _sign(dicom())
    for end in range(0, len(content) - 1, 7):
        assert _check(content[:end]).state != 'held'


def test_what_is_added_is_told():
    dataset = pydicom.dcmread(io.BytesIO(_sign(dicom())))
    dataset.add_new(0x00280120, 'US', 0)  # pixel padding value
    finding = _check(_save(dataset))
    assert finding.state == 'unclear'
    assert 'does not cover (0028,0120), perhaps added since' in finding.detail


def test_an_element_twice_is_refused():
    content = _sign(dicom())
    _, elements = dicom_stream.read_file(content)
    pixels = next(element for element in elements if element.tag == 0x7FE00010)
    twice = content[: pixels.end] + content[pixels.start : pixels.end] + content[pixels.end :]
    assert _check(twice).state == 'broken'


def test_a_signed_element_that_was_removed_is_missed():
    dataset = pydicom.dcmread(io.BytesIO(_sign(dicom())))
    del dataset.SyntheticData
    assert _check(_save(dataset)).state == 'broken'


def test_it_matters_who_signed():
    content = _sign(dicom())
    assert _check(content).detail == "signed by 'Hospital X'"
    assert _check(content, None).detail == "signed by 'Hospital X', which no authority was named for"
    finding = _check(content, 'Clinic Y')
    assert (finding.state, 'was not certified' in finding.detail) == ('broken', True)


def test_unsigned_and_other_files_are_told_apart():
    assert check_dicom_signature(dicom(), None).state == 'absent'
    assert check_dicom_signature(b'\x89PNG' + bytes(300), None).state == 'unclear'
    dataset = pydicom.dcmread(io.BytesIO(dicom()))
    implicit = _implicit(dataset)
    assert (
        "its transfer syntax '1.2.840.10008.1.2' is not read here" in check_dicom_signature(implicit, None).detail
    )


def _implicit(dataset):
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    return _save(dataset, implicit_vr=True, little_endian=True)


def test_signing_twice_and_signing_what_cannot_be_is_refused():
    with pytest.raises(UserError, match='has a digital signature already'):
        _sign(_sign(dicom()))
    with pytest.raises(UserError, match='cannot be signed: its transfer syntax'):
        _sign(_implicit(pydicom.dcmread(io.BytesIO(dicom()))))


def test_deep_sequences_end(monkeypatch):
    content = dicom()
    for length in (b'\xff\xff\xff\xff', struct.pack('<I', 0)):
        bomb = content + (b'\xfa\xff\xfa\xffSQ\0\0\xff\xff\xff\xff' + b'\xfe\xff\x00\xe0' + length) * 100_000
        assert check_dicom_signature(bomb, None).state == 'broken'
    monkeypatch.setattr(dicom_stream, '_MOST', 10)
    assert 'more than 10 elements' in check_dicom_signature(content, None).detail


def test_profile_of_what_may_be_signed():
    refused = (0x00080001, 0x00020010, 0x00280000, 0xFFFAFFFA, 0x4FFE0001, 0xFFFCFFFC)
    assert not any(map(dicom_signature._may_be_signed, refused))
