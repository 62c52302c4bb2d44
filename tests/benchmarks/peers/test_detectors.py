"""anomalib fits and scores what ours fits and scores."""

import pytest

pytest.importorskip('torch', reason='peers are tested in their own environment: the extra `peers`')
pytest.importorskip('anomalib', reason='peers are tested in their own environment: the extra `peers`')

from benchmarks.peers import detectors
from benchmarks.peers.forms import Form

SIDE = 64
EAGER = Form('cpu', 'float32', channels_last=False, compiled=False)


@pytest.mark.parametrize('name', ['patchcore', 'padim'])
def test_both_run(name):
    detectors.create_ours_fit(name, SIDE, 4, 'float32')()
    detectors.create_peer_fit(name, SIDE, 4, EAGER)()
    detectors.create_ours_score(name, SIDE, 2, 'float32')()
    detectors.create_peer_score(name, SIDE, 2, EAGER)()


def test_banks_have_as_many_patches():
    ours = detectors.fit_ours('patchcore', SIDE, 4)
    theirs = detectors.fit_peer('patchcore', SIDE, 4, EAGER)
    assert abs(len(ours.bank) - len(theirs.memory_bank)) <= 1
    assert ours.bank.shape[1] == theirs.memory_bank.shape[1]


def test_gaussians_have_the_same_shapes():
    ours = detectors.fit_ours('padim', SIDE, 4)
    theirs = detectors.fit_peer('padim', SIDE, 4, EAGER)
    assert ours.means.shape[::-1] == (theirs.gaussian.mean.shape[0], *ours.means.shape[1::-1])
    assert ours.means.shape[0] * ours.means.shape[1] == theirs.gaussian.mean.shape[1]
