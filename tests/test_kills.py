"""scripts/kills notices what it looks for; and two Ctrl-C never crash a command that starts."""

import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.gan.command import SMALL, Commands, finish

SCRIPT = Path(__file__).resolve().parents[1] / 'scripts' / 'kills'
# Writes two files, at once or with a pause in between, and heeds signals or not.
_TOY = """
import pathlib, signal, sys, time
out, how = pathlib.Path(sys.argv[1]), sys.argv[2]
if how == 'crashes':
    signal.signal(signal.SIGINT, lambda number, frame: 1 / 0)
else:
    signal.signal(signal.SIGINT, lambda number, frame: sys.exit(130))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
(out.parent / 'started').touch()
if how == 'halves':
    (out / 'one').write_text('1')
time.sleep(0.5)
(out / 'one').write_text('1')
(out / 'two').write_text('2')
"""


@pytest.fixture(scope='module')
def kills():
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader('kills', str(SCRIPT))
    spec = importlib.util.spec_from_loader('kills', loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules['kills'] = module
    loader.exec_module(module)
    yield module
    del sys.modules['kills']


@pytest.mark.parametrize(
    ('how', 'signal_name', 'expected'),
    [
        ('whole', 'KILL', ''),
        ('whole', 'TERM', ''),
        ('whole', 'INT', ''),
        ('halves', 'KILL', 'leaves neither the old nor the new state'),
        ('crashes', 'INT', 'ZeroDivisionError'),
    ],
)
def test_one_moment_is_judged(kills, tmp_path, monkeypatch, how, signal_name, expected):
    (tmp_path / 'toy_command.py').write_text(_TOY)
    (tmp_path / 'place' / 'old').mkdir(parents=True)
    bench = kills.Bench(tmp_path)
    bench.environment['PYTHONPATH'] = str(tmp_path)
    command = kills.Command('toy_command', '{out} ' + how, kills.tree_state)
    (tmp_path / 'place' / 'new').mkdir()
    bench.run('toy_command', command.flags.format(out=tmp_path / 'place' / 'new'))
    (tmp_path / 'place' / 'started').unlink()

    def stop(process, name, moment, between):  # as soon as it is at work, whatever that takes here
        while not (tmp_path / 'place' / 'started').exists():
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.Signals[f'SIG{name}'])
        return True

    monkeypatch.setattr(kills, 'stop', stop)
    told = kills.judge(bench, 'toy', command, 0.0, signal_name, 0.0, tmp_path / 'place')
    assert expected in told
    assert bool(told) == bool(expected)


@pytest.mark.slow
@pytest.mark.parametrize('moment', [0.5, 1.5, 3.0, 4.0, 5.0])
def test_two_signals_while_training_starts_never_crash(tmp_path, moment):
    """In imports, while data are drawn, and while programs are traced and compiled."""
    process = Commands(tmp_path).start('gan.main', *SMALL, f'--workdir={tmp_path / "run"}')
    time.sleep(moment)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.2)
    done = finish(process)
    assert done.returncode in (0, 130), done.stdout
    assert 'Traceback' not in done.stdout
    assert 'Fatal' not in done.stdout
