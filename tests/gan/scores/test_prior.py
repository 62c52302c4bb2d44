"""The discrepancy of codes from their prior: its definition, its floor, and what it tells apart."""

import numpy as np
import pytest

from gan.scores.prior import discrepancy, measure_prior

_DRAW = np.random.default_rng(0)


def test_it_is_the_unbiased_estimate():
    first, second = _DRAW.normal(size=(2, 6, 3))

    def kernel(a, b):
        return 2.0 / (2.0 + np.square(a - b).sum())

    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    within = sum(kernel(each[i], each[j]) for each in (first, second) for i, j in pairs) / 30
    between = np.mean([kernel(a, b) for a in first for b in second])
    assert discrepancy(first, second, 2.0) == pytest.approx(within - 2 * between)


@pytest.mark.parametrize('distribution', ['normal', 'uniform'])
def test_draws_of_the_prior_lie_at_its_floor_and_others_above(distribution):
    draw = _DRAW.normal if distribution == 'normal' else lambda size: _DRAW.uniform(-1, 1, size)
    follows = measure_prior(draw(size=(300, 2)), distribution)
    low, high = follows.floor
    assert low < 0 < high
    assert 2 * low < follows.value < 2 * high
    off = measure_prior(0.7 * draw(size=(300, 2)), distribution)
    assert off.value > 1.5 * high
    # A mixture with the same mean and variance as the normal prior, which moments alone would take for it.
    signs = _DRAW.choice([-1, 1], size=(300, 2))
    if distribution == 'normal':
        mixed = 0.95 * signs + np.sqrt(1 - 0.95**2) * draw(size=(300, 2))
        assert measure_prior(mixed, distribution).value > 1.5 * high


def test_what_cannot_be_measured_is_left_out():
    assert measure_prior(np.zeros((1, 2)), 'normal') is None
    assert measure_prior(np.full((5, 2), np.nan), 'normal') is None
