"""Generation through the command line: reproducible, complete, in the type of the training images."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.gan.command import SMALL

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


def _generate(commands, workdir: Path, out: Path, *flags: str) -> list[dict[str, str]]:
    """Runs the command and returns the rows of its index."""
    done = commands.run('gan.generate', f'--workdir={workdir}', f'--out={out}', *flags)
    assert done.returncode == 0, done.stdout
    assert not out.with_name(f'{out.name}.partial').exists()
    with (out / 'index.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_the_same_seed_gives_the_same_files_and_another_does_not(commands, trained, tmp_path):
    flags = ('--num=6', '--batch_size=4')
    _generate(commands, trained, tmp_path / 'a', *flags, '--seed=5')
    _generate(commands, trained, tmp_path / 'b', *flags, '--seed=5')
    _generate(commands, trained, tmp_path / 'c', *flags, '--seed=6')
    one, same, other = (_tree(tmp_path / name) for name in 'abc')
    assert one == same
    assert len(one) == 6 + 6 + 2
    assert not any(one[name] == other[name] for name in one if name.startswith('images/'))


def test_images_masks_and_index_agree(commands, trained, tmp_path):
    rows = _generate(commands, trained, tmp_path / 'out', '--num=6', '--seed=1')
    assert [row['number'] for row in rows] == [str(number) for number in range(6)]
    assert [row['label'] for row in rows] == [CLASSES[number % 2] for number in range(6)]
    for row in rows:
        image, mask = (cv2.imread(str(tmp_path / 'out' / row[n]), cv2.IMREAD_UNCHANGED) for n in ('image', 'mask'))
        assert (image.dtype, image.shape) == (np.uint16, (8, 8))
        assert (mask.dtype, mask.shape) == (np.uint8, (8, 8))
        assert mask.max() <= 1
        # Each volume of MR has its own window, so that no physical values belong to generated grey levels.
        assert (row['intensity_low'], row['intensity_high']) == ('', '')
    listed = {row[name] for row in rows for name in ('image', 'mask')}
    assert listed | {'index.csv', 'generated.json'} == set(_tree(tmp_path / 'out'))


def test_generated_json_tells_where_the_images_come_from(commands, trained, tmp_path):
    rows = _generate(commands, trained, tmp_path / 'out', '--num=3', '--label=MR_lesion')
    assert {row['label'] for row in rows} == {'MR_lesion'}
    facts = json.loads((tmp_path / 'out' / 'generated.json').read_text())
    assert (facts['images_seen'], facts['step'], facts['count'], facts['seed']) == (120, 15, 3, 0)
    assert facts['alpha'] == pytest.approx((120 - 64) / 128)
    assert facts['data'] == 'phantom_masked'


def test_an_unknown_label_names_the_known(commands, trained, tmp_path):
    done = commands.run('gan.generate', f'--workdir={trained}', '--num=1', f'--out={tmp_path}/x', '--label=CT')
    assert done.returncode == 1
    assert '--label=CT is unknown; choose one of MR_healthy, MR_lesion.' in done.stdout
    assert list(tmp_path.iterdir()) == []


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
