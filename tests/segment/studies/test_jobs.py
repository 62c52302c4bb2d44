"""Doing jobs: once each, whatever dies, and beside others who do the same."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from foundation.training.errors import UserError
from segment.studies import jobs as jobs_module
from segment.studies.jobs import Journal, do_jobs
from segment.studies.plan import Job

# What stands for `python -m ...`: a line in a file when it begins, one when it ends.
_PROGRAM = """
import pathlib, sys, time
log, name, seconds, code = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
log.open('a').write(f'begin {name}\\n'); time.sleep(seconds)
print('it went wrong') if code else log.open('a').write(f'end {name}\\n')
sys.exit(code)
"""


class _Script(Job):
    """A job whose command is the program above."""

    @property
    def arguments(self):
        return [sys.executable, '-c', _PROGRAM, *self.command]


@pytest.fixture
def log(tmp_path):
    return tmp_path / 'log.txt'


@pytest.fixture
def create(log):
    def create(name, needs=(), seconds=0.0, code=0, makes=None):
        return _Script(name, (str(log), name, str(seconds), str(code)), tuple(needs), makes)

    return create


def test_each_once_and_in_order(create, log, tmp_path):
    jobs = [create('last', ['first']), create('first')]
    assert do_jobs(jobs, Journal(tmp_path / 'jobs')) == {}
    assert do_jobs(jobs, Journal(tmp_path / 'jobs')) == {}
    assert log.read_text().split('\n') == ['begin first', 'end first', 'begin last', 'end last', '']
    assert not list((tmp_path / 'jobs').glob('*.claim'))


def test_a_failure_takes_only_what_needs_it(create, log, tmp_path):
    jobs = [create('bad', code=3), create('after', ['bad']), create('other')]
    failed = do_jobs(jobs, Journal(tmp_path / 'jobs'))
    assert set(failed) == {'bad', 'after'}
    assert failed['bad'].startswith('it ended with exit code 3: it went wrong')
    assert 'bad.log' in failed['bad']
    assert failed['after'] == 'needs bad'
    assert 'end other' in log.read_text()
    again = do_jobs([create('bad'), create('after', ['bad'])], Journal(tmp_path / 'jobs'))
    assert again == {}  # another try does not remember the failure


def test_another_command_under_the_same_name_is_refused(create, tmp_path):
    journal = Journal(tmp_path / 'jobs')
    do_jobs([create('one')], journal)
    with pytest.raises(UserError, match='made with other flags'):
        do_jobs([create('one', seconds=0.01)], journal)


def test_what_an_interrupted_job_left_is_removed(create, tmp_path):
    half = tmp_path / 'half'
    half.mkdir()
    (half / 'part').touch()
    journal, job = Journal(tmp_path / 'jobs'), create('one', makes=half)
    journal.log_path(job).touch()
    assert do_jobs([job], journal) == {}
    assert not half.exists()


def test_what_a_study_did_not_make_stays(create, log, tmp_path):
    mine = tmp_path / 'mine'
    mine.mkdir()
    (mine / 'part').touch()
    for _ in range(2):
        failed = do_jobs([create('one', makes=mine)], Journal(tmp_path / 'jobs'))
        assert 'mine is not of this study' in failed['one']
    assert (mine / 'part').exists()
    assert not log.exists()


def test_a_command_that_outlives_its_study_is_not_started_twice(create, log, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, '_WAIT_SECONDS', 0.1)
    journal, job = Journal(tmp_path / 'jobs'), create('one', seconds=1.0)
    with journal.log_path(job).open('ab') as output:
        assert jobs_module._lock(output)
        orphan = subprocess.Popen(job.arguments, stdout=output)
    assert do_jobs([job], journal) == {}
    assert orphan.wait(timeout=10) == 0
    assert log.read_text().split('\n') == ['begin one', 'end one'] * 2 + ['']


@pytest.mark.parametrize('text', ['', '[]', '{"host": 1}'])
def test_a_claim_that_was_never_written_gets_old_too(create, tmp_path, text):
    claim = tmp_path / 'jobs' / 'one.claim'
    journal = Journal(tmp_path / 'jobs')
    claim.write_text(text)
    with journal.claim(create('one')) as mine:
        assert not mine
    os.utime(claim, (0, 0))
    with journal.claim(create('one')) as mine:
        assert mine


def test_a_damaged_note_of_a_job_is_refused(create, tmp_path):
    journal = Journal(tmp_path / 'jobs')
    (tmp_path / 'jobs' / 'one.json').write_text('{}')
    with pytest.raises(UserError, match=r'one.json is damaged .* delete it, and the job is done anew'):
        do_jobs([create('one')], journal)


def test_two_processes_share_the_jobs(create, log, tmp_path):
    """A second process does what the first leaves, and each job is done once."""
    jobs = [create(f'job{number}', seconds=0.3) for number in range(6)]
    code = (
        'import sys; from tests.segment.studies.test_jobs import _Script; from segment.studies.jobs import *\n'
        f'jobs = [_Script(f"job{{n}}", ({str(log)!r}, f"job{{n}}", "0.3", "0"), (), None) for n in range(6)]\n'
        f'sys.exit(len(do_jobs(jobs, Journal(__import__("pathlib").Path({str(tmp_path / "jobs")!r})))))'
    )
    jobs_module._WAIT_SECONDS, wait = 0.1, jobs_module._WAIT_SECONDS
    try:
        with subprocess.Popen(
            [
                sys.executable,
                '-c',
                code.replace('\nsys', '\nimport segment.studies.jobs as m; m._WAIT_SECONDS = 0.1\nsys'),
            ]
        ) as other:
            assert do_jobs(jobs, Journal(tmp_path / 'jobs')) == {}
            assert other.wait(timeout=60) == 0
    finally:
        jobs_module._WAIT_SECONDS = wait
    lines = log.read_text().split()
    assert sorted(lines.count(f'job{number}') for number in range(6)) == [2] * 6


def test_the_claim_of_a_dead_process_is_taken_over(create, log, tmp_path):
    journal = Journal(tmp_path / 'jobs')
    dead = subprocess.run([sys.executable, '-c', 'import os; print(os.getpid())'], capture_output=True, check=True)
    claim = tmp_path / 'jobs' / 'one.claim'
    claim.write_text(json.dumps({'host': os.uname().nodename, 'process': int(dead.stdout)}))
    assert do_jobs([create('one')], journal) == {}
    assert 'end one' in log.read_text()


def test_a_claim_from_another_machine_is_left_until_it_is_old(create, tmp_path):
    journal, job = Journal(tmp_path / 'jobs'), create('one')
    claim = tmp_path / 'jobs' / 'one.claim'
    claim.write_text(json.dumps({'host': 'elsewhere', 'process': 1}))
    with journal.claim(job) as mine:
        assert not mine
    old = time.time() - 2 * jobs_module._ABANDONED_SECONDS
    os.utime(claim, (old, old))
    with journal.claim(job) as mine:
        assert mine
        assert json.loads(claim.read_text())['process'] == os.getpid()
    assert not claim.exists()


def test_a_killed_command_is_told(create, tmp_path):
    job = create('one', seconds=30)
    program = 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)'
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_Script, 'arguments', [sys.executable, '-c', program])
        failed = do_jobs([job], Journal(tmp_path / 'jobs'))
    assert failed['one'].startswith('killed by SIGKILL (was there enough memory?)')


_SAVING = """
import pathlib, signal, sys, time
seen = []
def handle(number, frame):
    if seen: sys.exit(1)
    seen.append(number)
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, handle)
folder = pathlib.Path(sys.argv[1])
(folder / 'begun').touch()
while not seen: time.sleep(0.01)
time.sleep(1)
(folder / 'saved').touch()
"""


def test_ctrl_c_in_a_terminal_reaches_a_command_once(tmp_path):
    """A terminal sends it to all processes; the command stops at once at a second signal, with nothing saved."""
    code = (
        'import signal, sys; from pathlib import Path; from segment.studies.plan import Job\n'
        'from segment.studies.jobs import Journal, do_jobs\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        f'Job.arguments = [sys.executable, "-c", {_SAVING!r}, {str(tmp_path)!r}]\n'
        f'do_jobs([Job("one", (), (), None)], Journal(Path({str(tmp_path / "jobs")!r})))'
    )
    with subprocess.Popen([sys.executable, '-c', code], start_new_session=True, stderr=subprocess.PIPE) as study:
        while not (tmp_path / 'begun').exists():
            assert study.poll() is None
            time.sleep(0.05)
        os.killpg(study.pid, signal.SIGINT)
        assert b'KeyboardInterrupt' in study.communicate(timeout=60)[1]
    assert (tmp_path / 'saved').exists()
    assert not list((tmp_path / 'jobs').glob('*.claim'))


def test_an_interrupted_job_is_told_to_stop_and_is_not_done(create, log, tmp_path, monkeypatch):
    def interrupted(self, *arguments):
        if not waited:
            waited.append(True)
            raise KeyboardInterrupt
        return wait(self, *arguments)

    waited, wait = [], subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, 'wait', interrupted)
    with pytest.raises(KeyboardInterrupt):
        do_jobs([create('one', seconds=30)], Journal(tmp_path / 'jobs'))
    assert not Journal(tmp_path / 'jobs').is_done(create('one', seconds=30))
    assert not list((tmp_path / 'jobs').glob('*.claim'))
