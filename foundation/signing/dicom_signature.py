"""Digital signatures in DICOM files, after the Creator RSA profile (PS3.15 C.2), which DCMTK's `dcmsign` checks.

A signature is over every element of the data set but those that no signature may cover: pixels, geometry, UIDs,
SyntheticData, contributing equipment. It is not over the preamble and the file's meta information, which the
standard leaves out. The two sequences that hold it are put into the file; no other byte changes.
"""

import hashlib
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from foundation.signing.authority import CertifiedKey, find_objection, name_signer
from foundation.signing.dicom_stream import (
    EXPLICIT,
    MAC_PARAMETERS,
    PADDING,
    SIGNATURES,
    DicomFormError,
    Element,
    read_file,
    read_items,
    read_set,
    signed_bytes,
)
from foundation.signing.findings import Finding
from foundation.software import SOFTWARE
from foundation.training.errors import UserError

if TYPE_CHECKING:  # whoever verifies does without it
    from pydicom.dataset import Dataset

_MAC_ID, _MAC_SYNTAX, _MAC_ALGORITHM, _SIGNED_TAGS = 0x04000005, 0x04000010, 0x04000015, 0x04000020
_TIME, _CERTIFICATE_TYPE, _CERTIFICATE, _SIGNATURE = 0x04000105, 0x04000110, 0x04000115, 0x04000120
_CERTIFIED_TIME = (0x04000305, 0x04000310)
_X509 = 'X509_1993_SIG'
# Older ones (SHA-1, MD5, RIPEMD-160) can be forged, or are not known to be safe.
_ALGORITHMS = {'SHA256': hashes.SHA256(), 'SHA384': hashes.SHA384(), 'SHA512': hashes.SHA512()}
_LENGTH_TO_END = 0x00080001
# How these are written, which the signature itself does not secure.
_VRS = {
    _MAC_ID: b'US', _MAC_SYNTAX: b'UI', _MAC_ALGORITHM: b'CS', _SIGNED_TAGS: b'AT', _TIME: b'DT',
    _CERTIFICATE_TYPE: b'CS', _CERTIFICATE: b'OB', _SIGNATURE: b'OB',
}  # fmt: skip
_SHOWN = 5  # tags that are told


def sign_dicom(content: bytes, own: CertifiedKey, time: datetime) -> bytes:
    """The same file with a signature.

    Args:
      content: of a file of explicit VR in little endian.
      own: an RSA key and its certificate.
      time: as the signer states it, in UTC.

    Raises:
      UserError: for a file that cannot be signed, or has a signature.
    """
    try:
        syntax, elements = read_file(content)
    except DicomFormError as error:
        raise UserError(f'it cannot be signed: {error}.') from error
    if {element.tag for element in elements} & {SIGNATURES, MAC_PARAMETERS}:
        raise UserError('it has a digital signature already.')
    covered = [element for element in elements if _may_be_signed(element.tag)]
    is_encapsulated = any(element.vr != b'SQ' and element.stop != element.end for element in covered)
    stream = b''.join(signed_bytes(content, covered))
    parameters = _encode_parameters(syntax if is_encapsulated else EXPLICIT, covered)
    unsigned = _encode_signature(own.certificate, time, hashlib.sha256(stream).hexdigest(), b'')
    key = own.key
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = key.sign(stream + _own_bytes(unsigned), padding.PKCS1v15(), hashes.SHA256())
    signed = _encode_signature(own.certificate, time, hashlib.sha256(stream).hexdigest(), signature)
    middle = next((element.start for element in elements if element.tag > MAC_PARAMETERS), len(content))
    last = next((element.start for element in elements if element.tag == PADDING), len(content))
    return content[:middle] + parameters + content[middle:last] + signed + content[last:]


def check_dicom_signature(content: bytes, authority: x509.Certificate | None) -> Finding:
    """Whether all signatures of a file are right, and whether they cover all of it.

    Args:
      content: of a DICOM file.
      authority: who must have certified the signers; None asks for nobody.
    """
    try:
        syntax, elements = read_file(content)
        holders = {element.tag: element for element in elements}
        if SIGNATURES not in holders:
            return Finding('absent', 'no digital signature')
        macs = _read_parameters(content, holders[MAC_PARAMETERS]) if MAC_PARAMETERS in holders else {}
        items = read_items(content, holders[SIGNATURES])
        found = [_check_item(content, syntax, elements, macs, item, authority) for item in items]
    except DicomFormError as error:
        has_one = b'\xfa\xff\xfa\xffSQ' in content
        return Finding('broken' if has_one else 'unclear', f'it cannot be read: {error}')
    except Exception as error:  # a certificate that was damaged makes its reader raise almost anything
        return Finding('broken', f'its signature cannot be read ({type(error).__name__})')
    if not found:
        return Finding('broken', 'its sequence of signatures is empty')
    order = ('held', 'unclear', 'broken')
    return max(found, key=lambda finding: order.index(finding.state))


def _may_be_signed(tag: int) -> bool:
    """PS3.3 C.12.1.1.3.1.1: no group lengths, commands, directories, signatures or padding."""
    is_length = tag & 0xFFFF == 0 or tag == _LENGTH_TO_END
    return tag >> 16 >= 8 and not is_length and tag not in (SIGNATURES, MAC_PARAMETERS, PADDING)


def _encode_parameters(syntax: str, covered: list[Element]) -> bytes:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.MACIDNumber, item.MACCalculationTransferSyntaxUID, item.MACAlgorithm = 0, syntax, 'SHA256'
    item.DataElementsSigned = [element.tag for element in covered]
    return _encode_sequence('MACParametersSequence', item)


