"""A folder is old or new, never in between, wherever its process dies; leftovers are told from what is at work."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from input_pipeline import atomic
from input_pipeline.atomic import INCOMPLETE, complete_folder, describe_outcome, identity
from input_pipeline.errors import DataError, Refusals
from input_pipeline.readers.paths import walk

ROOT = Path(__file__).resolve().parents[2]
# Replaces a folder in a process that kills itself before its n-th call of what changes the names of folders.
_DYING = """
import os, pathlib, signal, sys
from input_pipeline import atomic
folder, number, exchanges = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == 'True'
calls = []
def counting(call):
    def counted(*arguments, **options):
        calls.append(call)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return counted
pathlib.Path.rename = counting(pathlib.Path.rename)
atomic._exchange = counting(atomic._exchange) if exchanges else lambda one, other: False
atomic.shutil.rmtree = counting(lambda path, ignore_errors: None)
with atomic.complete_folder(folder, overwrite=True) as partial:
    (partial / 'content').write_text('new')
"""


def _fill(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / 'content').write_text(content)


def _replace(folder: Path, content: str) -> None:
    with complete_folder(folder, overwrite=True) as partial:
        (partial / 'content').write_text(content)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / 'file').touch()
    for place in (tmp_path / 'file/set', tmp_path / 'made' / ('x' * 300) / 'set', Path('/proc/set')):
        with pytest.raises(DataError, match=r'cannot be written to \('), complete_folder(place, overwrite=False):
            raise AssertionError('unreachable')
    assert _names(tmp_path) == ['file']


@pytest.mark.parametrize('exchanges', [True, False])
def test_a_folder_is_replaced(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(atomic, '_exchange', lambda one, other: False)
    _fill(tmp_path / 'set', 'old')
    _replace(tmp_path / 'set', 'new')
    assert (_names(tmp_path), (tmp_path / 'set/content').read_text()) == (['set'], 'new')


def test_two_folders_change_places_in_one_step(tmp_path):
    _fill(tmp_path / 'a', 'a')
    _fill(tmp_path / 'b', 'b')
    if not atomic._exchange(tmp_path / 'a', tmp_path / 'b'):
        pytest.skip('this file system cannot exchange two folders')
    assert [(tmp_path / name / 'content').read_text() for name in 'ab'] == ['b', 'a']
    assert not atomic._exchange(tmp_path / 'a', tmp_path / 'none')


@pytest.mark.slow
@pytest.mark.parametrize(('exchanges', 'number'), [(True, 1), (True, 2), (False, 1), (False, 2), (False, 3)])
def test_killed_at_any_step_the_next_start_finds_the_old_or_the_new(tmp_path, exchanges, number):
    _fill(tmp_path / 'set', 'old')
    command = [sys.executable, '-c', _DYING, str(tmp_path / 'set'), str(number), str(exchanges)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr
    hidden = not (tmp_path / 'set').exists()
    assert hidden == ((exchanges, number) == (False, 2))
    atomic.clear_leftovers(tmp_path)
    kept = 'old' if number == 1 else 'new'
    assert (_names(tmp_path), (tmp_path / 'set/content').read_text()) == (['set'], kept)


def test_interrupted_between_two_renames_a_whole_folder_comes_in_place(tmp_path, monkeypatch):
    rename, calls = Path.rename, []

    def interrupted(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(atomic, '_exchange', lambda one, other: False)
    monkeypatch.setattr(Path, 'rename', interrupted)
    _fill(tmp_path / 'set', 'old')
    before = identity(tmp_path / 'set')
    with pytest.raises(KeyboardInterrupt):
        _replace(tmp_path / 'set', 'new')
    assert (_names(tmp_path), (tmp_path / 'set/content').read_text()) == (['set'], 'new')
    assert describe_outcome(tmp_path / 'set', before).endswith('set is new, and whole')


def test_what_is_told_is_what_is_in_place(tmp_path):
    assert describe_outcome(tmp_path / 'set', None) == 'nothing was kept'
    _fill(tmp_path / 'set', 'old')
    before = identity(tmp_path / 'set')
    with contextlib.suppress(KeyboardInterrupt), complete_folder(tmp_path / 'set', overwrite=True):
        raise KeyboardInterrupt
    assert describe_outcome(tmp_path / 'set', before).endswith('set is as it was')
    assert (tmp_path / 'set/content').read_text() == 'old'


def test_only_what_no_process_keeps_locked_is_removed(tmp_path):
    """Whatever the number of its process: in another container that says nothing."""
    hold = (
        'import pathlib, sys, time; from input_pipeline.atomic import complete_folder\n'
        'with complete_folder(pathlib.Path(sys.argv[1]), overwrite=True) as partial:\n'
        '    (partial / "half").touch(); print(flush=True); time.sleep(60)'
    )
    started = [sys.executable, '-c', hold, str(tmp_path / 'set')]
    with subprocess.Popen(started, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        _replace(tmp_path / 'set', 'mine')
        (running,) = tmp_path.glob(f'{INCOMPLETE}*')
        assert (running / 'new/half').exists()
        process.kill()
    with complete_folder(tmp_path / 'other', overwrite=False):
        assert not running.exists()
    assert _names(tmp_path) == ['other', 'set']


def test_a_folder_without_a_lock_is_removed_only_where_it_is_empty(tmp_path):
    (tmp_path / f'{INCOMPLETE}empty').mkdir()
    _fill(tmp_path / f'{INCOMPLETE}full', 'of an older version')
    _replace(tmp_path / 'set', 'new')
    assert _names(tmp_path) == [f'{INCOMPLETE}full', 'set']


def test_a_scratch_folder_that_is_cleared_away_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    flock, calls = atomic.fcntl.flock, []

    def late(file, how):
        calls.append(how)
        if len(calls) == 1:  # another process came first
            atomic.shutil.rmtree(next(tmp_path.glob(f'{INCOMPLETE}*')))
        flock(file, how)

    monkeypatch.setattr(atomic.fcntl, 'flock', late)
    _replace(tmp_path / 'set', 'new')
    assert (_names(tmp_path), len(calls)) == (['set'], 2)


def test_on_a_file_system_without_locks_nothing_is_taken_for_a_leftover(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(95, 'Operation not supported')

    (tmp_path / f'{INCOMPLETE}x').mkdir()
    (tmp_path / f'{INCOMPLETE}x/lock').touch()
    monkeypatch.setattr(atomic.fcntl, 'flock', refuse)
    _replace(tmp_path / 'set', 'new')
    assert _names(tmp_path) == [f'{INCOMPLETE}x', 'set']


def test_an_error_of_the_block_arrives_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), complete_folder(tmp_path / 'a/b/set', overwrite=False):
        (tmp_path / 'none').stat()
    assert _names(tmp_path) == []


def test_two_writers_of_one_new_folder(tmp_path):
    taken = pytest.raises(DataError, match='was made by another process meanwhile')
    with taken, complete_folder(tmp_path / 'set', overwrite=False):
        _fill(tmp_path / 'set', 'theirs')
    assert (_names(tmp_path), (tmp_path / 'set/content').read_text()) == (['set'], 'theirs')


def test_readers_pass_leftovers_over(tmp_path):
    (tmp_path / f'{INCOMPLETE}x/new').mkdir(parents=True)
    (tmp_path / f'{INCOMPLETE}x/new/a.png').touch()
    (tmp_path / 'b.png').touch()
    refusals = Refusals(skip=False)
    assert [str(found) for found in walk(tmp_path, refusals)] == ['b.png']
    assert refusals.passed_over == {'folders of commands that did not end': 1}


def test_an_empty_folder_in_its_place_is_no_obstacle(tmp_path):
    (tmp_path / 'set').mkdir()
    with complete_folder(tmp_path / 'set', overwrite=False) as partial:
        (partial / 'content').touch()
    with pytest.raises(DataError, match='exists already'), complete_folder(tmp_path / 'set', overwrite=False):
        pass
    assert _names(tmp_path / 'set') == ['content']


def test_permissions_are_those_of_any_new_folder(tmp_path):
    (tmp_path / 'usual').mkdir()
    _replace(tmp_path / 'set', 'new')
    assert os.stat(tmp_path / 'set').st_mode == os.stat(tmp_path / 'usual').st_mode
    assert time.time() - os.stat(tmp_path / 'set').st_mtime < 60
