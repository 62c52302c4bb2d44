"""Whatever cannot work ends with code 1 and one sentence, and leaves nothing behind."""

import resource
import shutil
import subprocess

import pytest

from tests.gan.command import SMALL, finish

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def trained(commands, tmp_path_factory):
    """The workdir of a short run."""
    workdir = tmp_path_factory.mktemp('trained')
    done = commands.train(workdir, '--config.run.checkpoint_images=64')
    assert done.returncode == 0, done.stdout
    return workdir


def _refusal(done: subprocess.CompletedProcess) -> str:
    """The one sentence of a command that refused."""
    assert done.returncode == 1, done.stdout
    assert 'Traceback' not in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith('Error: ')
    return last


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (['--config.loss.nme=hinge'], 'no field \'nme\' Did you mean "name" instead of "nme"?'),
        (['--config.seed=many'], "--config.seed=many: invalid literal for int() with base 10: 'many'"),
        (['--config.resolution=48'], 'resolution is 48, but must be a power of two from 4 to 1024.'),
        (['--config.data.name=nowhere'], 'Prepare it with: python -m input_pipeline.prepare'),
        (['--config.data.phantom.size=4'], 'phantom: size is 4: choose 8 to 1024 pixels.'),
        (['--bogus=1'], "Unknown command line flag 'bogus'"),
        (['seed=1'], "'seed=1' is not a flag; did you mean --seed=1?"),
        (['--coordinator=localhost:1'], '--coordinator needs --process_count and --process_id beside it.'),
    ],
)
def test_flags_that_cannot_be_used(commands, tmp_path, flags, expected):
    workdir = tmp_path / 'run'
    assert expected in _refusal(commands.train(workdir, *flags))
    assert not workdir.exists()


def test_a_batch_that_devices_cannot_share(commands, tmp_path):
    done = commands.train(tmp_path / 'run', devices=3)
    assert 'config.schedule.batch_size.at_4 is 8, which 3 devices cannot share' in _refusal(done)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (['--config=configs/gan/tiny.py'], '--workdir is missing'),
        (['--workdir=run'], '--config'),
        (['--config=nowhere.py', '--workdir=run'], "No such file or directory: 'nowhere.py'"),
        (['--config=cut.py', '--workdir=run'], 'cut.py, line 2: invalid syntax'),
        (
            ['--config=configs/gan/dcgan_medical.py:x', '--workdir=run'],
            "cannot be used: ValueError: variant 'x' is unknown",
        ),
    ],
)
def test_config_files_that_cannot_be_used(commands, tmp_path, flags, expected):
    (tmp_path / 'cut.py').write_text('import math\ndef get_config(:\n')
    flags = [flag.replace('=run', f'={tmp_path}/run').replace('=cut', f'={tmp_path}/cut') for flag in flags]
    assert expected in _refusal(commands.run('gan.main', *flags))
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (['--config.generator.fmap_max=4'], 'generator.fmap_max=8, not 4; use --config.generator.fmap_max=8'),
        (['--config.data.name=phantom_other', '--config.data.phantom.seed=3'], 'holds a run on other data'),
    ],
)
def test_another_run_in_the_workdir(commands, trained, flags, expected):
    before = {path: path.read_bytes() for path in trained.glob('*.json')}
    assert expected in _refusal(commands.train(trained, *flags))
    assert {path: path.read_bytes() for path in trained.glob('*.json')} == before


def test_a_damaged_newest_checkpoint_is_passed_over(commands, trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / 'run')
    shutil.rmtree(workdir / 'checkpoints' / '000000032' / 'state' / 'ocdbt.process_0')
    done = commands.train(workdir)
    assert done.returncode == 0, done.stdout
    assert 'Checkpoint of step 32 cannot be read' in done.stdout
    assert 'Going on from step 24' in done.stdout
    assert 'Traceback' not in done.stdout


def test_only_damaged_checkpoints(commands, trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / 'run')
    for step in (workdir / 'checkpoints').iterdir():
        shutil.rmtree(step / 'state')
    assert 'No checkpoint in' in _refusal(commands.train(workdir))


def test_a_full_disk(commands, trained, tmp_path):
    """Files that may not grow beyond a few kilobytes stand for it; space found, the run goes on."""
    workdir = tmp_path / 'run'
    process = commands.start('gan.main', *SMALL, f'--workdir={workdir}', forked=False)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (16_384, resource.RLIM_INFINITY))
    done = finish(process)
    assert 'free some space' in _refusal(done)
    resumed = commands.train(workdir)
    assert resumed.returncode == 0, resumed.stdout
    names = [path.name for path in (workdir / 'checkpoints').iterdir()]
    assert '000000032' in names
    assert not [name for name in names if 'tmp' in name]


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (['--label=CT_lesion'], 'this generator was trained without classes'),
        (['--step=7'], 'step 7'),
        (['--num=0'], '--num=0'),
    ],
)
def test_generate_refuses(commands, trained, tmp_path, flags, expected):
    out = tmp_path / 'out'
    done = commands.run('gan.generate', f'--workdir={trained}', '--num=2', f'--out={out}', *flags)
    assert expected in _refusal(done)
    assert list(tmp_path.iterdir()) == []


def test_generate_without_a_run_or_a_checkpoint_or_an_empty_folder(commands, trained, tmp_path):
    def refusal(workdir, out):
        return _refusal(commands.run('gan.generate', f'--workdir={workdir}', '--num=2', f'--out={out}'))

    (tmp_path / 'empty').mkdir()
    assert 'holds no config.json' in refusal(tmp_path / 'empty', tmp_path / 'out')
    for name in ('config.json', 'data.json'):
        shutil.copy(trained / name, tmp_path / 'empty')
    assert 'holds no checkpoint yet' in refusal(tmp_path / 'empty', tmp_path / 'out')
    assert 'give --out a new folder' in refusal(trained, tmp_path / 'empty')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['empty']
