"""Runs take turns, and ratios say which is quicker."""

import pytest

pytest.importorskip('torch', reason='peers are tested in their own environment: the extra `peers`')

from benchmarks.peers import pairs, timing
from benchmarks.peers.cases import CASES
from benchmarks.peers.timing import Compared, PeerRun, interleave


def test_runs_take_turns_after_one_that_is_not_timed():
    called = []
    seconds = interleave(lambda: called.append('ours'), lambda: called.append('peer'), 3)
    assert called == ['ours', 'peer'] * 4
    assert [len(own) for own in seconds] == [3, 3]


def test_ratio_is_above_one_where_ours_is_quicker():
    compared = Compared(ours=[1.0, 2.0, 1.0], peer=[2.0, 2.0, 9.0])
    assert compared.ratio == 2.0
    assert compared.ratios == (1.0, 9.0)


def test_the_quickest_run_is_taken(monkeypatch):
    seconds = {'slow': 2.0, 'quick': 1.0, 'slower': 3.0}
    monkeypatch.setattr(pairs, 'measure', lambda run: seconds[run.form])
    runs = [PeerRun(lambda: None, form, 0) for form in seconds]
    assert pairs.quickest(runs).form == 'quick'
    with pytest.raises(ValueError, match='nothing to choose'):
        pairs.quickest([])


def test_every_case_has_its_pair():
    assert {case.pair for case in CASES} <= set(pairs.PAIRS)
    assert timing.measure(lambda: None) >= 0
