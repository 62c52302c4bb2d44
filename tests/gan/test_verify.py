"""Every kind of alteration of a folder is found and named; a whole one passes, without JAX."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from foundation.export import manifest as manifests
from gan.protections import LAYERS, Verified
from gan.verify import main
from tests.foundation.export.manifests import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
CONTENT = MANIFEST | {
    'model': MANIFEST['model'] | {'weights_sha256': 'ab' * 32},
    'data': MANIFEST['data'] | {'fingerprint': 'ef'},
    'count': 30,
    'release': {'verdict': 'pass', 'figures': {'withheld': 0}},
}


@pytest.fixture
def folder(tmp_path):
    """Thirty files in two folders, and their manifest."""
    for number in range(30):
        path = tmp_path / 'set' / ('images', 'masks')[number % 2] / f'{number:02d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 100)
    manifests.write_manifest(tmp_path / 'set', CONTENT)
    return tmp_path / 'set'


def _verify(capsys, *folders):
    """Exit status and all that was printed."""
    status = main([str(folder) for folder in folders])
    output = capsys.readouterr()
    return status, output.out + output.err


def _forge(folder, change):
    """Alters the manifest and gives it the checksum that fits."""
    content = json.loads((folder / 'manifest.json').read_text())
    change(content)
    content['manifest_sha256'] = manifests._checksum(content)
    (folder / 'manifest.json').write_text(manifests._encode(content))


def test_a_whole_folder_is_told(folder, capsys):
    status, output = _verify(capsys, folder)
    assert status == 0
    for text in (
        'set: whole',
        '30 synthetic images (png), licence: CC0',
        'chest: 10 images, 5 patients, licence: not stated',
        'gate      pass\n',
        '  manifest          held         30 files are as it says, and no other is there\n',
        '  signature         absent       no signature lies here\n',
    ):
        assert text in output


def _forget_patients(content):
    content['data'].update(patients=None, patients_known=False)


def test_unknown_patients_are_not_counted(folder, capsys):
    _forge(folder, _forget_patients)
    status, output = _verify(capsys, folder)
    assert status == 0
    assert 'chest: 10 images, patients unknown: each image counts as one, licence' in output


def test_checksums_are_those_of_other_tools(folder):
    content = json.loads((folder / 'manifest.json').read_text())
    for file in content['files']:
        data = (folder / file['name']).read_bytes()
        assert (file['bytes'], file['sha256']) == (len(data), hashlib.sha256(data).hexdigest())
    own = content.pop('manifest_sha256')
    canonical = json.dumps(content, sort_keys=True, separators=(',', ':')).encode()
    assert own == hashlib.sha256(canonical).hexdigest()


def test_altered_missing_and_added_files_are_named(folder, capsys):
    flipped = bytearray((folder / 'images/02.png').read_bytes())
    flipped[50] ^= 1
    (folder / 'images/02.png').write_bytes(flipped)
    (folder / 'images/04.png').write_bytes(b'shorter')
    (folder / 'masks/01.png').rename(folder / 'masks/renamed.png')
    (folder / 'new').mkdir()
    (folder / 'new/\x1b[2Jx.txt').write_text('')
    status, output = _verify(capsys, folder)
    assert status == 1
    for text in ('ALTERED', 'altered: images/02.png', 'altered: images/04.png', 'missing: masks/01.png'):
        assert text in output
    assert 'added: masks/renamed.png' in output
    assert 'added: new/\\x1b[2Jx.txt' in output
    assert '\x1b' not in output


def test_empty_folders_that_were_added_are_named(folder, capsys):
    (folder / 'images/deep/er').mkdir(parents=True)
    (folder / 'new').mkdir()
    status, output = _verify(capsys, folder)
    assert status == 1
    assert [line.strip() for line in output.splitlines() if 'added' in line] == [
        'manifest: added empty folder: images/deep/er/',
        'manifest: added empty folder: new/',
    ]


def test_at_most_twenty_are_named(folder, capsys):
    for path in sorted(folder.glob('*/*.png'))[:27]:
        path.unlink()
    status, output = _verify(capsys, folder)
    assert status == 1
    assert output.count('missing: ') == 21
    assert 'missing: ... and 7 more' in output


def test_links_are_not_followed(folder, tmp_path, capsys):
    outside = tmp_path / 'outside.png'
    outside.write_bytes((folder / 'images/02.png').read_bytes())
    (folder / 'images/02.png').unlink()
    (folder / 'images/02.png').symlink_to(outside)
    (folder / 'masks').rename(tmp_path / 'masks')
    (folder / 'masks').symlink_to(tmp_path / 'masks')
    os.mkfifo(folder / 'pipe')  # which would wait for ever when it is opened
    status, output = _verify(capsys, folder)
    assert status == 1
    for name in ('images/02.png', 'masks', 'pipe'):
        assert f'a link or no plain file: {name}\n' in output
    assert 'missing: masks/01.png' in output


@pytest.mark.parametrize(
    'alter',
    [
        lambda text: text.replace('"pass"', '"fail"'),
        lambda text: text.replace('"seed": 0', '"seed": 7, "seed": 0'),
        lambda text: text.replace('\n', '\r\n'),
        lambda text: text[:-20],
        lambda text: '[' * 100_000,
        lambda text: 'null',
        lambda text: text.replace('"seed": 0', '"seed": NaN'),
        lambda text: '\udcff',
    ],
)
def test_an_altered_manifest_is_refused(folder, capsys, alter):
    path = folder / 'manifest.json'
    path.write_bytes(alter(path.read_text()).encode(errors='surrogateescape'))
    status, output = _verify(capsys, folder)
    assert status == 1
    assert 'manifest.json was altered or damaged' in output
    assert 'nothing that it says can be relied on' in output
    assert output.startswith(f'{folder}: ALTERED\n  manifest          BROKEN ')
    assert output.count('manifest.json was altered') == 1
    assert 'gate ' not in output  # nor anything else that the manifest says


def _name(name):
    return lambda content: content['files'][0].update(name=name)


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (_name('../outside.png'), 'twice or outside the folder'),
        (_name('/etc/passwd'), 'twice or outside the folder'),
        (_name('images//02.png'), 'twice or outside the folder'),
        (_name('images/./02.png'), 'twice or outside the folder'),
        (_name('images\\02.png'), 'twice or outside the folder'),
        (_name('images/02.png'), 'twice or outside the folder'),
        (_name('manifest.json'), 'twice or outside the folder'),
        (_name(7), 'lacks name, bytes or checksum'),
        (lambda content: content.update(files=[3]), 'lacks name, bytes or checksum'),
        (lambda content: content.pop('release'), 'its field release is missing'),
        (lambda content: content['data'].update(images='many'), 'its field data.images is missing or of another'),
        (
            lambda content: content['release'].update(verdict='passed'),
            "verdict 'passed' is none of pass, fail, not",
        ),
        (lambda content: content.update(count=-1), 'one of its counts is negative'),
        (lambda content: content['model'].update(step=-1), 'one of its counts is negative'),
        (lambda content: content['data'].pop('patients'), 'its field data.patients is missing'),
        (lambda content: content['data'].update(patients=None), 'a number of patients and calls them unknown'),
        (lambda content: content['data'].update(patients_known=False), 'patients and calls them unknown'),
    ],
)
def test_a_forged_manifest_cannot_lead_outside(folder, capsys, change, reason):
    _forge(folder, change)
    status, output = _verify(capsys, folder)
    assert status == 1
    assert reason in output


def test_other_refusals_are_one_sentence(folder, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    status, output = _verify(capsys, tmp_path / 'empty')
    assert status == 1
    assert 'empty: NOTHING HERE CAN BE VERIFIED' in output
    assert 'holds no manifest.json' in output
    assert 'there is no folder and no file ' in _verify(capsys, tmp_path / 'nowhere')[1]
    _forge(folder, lambda content: content.update(format_version=3))
    status, output = _verify(capsys, folder)
    assert status == 1
    assert 'check it with a newer version' in output
    with (folder / 'manifest.json').open('wb') as file:
        file.truncate(2**40)
    assert 'more than any manifest has' in _verify(capsys, folder)[1]
    (folder / 'manifest.json').unlink()
    (folder / 'manifest.json').symlink_to(tmp_path)
    assert 'holds no manifest.json' in _verify(capsys, folder)[1]


def test_one_folder_that_is_not_whole_fails_all(folder, tmp_path, capsys):
    status, output = _verify(capsys, tmp_path / 'nowhere', folder)
    assert status == 1
    assert 'set: whole' in output


def test_whoever_receives_a_folder_needs_no_accelerator_library(folder):
    program = (
        'import sys\nfrom gan.verify import main\n'
        f'assert main([{str(folder)!r}]) == 0\n'
        'print([name for name in ("jax", "numpy", "tensorflow_datasets") if name in sys.modules])\n'
    )
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


def test_help_says_what_each_layer_proves(capsys):
    with pytest.raises(SystemExit):
        main(['--help'])
    output = capsys.readouterr().out
    assert 'whoever alters a file can write a new one' in output
    assert all(f'\n  {name} ' in output for name in LAYERS)


@pytest.fixture(scope='module')
def marked(tmp_path_factory):
    """A folder of two marked pictures of 256x256 and the key; their manifest names the payload."""
    from foundation.watermark import embed, read_key

    folder = tmp_path_factory.mktemp('marked')
    (folder / 'key').write_bytes(b'a secret of thirty-two characters')
    key, generator = read_key(folder / 'key'), np.random.default_rng(0)
    (folder / 'set' / 'images').mkdir(parents=True)
    for number in range(2):
        smooth = scipy.ndimage.gaussian_filter(generator.normal(size=(256, 256)), 3)
        image = np.uint8(np.clip(128 + 200 * smooth / smooth.std() / 6, 0, 255))[..., None]
        written = embed(image, key, 0x1A2B3C4D, bound=2)
        Image.fromarray(written[..., 0]).save(folder / 'set' / 'images' / f'{number}.png')
    content = CONTENT | {'count': 2, 'watermark': {'payload': '1a2b3c4d', 'key': key.name}}
    manifests.write_manifest(folder / 'set', content)
    return folder


@pytest.mark.slow
def test_a_watermark_is_looked_for_with_its_key(marked, tmp_path, capsys):
    status, output = _verify(capsys, marked / 'set')
    assert (status, 'watermark         not checked  name the key' in output) == (0, True)
    found = main([str(marked / 'set'), f'--watermark={marked / "key"}', '--require=watermark'])
    assert (found, "2 files: this key's mark, 1a2b3c4d" in capsys.readouterr().out) == (0, True)
    (tmp_path / 'other').write_bytes(b'another secret, just as long as that')
    status = main([str(marked / 'set'), f'--watermark={tmp_path / "other"}', '--require=watermark'])
    output = capsys.readouterr().out
    assert (status, 'LACKS watermark' in output, '; the manifest names the key ' in output) == (1, True, True)
    shutil.copytree(marked / 'set', tmp_path / 'forged')
    _forge(tmp_path / 'forged', lambda content: content['watermark'].update(payload='00000000'))
    status = main([str(tmp_path / 'forged'), f'--watermark={marked / "key"}'])
    assert (status, 'its mark is 1a2b3c4d, but the manifest says 00000000' in capsys.readouterr().out) == (1, True)
    _forge(tmp_path / 'forged', lambda content: content.update(watermark=['1a2b3c4d']))
    assert main([str(tmp_path / 'forged'), f'--watermark={marked / "key"}']) == 0  # a manifest may say anything
    with pytest.raises(SystemExit):
        main([str(marked / 'set'), '--require=watermark'])
    assert '--require=watermark is worth nothing unless --watermark says' in capsys.readouterr().err


@pytest.mark.parametrize('total', [3, 20, 39, 45, 1_000])
def test_those_that_are_looked_at_are_spread_over_all(tmp_path, total):
    for number in range(total):
        (tmp_path / f'{number:04}.png').touch()
    places = [int(name[:4]) for name in Verified(tmp_path).sampled]
    steps = np.diff([*places, total])
    assert len(places) == min(total, 20)
    assert steps.max() - steps.min() <= 1
