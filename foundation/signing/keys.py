"""A folder of keys: what signs releases, and what those who verify them are given."""

import dataclasses
import datetime as dt
import os
import stat
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from foundation.signing.authority import CertifiedKey, issue, name_signer
from foundation.training.errors import UserError

PUBLIC_KEY = 'public_key.pem'
AUTHORITY = 'certificate_authority.pem'
_RELEASE_KEY = 'release_key.pem'
_CREDENTIALS_KEY, _CREDENTIALS = 'credentials_key.pem', 'credentials_certificate.pem'
_DICOM_KEY, _DICOM = 'dicom_key.pem', 'dicom_certificate.pem'
_LARGEST = 2**16  # bytes of a key or a certificate
_PEM = serialization.Encoding.PEM


@dataclasses.dataclass(frozen=True)
class SigningKeys:
    """What signs releases.

    Attributes:
      name: of the signer, as the certificates have it.
      release: Ed25519, for manifests.
      credentials: EC P-256, for C2PA.
      dicom: RSA, for DICOM.
      authority: who issued both certificates.
    """

    name: str
    release: ed25519.Ed25519PrivateKey
    credentials: CertifiedKey
    dicom: CertifiedKey
    authority: x509.Certificate

    @property
    def public_key(self) -> bytes:
        """PEM of the public half of `release`."""
        return encode_public(self.release.public_key())

    def check_time(self, moment: dt.datetime) -> None:
        """Raises UserError when a time lies outside of that for which the certificates are valid."""
        for own in (self.credentials, self.dicom):
            start, end = own.certificate.not_valid_before_utc, own.certificate.not_valid_after_utc
            if not start <= moment <= end:
                raise UserError(
                    f'The keys of {self.name!a} are valid from {start:%Y-%m-%dT%H:%M:%SZ} to '
                    f'{end:%Y-%m-%dT%H:%M:%SZ}; {moment:%Y-%m-%dT%H:%M:%SZ} lies outside: make new ones with '
                    'gan.keys, or state another time.'
                )


def write_keys(folder: Path, name: str, start: dt.datetime, years: int, passphrase: bytes | None) -> str:
    """Creates keys and certificates, and writes them into an empty folder.

    Private keys can be read by their owner alone.

    Args:
      folder: empty.
      name: of the signer, see `authority.check_name`.
      start: from when certificates are valid, in UTC.
      years: how long.
      passphrase: that encrypts the private keys; None leaves them as they are.

    Returns:
      The fingerprint of the public key.
    """
    release, issued = ed25519.Ed25519PrivateKey.generate(), issue(name, start, years)
    folder.chmod(0o700)
    private = {_RELEASE_KEY: release, _CREDENTIALS_KEY: issued.credentials.key, _DICOM_KEY: issued.dicom.key}
    for file, key in private.items():
        _write(folder / file, _encode_private(key, passphrase), 0o600)
    public = {
        PUBLIC_KEY: encode_public(release.public_key()),
        AUTHORITY: encode_certificate(issued.authority),
        _CREDENTIALS: encode_certificate(issued.credentials.certificate),
        _DICOM: encode_certificate(issued.dicom.certificate),
    }
    for file, content in public.items():
        _write(folder / file, content, 0o644)
    return fingerprint(release.public_key())


def load_keys(folder: Path, passphrase: bytes | None) -> SigningKeys:
    """The keys of a folder that `write_keys` wrote; other keys and certificates may have taken the place of some.

    Args:
      folder: see `write_keys`.
      passphrase: that the private keys are encrypted with; None where they are not.

    Raises:
      UserError: when a file is missing, unreadable or of another kind, when others may read a private key, the
        passphrase is wrong, or a certificate is not that of its key.
    """
    if not folder.is_dir():
        raise UserError(
            f'{folder} is no folder of keys; make one with: python -m gan.keys --out={folder} --name=NAME'
        )
    release = _load_private(folder / _RELEASE_KEY, passphrase, ed25519.Ed25519PrivateKey, 'an Ed25519 key')
    credentials = _load_private(folder / _CREDENTIALS_KEY, passphrase, ec.EllipticCurvePrivateKey, 'an EC key')
    dicom = _load_private(folder / _DICOM_KEY, passphrase, rsa.RSAPrivateKey, 'an RSA key')
    return SigningKeys(
        name=name_signer(load_certificate(folder / _CREDENTIALS)),
        release=release,
        credentials=CertifiedKey(credentials, _load_own(folder / _CREDENTIALS, credentials)),
        dicom=CertifiedKey(dicom, _load_own(folder / _DICOM, dicom)),
        authority=load_certificate(folder / AUTHORITY),
    )


