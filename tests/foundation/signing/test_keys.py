"""Keys are made whole, are private, and tell what is wrong with them."""

import datetime as dt
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from foundation.signing import authority
from foundation.signing import keys as key_files
from foundation.training.errors import UserError
from tests.foundation.signing.made import START, key_folder, keys

PRIVATE = ('release_key.pem', 'credentials_key.pem', 'dicom_key.pem')
needs_openssl = pytest.mark.skipif(shutil.which('openssl') is None, reason='openssl is not installed')


@pytest.fixture
def folder(tmp_path):
    """A copy of the keys, to be altered."""
    return shutil.copytree(key_folder(), tmp_path / 'keys')


def test_private_keys_are_for_their_owner_alone():
    modes = {path.name: path.stat().st_mode & 0o777 for path in key_folder().iterdir()}
    assert modes.pop('public_key.pem') == 0o644
    assert [modes[name] for name in PRIVATE] == [0o600] * 3
    assert key_folder().stat().st_mode & 0o777 == 0o700


@needs_openssl
@pytest.mark.parametrize('name', ['credentials_certificate.pem', 'dicom_certificate.pem'])
def test_openssl_accepts_the_certificates(name):
    command = ['openssl', 'verify', '-x509_strict', '-CAfile', 'certificate_authority.pem', name]
    done = subprocess.run(command, cwd=key_folder(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'{name}: OK\n'


@needs_openssl
def test_the_fingerprint_is_what_openssl_prints():
    recipe = 'openssl pkey -pubin -in public_key.pem -outform DER | sha256sum'
    done = subprocess.run(recipe, cwd=key_folder(), shell=True, capture_output=True, text=True)
    assert done.stdout.split()[0] == key_files.fingerprint(keys().release.public_key())


def test_certificates_allow_signing_and_nothing_else():
    for own in (keys().credentials, keys().dicom):
        usage = own.certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.digital_signature
        assert not usage.value.key_cert_sign
        assert not usage.value.key_encipherment
        assert not own.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert authority.find_objection(own.certificate, keys().authority, None) == ''
    assert keys().dicom.key.key_size == 3072
    assert keys().name == 'Hospital X'


def test_a_certificate_vouches_for_nobody_else():
    own, others = keys().dicom.certificate, keys('Clinic Y')
    assert 'was not certified by the authority' in authority.find_objection(own, others.authority, None)
    # The certificate of the signer itself issued nothing.
    assert 'was not certified' in authority.find_objection(own, own, None)
    early = START - dt.timedelta(days=1)
    assert 'was not valid' in authority.find_objection(own, keys().authority, early)
    assert 'not for signatures' in authority.find_objection(keys().authority, keys().authority, None)


def test_an_expired_certificate_vouches_for_nothing():
    expired = authority.issue('Old', START - dt.timedelta(days=800), years=1)
    objection = authority.find_objection(expired.dicom.certificate, expired.authority, None)
    assert 'is valid from' in objection
    with pytest.raises(UserError, match=r"keys of 'Hospital X' are valid from .* lies outside"):
        keys().check_time(START - dt.timedelta(seconds=1))


def test_a_passphrase_encrypts_all_three(tmp_path):
    key_files.write_keys(tmp_path, 'Hospital X', START, 1, b'open sesame')
    for name in PRIVATE:
        assert (tmp_path / name).read_text().startswith('-----BEGIN ENCRYPTED PRIVATE KEY')
    assert key_files.load_keys(tmp_path, b'open sesame').name == 'Hospital X'
    with pytest.raises(UserError, match='cannot be read with this passphrase'):
        key_files.load_keys(tmp_path, b'open barley')
    with pytest.raises(UserError, match='is encrypted: name its passphrase'):
        key_files.load_keys(tmp_path, None)
    with pytest.raises(UserError, match='is not encrypted: name no passphrase'):
        key_files.load_keys(key_folder(), b'open sesame')


def test_a_passphrase_comes_from_the_environment_or_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv('SIGNING', 'of the variable')
    (tmp_path / 'secret').write_text('of the file\r\nsecond line\n')
    assert key_files.read_passphrase('env:SIGNING', '--passphrase') == b'of the variable'
    assert key_files.read_passphrase(f'file:{tmp_path}/secret', '--passphrase') == b'of the file'
    assert key_files.read_passphrase('', '--passphrase') is None
    for text, reason in (
        ('open sesame', 'takes env:VARIABLE or file:PATH'),
        ('env:NOWHERE', 'holds no passphrase'),
    ):
        with pytest.raises(UserError, match=reason):
            key_files.read_passphrase(text, '--passphrase')


def _loosen(folder):
    (folder / 'dicom_key.pem').chmod(0o640)


def _exchange(folder):
    shutil.copy(folder / 'dicom_certificate.pem', folder / 'credentials_certificate.pem')


def _of_another_kind(folder):
    (folder / 'release_key.pem').write_bytes((folder / 'dicom_key.pem').read_bytes())


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (_loosen, 'dicom_key.pem: others than its owner may use this key; make it private with: chmod 600'),
        (_exchange, 'credentials_certificate.pem is the certificate of another key'),
        (_of_another_kind, 'release_key.pem is not an Ed25519 key'),
        (lambda folder: (folder / 'dicom_key.pem').unlink(), 'dicom_key.pem cannot be read'),
        (lambda folder: (folder / 'release_key.pem').write_text('-----'), 'is no private key in PEM'),
        (lambda folder: (folder / 'certificate_authority.pem').write_text('x'), 'holds no certificate in PEM'),
        (lambda folder: (folder / 'dicom_certificate.pem').write_text('x' * 2**17), 'too large'),
        (lambda folder: shutil.rmtree(folder), 'is no folder of keys'),
    ],
)
def test_what_is_wrong_with_keys_is_told(folder, damage, reason):
    damage(folder)
    with pytest.raises(UserError, match=reason):
        key_files.load_keys(folder, None)


def test_a_public_key_is_one_of_ed25519(tmp_path):
    loaded = key_files.load_public_key(key_folder() / 'public_key.pem')
    assert isinstance(loaded, ed25519.Ed25519PublicKey)
    with pytest.raises(UserError, match='holds no public Ed25519 key'):
        key_files.load_public_key(key_folder() / 'release_key.pem')
    with pytest.raises(UserError, match='cannot be read'):
        key_files.load_public_key(tmp_path / 'none.pem')


@pytest.mark.parametrize('name', ['', 'x' * 65, 'two\nlines', ' space'])
def test_a_name_fits_a_certificate(name):
    with pytest.raises(UserError, match='a name has 1 to 64 printable characters'):
        authority.check_name(name)
    authority.check_name('Hôpital Sud, Zürich')
