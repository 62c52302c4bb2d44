"""A certificate authority of one signer: it issues two certificates, and its key is thrown away then.

So nobody can issue another one under its name, whoever finds the other keys. Key usages are those that the profile
of certificates of C2PA 2.2 asks of a signer; the RSA key is for the profiles of DICOM PS3.15, C.1 and C.2.
"""

import dataclasses
import datetime as dt
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from foundation.training.errors import UserError

_C2PA_CLAIM_SIGNING = x509.ObjectIdentifier('1.3.6.1.4.1.62558.2.1')
_DOCUMENT_SIGNING = x509.ObjectIdentifier('1.3.6.1.5.5.7.3.36')  # RFC 9336
_RSA_BITS = 3072
_LONGEST_NAME = 64  # X.520, upper bound of an organisation's name
_NO_USE = dict.fromkeys(
    (
        'digital_signature', 'content_commitment', 'key_encipherment', 'data_encipherment', 'key_agreement',
        'key_cert_sign', 'crl_sign', 'encipher_only', 'decipher_only',
    ),
    False,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CertifiedKey:
    """A private key, and the certificate that tells whose it is.

    Attributes:
      key: EC P-256 or RSA.
      certificate: of its public half.
    """

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: x509.Certificate


@dataclasses.dataclass(frozen=True)
class Issued:
    """All that an authority issued in its short life.

    Attributes:
      authority: its own certificate.
      credentials: EC P-256, for C2PA.
      dicom: RSA of 3,072 bits, for DICOM.
    """

    authority: x509.Certificate
    credentials: CertifiedKey
    dicom: CertifiedKey


def check_name(name: str) -> None:
    """Raises UserError for what cannot be the name of a signer in a certificate."""
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise UserError(
            f'--name={name!a}: a name has 1 to {_LONGEST_NAME} printable characters, and no space at its ends.'
        )


def issue(name: str, start: dt.datetime, years: int) -> Issued:
    """Creates an authority, and the two certificates of a signer.

    Args:
      name: of the signer, see `check_name`.
      start: from when they are valid, in UTC.
      years: how long.
    """
    end = start + dt.timedelta(days=365 * years)
    own = ec.generate_private_key(ec.SECP256R1())
    issuer = _create_name(name, 'certificate authority')

    def certify(key: Any, purpose: str, usages: list[x509.ObjectIdentifier]) -> x509.Certificate:
        is_authority = not usages
        builder = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=_create_name(name, purpose),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=start,
            not_valid_after=end,
        )
        granted = ('key_cert_sign', 'crl_sign') if is_authority else ('digital_signature',)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), True),
            (x509.KeyUsage(**{**_NO_USE, **dict.fromkeys(granted, True)}), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), False),
        ]
        if usages:
            extensions.append((x509.ExtendedKeyUsage(usages), False))
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(own, hashes.SHA256())

    credentials, dicom = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65_537, _RSA_BITS)
    usages = [ExtendedKeyUsageOID.EMAIL_PROTECTION, _C2PA_CLAIM_SIGNING]
    return Issued(
        authority=certify(own, 'certificate authority', []),
        credentials=CertifiedKey(credentials, certify(credentials, 'content credentials', usages)),
        dicom=CertifiedKey(dicom, certify(dicom, 'DICOM signatures', [_DOCUMENT_SIGNING])),
    )


def name_signer(certificate: x509.Certificate) -> str:
    """The organisation that a certificate names, or else its common name; '' where it has neither."""
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            return str(attribute.value)
    return ''


def find_objection(
    certificate: x509.Certificate, authority: x509.Certificate | None, stated: dt.datetime | None
) -> str:
    """Why a certificate does not vouch for a signature, in a few words; '' where it does.

    Args:
      certificate: of the signer.
      authority: who must have issued it; None asks for no issuer.
      stated: when it signed, as it says; None where it does not.
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= dt.datetime.now(dt.UTC) <= end:
        return f'the certificate of its signer is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d} only'
    if stated is not None and not start <= stated <= end:
        return f'it states a time, {stated:%Y-%m-%d}, at which the certificate of its signer was not valid'
    if not _may_sign(certificate):
        return 'the certificate of its signer is not for signatures'
    if authority is None:
        return ''
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return f'its signer, {name_signer(certificate)!a}, was not certified by the authority that is named'
    return '' if _may_certify(authority) else 'the certificate that is named as authority is none of an authority'


def _create_name(organisation: str, purpose: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, purpose),
        ]
    )


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True
    except ValueError:  # extensions that cannot be read
        return False


def _may_certify(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
