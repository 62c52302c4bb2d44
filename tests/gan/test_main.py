"""Training through the command line: whatever stops it, it goes on as if nothing had."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.command import SMALL, finish

pytestmark = pytest.mark.slow
# Stages of the small config, in images: 4x4 ends at 64, 8x8 has faded in at 192 and ends at 256.
BOUNDARY, MID_FADE, END = 64, 120, 256
EVERY = '--config.run.checkpoint_images=8'
SELDOM = '--config.run.checkpoint_images=1000'


@pytest.fixture(scope='module')
def whole(commands, tmp_path_factory):
    """The workdir of a run that was never stopped, with a checkpoint after each step."""
    workdir = tmp_path_factory.mktemp('whole')
    done = commands.train(workdir, EVERY)
    assert done.returncode == 0, done.stdout
    shown = [line for line in done.stdout.split('\n') if 'images [' not in line]
    assert len(shown) < 30, done.stdout  # all parameters are in log.txt
    assert 'Generator at 8 x 8' in (workdir / 'log.txt').read_text()
    return workdir


def _state(workdir: Path, images: int) -> dict[str, np.ndarray]:
    """Everything in the checkpoint after so many images, by name."""
    return saved_state(workdir / 'checkpoints', images // 8)


def _assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different


def _assert_as_whole(workdir: Path, whole: Path) -> None:
    _assert_same(_state(workdir, END), _state(whole, END))
    assert logged_metrics(workdir) == logged_metrics(whole)


def _interrupted(commands, name: str, images: int, workdir: Path, *flags: str):
    return commands.run('tests.gan.interrupted', name, str(images), *SMALL, f'--workdir={workdir}', *flags)


def test_a_run_leaves_what_it_promises(whole):
    names = {path.name for path in whole.iterdir()}
    assert names >= {
        'checkpoints',
        'config.json',
        'curves.png',
        'data.json',
        'log.txt',
        'metrics.jsonl',
        'samples',
    }
    assert [line['step'] for line in logged_metrics(whole)] == list(range(1, END // 8 + 1))
    alphas = {line['images_seen']: line['alpha'] for line in logged_metrics(whole)}
    assert (alphas[BOUNDARY], alphas[128], alphas[192]) == (1.0, 0.5, 1.0)


def test_sigterm_at_a_boundary_and_mid_fade_changes_nothing(commands, whole, tmp_path):
    for images in (BOUNDARY, MID_FADE):
        stopped = _interrupted(commands, 'SIGTERM', images, tmp_path, SELDOM)
        assert stopped.returncode == 0, stopped.stdout
        assert f'Stopped by SIGTERM at {images} of {END} images' in stopped.stdout
        # The whole run saved this step while it trained on; this one had stopped.
        _assert_same(_state(tmp_path, images), _state(whole, images))
    assert commands.train(tmp_path, SELDOM).returncode == 0
    _assert_as_whole(tmp_path, whole)


def test_kill_changes_nothing(commands, whole, tmp_path):
    """In the first stage before any checkpoint, mid-fade with one behind, and right after one was begun."""
    for images, every in [(40, 1000), (MID_FADE, 48), (144, 48)]:
        flag = f'--config.run.checkpoint_images={every}'
        assert _interrupted(commands, 'SIGKILL', images, tmp_path, flag).returncode == -signal.SIGKILL
    assert commands.train(tmp_path, SELDOM).returncode == 0
    _assert_as_whole(tmp_path, whole)


def test_kill_while_a_checkpoint_is_written_changes_nothing(commands, whole, tmp_path):
    process = commands.start('gan.main', *SMALL, f'--workdir={tmp_path}', EVERY, forked=False)
    half_written = _wait_for_half_written(tmp_path / 'checkpoints', process)
    os.kill(process.pid, signal.SIGKILL)
    assert finish(process).returncode == -signal.SIGKILL
    assert half_written
    assert list((tmp_path / 'checkpoints').glob('*tmp*')), 'killed too late to test anything'
    assert commands.train(tmp_path, SELDOM).returncode == 0
    assert not list((tmp_path / 'checkpoints').glob('*tmp*'))
    _assert_as_whole(tmp_path, whole)


def _wait_for_half_written(folder: Path, process) -> bool:
    """Returns once the third checkpoint is being written."""
    seen = set()
    while process.poll() is None:
        if folder.exists():
            seen |= {path.name for path in folder.glob('*tmp*')}
        if len(seen) >= 3:
            return True
        time.sleep(0.001)
    return False


def test_a_finished_run_started_again_changes_nothing(commands, whole):
    before = logged_metrics(whole)
    again = commands.train(whole, EVERY)
    assert again.returncode == 0, again.stdout
    assert f'Done: {END} images' in again.stdout
    assert logged_metrics(whole) == before
