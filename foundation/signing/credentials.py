"""Content credentials in PNG, TIFF and JPEG (C2PA): who made the picture, and that a trained model drew it.

They are put into the file, whose pixels stay as they are. The standard wants random salts in them, so no two files
are the same, though all is that they say. Nothing is fetched from a network, neither on signing nor on reading.
"""

import io
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from foundation.signing.authority import CertifiedKey
from foundation.signing.findings import Finding
from foundation.signing.keys import encode_certificate
from foundation.signing.moment import write_moment
from foundation.software import SOFTWARE, software_version
from foundation.training.errors import UserError

# Drawn by a trained model, and altered by one.
Source = Literal['trainedAlgorithmicMedia', 'compositeWithTrainedAlgorithmicMedia']
_SOURCES = 'http://cv.iptc.org/newscodes/digitalsourcetype/'  # IPTC's vocabulary, which C2PA takes over
_ALGORITHMS = {'secp256r1': 'es256', 'secp384r1': 'es384', 'secp521r1': 'es512'}
_OFFLINE: dict[str, Any] = {
    'verify': {'remote_manifest_fetch': False, 'ocsp_fetch': False},
    'builder': {'thumbnail': {'enabled': False}},
}
_LABEL, _CHUNK = b'c2pa', 2**20
_UNTRUSTED = 'signingCredential.untrusted'


