"""Time stamps of an authority (RFC 3161): when a signature was there at the latest, by somebody else's clock.

`signature/checksums.txt.tsr` holds the answer of the authority, whole, as `openssl ts -verify` reads it. It covers
the bytes of `checksums.txt.sig`, and so all that this signs.
"""

import datetime as dt
import hashlib
import http.client
import os
import time
import urllib.parse
import urllib.request
import warnings
from pathlib import Path

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerifierBuilder,
    decode_timestamp_response,
)

from foundation.export.manifest import SIGNATURE_FOLDER, TIMESTAMP_FILE
from foundation.files import write_file
from foundation.signing.checklist import SIGNATURE
from foundation.signing.findings import Finding
from foundation.training.errors import UserError

_LARGEST = 2**17  # bytes of an answer: a token and the certificates of its authority
_PATIENCE = 30.0  # seconds that a connection may be silent, and that an answer may take
_GRANTED = 0  # PKIStatus
_SHA256 = x509.ObjectIdentifier('2.16.840.1.101.3.4.2.1')


def check_address(address: str, flag: str) -> None:
    """Raises UserError for what is no address of the web; `flag` is what it came with."""
    try:
        parts = urllib.parse.urlsplit(address)
        is_address = parts.scheme in ('http', 'https') and bool(parts.hostname)
    except ValueError:  # of brackets that are not closed, and letters that no host has
        is_address = False
    if not is_address:
        raise UserError(f'{flag}={address} is no address of a time-stamping authority; it begins with http(s)://.')


def write_timestamp(release: Path, address: str) -> dt.datetime:
    """Asks an authority to stamp the signature of a release, and adds its answer.

    The authority learns the SHA-256 of the signature, and nothing else.

    Args:
      release: signed.
      address: of the authority, http or https.

    Returns:
      The time that it states.

    Raises:
      UserError: when it cannot be reached, or what it answers is no stamp of this signature.
    """
    signature = (release / SIGNATURE_FOLDER / SIGNATURE).read_bytes()
    request = TimestampRequestBuilder().data(signature).hash_algorithm(HashAlgorithm.SHA256).build()
    content = _post(address, request.as_bytes())
    response = _decode(content)
    if response is None:
        raise UserError(f'{address} did not answer with a time stamp (RFC 3161); name another authority.')
    if response.status != _GRANTED:
        reason = '; '.join(response.status_string) or f'status {response.status}'
        raise UserError(f'{address} refused to stamp ({reason!a}); name another authority.')
    if response.tst_info.nonce != request.nonce or not _covers(response, signature):
        raise UserError(f'{address} answered with the stamp of something else; name another authority.')
    write_file(release / TIMESTAMP_FILE, content)
    return response.tst_info.gen_time


def check_timestamp(release: Path, authority: x509.Certificate | None) -> Finding:
    """Whether the signature of a release was stamped, and when.

    Args:
      release: a folder.
      authority: the root that the stamp must lead to; None leaves open whose it is.
    """
    path = release / TIMESTAMP_FILE
    if not os.path.lexists(path):
        return Finding('absent', 'no time stamp lies here')
    content, signature = _read(path), _read(release / SIGNATURE_FOLDER / SIGNATURE)
    if content is None or signature is None:
        return Finding('broken', 'the stamp, or the signature that it is of, is missing or is no file')
    response = _decode(content)
    if response is None or response.status != _GRANTED:
        return Finding('broken', f'{TIMESTAMP_FILE} holds no time stamp')
    told = f'{response.tst_info.gen_time:%Y-%m-%dT%H:%M:%SZ}'
    if not _covers(response, signature):
        return Finding('broken', f'the stamp of {told} is not of this signature')
    if authority is None:
        return Finding('unclear', f'a stamp says {told}; whose must it be? --time_authority=CERTIFICATE')
    fault = _find_fault(response, signature, authority)
    if fault:
        return Finding('broken', fault)
    return Finding('held', f'the signature was there at {told}, says the authority that is named')


def _post(address: str, request: bytes) -> bytes:
    """What the authority answers (RFC 3161, section 3.4)."""
    asked = urllib.request.Request(address, request, {'Content-Type': 'application/timestamp-query'})
    try:
        with urllib.request.urlopen(asked, timeout=_PATIENCE) as answer:
            content = _read_in_time(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, 'reason', None) or error
        raise UserError(f'{address} gave no time stamp ({reason}); try again later, or name another.') from error
    if len(content) > _LARGEST:
        raise UserError(f'{address} answered with more than {_LARGEST:,} bytes, which is no time stamp.')
    return content


def _read_in_time(answer: http.client.HTTPResponse) -> bytes:
    """What comes within `_PATIENCE`, however slowly, and no more than tells that it is too much."""
    content, end = b'', time.monotonic() + _PATIENCE
    while len(content) <= _LARGEST and (piece := answer.read1(_LARGEST + 1 - len(content))):
        content += piece
        if time.monotonic() > end:
            raise TimeoutError('it answers too slowly')
    return content


def _decode(content: bytes) -> TimeStampResponse | None:
    """The answer, or None for what is none."""
    try:
        response = decode_timestamp_response(content)
        if response.status == _GRANTED:
            _ = response.tst_info, response.signed_data  # parsed when asked for
    except ValueError:
        return None
    return response


def _covers(response: TimeStampResponse, signature: bytes) -> bool:
    imprint = response.tst_info.message_imprint
    return imprint.hash_algorithm == _SHA256 and imprint.message == hashlib.sha256(signature).digest()


def _find_fault(response: TimeStampResponse, signature: bytes, authority: x509.Certificate) -> str:
    """Why this is no stamp of a signature by an authority; '' where it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of odd certificates, which are refused below or do no harm
            loaded = [x509.load_der_x509_certificate(one) for one in response.signed_data.certificates]
            verifier = VerifierBuilder(roots=[authority], intermediates=loaded).build()
            verifier.verify_message(response, signature)
    except Exception as error:  # of damaged certificates cryptography raises errors of many kinds
        return f'not a stamp by the authority that is named ({type(error).__name__})'
    return ''


def _read(path: Path) -> bytes | None:
    """A small file; None for a missing one, and for what is none."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with path.open('rb') as file:
            content = file.read(_LARGEST + 1)
    except OSError:
        return None
    return content if len(content) <= _LARGEST else None
