"""A trained generator, exported and used elsewhere through the command line."""

import csv
import json
import shutil

import cv2
import jax
import numpy as np
import pytest

from gan.generator import restore_state
from tests.gan.weights.rewriting import rewrite

pytestmark = pytest.mark.slow
UNCHECKED = ('--nogate', '--release_anyway', '--num=4', '--seed=3')


@pytest.fixture(scope='module')
def exported(commands, tmp_path_factory):
    """The folder of a run, and of what was exported of it."""
    folder = tmp_path_factory.mktemp('exported')
    done = commands.train(folder / 'run')
    assert done.returncode == 0, done.stdout
    done = commands.run('gan.export', f'--workdir={folder}/run', f'--out={folder}/generator')
    assert done.returncode == 0, done.stdout
    assert 'MB of weights in 1 files' in done.stdout
    return folder


def _images(folder):
    with (folder / 'index.csv').open(newline='') as file:
        return np.stack(
            [cv2.imread(str(folder / row['image']), cv2.IMREAD_UNCHANGED) for row in csv.DictReader(file)]
        )


def test_a_fresh_process_draws_the_same_images(commands, exported, tmp_path):
    moved = tmp_path / 'elsewhere'
    shutil.copytree(exported / 'generator', moved)
    for name, workdir in (('before', exported / 'run'), ('after', moved)):
        done = commands.run('gan.generate', f'--workdir={workdir}', f'--out={tmp_path}/{name}', *UNCHECKED)
        assert done.returncode == 0, done.stdout
    before, after = (_images(tmp_path / name) for name in ('before', 'after'))
    assert before.std() > 0
    np.testing.assert_array_equal(after, before)
    assert commands.run('gan.verify', str(tmp_path / 'after')).returncode == 0


def test_the_gate_works_where_the_data_are(commands, exported, tmp_path):
    done = commands.run('gan.generate', f'--workdir={exported}/generator', f'--out={tmp_path}/out', '--num=2')
    assert done.returncode == 1
    assert 'Error: The release fails: ' in done.stdout  # a handful of phantoms cannot show that it is safe


def test_without_the_data_the_way_out_is_named(commands, exported, tmp_path):
    moved = tmp_path / 'elsewhere'
    shutil.copytree(exported / 'generator', moved)
    rewrite(moved, lambda content: content['config']['data'].update(name='gone'))
    done = commands.run('gan.generate', f'--workdir={moved}', f'--out={tmp_path}/out', '--num=2')
    assert done.returncode == 1, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith('Error: The gate cannot compare with the training data')
    assert '--nogate --release_anyway' in last
    assert not (tmp_path / 'out').exists()


def test_it_is_measured_as_its_run_where_the_data_are(commands, exported, tmp_path):
    flags = ('--extractor=random', '--num=16')
    measured = []
    for name in ('run', 'generator'):
        done = commands.run('gan.evaluate', f'--workdir={exported}/{name}', *flags, f'--out={tmp_path}/{name}')
        assert done.returncode == 0, done.stdout
        (report,) = json.loads((tmp_path / name / 'report.json').read_text())['runs']
        measured.append({field: report[field] for field in ('weights_sha256', 'scores')})
    assert 'kernel_distance' in measured[0]['scores']
    assert measured[0] == measured[1]


def test_what_is_not_in_it_is_told(commands, exported, tmp_path):
    workdir = f'--workdir={exported}/generator'
    for module, flags, said in [
        ('gan.encode', (), 'encoders, discriminators and optimisers are not in it; give the run it is of'),
        ('gan.translate', ('picture.png',), 'which translates nothing'),
        ('gan.project', (), 'has no styles'),
        ('gan.project', (f'--out={exported}/generator/projected',), 'give --out a folder outside it'),
        ('gan.privacy', (f'--out={exported}/generator/privacy',), 'outside it'),
        ('gan.sweep', ('--truncations=0.5', f'--out={exported}/generator/sweep'), 'outside it'),
    ]:
        done = commands.run(module, workdir, f'--out={tmp_path}/out', *flags)
        assert done.returncode == 1, done.stdout
        assert done.stdout.splitlines()[-1].startswith('Error: ')
        assert said in done.stdout, done.stdout
    assert not (tmp_path / 'out').exists()


def test_training_starts_from_it_as_from_its_run(commands, exported, tmp_path):
    flags = ('--config.start_from.discriminator=false', '--config.schedule.stable_images=16')
    for name in ('run', 'generator'):
        done = commands.train(tmp_path / name, *flags, f'--config.start_from.workdir={exported}/{name}')
        assert done.returncode == 0, done.stdout
        assert 'of the generator copied' in done.stdout
    started = [restore_state(tmp_path / name).state for name in ('run', 'generator')]
    jax.tree.map(np.testing.assert_array_equal, started[0].networks, started[1].networks)
    done = commands.train(tmp_path / 'both', f'--config.start_from.workdir={exported}/generator')
    assert done.returncode == 1
    assert 'has no discriminator; set config.start_from.discriminator to False.' in done.stdout
    assert not (tmp_path / 'both').exists()


@pytest.mark.parametrize('command', ['gan.evaluate', 'gan.report'])
def test_pages_with_training_images_stay_out_of_what_is_passed_on(commands, exported, command):
    before = sorted(path.name for path in (exported / 'generator').rglob('*'))
    extractor = ('--extractor=random',) if command == 'gan.evaluate' else ()
    for out in ((), (f'--out={exported}/generator/a/b',)):
        done = commands.run(command, f'--workdir={exported}/generator', *extractor, *out)
        assert done.returncode == 1, done.stdout
        assert 'give --out a folder outside it.' in done.stdout.strip().splitlines()[-1]
    assert sorted(path.name for path in (exported / 'generator').rglob('*')) == before


def test_damage_and_misuse_are_told_in_one_sentence(commands, exported, tmp_path):
    damaged = tmp_path / 'damaged'
    shutil.copytree(exported / 'generator', damaged)
    (shard,) = damaged.glob('*.safetensors')
    shard.write_bytes(shard.read_bytes()[:-4] + b'odd!')
    for module, flags, said in [
        ('gan.generate', (f'--workdir={damaged}', *UNCHECKED), 'was altered or damaged (its SHA-256'),
        ('gan.export', (f'--workdir={damaged}',), 'is an exported generator already'),
        ('gan.export', (f'--workdir={exported}/run', '--best', '--step=8'), 'leave one of them out'),
    ]:
        done = commands.run(module, *flags, f'--out={tmp_path}/out')
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1].startswith('Error: ')
        assert said in done.stdout
    done = commands.train(exported / 'generator')
    assert done.returncode == 1
    assert 'cannot train on' in done.stdout
