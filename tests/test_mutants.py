"""The list of faults in scripts/faults is current, and scripts/mutants says when it is not."""

import dataclasses
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _load():
    """scripts/mutants, whose name has no ending."""
    loader = importlib.machinery.SourceFileLoader('mutants', str(ROOT / 'scripts/mutants'))
    spec = importlib.util.spec_from_loader('mutants', loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules['mutants'] = module  # where its data classes look for their module
    sys.dont_write_bytecode, kept = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = kept
    return module


mutants = _load()
FAULTS = mutants.read_faults(ROOT / 'scripts/faults')


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted_and_its_tests_exist(fault):
    assert mutants.find_problem(fault, ROOT) is None


def test_there_are_faults_of_every_package():
    packages = {fault.file.partition('/')[0] for fault in FAULTS}
    assert packages >= {'gan', 'detect', 'segment', 'backbones', 'foundation', 'input_pipeline'}
    assert len(FAULTS) >= 60


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        ({'old': 'no such text'}, 'occurs 0 times'),
        ({'old': 'a'}, 'times in gan/x.py, not once'),
        ({'file': 'gan/y.py'}, 'no file gan/y.py'),
        ({'tests': ('tests/test_y.py',)}, 'no test tests/test_y.py'),
        ({'tests': ('tests/test_x.py::test_b',)}, 'no test tests/test_x.py::test_b'),
    ],
)
def test_what_rots_is_told(tmp_path, changed, words):
    fault = _write_repository(tmp_path)
    assert mutants.find_problem(fault, tmp_path) is None
    assert words in mutants.find_problem(dataclasses.replace(fault, **changed), tmp_path)


def _write_repository(folder):
    (folder / 'gan').mkdir()
    (folder / 'gan/x.py').write_text('a = 1 + 2\na = a\n')
    (folder / 'tests').mkdir()
    (folder / 'tests/test_x.py').write_text('def test_a():\n    pass\n')
    return mutants.Fault('sign', 'a sign', 'gan/x.py', '1 + 2', '1 - 2', ('tests/test_x.py::test_a',), '')


def test_a_planted_fault_is_taken_out_again(tmp_path):
    """Each under a time of its own, by which Python knows that a file of the same size has changed."""
    fault, path = _write_repository(tmp_path), tmp_path / 'gan/x.py'
    before, time = path.read_bytes(), path.stat().st_mtime_ns
    times = set()
    for number in range(2):
        with pytest.raises(KeyboardInterrupt), mutants.plant(fault, tmp_path, number):  # noqa: PT012
            assert path.read_text() == 'a = 1 - 2\na = a\n'
            times.add(int(path.stat().st_mtime))
            raise KeyboardInterrupt
        assert path.read_bytes() == before
        assert path.stat().st_mtime_ns == time
    assert len(times | {time // 10**9}) == 3


@pytest.mark.parametrize(
    ('status', 'equivalent', 'verdict'),
    [(1, '', 'killed'), (0, '', 'LIVES'), (None, '', 'killed'), (4, '', 'BROKEN'), (0, 'why', 'equivalent'),
     (1, 'why', 'WRONG')],
)  # fmt: skip
def test_verdicts(tmp_path, status, equivalent, verdict):
    fault = dataclasses.replace(_write_repository(tmp_path), equivalent=equivalent)
    assert mutants.judge(fault, status) == verdict


@pytest.mark.parametrize(
    ('verdicts', 'status'),
    [(['killed', 'equivalent'], 0), (['killed', 'LIVES'], 1), (['WRONG'], 1), (['BROKEN', 'LIVES'], 2)],
)
def test_the_exit_status_is_that_of_the_worst(tmp_path, verdicts, status):
    fault = _write_repository(tmp_path)
    assert mutants.summarise([(fault, verdict) for verdict in verdicts], 60.0) == status


def test_the_command(capsys):
    assert os.access(ROOT / 'scripts/mutants', os.X_OK)
    assert mutants.main(['--list', FAULTS[0].name]) == 0
    assert capsys.readouterr().out.startswith(FAULTS[0].name)
    assert mutants.main(['no-such-fault']) == 2
    assert 'no-such-fault' in capsys.readouterr().err
