"""A stamp of an authority: OpenSSL makes it and accepts it, and whatever is no stamp of this signature is told."""

import functools
import hashlib
import shutil
import subprocess

import pytest

from foundation.export.manifest import SIGNATURE_FILES, TIMESTAMP_FILE
from foundation.signing.keys import load_certificate
from foundation.signing.timestamp import check_address, check_timestamp, write_timestamp
from foundation.training.errors import UserError
from tests.foundation.signing.made import key_folder
from tests.foundation.signing.time_authority import TimeAuthority

pytestmark = pytest.mark.skipif(shutil.which('openssl') is None, reason='openssl is not installed')
# As docs/releasing.md has it.
RECIPE = 'openssl ts -verify -in {stamp} -data signature/checksums.txt.sig -CAfile {root}'


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    """That answers on a port of this machine."""
    with TimeAuthority(tmp_path_factory.mktemp('authority')) as entered:
        yield entered


@pytest.fixture
def release(tmp_path):
    """A folder with something for a signature: a stamp asks for its bytes alone."""
    for name in SIGNATURE_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'signed' * 10)
    return tmp_path


def _check(release, authority):
    return check_timestamp(release, load_certificate(authority.root))


def test_a_stamp_holds_and_openssl_accepts_it(release, authority):
    assert check_timestamp(release, None).state == 'absent'
    time = write_timestamp(release, authority.address)
    found = _check(release, authority)
    assert found.state == 'held'
    assert f'{time:%Y-%m-%dT%H:%M:%SZ}' in found.detail
    assert check_timestamp(release, None).state == 'unclear'
    recipe = RECIPE.format(stamp=TIMESTAMP_FILE, root=authority.root)
    assert (
        subprocess.run(recipe.split(), cwd=release, capture_output=True, text=True).stdout == 'Verification: OK\n'
    )


def test_another_signature_and_another_root_are_told(release, authority):
    write_timestamp(release, authority.address)
    other = load_certificate(key_folder() / 'certificate_authority.pem')
    assert 'by the authority that is named' in check_timestamp(release, other).detail
    assert check_timestamp(release, other).state == 'broken'
    (release / SIGNATURE_FILES[1]).write_bytes(b'signed again')
    for pinned in (None, load_certificate(authority.root)):
        found = check_timestamp(release, pinned)
        assert found.state == 'broken'
        assert 'not of this signature' in found.detail


def test_no_damage_raises_and_none_of_what_is_stamped_passes(release, authority):
    write_timestamp(release, authority.address)
    path = release / TIMESTAMP_FILE
    content, time = path.read_bytes(), _check(release, authority).detail
    imprint = content.index(hashlib.sha256((release / SIGNATURE_FILES[1]).read_bytes()).digest())
    for place in (*range(0, len(content), 13), *range(imprint, imprint + 32)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        found = _check(release, authority)
        assert found.state == 'broken' or (found.state, found.detail) == ('held', time)
        assert found.state == 'broken' or not imprint <= place < imprint + 32
    for length in (0, 1, 20, len(content) - 1):
        path.write_bytes(content[:length])
        assert _check(release, authority).state == 'broken'
    path.unlink()
    path.symlink_to(release / SIGNATURE_FILES[1])
    assert _check(release, authority).state == 'broken'


@pytest.mark.parametrize(
    ('answer', 'told'),
    [
        (lambda authority, request: b'<html>welcome</html>', 'did not answer with a time stamp'),
        (lambda authority, request: bytes(2**17 + 1), 'answered with more than'),
        (lambda authority, request: authority.stamp(request[:-10]), 'refused to stamp'),
        (lambda authority, request: authority.stamped, 'the stamp of something else'),
    ],
    ids=['a page', 'too much', 'a refusal', 'an old stamp'],
)
def test_what_is_no_stamp_is_refused_and_nothing_written(release, authority, answer, told, monkeypatch):
    write_timestamp(release, authority.address)
    authority.stamped = (release / TIMESTAMP_FILE).read_bytes()
    (release / TIMESTAMP_FILE).unlink()
    monkeypatch.setattr(authority, 'answer', functools.partial(answer, authority))
    with pytest.raises(UserError, match=told):
        write_timestamp(release, authority.address)
    assert not (release / TIMESTAMP_FILE).exists()


def test_who_cannot_be_reached_is_told(release):
    with pytest.raises(UserError, match='gave no time stamp'):
        write_timestamp(release, 'http://127.0.0.1:9')
    for address in ('file:///etc/passwd', 'authority', 'http://', 'ftp://a', 'http://[::1', 'http://\u2100x/'):
        with pytest.raises(UserError, match='no address of a time-stamping authority'):
            check_address(address, '--time_authority')
    assert not (release / TIMESTAMP_FILE).exists()
