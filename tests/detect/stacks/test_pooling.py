"""Scores of volumes from their slices, against their definitions."""

import numpy as np
import pytest

from detect.stacks.evaluation import POOLINGS

P = [np.array([0.1, 0.9, 0.4]), np.array([0.5]), np.linspace(0.01, 0.99, 25)]
EXPECTED = {
    'noisy_or': lambda p: -np.log(np.prod(1 - p)),
    'top_mean': lambda p: np.sort(p)[::-1][: {3: 1, 1: 1, 25: 3}[len(p)]].mean(),
    'max': lambda p: np.log(p.max() / (1 - p.max())),
    'mean': np.mean,
}


def _pad(values, fill):
    filled, valid = np.full((len(values), 30), fill, np.float32), np.zeros((len(values), 30), bool)
    for number, own in enumerate(values):
        filled[number, : len(own)], valid[number, : len(own)] = own, True
    return filled, valid


@pytest.mark.parametrize('fill', [0.0, 50.0, -50.0])
@pytest.mark.parametrize('name', EXPECTED)
def test_a_score_is_what_it_says_whatever_the_padding(name, fill):
    log_odds, valid = _pad([np.log(p / (1 - p)) for p in P], fill)
    np.testing.assert_allclose(POOLINGS[name](log_odds, valid), [EXPECTED[name](p) for p in P], rtol=1e-5)


def test_all_poolings_are_tested():
    assert list(POOLINGS) == list(EXPECTED)


def test_a_few_altered_slices_among_many_move_all_but_the_mean():
    """20 of 300: the mean rises by no more than 0.067 (reference: published protocol of local tampering)."""
    plain = np.full(300, -4.0, np.float32)
    altered = plain.copy()
    altered[100:120] = 4
    log_odds, valid = np.stack([plain, altered]), np.ones((2, 300), bool)
    rises = {name: np.diff(pool(log_odds, valid))[0] for name, pool in POOLINGS.items()}
    assert 0 < rises['mean'] < 0.067
    assert rises['top_mean'] > 0.6
    assert rises['noisy_or'] > 70
    assert rises['max'] == 8


def test_sure_slices_stay_finite():
    log_odds = np.array([[500.0, -500.0]], np.float32)
    for pool in POOLINGS.values():
        assert np.isfinite(pool(log_odds, np.ones((1, 2), bool))).all()