class CredentialEmbedder:
    """Puts credentials into pictures.

    Args:
      own: an EC key and its certificate.
      authority: who issued it.
      time: as the signer states it, in UTC.
      source: in the words of IPTC.

    Raises:
      UserError: for a key or a certificate that C2PA does not take.
    """

    def __init__(self, own: CertifiedKey, authority: x509.Certificate, time: datetime, source: Source) -> None:
        assert isinstance(own.key, ec.EllipticCurvePrivateKey)
        algorithm = _ALGORITHMS.get(own.key.curve.name)
        if algorithm is None:
            raise UserError(f'C2PA takes no key of the curve {own.key.curve.name}; make one of P-256.')
        chain = encode_certificate(own.certificate) + encode_certificate(authority)
        key = own.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        agent = {'name': SOFTWARE, 'version': software_version()}
        action = {
            'action': 'c2pa.created',
            'when': write_moment(time),
            'softwareAgent': agent,
            'digitalSourceType': f'{_SOURCES}{source}',
        }
        self._content = json.dumps(
            {
                'claim_generator_info': [agent],
                'assertions': [{'label': 'c2pa.actions.v2', 'data': {'actions': [action]}}],
            }
        )
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None))
            self._context = c2pa.Context.from_dict(_OFFLINE, signer=signer)
        except c2pa.C2paError as error:
            raise UserError(f'C2PA does not take these keys ({_one_line(error)}).') from error

    def embed(self, media_type: str, content: bytes) -> bytes:
        """The same picture with credentials.

        Args:
          media_type: like image/png.
          content: of the file.

        Raises:
          UserError: for a file that cannot hold them, or has some, which would be lost.
        """
        if _has_credentials(media_type, content):
            raise UserError('it holds content credentials already; sign the picture as it was before.')
        signed = io.BytesIO()
        try:
            with c2pa.Builder(self._content, self._context) as builder:
                builder.sign(media_type, io.BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise UserError(f'it cannot hold content credentials ({_one_line(error)}).') from error
        return signed.getvalue()


class CredentialReader:
    """Looks whether the credentials of pictures are right.

    Args:
      authority: who must have certified the signer; None asks for nobody.
    """

    def __init__(self, authority: x509.Certificate | None) -> None:
        self._is_pinned = authority is not None
        settings = dict(_OFFLINE)
        if authority is not None:
            settings |= {
                'verify': {**_OFFLINE['verify'], 'verify_trust': True},
                'trust': {'trust_anchors': encode_certificate(authority).decode()},
            }
        self._context = c2pa.Context.from_dict(settings)

    def check(self, path: Path, media_type: str) -> Finding:
        """What the credentials of a file are worth.

        Args:
          path: of the file.
          media_type: like image/png.
        """
        try:
            report = self._read(path, media_type)
        except c2pa.C2paError.ManifestNotFound:
            return Finding('absent', 'no content credentials')
        except c2pa.C2paError.RemoteManifest:
            return Finding('unclear', 'its credentials lie elsewhere, and are not fetched')
        except c2pa.C2paError as error:
            if _mentions_credentials(path):
                return Finding('broken', f'the file or its credentials are damaged ({_one_line(error)})')
            return Finding('unclear', f'the file cannot be read ({_one_line(error)})')
        except OSError as error:
            return Finding('broken', f'it cannot be read ({error.strerror or error})')
        return self._judge(report)

    def find_claim(self, path: Path, media_type: str) -> tuple[tuple[str, ...], str] | None:
        """Where a picture and what was done to it come from, in the words of IPTC, and who says so; None where no
        right credentials tell.

        Args:
          path: of the file.
          media_type: like image/png.
        """
        try:
            report = self._read(path, media_type)
        except (c2pa.C2paError, OSError):
            return None
        if self._judge(report).state != 'held':
            return None
        active = _find_active(report)
        return _find_sources(active), active.get('signature_info', {}).get('issuer', '')

    def _read(self, path: Path, media_type: str) -> Mapping[str, Any]:
        with path.open('rb') as file, c2pa.Reader(media_type, file, context=self._context) as reader:
            report: Mapping[str, Any] = json.loads(reader.json())
        return report

    def _judge(self, report: Mapping[str, Any]) -> Finding:
        state = report.get('validation_state')
        active = _find_active(report)
        issuer = active.get('signature_info', {}).get('issuer', '')
        results = report.get('validation_results', {}).get('activeManifest', {})
        if state not in ('Valid', 'Trusted'):
            failures = [entry.get('code', '') for entry in results.get('failure', ())]
            told = ', '.join(code for code in failures if code != _UNTRUSTED) or 'of an earlier state of the file'
            return Finding('broken', f'the credentials are not right: {told}')
        if self._is_pinned and state != 'Trusted':
            return Finding('broken', f'its signer, {issuer!a}, was not certified by the authority that is named')
        vouched = '' if self._is_pinned else ', which no authority was named for'
        sources = ', '.join(_find_sources(active)) or 'of no source that is told'
        return Finding('held', f'{sources}, signed by {issuer!a}{vouched}')


def _find_active(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The manifest that speaks of the file as it is."""
    active: Mapping[str, Any] = report.get('manifests', {}).get(report.get('active_manifest'), {})
    return active


def _find_sources(active: Mapping[str, Any]) -> tuple[str, ...]:
    """What credentials say of where the picture comes from, and what was done to it, in the words of IPTC."""
    actions = [
        action
        for assertion in active.get('assertions', ())
        if assertion.get('label', '').startswith('c2pa.actions')
        for action in assertion.get('data', {}).get('actions', ())
    ]
    sources = [str(action.get('digitalSourceType', '')).removeprefix(_SOURCES) for action in actions]
    return tuple(dict.fromkeys(filter(None, sources)))


def _has_credentials(media_type: str, content: bytes) -> bool:
    """Whether a picture holds credentials, whatever they are worth, or says where they lie."""
    try:
        with c2pa.Reader(media_type, io.BytesIO(content), context=c2pa.Context.from_dict(_OFFLINE)):
            return True
    except c2pa.C2paError.RemoteManifest:
        return True
    except c2pa.C2paError:  # there are none, or it is no such picture: who writes into it finds out
        return False


def _mentions_credentials(path: Path) -> bool:
    """Whether a file that cannot be read holds the label of credentials all the same."""
    rest = b''
    with path.open('rb') as file:
        while piece := file.read(_CHUNK):
            if _LABEL in rest + piece:
                return True
            rest = piece[1 - len(_LABEL) :]
    return False


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
