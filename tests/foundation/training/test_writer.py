"""Two processes never train in one workdir, and one that died keeps nobody out."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.training import parallel, workdir
from foundation.training.errors import UserError
from foundation.training.workdir import LOCK_FILE, one_writer

ROOT = Path(__file__).resolve().parents[3]
_HOLD = (
    'import pathlib, sys, time; from foundation.training.workdir import one_writer\n'
    'with one_writer(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(60)'
)


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, '-c', _HOLD, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        sentence = rf'is in use: process {other.pid} of .+, started 20.+; wait for its end, stop it, or use'
        with pytest.raises(UserError, match=sentence), one_writer(tmp_path):
            pass
        other.kill()
    with one_writer(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())['process'] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_for_the_lock_alone_is_removed(tmp_path):
    with pytest.raises(UserError, match='nothing to train on'), one_writer(tmp_path / 'runs' / 'new'):
        raise UserError('nothing to train on')
    assert not (tmp_path / 'runs' / 'new').exists()
    with one_writer(tmp_path / 'kept'):
        (tmp_path / 'kept' / 'config.json').touch()
    assert [path.name for path in (tmp_path / 'kept').iterdir()] == ['config.json']


def test_a_process_that_has_not_written_yet_is_told_as_another(tmp_path):
    with (tmp_path / LOCK_FILE).open('wb') as lock:
        workdir.fcntl.flock(lock, workdir.fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r'is in use: another process, trains there'), one_writer(tmp_path):
            pass


def test_a_lock_that_its_owner_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    flock, calls = workdir.fcntl.flock, []

    def late(file, how):
        calls.append(how)
        if len(calls) == 1:  # the owner before ended between our opening and our locking
            (tmp_path / LOCK_FILE).unlink()
        flock(file, how)

    monkeypatch.setattr(workdir.fcntl, 'flock', late)
    with one_writer(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()
    assert len(calls) == 2


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(workdir.fcntl, 'flock', refuse)
    with one_writer(tmp_path):
        assert 'is on a file system without locks (No locks available)' in caplog.text


def test_of_several_processes_the_first_alone_locks_and_its_refusal_ends_all(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, 'is_first_process', lambda: False)
    with one_writer(tmp_path):
        assert not (tmp_path / LOCK_FILE).exists()
    monkeypatch.setattr(parallel, 'any_process', lambda refused: True)
    with pytest.raises(UserError, match='is not free, as the first process tells'), one_writer(tmp_path):
        pass
