"""Whatever becomes of a task, the others are measured, and what was measured is on disk."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.accelerator import ledger, plan, supervisor
from benchmarks.accelerator.supervisor import run_all
from tests.benchmarks.accelerator import toy_parts
from tests.benchmarks.accelerator.toy_parts import create_run

_ROOT = Path(__file__).parents[3]
_PROGRAM = """
import sys
from pathlib import Path
from tests.benchmarks.accelerator import toy_parts
from benchmarks.accelerator import plan, supervisor
plan.PROFILES, supervisor.CHILD = toy_parts.PROFILES, 'tests.benchmarks.accelerator.toy_child'
supervisor.run_all(toy_parts.create_run(Path(sys.argv[1])))
"""


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    monkeypatch.setattr(plan, 'PROFILES', toy_parts.PROFILES)
    monkeypatch.setattr(supervisor, 'CHILD', 'tests.benchmarks.accelerator.toy_child')
    monkeypatch.setattr(supervisor, '_GRACE', 0.5)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('run')


def _rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / 'out' / ledger.ROWS_FILE).read_text().splitlines()]


@pytest.mark.slow
def test_tasks_that_fail_exit_die_or_hang_are_rows_and_the_others_go_on(folder):
    assert not run_all(create_run(folder))
    told = [(row['part'], row['task'], row['status']) for row in _rows(folder) if row['status'] != 'over']
    assert told == [
        *[('mixed', 'first', 'done')] * 3,
        ('mixed', 'fails', 'done'),
        ('mixed', 'fails', 'failed'),
        ('mixed', 'lacks', 'left out'),
        ('mixed', 'exits', 'done'),
        ('mixed', 'exits', 'failed'),
        ('mixed', 'dies', 'failed'),
        *[('mixed', 'last', 'done')] * 3,
        ('hanging', 'hangs', 'done'),
        ('hanging', 'hangs', 'timed out'),
        ('end', 'costly', 'left out'),
        ('end', 'flag', 'done'),
    ]
    reasons = {row['task']: row['reason'] for row in _rows(folder) if 'reason' in row}
    assert reasons['fails'] == 'ValueError: this went wrong'
    assert reasons['lacks'] == 'a thing is missing'
    assert reasons['exits'] == 'its process ended with status 7'
    assert reasons['dies'] == 'its process was ended by SIGKILL (out of memory?)'
    assert reasons['costly'].startswith('it takes about 1000000 s, ')
    assert '--xla_gpu_deterministic_ops=true' in _rows(folder)[-2]['given']


@pytest.mark.slow
def test_a_later_run_adds_what_is_missing_and_leaves_the_rest(folder):
    before = _rows(folder)
    assert run_all(create_run(folder, parts=('end',)))
    added = _rows(folder)[len(before) :]
    assert [(row['task'], row['status']) for row in added] == [('costly', 'left out')]
    tables = (folder / 'out' / ledger.TABLES_FILE).read_text()
    assert '- fails: failed; ValueError: this went wrong' in tables
    assert '| 0 | yes |' in tables


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_readable_tables_and_no_processes(tmp_path):
    moments = random.Random(0)
    for number in range(10):
        folder = tmp_path / str(number)
        process = subprocess.Popen([sys.executable, '-c', _PROGRAM, str(folder)], cwd=_ROOT)
        out = folder / 'out' / ledger.TABLES_FILE
        while not out.exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        rows, tables = _rows(folder), out.read_text()
        assert rows[0]['status'] == 'done'
        assert tables.startswith('- ')
        assert '## Mixed' in tables
        _wait_for_the_end(folder)


def _wait_for_the_end(folder: Path) -> None:
    """Fails when a process of this run is still there after some seconds."""
    for _ in range(50):
        commands = [path.read_bytes() for path in Path('/proc').glob('[0-9]*/cmdline') if path.exists()]
        if not any(str(folder).encode() in command for command in commands):
            return
        time.sleep(0.1)
    pytest.fail('A process outlived its run.')
