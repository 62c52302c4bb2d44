"""The number of devices and of processes changes how training is computed, not what."""

import re
import shutil

import numpy as np
import pytest

from tests.gan.command import SMALL, finish, free_port

pytestmark = pytest.mark.slow
ATOL = 1e-6  # of weights; SGD does not amplify rounding


@pytest.fixture(scope='module')
def sgd(commands, tmp_path_factory):
    """States after five steps of SGD: on eight devices of one process, and on four of two."""
    out = tmp_path_factory.mktemp('sgd')
    alone = commands.start('tests.gan.train_sgd', str(out), devices=8)
    port = str(free_port())
    pair = [commands.start('tests.gan.train_sgd', str(out), port, '2', number, devices=2) for number in ('0', '1')]
    for process in (alone, *pair):
        done = finish(process)
        assert done.returncode == 0, done.stdout
    return {path.stem: dict(np.load(path)) for path in out.glob('*.npz')}


@pytest.mark.parametrize(
    'way', ['all_0_of_1', 'scan_0_of_1', 'all_0_of_2', 'all_1_of_2', 'host_0_of_2', 'host_1_of_2']
)
def test_devices_and_processes_do_not_change_the_mathematics(sgd, way):
    one, other = sgd['one_0_of_1'], sgd[way]
    assert one.keys() == other.keys()
    for name, values in one.items():
        rtol = 0 if name.startswith(('start', 'end')) else 1e-5  # metrics may be large
        np.testing.assert_allclose(other[name], values, rtol=rtol, atol=ATOL, err_msg=name)


@pytest.mark.parametrize('network', ['generator', 'discriminator'])
def test_the_steps_moved_the_networks(sgd, network):
    """Lest equality above be that of states at rest."""
    one, place = sgd['one_0_of_1'], f".networks['{network}'].params['4x4_conv']['kernel']"
    assert np.abs(one[f'end{place}'] - one[f'start{place}']).max() > 1000 * ATOL


def test_two_processes_train_and_one_goes_on(commands, tmp_path):
    workdir, port = tmp_path / 'run', free_port()
    flags = (*SMALL, f'--workdir={workdir}', '--config.run.checkpoint_images=64', '--config.run.sample_images=64')
    hosts = [
        commands.start(
            'gan.main',
            *flags,
            f'--coordinator=localhost:{port}',
            '--process_count=2',
            f'--process_id={number}',
        )
        for number in range(2)
    ]
    first, second = (finish(process) for process in hosts)
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout
    assert 'Done: 256 images' in first.stdout
    assert not re.search('Done|Data:|Config|images/s', second.stdout), 'only the first process tells'
    assert len(list((workdir / 'tensorboard').iterdir())) == 1
    lines = (workdir / 'metrics.jsonl').read_text().splitlines()
    assert len(lines) == 32
    _resume_alone(commands, workdir, lines)


def _resume_alone(commands, workdir, lines):
    """One process goes on mid-fade from what two have saved, to losses that are nearly theirs.

    Adam makes whole steps of gradients that are mere rounding, so runs drift apart; the first eight steps tell.
    """
    for step in (workdir / 'checkpoints').iterdir():
        if int(step.name) > 16:
            shutil.rmtree(step)
    resumed = commands.train(workdir)
    assert resumed.returncode == 0, resumed.stdout
    assert 'Going on from step 16, 128 images seen.' in resumed.stdout
    again = (workdir / 'metrics.jsonl').read_text().splitlines()
    assert again[:16] == lines[:16]
    assert len(again) == 32
    for name in ('discriminator_loss', 'generator_loss', 'real_logits', 'fake_logits'):
        pattern = re.compile(f'"{name}": ([^,}}]+)')
        two, one = (
            [float(pattern.search(line).group(1)) for line in text] for text in (lines[16:24], again[16:24])
        )
        np.testing.assert_allclose(one, two, rtol=0, atol=2e-4, err_msg=name)