def _encode_signature(certificate: x509.Certificate, time: datetime, digest: str, signature: bytes) -> bytes:
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    der = certificate.public_bytes(serialization.Encoding.DER)
    stated = f'{time:%Y%m%d%H%M%S}+0000'
    item = Dataset()
    item.MACIDNumber = 0
    item.DigitalSignatureUID = generate_uid(
        entropy_srcs=[SOFTWARE, 'signature', digest, stated, hashlib.sha256(der).hexdigest()]
    )
    item.DigitalSignatureDateTime, item.CertificateType = stated, _X509
    item.CertificateOfSigner = der + b'\0' * (len(der) % 2)
    item.Signature = signature
    return _encode_sequence('DigitalSignaturesSequence', item)


def _encode_sequence(keyword: str, item: 'Dataset') -> bytes:
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    holder = Dataset()
    setattr(holder, keyword, [item])
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, holder)
    return file.getvalue()


def _own_bytes(sequence: bytes) -> bytes:
    """What is signed of the item of a sequence of one signature."""
    (holder,) = read_set(sequence, 0, len(sequence))
    (item,) = read_items(sequence, holder)
    return b''.join(_signed_of_item(sequence, item))


def _signed_of_item(content: bytes, item: list[Element]) -> Iterator[bytes]:
    left_out = {_CERTIFICATE, _SIGNATURE, *_CERTIFIED_TIME}
    return signed_bytes(content, [element for element in item if element.tag not in left_out])


def _read_parameters(content: bytes, sequence: Element) -> dict[bytes, dict[int, bytes]]:
    """Values by tag of each item, by its MAC ID."""
    items = [_values(content, item) for item in read_items(content, sequence)]
    return {values.get(_MAC_ID, b''): values for values in items}


def _values(content: bytes, item: list[Element]) -> dict[int, bytes]:
    """Values by tag.

    Raises:
      DicomFormError: for one that is not written as the standard has it.
    """
    for element in item:
        if element.vr != _VRS.get(element.tag, element.vr):
            raise DicomFormError('its signature has elements of a wrong kind')
    return {element.tag: content[element.value : element.stop] for element in item}


def _text(value: bytes, padding: bytes) -> str:
    return value.removesuffix(padding).decode('ascii', 'replace')


def _check_item(
    content: bytes,
    syntax: str,
    elements: list[Element],
    macs: dict[bytes, dict[int, bytes]],
    item: list[Element],
    authority: x509.Certificate | None,
) -> Finding:
    values = _values(content, item)
    mac = macs.get(values.get(_MAC_ID, b''))
    certificate = _parse_certificate(values.get(_CERTIFICATE, b''))
    if mac is None or certificate is None or _SIGNATURE not in values:
        return Finding('broken', 'its signature lacks how it was made, a certificate, or itself')
    algorithm, mac_syntax = _text(mac.get(_MAC_ALGORITHM, b''), b' '), _text(mac.get(_MAC_SYNTAX, b''), b'\0')
    if algorithm not in _ALGORITHMS or _text(values.get(_CERTIFICATE_TYPE, b''), b' ') != _X509:
        return Finding('unclear', f'its signature is of a kind that is not relied on here ({algorithm!a})')
    listed = _read_tags(mac.get(_SIGNED_TAGS, b''))
    covered = [element for element in elements if element.tag in listed]
    is_encapsulated = any(element.vr != b'SQ' and element.stop != element.end for element in covered)
    if mac_syntax != (syntax if is_encapsulated else EXPLICIT):
        return Finding('unclear', 'its signature is over another form of the file')
    stream = b''.join([*signed_bytes(content, covered), *_signed_of_item(content, item)])
    if len(covered) < len(listed) or not _is_right(
        certificate, values[_SIGNATURE], stream, _ALGORITHMS[algorithm]
    ):
        return Finding('broken', 'its signature is not that of what it holds')
    return _judge(certificate, authority, _text(values.get(_TIME, b''), b' '), elements, listed)


def _judge(
    certificate: x509.Certificate,
    authority: x509.Certificate | None,
    time: str,
    elements: list[Element],
    listed: set[int],
) -> Finding:
    """What a right signature is worth."""
    stated = _parse_time(time)
    objection = find_objection(certificate, authority, stated)
    if objection:
        return Finding('broken', objection)
    left = [element.tag for element in elements if _may_be_signed(element.tag) and element.tag not in listed]
    if left:
        told = ', '.join(f'({tag >> 16:04X},{tag & 0xFFFF:04X})' for tag in left[:_SHOWN])
        more = ', ...' if len(left) > _SHOWN else ''
        return Finding('unclear', f'its signature is right but does not cover {told}{more}, perhaps added since')
    vouched = '' if authority else ', which no authority was named for'
    return Finding('held', f'signed by {name_signer(certificate)!a}{vouched}')


def _parse_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(f'{text[:14]}{text[-5:]}', '%Y%m%d%H%M%S%z')
    except ValueError:
        return None


def _parse_certificate(value: bytes) -> x509.Certificate | None:
    """A certificate in DER; its length is even in a file, whatever its own."""
    for content in (value, value[:-1]) if value.endswith(b'\0') else (value,):
        try:
            return x509.load_der_x509_certificate(content)
        except ValueError:
            continue
    return None


def _read_tags(value: bytes) -> set[int]:
    numbers = struct.unpack(f'<{len(value) // 2}H', value[: len(value) // 2 * 2])
    return {(group << 16) | number for group, number in zip(numbers[::2], numbers[1::2], strict=False)}


def _is_right(
    certificate: x509.Certificate, signature: bytes, stream: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, stream, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, stream, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
