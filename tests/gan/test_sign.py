"""From keys to a verdict: releases of each format are signed, verified and altered, through the commands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from foundation.export.manifest import DERIVED, describe_content, read_manifest, write_manifest
from gan import keys, sign, verify
from gan.protections import LAYERS
from input_pipeline import find_content
from input_pipeline.errors import Refusals
from input_pipeline.readers import READERS
from tests.foundation.signing.made import TIME, key_folder
from tests.foundation.signing.time_authority import TimeAuthority
from tests.gan.command import read_files
from tests.gan.generation.test_formats import OPTIONS
from tests.gan.signed import flip, write_release

ROOT = Path(__file__).resolve().parents[2]
KEYS = f'--keys={key_folder()}'
STATED = f'--time={TIME:%Y-%m-%dT%H:%M:%SZ}'
PINS = (f'--key={key_folder()}/public_key.pem', f'--authority={key_folder()}/certificate_authority.pem')
FORMS = {
    'png': ('credentials', {'mask_classes': 2}),
    'tiff': ('credentials', {'channels': 5}),
    'dicom': ('dicom_signature', {'mask_classes': 2}),
    'nifti': ('signature', {}),
}


@pytest.fixture(params=FORMS)
def form(request):
    """A format, the layer that its files hold, and the form of its images."""
    return request.param, *FORMS[request.param]


def _write(folder, name, fields):
    return write_release(folder, 'png' if name == 'tiff' else name, **fields)


def _sign(*arguments):
    return sign.main([*map(str, arguments), KEYS, STATED])


def _verify(capsys, *arguments):
    """Exit status, and the words of each layer by its name."""
    status = verify.main(list(map(str, arguments)))
    output = capsys.readouterr().out
    states = {}
    for line in output.splitlines():
        layer, _, rest = line.strip().partition(' ')
        if layer in LAYERS:
            states[layer] = rest.strip()
    return status, states, output


def test_each_format_is_signed_file_by_file(tmp_path, capsys, form):
    name, layer, fields = form
    release, signed = _write(tmp_path / 'release', name, fields), tmp_path / 'signed'
    before = read_files(release)
    assert _sign(release, f'--out={signed}') == 0
    assert read_files(release) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['release', 'signed']
    status, states, _ = _verify(capsys, signed, *PINS, f'--require=manifest,signature,{layer}')
    assert status == 0
    assert all(states[row].startswith('held') for row in ('manifest', 'signature', layer))
    told = describe_content(read_manifest(signed))
    assert told == describe_content(read_manifest(release))


def test_one_flipped_bit_is_found_by_each_layer(tmp_path, capsys, form):
    name, layer, fields = form
    signed = tmp_path / 'signed'
    _sign(_write(tmp_path / 'release', name, fields), f'--out={signed}')
    image = sorted((signed / 'images').iterdir())[1]
    content = image.read_bytes()
    places = {'png': content.rfind(b'IDAT') + 8, 'tiff': 12, 'dicom': content.rfind(b'\xe0\x7f\x10\x00') + 20}
    flip(image, places.get(name, len(content) // 2))
    status, states, output = _verify(capsys, signed, *PINS)
    assert status == 1
    assert states['manifest'].startswith('BROKEN')
    assert f'manifest: altered: images/{image.name}' in output
    if layer != 'signature':
        assert states[layer].startswith('BROKEN')
        assert f'{layer}: images/{image.name}: ' in output
        assert _verify(capsys, image, *PINS)[0] == 1


@pytest.mark.parametrize('name', ['png', 'dicom'])
def test_a_new_manifest_does_not_mend_an_image(tmp_path, capsys, name):
    layer, fields = FORMS[name]
    signed = tmp_path / 'signed'
    _sign(_write(tmp_path / 'release', name, fields), f'--out={signed}')
    image, other = sorted((signed / 'images').iterdir())[:2]
    ours = image.read_bytes().index(b'SYNTHETIC')
    flip(image, ours)
    shutil.rmtree(signed / 'signature')
    write_manifest(signed, describe_content(read_manifest(signed)))
    status, states, output = _verify(capsys, signed)
    assert (status, states['manifest'].split()[0], states[layer].split()[0]) == (1, 'held', 'BROKEN')
    assert f'signed: BROKEN {layer}\n' in output
    assert other.name not in output


@pytest.mark.parametrize('name', ['png', 'dicom'])
def test_a_file_alone_is_verified(tmp_path, capsys, name):
    layer, fields = FORMS[name]
    signed = tmp_path / 'signed'
    _sign(_write(tmp_path / 'release', name, fields), f'--out={signed}')
    alone = tmp_path / 'renamed'
    shutil.copy(sorted((signed / 'images').iterdir())[0], alone)
    status, states, output = _verify(capsys, alone, *PINS, f'--require={layer}')
    assert (status, states[layer].split()[0]) == (0, 'held')
    assert 'renamed: whole' in output
    assert _verify(capsys, alone, *PINS, '--require=signature')[0] == 1
    others = f'--authority={key_folder("Clinic Y")}/certificate_authority.pem'
    assert _verify(capsys, alone, others)[1][layer].startswith('BROKEN')


def test_signing_in_place_adds_one_folder_and_changes_nothing(tmp_path, capsys):
    release = write_release(tmp_path / 'release', 'nifti')
    before = read_files(release)
    assert _sign(release) == 0
    after = read_files(release)
    assert {name: after[name] for name in before} == before
    assert {name.split('/')[0] for name in after.keys() - before.keys()} == {'signature'}
    assert _verify(capsys, release, PINS[0], '--require=manifest,signature')[0] == 0
    assert sign.main([str(release), KEYS]) == 1
    assert 'is signed already' in capsys.readouterr().err


def test_the_same_time_gives_the_same_bytes_of_dicom(tmp_path):
    release = write_release(tmp_path / 'release', 'dicom')
    for name in 'ab':
        assert _sign(release, f'--out={tmp_path / name}') == 0
    assert read_files(tmp_path / 'a') == read_files(tmp_path / 'b')


def _read_images(folder):
    items = READERS['image_folder'](folder / 'images', OPTIONS, Refusals(skip=False))
    assert len(READERS['image_folder'](folder, OPTIONS, Refusals(skip=False))) == len(items)
    return [record.image for item in items for record in item.load()]


def test_signed_folders_are_read_as_before(tmp_path):
    release = write_release(tmp_path / 'release', 'png', dtype='uint8')
    _sign(release, f'--out={tmp_path / "signed"}')
    plain, read = (_read_images(folder) for folder in (release, tmp_path / 'signed'))
    np.testing.assert_array_equal(read, plain)
    made = write_release(tmp_path / 'made', 'tfds')
    assert _sign(made) == 0
    assert find_content('made', tmp_path) is not None


def test_translated_images_are_said_to_be_computed_from_others(tmp_path, capsys):
    release = write_release(tmp_path / 'release', 'png')
    write_manifest(release, describe_content(read_manifest(release)) | {'synthetic': DERIVED})
    _sign(release, f'--out={tmp_path / "signed"}')
    _, states, _ = _verify(capsys, tmp_path / 'signed')
    assert 'compositeWithTrainedAlgorithmicMedia' in states['credentials']


@pytest.mark.parametrize('required', ['signature', 'timestamp', 'credentials', 'dicom_signature', 'detector'])
def test_a_layer_is_required_of_somebody(tmp_path, capsys, required):
    with pytest.raises(SystemExit) as stopped:
        verify.main([str(tmp_path), f'--require={required}'])
    assert stopped.value.code == 2
    assert 'is worth nothing unless --' in capsys.readouterr().err


def test_what_is_required_must_hold(tmp_path, capsys):
    release = write_release(tmp_path / 'release', 'png')
    status, states, output = _verify(capsys, release, *PINS, '--require=manifest,signature,credentials')
    assert (status, states['manifest'].split()[0]) == (1, 'held')
    assert 'release: LACKS signature, credentials\n' in output
    assert _verify(capsys, release, '--require=manifest')[0] == 0
    with pytest.raises(SystemExit):
        verify.main([str(release), '--require=seal'])
    assert "there is no layer 'seal'" in capsys.readouterr().err


def test_images_of_which_one_is_not_signed_do_not_hold(tmp_path, capsys):
    signed = tmp_path / 'signed'
    _sign(write_release(tmp_path / 'release', 'png'), f'--out={signed}')
    shutil.copy(tmp_path / 'release/images/000001.png', signed / 'images')
    shutil.copytree(signed / 'images', tmp_path / 'images')
    status, states, _ = _verify(capsys, tmp_path / 'images', *PINS, '--require=credentials')
    assert (status, states['credentials']) == (1, 'absent       1 of 3 files: no content credentials')


def test_a_claim_alone_verifies_nothing(tmp_path, capsys):
    release = write_release(tmp_path / 'release', 'dicom')
    image = release / 'images/000000.dcm'
    status, states, output = _verify(capsys, image)
    assert (status, states['dicom_tag']) == (1, 'held         1 file: SyntheticData = YES')
    assert '000000.dcm: NOTHING HERE CAN BE VERIFIED' in output
    dataset = pydicom.dcmread(image)
    dataset.SyntheticData = 'NO'
    dataset.save_as(image)
    assert "SyntheticData = 'NO'" in _verify(capsys, image)[1]['dicom_tag']


def test_what_cannot_be_checked_here_is_told(tmp_path, capsys, monkeypatch):
    signed = tmp_path / 'signed'
    _sign(write_release(tmp_path / 'release', 'png'), f'--out={signed}')
    monkeypatch.setattr('gan.protections.is_installed', lambda package: False)
    status, states, _ = _verify(capsys, signed)
    assert status == 0
    assert states['signature'] == (
        'not checked  cannot be checked without the package cryptography: pip install "enhanced-gan[signing]"'
    )
    assert 'pip install "enhanced-gan[c2pa]"' in states['credentials']
    monkeypatch.undo()
    assert _verify(capsys, signed, *PINS, '--require=signature')[0] == 0


def test_signing_is_refused_where_it_would_vouch_for_something_else(tmp_path, capsys):
    release = write_release(tmp_path / 'release', 'png')
    cases = {
        ('nowhere', KEYS): 'is no folder',
        ('.', KEYS): 'holds no manifest.json of ours',
        ('release', f'--keys={tmp_path}'): 'release_key.pem cannot be read',
        ('release', KEYS, '--time=2001-01-01T00:00:00Z'): 'lies outside',
        ('release', KEYS, '--time=now'): 'is no time',
        ('release', KEYS, f'--out={release}/signed'): 'lies in the folder that is signed',
        ('release', KEYS, f'--out={ROOT}/tests'): 'exists already; give --out a new folder',
        ('release', KEYS, '--out=/proc/nowhere/signed'): '/proc/nowhere cannot be written to',
    }
    for (folder, *flags), reason in cases.items():
        assert sign.main([str(tmp_path / folder), *flags]) == 1
        assert reason in capsys.readouterr().err
    flip(release / 'images/000001.png', 60)
    assert _sign(release) == 1
    assert 'altered: images/000001.png' in capsys.readouterr().err
    assert sorted(path.name for path in release.iterdir()) == ['images', 'index.csv', 'manifest.json']


def test_a_file_that_cannot_be_signed_leaves_nothing(tmp_path, capsys):
    release = write_release(tmp_path / 'release', 'png')
    (release / 'images/000001.png').write_bytes(b'no picture')
    write_manifest(release, describe_content(read_manifest(release)))
    assert _sign(release, f'--out={tmp_path / "signed"}') == 1
    assert 'images/000001.png: it cannot hold content credentials' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['release']


def test_keys_are_made_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('SIGNING', 'open sesame')
    arguments = [f'--out={tmp_path / "our keys"}', '--name=Klinik Zürich', '--passphrase=env:SIGNING', '--years=2']
    assert keys.main(arguments) == 0
    told = capsys.readouterr().out
    assert told.startswith("Keys of 'Klinik Zürich': ")
    assert f"--keys='{tmp_path / 'our keys'}' --passphrase=env:SIGNING\n" in told
    before = read_files(tmp_path / 'our keys')
    assert len(before) == 7
    assert (tmp_path / 'our keys').stat().st_mode & 0o777 == 0o700
    assert keys.main(arguments) == 1
    assert 'keys are never overwritten' in capsys.readouterr().err
    assert read_files(tmp_path / 'our keys') == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['our keys']
    release = write_release(tmp_path / 'release', 'nifti')
    assert sign.main([str(release), f'--keys={tmp_path / "our keys"}', '--passphrase=env:SIGNING']) == 0
    fingerprint = next(line for line in told.splitlines() if line.startswith('Public key, SHA-256: '))
    assert fingerprint in capsys.readouterr().out
    assert _verify(capsys, release, f'--key={tmp_path}/our keys/public_key.pem', '--require=signature')[0] == 0


@pytest.mark.skipif(shutil.which('openssl') is None, reason='openssl is not installed')
def test_a_signature_is_stamped_with_it_or_later(tmp_path, capsys):
    (tmp_path / 'authority').mkdir()
    release, copy = write_release(tmp_path / 'release', 'png'), tmp_path / 'copy'
    with TimeAuthority(tmp_path / 'authority') as authority:
        asked = f'--time_authority={authority.address}'
        assert sign.main([str(release), asked]) == 1
        assert 'is not signed, so that there is nothing to stamp' in capsys.readouterr().err
        assert _sign(release, '--time_authority=http://127.0.0.1:9') == 1  # it is signed all the same
        assert 'gave no time stamp' in capsys.readouterr().err
        assert sign.main([str(release), asked]) == 0
        assert sign.main([str(release), asked]) == 1
        assert 'is stamped already' in capsys.readouterr().err
        assert _sign(write_release(tmp_path / 'other', 'png'), f'--out={copy}', asked) == 0
    for signed in (release, copy):
        pins = (*PINS, f'--time_authority={authority.root}')
        status, states, output = _verify(capsys, signed, *pins, '--require=manifest,signature,timestamp')
        assert (status, states['timestamp'].split()[0]) == (0, 'held'), output
    status, states, _ = _verify(
        capsys, release, *PINS[:1], f'--time_authority={key_folder()}/certificate_authority.pem'
    )
    assert (status, states['timestamp'].split()[0]) == (1, 'BROKEN')


@pytest.mark.parametrize(
    ('flags', 'told'),
    [
        ([], 'give --keys to sign, or --time_authority'),
        (['--time_authority=authority'], 'no address of a time-stamping authority'),
        (['--time_authority=http://a', '--out=new'], '--out is for a copy that is signed'),
    ],
)
def test_what_cannot_be_signed_or_stamped_is_told(tmp_path, capsys, flags, told):
    release = write_release(tmp_path / 'release', 'png')
    before = read_files(release)
    assert sign.main([str(release), *flags]) == 1
    assert told in capsys.readouterr().err
    assert read_files(release) == before


@pytest.mark.parametrize(
    ('flags', 'reason'),
    [
        (['--name='], 'a name has 1 to 64 printable characters'),
        (['--name=X', '--years=101'], 'at most 100 years'),
        (['--name=X', '--passphrase=secret'], 'takes env:VARIABLE or file:PATH'),
    ],
)
def test_bad_keys_are_not_made(tmp_path, capsys, flags, reason):
    assert keys.main([f'--out={tmp_path / "keys"}', *flags]) == 1
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_none_is_told(tmp_path, capsys):
    (tmp_path / 'key.pem').write_text('no key')
    for flag in ('--key', '--authority'):
        assert verify.main([str(tmp_path), f'{flag}={tmp_path}/key.pem']) == 1
        assert 'key.pem holds no ' in capsys.readouterr().err


def test_verifying_signatures_needs_no_numpy(tmp_path):
    """Nor JAX; whoever receives a release installs little."""
    release = write_release(tmp_path / 'release', 'nifti')
    _sign(release)
    program = (
        'import sys\nfrom gan.verify import main\n'
        f'assert main([{str(release)!r}, {PINS[0]!r}, "--require=signature"]) == 0\n'
        'print([name for name in ("jax", "numpy", "pydicom", "c2pa") if name in sys.modules])\n'
    )
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


def test_the_layers_of_a_folder_of_anything(tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text(json.dumps({}))
    status, states, _ = _verify(capsys, tmp_path)
    assert status == 1
    for name in ('watermark', 'detector'):  # nobody said with which
        assert states.pop(name).startswith('not checked')
    assert {name: state.split()[0] for name, state in states.items()} == dict.fromkeys(
        (name for name in LAYERS if name not in ('watermark', 'detector')), 'absent'
    )
