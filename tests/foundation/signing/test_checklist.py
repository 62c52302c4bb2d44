"""A signed list of checksums: other tools accept it, whoever changed anything is found, and the key matters."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from foundation.export.manifest import SIGNATURE_FILES, read_manifest, write_manifest
from foundation.signing.checklist import check_signature, write_signature
from foundation.signing.keys import fingerprint
from foundation.training.errors import UserError
from tests.foundation.export.manifests import MANIFEST
from tests.foundation.signing.made import TIME, key_folder, keys

# As docs/releasing.md has it.
RECIPE = (
    'openssl pkey -pubin -in {key} -outform DER | sha256sum',
    'openssl pkeyutl -verify -pubin -inkey {key} -rawin -in signature/checksums.txt '
    '-sigfile signature/checksums.txt.sig',
    'sha256sum --check --strict --quiet signature/checksums.txt',
)
KEY = key_folder() / 'public_key.pem'
needs_tools = pytest.mark.skipif(
    not (shutil.which('openssl') and shutil.which('sha256sum')), reason='openssl or sha256sum is not installed'
)


@pytest.fixture
def release(tmp_path):
    """Four files, a manifest and a signature."""
    folder = tmp_path / 'release'
    (folder / 'images').mkdir(parents=True)
    for name in ('0.png', '1.png', ' spaces and ü.png', '-n'):
        (folder / 'images' / name).write_bytes(name.encode() * 20)
    write_manifest(folder, MANIFEST)
    _sign(folder)
    return folder


def _sign(folder, name='Hospital X'):
    shutil.rmtree(folder / 'signature', ignore_errors=True)
    (folder / 'signature').mkdir()
    write_signature(folder / 'signature', folder, read_manifest(folder), keys(name), TIME)


def _check(folder, pinned='Hospital X'):
    key = keys(pinned).release.public_key() if pinned else None
    try:
        manifest = read_manifest(folder)
    except UserError:
        manifest = None
    return check_signature(folder, manifest, key)


def _run_recipe(folder, key=KEY):
    """Whether each line of the recipe succeeds, and all that it printed."""
    done = [
        subprocess.run(line.format(key=key), shell=True, cwd=folder, capture_output=True, text=True)
        for line in RECIPE
    ]
    return [run.returncode == 0 for run in done], ''.join(run.stdout + run.stderr for run in done)


def test_it_is_held_by_the_key_that_is_named(release):
    finding = _check(release)
    told = fingerprint(keys().release.public_key())
    assert finding.state == 'held'
    assert finding.detail == (
        f"signed by the key that is named, {told}, as 'Hospital X', at {TIME:%Y-%m-%dT%H:%M:%SZ} as it states"
    )
    assert 'by a key that came with the folder: compare its SHA-256' in _check(release, None).detail
    assert sorted(SIGNATURE_FILES) == sorted(
        f'signature/{path.name}' for path in (release / 'signature').iterdir()
    )


@needs_tools
def test_other_tools_verify_it(release):
    successes, told = _run_recipe(release)
    assert successes == [True] * 3
    assert told.startswith(fingerprint(keys().release.public_key()))
    assert 'Signature Verified Successfully' in told
    assert _run_recipe(release, key_folder('Clinic Y') / 'public_key.pem')[0] == [True, False, True]


@needs_tools
def test_the_recipe_is_that_of_the_page():
    page = (Path(__file__).resolve().parents[3] / 'docs/releasing.md').read_text()
    assert '\n'.join(RECIPE).format(key='~/public_key.pem') in page


@needs_tools
def test_one_file_is_verified_beside_the_signature(release, tmp_path):
    (tmp_path / 'images').mkdir()
    shutil.copytree(release / 'signature', tmp_path / 'signature')
    shutil.copy(release / 'images/1.png', tmp_path / 'images')
    line = RECIPE[2].replace('--quiet', '--ignore-missing')
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, 'images/1.png: OK\n' in done.stdout) == (0, True)
    (tmp_path / 'images/1.png').write_bytes(b'forged')
    assert subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True).returncode == 1


@needs_tools
@pytest.mark.parametrize('name', ['images/0.png', 'images/-n', 'manifest.json', *SIGNATURE_FILES])
def test_other_tools_find_a_flipped_bit(release, name):
    path = release / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert _run_recipe(release)[0] != [True] * 3
    # Of images the signature says what they should be; the manifest finds that they are not.
    assert _check(release).state == ('held' if name.startswith('images/') else 'broken')


def test_the_same_release_key_and_time_give_the_same_signature(release):
    before = {path.name: path.read_bytes() for path in (release / 'signature').iterdir()}
    _sign(release)
    assert {path.name: path.read_bytes() for path in (release / 'signature').iterdir()} == before


def test_a_release_that_was_signed_anew_by_another_is_found(release):
    (release / 'images/0.png').write_bytes(b'forged')
    write_manifest(release, MANIFEST)
    assert _check(release).detail == 'another manifest.json, or another key beside it, was signed'
    _sign(release, 'Clinic Y')
    assert _check(release, None).state == 'held'
    finding = _check(release)
    assert finding.state == 'broken'
    assert finding.detail.startswith('signed by another key than the one named, SHA-256 ')


def _list(folder):
    return folder / 'signature/checksums.txt'


def _sign_text(folder, text):
    """An own text under an own key, which a forger may do."""
    _list(folder).write_bytes(text)
    (folder / 'signature/checksums.txt.sig').write_bytes(keys().release.sign(text))


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (
            lambda folder: _list(folder).write_bytes(_list(folder).read_bytes()[:-1]),
            'is not that of checksums.txt',
        ),
        (lambda folder: (folder / 'signature/checksums.txt.sig').write_bytes(b''), 'is not that of checksums.txt'),
        (lambda folder: (folder / 'signature/checksums.txt.sig').unlink(), 'checksums.txt.sig is missing'),
        (lambda folder: (folder / 'signature/public_key.pem').write_text('x' * 2**17), 'is larger than any'),
        (lambda folder: (folder / 'manifest.json').unlink(), 'that was signed is missing or altered'),
        (lambda folder: _sign_text(folder, b''), 'not of a form that is known'),
        (lambda folder: _sign_text(folder, b'\xff'), 'not of a form that is known'),
        (lambda folder: _sign_text(folder, _list(folder).read_bytes() + b'# more\n'), 'was signed'),
        (
            lambda folder: shutil.copy(key_folder('Clinic Y') / 'public_key.pem', folder / 'signature'),
            'was signed',
        ),
    ],
)
def test_what_is_damaged_is_broken(release, damage, reason):
    damage(release)
    finding = _check(release)
    assert (finding.state, reason in finding.detail) == ('broken', True), finding


def test_without_a_key_in_it_an_unpinned_signature_is_broken(release):
    (release / 'signature/public_key.pem').write_text('no key\n')
    assert _check(release, None).detail == 'public_key.pem holds no Ed25519 key'


def test_links_are_not_followed(release, tmp_path):
    (release / 'signature').rename(tmp_path / 'signature')
    (release / 'signature').symlink_to(tmp_path / 'signature')
    assert _check(release).detail == 'signature is no folder'


def test_an_unsigned_release_is_told(release):
    shutil.rmtree(release / 'signature')
    assert _check(release).state == 'absent'
    (release / 'signature').mkdir()
    (release / 'signature/0.png').touch()  # a folder of somebody's images
    assert _check(release).state == 'absent'


def test_names_that_no_list_can_hold_are_refused(release):
    (release / 'images/two\nlines').touch()
    write_manifest(release, MANIFEST)
    with pytest.raises(UserError, match=r"the name 'images/two\\nlines' holds a line break"):
        _sign(release)


def test_a_manifest_lists_no_file_of_a_signature(release):
    write_manifest(release, MANIFEST)
    names = {entry['name'] for entry in json.loads((release / 'manifest.json').read_text())['files']}
    assert names == {'images/0.png', 'images/1.png', 'images/ spaces and ü.png', 'images/-n'}
