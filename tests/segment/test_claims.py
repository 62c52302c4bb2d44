"""Corrections by hand, verdicts at their limits, and the worth of generated images on known curves."""

import itertools

import numpy as np
import pytest

from foundation.statistics.differences import Difference, adjust_holm, hierarchical_bootstrap, is_equivalent, judge
from foundation.statistics.resampling import Distribution
from segment.studies.analysis import say
from segment.studies.exchange_rate import worth_of_synthetic

MARGIN = 0.01
ALPHA = 0.05


@pytest.mark.parametrize(
    ('p_values', 'adjusted'),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 0.04 is raised to 2 x 0.03
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.03], [0.03]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    assert adjust_holm(np.array(p_values)) == pytest.approx(np.array(adjusted))


def test_holm_rejects_what_closed_testing_does():
    """The adjusted p value is the largest Bonferroni p value of all subsets that hold the test."""
    p_values = np.random.default_rng(0).random(6) ** 3
    subsets = [list(s) for size in range(1, 7) for s in itertools.combinations(range(6), size)]
    bonferroni = [min(1, len(subset) * p_values[subset].min()) for subset in subsets]
    expected = [
        max(p for p, subset in zip(bonferroni, subsets, strict=True) if test in subset) for test in range(6)
    ]
    assert adjust_holm(p_values) == pytest.approx(np.array(expected))


@pytest.mark.parametrize('value', [-0.1, 1.1, np.nan])
def test_what_is_no_p_value_is_refused(value):
    with pytest.raises(ValueError, match='between 0 and 1'):
        adjust_holm(np.array([0.5, value]))


def _difference(low, high):
    """With replicates evenly over a range; the interval at 90% leaves out 5% of it at each end."""
    return Difference((low + high) / 2, Distribution(np.linspace(low, high, 10_001)), 5, 40, 0, None)


UNKNOWN = Difference(0.3, None, 1, 40, 0, 'an interval needs two seeds or more, and two patients or more.')


@pytest.mark.parametrize(
    ('low', 'high', 'equivalent'),
    [
        (-0.0110, 0.0110, True),  # at 90%: -0.0099, 0.0099
        (-0.0112, 0.0112, False),  # 0.01008
        (0.0, 0.0104, True),
        (0.0, 0.0106, False),
        (-0.0106, 0.0, False),
    ],
)
def test_equivalence_is_by_the_interval_of_two_one_sided_tests(low, high, equivalent):
    assert is_equivalent(_difference(low, high), margin=MARGIN, alpha=ALPHA) == equivalent


def test_nothing_is_equivalent_without_an_interval_or_a_margin():
    assert not is_equivalent(UNKNOWN, margin=MARGIN, alpha=ALPHA)
    with pytest.raises(ValueError, match='positive, not 0'):
        is_equivalent(_difference(-0.001, 0.001), margin=0, alpha=ALPHA)


@pytest.mark.parametrize(
    ('difference', 'adjusted', 'answer', 'words'),
    [
        (
            _difference(0.01, 0.05),
            0.001,
            'better',
            'A is better than B: mean difference in Dice +0.0300 [+0.0110, ',
        ),
        (_difference(-0.05, -0.01), 0.001, 'worse', 'A is worse than B'),
        (_difference(0.01, 0.05), 0.06, 'undecided', 'No difference between A and B is claimed, nor that there'),
        (_difference(-0.01, 0.05), 0.001, 'undecided', 'p = 0.001 after Holm, 5 seeds, 40 patients.'),
        (_difference(-0.002, 0.003), 0.7, 'equivalent', 'A and B are equivalent, within 0.01: mean'),
        (_difference(0.002, 0.004), 0.001, 'equivalent', 'within 0.01 (it is not 0, but too small to matter)'),
        (UNKNOWN, 1.0, 'undecided', 'Nothing is claimed of A against B: an interval needs two seeds'),
    ],
)
def test_verdicts(difference, adjusted, answer, words):
    verdict = judge(difference, adjusted, margin=MARGIN, alpha=ALPHA)
    assert verdict.answer == answer
    assert words in say(verdict, difference, adjusted, arms=('A', 'B'), margin=MARGIN, alpha=ALPHA)


@pytest.mark.parametrize(('shift', 'answer'), [(0.05, 'better'), (-0.05, 'worse'), (0.0, 'equivalent')])
def test_verdicts_of_simulated_studies(shift, answer):
    generator = np.random.default_rng(0)
    noise = 0.002 * generator.normal(size=(5, 1)) + 0.01 * generator.normal(size=(5, 40))
    found = hierarchical_bootstrap(shift + noise, resamples=2000, seed=0)
    adjusted = adjust_holm(np.array([found.distribution.p_value, 0.9]))
    assert judge(found, adjusted[0], margin=MARGIN, alpha=ALPHA).answer == answer


COUNTS = np.array([10, 20, 40, 80])
GAINS = np.array([0.5, 0.6, 0.7, 0.8])  # 0.1 each time the count doubles


def _worth(curve, augmented, counts=COUNTS, **changed):
    settings = {'real_count': 20, 'synthetic_count': 40, 'level': 0.9, 'resamples': 1000, 'seed': 0}
    return worth_of_synthetic(counts, curve, augmented, **(settings | changed))


