"""Numbers of cases: the textbook's formula, and simulated readers."""

import numpy as np
import pytest
import scipy.stats

from foundation.training.errors import UserError
from gan.reading.power import check_cases, difference_power, equivalence_power, needed_cases


@pytest.mark.parametrize(('margin', 'alpha', 'power'), [(0.1, 0.05, 0.8), (0.05, 0.05, 0.9), (0.15, 0.025, 0.8)])
def test_the_number_is_near_that_of_the_normal_formula(margin, alpha, power):
    """Chow, Shao and Wang (2008), chapter 4: equivalence of one share, its true difference 0."""
    normal = (scipy.stats.norm.ppf(1 - alpha) + scipy.stats.norm.ppf((1 + power) / 2)) ** 2 / (4 * margin**2)
    cases = needed_cases(margin, alpha, power)
    assert 0.95 * normal <= cases <= 1.06 * normal + 6
    assert cases % 2 == 0
    assert equivalence_power(cases, margin, alpha) >= power > equivalence_power(cases - 2, margin, alpha)


def test_the_chances_are_those_of_simulated_readers():
    """Judged by SciPy's own interval."""
    generator = np.random.default_rng(0)
    found = {}
    for accuracy in (0.5, 0.6):
        right, times = np.unique(generator.binomial(216, accuracy, 20_000), return_counts=True)
        share = {0.5: 0.0, 0.6: 0.0}
        for hits, count in zip(right, times, strict=True):
            test = scipy.stats.binomtest(int(hits), 216)
            narrow, wide = (test.proportion_ci(level, method='exact') for level in (0.9, 0.95))
            share[0.5] += count / 20_000 * (narrow.low > 0.4 and narrow.high < 0.6)
            share[0.6] += count / 20_000 * (wide.low > 0.5 or wide.high < 0.5)
        found[accuracy] = share[accuracy]
    assert equivalence_power(216, 0.1, 0.05) == pytest.approx(found[0.5], abs=0.012)
    assert difference_power(216, 0.1, 0.05) == pytest.approx(found[0.6], abs=0.012)


def test_a_reader_at_the_margin_is_seldom_found_equivalent():
    right = np.random.default_rng(0).binomial(216, 0.6, 20_000)
    test = {int(hits): scipy.stats.binomtest(int(hits), 216).proportion_ci(0.9) for hits in np.unique(right)}
    assert np.mean([test[hits].low > 0.4 and test[hits].high < 0.6 for hits in right]) <= 0.05


def test_too_few_patients_are_told_with_what_they_can_show():
    check_cases(40, 20, 0.1, 0.05)
    with pytest.raises(UserError, match=r'42 cases need 21 real patients, .* has 20; with --cases=40 .*0%'):
        check_cases(42, 20, 0.1, 0.05)
    with pytest.raises(UserError, match='cannot be halved'):
        check_cases(41, 100, 0.1, 0.05)