def read_passphrase(text: str, flag: str) -> bytes | None:
    """The passphrase that a user keeps in the environment or in a file; None for ''.

    Args:
      text: 'env:VARIABLE' or 'file:PATH', as OpenSSL has it; of a file, the first line counts.
      flag: that it came with.

    Raises:
      UserError: for another form, and where nothing is there.
    """
    if not text:
        return None
    kind, _, place = text.partition(':')
    if kind == 'env' and place:
        found = os.environ.get(place, '').encode(errors='surrogateescape')
    elif kind == 'file' and place:
        found = _read(Path(place), is_private=False).split(b'\n', 1)[0].rstrip(b'\r')
    else:
        raise UserError(f'{flag} takes env:VARIABLE or file:PATH, not the passphrase itself.')
    if not found:
        raise UserError(f'{flag}={text} holds no passphrase.')
    return found


def load_public_key(path: Path) -> ed25519.Ed25519PublicKey:
    """An Ed25519 key from a PEM file.

    Raises:
      UserError: when the file cannot be read, or holds something else.
    """
    key = parse_public_key(_read(path, is_private=False))
    if key is None:
        raise UserError(f'{path} holds no public Ed25519 key in PEM; name the {PUBLIC_KEY} that gan.keys wrote.')
    return key


def parse_public_key(content: bytes) -> ed25519.Ed25519PublicKey | None:
    """An Ed25519 key from PEM; None where it is none."""
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ed25519.Ed25519PublicKey) else None


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
      UserError: when the file cannot be read, or holds something else.
    """
    try:
        return x509.load_pem_x509_certificate(_read(path, is_private=False))
    except ValueError as error:
        raise UserError(
            f'{path} holds no certificate in PEM; name a file like {AUTHORITY}, which gan.keys wrote.'
        ) from error


def encode_certificate(certificate: x509.Certificate) -> bytes:
    """PEM."""
    return certificate.public_bytes(_PEM)


def encode_public(key: ed25519.Ed25519PublicKey) -> bytes:
    """PEM."""
    return key.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ed25519.Ed25519PublicKey) -> str:
    """SHA-256 of the DER form of a public key, as `openssl pkey -pubin -outform DER | sha256sum` prints it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, form))
    return digest.finalize().hex()


def _encode_private(key: Any, passphrase: bytes | None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, encryption)


def _write(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, *, is_private: bool) -> bytes:
    try:
        with path.open('rb') as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST + 1) if stat.S_ISREG(mode) else b''
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror or error}).') from error
    if not 0 < len(content) <= _LARGEST:
        raise UserError(f'{path} is no file of a key, a certificate or a passphrase: it is empty, or too large.')
    if is_private and mode & 0o077:
        raise UserError(f'{path}: others than its owner may use this key; make it private with: chmod 600 {path}')
    return content


def _load_private(path: Path, passphrase: bytes | None, kind: type, name: str) -> Any:
    content = _read(path, is_private=True)
    try:
        key = serialization.load_pem_private_key(content, passphrase)
    except TypeError as error:  # there is a passphrase where none is needed, or the other way round
        lacks = 'is not encrypted: name no passphrase'
        if passphrase is None:
            lacks = (
                'is encrypted: name its passphrase, env:VARIABLE or file:PATH '
                '(--passphrase of gan.sign, --sign_passphrase of gan.generate)'
            )
        raise UserError(f'{path} {lacks}.') from error
    except (ValueError, UnsupportedAlgorithm) as error:
        reason = 'is no private key in PEM' if passphrase is None else 'cannot be read with this passphrase'
        raise UserError(f'{path} {reason}.') from error
    if not isinstance(key, kind):
        raise UserError(f'{path} is not {name}, which is what signs here; see docs/releasing.md.')
    return key


def _load_own(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.Certificate:
    certificate = load_certificate(path)
    if certificate.public_key() != key.public_key():
        raise UserError(f'{path} is the certificate of another key than the one beside it.')
    return certificate