def _cells(values, *, noise=0.0, seeds=4, patients=15, generator=None):
    """Dice of arms with these means: patients are alike in all arms, noise is not."""
    generator = generator or np.random.default_rng(0)
    shared = 0.1 * generator.normal(size=(seeds, patients))
    return (
        np.asarray(values)[..., None, None]
        + shared
        + noise * generator.normal(size=(*np.shape(values), seeds, patients))
    )


@pytest.mark.parametrize(
    ('dice', 'count'), [(0.65, 20 * 2**0.5), (0.7, 40), (0.55, 10 * 2**0.5), (0.5, 10), (0.8, 80)]
)
def test_worth_without_noise(dice, count):
    *curve, augmented = _cells([*GAINS, dice])
    found = _worth(np.array(curve), augmented)
    assert found.equivalent_count == pytest.approx(count)
    assert found.real_images == pytest.approx((count - 20) / 40)
    if dice in (0.65, 0.55, 0.7):
        assert found.interval == pytest.approx((found.real_images,) * 2, abs=1e-3)


def test_points_that_fall_are_pooled():
    """0.62 and 0.58 count as 0.6 each, at 20 and at 40; what lies above is between 40 and 80."""
    *curve, augmented = _cells([0.5, 0.62, 0.58, 0.8, 0.7])
    assert _worth(np.array(curve), augmented).equivalent_count == pytest.approx(40 * 2**0.5)
    *curve, augmented = _cells([0.5, 0.62, 0.58, 0.8, 0.55])
    found = _worth(np.array(curve), augmented)
    assert found.equivalent_count == pytest.approx(10 * 2**0.5)
    assert found.interval == pytest.approx((found.real_images,) * 2, abs=1e-3)  # at its place on the pooled curve


@pytest.mark.parametrize(
    ('values', 'points', 'reason'),
    [
        ([0.5, 0.6, 0.55], 2, '3 numbers of real images or more, not 2'),
        ([*GAINS, 0.85], 4, '0.8500 lies outside the learning curve, which goes from 0.5000 to 0.8000'),
        ([*GAINS, 0.45], 4, 'outside the learning curve'),
        ([0.6, 0.6, 0.6, 0.6, 0.6], 4, 'do not raise the Dice'),
        ([0.8, 0.7, 0.6, 0.5, 0.65], 4, 'do not raise the Dice'),
    ],
)
def test_worth_that_cannot_be_told_has_a_reason(values, points, reason):
    cells = _cells(values)
    cells += np.array(values)[:, None, None] - cells.mean(axis=(1, 2), keepdims=True)
    found = _worth(cells[:-1], cells[-1], COUNTS[:points])
    assert (found.real_images, found.interval) == (None, None)
    assert reason in found.reason


def test_worth_with_one_seed_has_no_interval():
    *curve, augmented = _cells([*GAINS, 0.65], seeds=1)
    found = _worth(np.array(curve), augmented)
    assert (found.real_images, found.interval) == (pytest.approx((20 * 2**0.5 - 20) / 40), None)
    assert 'two seeds' in found.reason


def test_an_interval_that_leaves_the_curve_says_so():
    *curve, augmented = _cells([*GAINS, 0.79], noise=0.1)
    found = _worth(np.array(curve), augmented)
    assert found.interval[0] < found.real_images
    assert found.interval[1] is None
    assert 'beyond the learning curve' in found.reason


def test_missing_cells_are_missing_from_all_arms():
    """Means stay those of patients whom all arms have; a cell that one arm lacks does not shift the others."""
    cells = _cells([*GAINS, 0.65])
    cells[1, 0, 3] = cells[-1, 2, 5] = np.nan
    cells[:, :, 7] = np.nan
    assert _worth(cells[:-1], cells[-1]).equivalent_count == pytest.approx(20 * 2**0.5)
    cells[0] = np.nan
    assert 'in common' in _worth(cells[:-1], cells[-1]).reason


def test_intervals_of_the_worth_hold_it():
    generator, held, count = np.random.default_rng(2), 0, 20 * 2**0.5
    for _ in range(60):
        *curve, augmented = _cells([*GAINS, 0.65], noise=0.1, generator=generator)
        low, high = _worth(np.array(curve), augmented, resamples=400).interval
        held += (-np.inf if low is None else low) <= (count - 20) / 40 <= (np.inf if high is None else high)
    assert 0.8 <= held / 60 <= 0.99  # at 90%


@pytest.mark.parametrize(
    ('counts', 'changed', 'message'),
    [
        ([10, 20, 20, 40], {}, 'rise'),
        ([0, 20, 30, 40], {}, 'positive'),
        (COUNTS, {'synthetic_count': 0}, 'positive'),
    ],
)
def test_numbers_that_make_no_curve_are_refused(counts, changed, message):
    *curve, augmented = _cells([*GAINS, 0.65])
    with pytest.raises(ValueError, match=message):
        _worth(np.array(curve), augmented, np.array(counts), **changed)


def test_a_curve_of_other_arms_is_refused():
    """By the check of shapes under test, by a ValueError otherwise; never broadcast."""
    *curve, augmented = _cells([*GAINS, 0.65])
    with pytest.raises(Exception, match=r'do not fit|points'):
        _worth(np.array(curve), augmented, COUNTS[:3])
    with pytest.raises(Exception, match=r'do not fit|patients'):
        _worth(np.array(curve), augmented[:, :1])
