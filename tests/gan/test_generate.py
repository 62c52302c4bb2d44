"""Generation through the command line: reproducible, complete, in the type of the training images."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.foundation.signing.made import key_folder
from tests.gan.command import SMALL, read_files

pytestmark = pytest.mark.slow
CLASSES = ('MR_healthy', 'MR_lesion')
MASKED = (
    '--config.conditional=true',
    '--config.mask_classes=1',
    '--config.data.name=phantom_masked',
    '--config.data.phantom.modalities=("MR",)',
    '--config.data.phantom.count=24',
)


@pytest.fixture(scope='module')
def trained(commands, tmp_path_factory):
    """A conditional run with masks on 16-bit images, stopped while 8x8 fades in."""
    workdir = tmp_path_factory.mktemp('trained')
    done = commands.run('tests.gan.interrupted', 'SIGTERM', '120', *SMALL, f'--workdir={workdir}', *MASKED)
    assert 'Stopped by SIGTERM at 120' in done.stdout, done.stdout
    return workdir


UNCHECKED = ('--nogate', '--release_anyway')


def _generate(commands, workdir: Path, out: Path, *flags: str) -> list[dict[str, str]]:
    """Runs the command without its gate and returns the rows of its index."""
    done = commands.run('gan.generate', f'--workdir={workdir}', f'--out={out}', *UNCHECKED, *flags)
    assert done.returncode == 0, done.stdout
    assert not list(out.parent.glob('incomplete.*'))
    with (out / 'index.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_files_and_another_does_not(commands, trained, tmp_path):
    flags = ('--num=6', '--batch_size=4')
    _generate(commands, trained, tmp_path / 'a', *flags, '--seed=5')
    _generate(commands, trained, tmp_path / 'b', *flags, '--seed=5')
    _generate(commands, trained, tmp_path / 'c', *flags, '--seed=6')
    one, same, other = (read_files(tmp_path / name) for name in 'abc')
    assert one == same
    assert len(one) == 6 + 6 + len(('index.csv', 'manifest.json', 'MODEL_CARD.md'))
    assert not any(one[name] == other[name] for name in one if name.startswith('images/'))


def test_images_masks_and_index_agree(commands, trained, tmp_path):
    rows = _generate(commands, trained, tmp_path / 'out', '--num=6', '--seed=1')
    assert [row['number'] for row in rows] == [str(number) for number in range(6)]
    assert [row['label'] for row in rows] == [CLASSES[number % 2] for number in range(6)]
    for row in rows:
        image = cv2.imread(str(tmp_path / 'out' / row['image']), cv2.IMREAD_UNCHANGED)
        mask = np.asarray(Image.open(tmp_path / 'out' / row['mask']))
        assert (image.dtype, image.shape) == (np.uint16, (8, 8))
        assert (mask.dtype, mask.shape) == (np.uint8, (8, 8))
        assert mask.max() <= 1
        # Each volume of MR has its own window, so that no physical values belong to generated grey levels.
        assert (row['intensity_low'], row['intensity_high']) == ('', '')
    listed = {row[name] for row in rows for name in ('image', 'mask')}
    assert listed | {'index.csv', 'manifest.json', 'MODEL_CARD.md'} == set(read_files(tmp_path / 'out'))


def test_the_manifest_tells_where_the_images_come_from(commands, trained, tmp_path):
    flags = ('--num=3', '--label=MR_lesion', '--licence=CC0', '--date=2024-02-29')
    rows = _generate(commands, trained, tmp_path / 'out', *flags)
    assert {row['label'] for row in rows} == {'MR_lesion'}
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    assert (manifest['count'], manifest['seed'], manifest['synthetic']) == (3, 0, 'yes')
    assert (manifest['licence'], manifest['date'], manifest['format']) == ('CC0', '2024-02-29', 'png')
    assert (manifest['model']['images_seen'], manifest['model']['step']) == (120, 15)
    assert manifest['model']['alpha'] == pytest.approx((120 - 64) / 128)
    assert manifest['data']['name'] == 'phantom_masked'
    assert manifest['command']['label'] == 'MR_lesion'
    assert manifest['release'] == {'verdict': 'not checked', 'figures': {}}
    verified = commands.run('gan.verify', str(tmp_path / 'out'))
    assert verified.returncode == 0, verified.stdout
    assert '3 synthetic images (png), licence: CC0' in verified.stdout


def test_a_release_that_cannot_be_shown_to_be_safe_is_not_written(commands, trained, tmp_path):
    """Two held-out patients tell nothing about a leak."""
    flags = (f'--workdir={trained}', '--num=3', '--batch_size=8', f'--out={tmp_path}/out')
    done = commands.run('gan.generate', *flags)
    assert done.returncode == 1, done.stdout
    assert 'Error: The release fails: ' in done.stdout
    assert 'membership attack' in done.stdout
    assert '0/3' not in done.stdout  # nobody waits for images that cannot be released
    assert not list(tmp_path.iterdir())
    anyway = commands.run('gan.generate', *flags, '--release_anyway', '--largest_withheld=0.9')
    assert anyway.returncode == 0, anyway.stdout
    release = json.loads((tmp_path / 'out' / 'manifest.json').read_text())['release']
    assert (release['verdict'], release['figures']['released_anyway']) == ('fail', True)
    assert release['figures']['candidates'] == 3 + release['figures']['withheld']
    assert release['figures']['thresholds']['held_out'] == release['figures']['splits']['test']
    assert 'Release gate: fail.' in anyway.stdout
    assert '**fail**' in (tmp_path / 'out' / 'MODEL_CARD.md').read_text()


def test_what_the_gate_can_tell_is_a_page(commands, trained, tmp_path):
    flags = (f'--workdir={trained}', '--num=8', '--batch_size=8')
    done = commands.run('gan.privacy', *flags, f'--out={tmp_path}/out')
    assert done.returncode == 0, done.stdout
    assert 'Release gate: fail.' in done.stdout
    found = json.loads((tmp_path / 'out' / 'privacy.json').read_text())
    assert found['copies'][0]['kind'] == 'as it is'
    page = (tmp_path / 'out' / 'privacy.html').read_text()
    assert 'What this cannot exclude' in page
    again = commands.run('gan.privacy', *flags, f'--out={tmp_path}/out')
    assert 'give --out a new folder' in again.stdout
    same = commands.run('gan.privacy', *flags, f'--out={tmp_path}/new', f'--control={trained}')
    assert 'was trained on the same images' in same.stdout
    assert (again.returncode, same.returncode) == (1, 1)
    assert not (tmp_path / 'new').exists()


def test_leaving_the_gate_out_must_be_said_twice(commands, trained, tmp_path):
    done = commands.run('gan.generate', f'--workdir={trained}', '--num=1', f'--out={tmp_path}/out', '--nogate')
    assert done.returncode == 1
    assert '--nogate leaves the images unchecked; add --release_anyway' in done.stdout


def test_without_its_data_nothing_is_released(commands, trained, tmp_path):
    moved = tmp_path / 'run'
    shutil.copytree(trained, moved)
    config = json.loads((moved / 'config.json').read_text())
    config['data'] |= {'name': 'gone', 'data_dir': str(tmp_path)}
    (moved / 'config.json').write_text(json.dumps(config))
    done = commands.run('gan.generate', f'--workdir={moved}', '--num=1', f'--out={tmp_path}/out')
    assert done.returncode == 1
    assert "'gone'" in done.stdout.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


def test_a_release_is_signed_as_it_is_written(commands, trained, tmp_path):
    known = [f'{key_folder()}/{name}' for name in ('public_key.pem', 'certificate_authority.pem')]
    _generate(commands, trained, tmp_path / 'out', '--num=2', f'--sign={key_folder()}')
    verified = commands.run(
        'gan.verify', str(tmp_path / 'out'), '--require=manifest,signature,credentials',
        *(f'--{flag}={path}' for flag, path in zip(('key', 'authority'), known, strict=True)),
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout
    assert '4 files: trainedAlgorithmicMedia' in verified.stdout  # masks, too


def test_an_unknown_label_names_the_known(commands, trained, tmp_path):
    done = commands.run('gan.generate', f'--workdir={trained}', '--num=1', f'--out={tmp_path}/x', '--label=CT')
    assert done.returncode == 1
    assert '--label=CT is unknown; choose one of MR_healthy, MR_lesion.' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_seeds_become_folders_and_counts_are_by_class(commands, trained, tmp_path):
    flags = (f'--workdir={trained}', f'--out={tmp_path}/out', '--counts=MR_lesion=3,MR_healthy=1', '--seeds=5-6')
    done = commands.run('gan.generate', *flags, *UNCHECKED, '--batch_size=4')
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['seed_5', 'seed_6']
    for seed in (5, 6):
        manifest = json.loads((tmp_path / 'out' / f'seed_{seed}' / 'manifest.json').read_text())
        assert (manifest['seed'], manifest['count']) == (seed, 4)
        assert manifest['classes'] == {'MR_healthy': 1, 'MR_lesion': 3}
        assert manifest['command']['counts'] == ['MR_lesion=3', 'MR_healthy=1']
    again = _generate(commands, trained, tmp_path / 'one', '--num=4', '--batch_size=4', '--seed=5')
    assert len(again) == 4


def test_asking_for_nothing_or_for_what_makes_no_sense_is_refused(commands, trained, tmp_path):
    flags = (f'--workdir={trained}', f'--out={tmp_path}/out', *UNCHECKED)
    for more, reason in [
        ((), '--num, or by class with --counts'),
        (('--num=2', '--truncation=1'), 'scales every latent vector'),
        (('--counts=CT=2',), '--counts=CT is unknown'),
        (('--num=2', f'--watermark={tmp_path}/key'), 'There is no key at'),
        (('--num=2', f'--watermark={__file__}'), '--watermark needs images of 64 pixels or more'),
    ]:
        done = commands.run('gan.generate', *flags, *more)
        assert (done.returncode, reason in done.stdout) == (1, True), done.stdout
    assert not list(tmp_path.iterdir())


def test_eight_bit_in_eight_bit_out(commands, tmp_path):
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (24, 8, 8), np.uint8)
    for number, image in enumerate(noise):
        cv2.imwrite(str(pictures / f'{number:02d}.png'), image)
    flags = ('--source=image_folder', f'--path={pictures}', '--name=noise')
    prepared = commands.run('input_pipeline.prepare', *flags)
    assert prepared.returncode == 0, prepared.stdout
    data = (
        '--config.data.name=noise',
        '--config.schedule.initial_resolution=8',
        '--config.schedule.stable_images=8',
    )
    assert commands.train(tmp_path / 'run', *data).returncode == 0
    (row,) = _generate(commands, tmp_path / 'run', tmp_path / 'out', '--num=1')
    image = cv2.imread(str(tmp_path / 'out' / row['image']), cv2.IMREAD_UNCHANGED)
    assert (image.dtype, image.shape) == (np.uint8, (8, 8))
    assert (row['mask'], row['label']) == ('', '')
