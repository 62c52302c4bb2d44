"""Bootstrap intervals against closed forms, how often they hold the truth, and how often they cry wolf."""

import numpy as np
import pytest
import scipy.stats

from foundation.statistics import resampling
from foundation.statistics.differences import fill_cells, hierarchical_bootstrap
from foundation.statistics.resampling import Distribution, bootstrap_mean, calibrate, draw_counts

RESAMPLES = 2000
REPEATS = 300


def _table(generator, seeds, patients, deviations, mean=0.0):
    """Differences with random effects of seeds, of patients, and of both together."""
    return (
        mean
        + deviations[0] * generator.normal(size=(seeds, 1))
        + deviations[1] * generator.normal(size=(1, patients))
        + deviations[2] * generator.normal(size=(seeds, patients))
    )


def _bootstrap(differences):
    return hierarchical_bootstrap(differences, resamples=RESAMPLES, seed=0)


def test_counts_are_draws_with_replacement():
    blocks = list(draw_counts(np.random.default_rng(0), 3000, 4, 2000))
    assert len(blocks) > 1  # memory is bounded
    few, many = (np.concatenate(counts) for counts in zip(*blocks, strict=True))
    assert (few.shape, many.shape) == ((3000, 4), (3000, 2000))
    assert (few.sum(axis=1) == 4).all()
    assert (many.sum(axis=1) == 2000).all()
    assert few.mean(axis=0) == pytest.approx([1] * 4, abs=0.08)
    assert few.var(axis=0) == pytest.approx([0.75] * 4, abs=0.08)  # binomial: 4 draws of 1 in 4
    assert abs(np.corrcoef(few[:, 0], many[:, 0])[0, 1]) < 0.08


def test_a_calibrated_normal_is_students_t():
    replicates = np.random.default_rng(0).normal(3, 7, size=40_000)
    distribution = calibrate(replicates, 3.0, 0.5, 4)
    for level in (0.5, 0.9, 0.95, 0.99):
        expected = scipy.stats.t.interval(level, 4, 3, 0.5)
        assert distribution.interval(level) == pytest.approx(expected, abs=0.1)
    assert distribution.p_value == pytest.approx(2 * scipy.stats.t.sf(6, 4), rel=0.2)


def test_calibrated_replicates_have_the_standard_error_as_their_spread():
    """The spread of the replicates themselves, with ddof 0: two of them lie at its distance on either side."""
    np.testing.assert_allclose(calibrate(np.array([1.0, 3.0]), 2.0, 0.5, 1e9).replicates, [1.5, 2.5], rtol=1e-6)


def test_calibration_keeps_the_skew():
    replicates = np.random.default_rng(0).exponential(size=20_000)
    low, high = calibrate(replicates, 1.0, 1.0, 1000).interval(0.95)
    assert (low, high) == pytest.approx((scipy.stats.expon.ppf(0.025), scipy.stats.expon.ppf(0.975)), abs=0.1)


@pytest.mark.parametrize('shift', [-2.5, -1.0, 0.0, 0.7, 2.2])
def test_p_values_agree_with_intervals(shift):
    distribution = Distribution(np.sort(np.random.default_rng(0).normal(shift, 1, size=1000)))
    for tail in range(2, 400):  # levels at which intervals change
        alpha = tail / 1000
        low, high = distribution.interval(1 - alpha)
        assert (low > 0 or high < 0) == (distribution.p_value < alpha - 1e-12)


@pytest.mark.parametrize('level', [0.0, 0.999, 1.0])
def test_levels_that_are_not_resolved_are_refused(level):
    with pytest.raises(ValueError, match='1000 resamples give no interval'):
        Distribution(np.arange(1000.0)).interval(level)


def test_the_interval_of_a_mean_is_nearly_students():
    values = np.random.default_rng(0).normal(size=(60, 1))
    mean = bootstrap_mean(values, resamples=40_000, seed=0)
    assert mean.value == pytest.approx(values.mean())
    expected = scipy.stats.t.interval(0.95, 59, values.mean(), scipy.stats.sem(values[:, 0]))
    assert mean.distribution.interval(0.95) == pytest.approx(expected, abs=0.02)
    assert mean.distribution.replicates.std() == pytest.approx(scipy.stats.sem(values[:, 0]), rel=0.05)


def test_patients_are_drawn_with_all_their_classes():
    """Two classes that are alike have the interval of one; two that cancel have none."""
    values = np.random.default_rng(0).normal(size=(40, 1))
    one = bootstrap_mean(values, resamples=RESAMPLES, seed=0).distribution.interval(0.95)
    both = bootstrap_mean(np.hstack([values, values]), resamples=RESAMPLES, seed=0)
    assert both.distribution.interval(0.95) == pytest.approx(one)
    opposite = bootstrap_mean(np.hstack([values, 1 - values]), resamples=RESAMPLES, seed=0)
    assert opposite.distribution.interval(0.95) == pytest.approx((0.5, 0.5))


def test_a_rare_class_counts_like_the_others():
    values = np.array([[1.0, np.nan], [0.0, 0.9], [0.5, 0.7], [0.5, np.nan], [np.nan, np.nan]])
    mean = bootstrap_mean(values, resamples=RESAMPLES, seed=0)
    assert (mean.value, mean.patients, mean.reason) == (pytest.approx((0.5 + 0.8) / 2), 4, None)
    rare = bootstrap_mean(np.array([[1.0, 0.2], [0.0, np.nan]]), resamples=RESAMPLES, seed=0)
    assert (rare.value, rare.distribution) == (pytest.approx(0.35), None)
    assert 'of each class' in rare.reason
    many = np.full((400, 30), np.nan)
    many[:, 0] = 0
    many[range(60), [*range(30)] * 2] = 1  # two patients of each class: hardly a draw holds all classes
    assert 'rare classes' in bootstrap_mean(many, resamples=RESAMPLES, seed=0).reason


@pytest.mark.parametrize(('patients', 'bounds'), [(10, (0.9, 0.98)), (50, (0.91, 0.98))])
def test_intervals_of_a_mean_dice_hold_it(patients, bounds):
    generator = np.random.default_rng(1)
    held = 0
    for repeat in range(REPEATS):
        mean = bootstrap_mean(generator.beta(8, 2, size=(patients, 1)), resamples=1000, seed=repeat)
        low, high = mean.distribution.interval(0.95)
        held += low <= 0.8 <= high
    assert bounds[0] <= held / REPEATS <= bounds[1]


def _analyse(table):
    """Standard error and degrees of freedom from sums over a dummy-coded regression, missing cells left out."""
    seeds, patients = table.shape
    rows, columns = np.nonzero(np.isfinite(table))
    design = np.concatenate([np.eye(seeds)[rows], np.eye(patients)[columns]], axis=1)
    effects, _, rank, _ = np.linalg.lstsq(design, table[rows, columns], rcond=None)
    rest = np.square(table[rows, columns] - design @ effects).sum() / (len(rows) - rank)
    filled = np.where(np.isfinite(table), table, effects[:seeds, None] + effects[seeds:])
    by_seed, by_patient = (filled.mean(axis=axis).var(ddof=1) / len(filled.mean(axis=axis)) for axis in (1, 0))
    variance = by_seed + by_patient - rest / table.size
    parts = by_seed**2 / (seeds - 1), by_patient**2 / (patients - 1), (rest / table.size) ** 2 / (len(rows) - rank)
    return np.sqrt(variance), variance**2 / sum(parts)


@pytest.mark.parametrize('missing', [0.0, 0.4])
def test_the_distribution_has_the_spread_of_an_analysis_of_variance(missing):
    """Means over many draws are nearly normal, so that calibrated ones are nearly Student's t."""
    generator = np.random.default_rng(3)
    table = _table(generator, 12, 40, (0.6, 1.0, 3.0))
    table[generator.random(table.shape) < missing] = np.nan
    error, freedom = _analyse(table)
    freedom = min(freedom, 11)  # of twelve seeds
    distribution = hierarchical_bootstrap(table, resamples=20_000, seed=0).distribution
    expected = error * scipy.stats.t.std(freedom)
    assert distribution.replicates.std() == pytest.approx(expected, rel=0.02)


def test_the_standard_error_is_that_of_crossed_effects():
    """Over many tables, the spread of the estimate is what each table's distribution says."""
    generator, deviations = np.random.default_rng(0), (0.6, 1.0, 3.0)
    tables = [_bootstrap(_table(generator, 12, 30, deviations)) for _ in range(100)]
    theory = np.sqrt(0.6**2 / 12 + 1.0**2 / 30 + 3.0**2 / 360)
    assert np.std([table.estimate for table in tables]) == pytest.approx(theory, rel=0.25)
    reach = np.mean([np.diff(table.distribution.interval(0.6827)) / 2 for table in tables])
    assert reach == pytest.approx(theory, rel=0.07)


@pytest.mark.parametrize('skewed', [0, 1])
def test_intervals_lean_to_where_few_seeds_or_patients_are_far_off(skewed):
    effects = [np.linspace(-0.1, 0.1, 20), np.linspace(-0.1, 0.1, 30)]
    effects[skewed][-2:] = 3
    found = _bootstrap(effects[0][:, None] + effects[1])
    low, high = found.distribution.interval(0.95)
    assert high - found.estimate > 1.2 * (found.estimate - low)


@pytest.mark.parametrize(
    ('seeds', 'patients', 'deviations', 'upper'),
    [
        (5, 40, (0.3, 1.0, 1.0), 1.0),
        (5, 40, (1.0, 0.3, 0.5), 0.985),  # here plain percentiles hold it 86 times of 100
        (3, 40, (1.0, 0.3, 0.5), 0.99),  # 76 times
        (5, 40, (0.0, 0.0, 1.0), 1.0),  # all noise: no interval that allows for seeds is exact
        (10, 10, (0.2, 1.0, 1.0), 0.99),
    ],
)
def test_intervals_hold_the_difference(seeds, patients, deviations, upper):
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(REPEATS):
        low, high = _bootstrap(_table(generator, seeds, patients, deviations, 0.7)).distribution.interval(0.95)
        held += low <= 0.7 <= high
    assert 0.915 <= held / REPEATS <= upper


def test_intervals_hold_the_difference_with_missing_cells():
    """Of which more are missing where the difference is large, by seed and by patient."""
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(REPEATS):
        seeds, patients = generator.normal(size=(5, 1)) * 0.5, generator.normal(size=(1, 30))
        cells = seeds + patients + generator.normal(size=(5, 30)) * 0.5
        cells[generator.random(cells.shape) < 0.15 + 0.1 * (seeds + patients > 0.5)] = np.nan
        low, high = _bootstrap(cells).distribution.interval(0.95)
        held += low <= 0 <= high
    assert 0.915 <= held / REPEATS <= 0.985


def test_no_difference_is_found_at_the_nominal_rate_and_a_planted_one_is():
    generator, deviations = np.random.default_rng(5), (0.005, 0.03, 0.03)
    null = [_bootstrap(_table(generator, 5, 40, (0.03, 0.03, 0.03))).distribution.p_value for _ in range(REPEATS)]
    assert 0.015 <= np.mean(np.array(null) < 0.05) <= 0.085
    assert 0.3 <= np.mean(np.array(null) < 0.5) <= 0.6
    # Where seeds hardly differ, five of them could not have told, and less is claimed.
    alike = [_bootstrap(_table(generator, 5, 40, deviations)).distribution.p_value for _ in range(REPEATS)]
    assert np.mean(np.array(alike) < 0.05) <= 0.03
    planted = [_bootstrap(_table(generator, 5, 40, deviations, 0.03)) for _ in range(30)]
    assert np.mean([table.distribution.p_value < 0.05 and table.estimate > 0 for table in planted]) > 0.9


def test_the_same_seed_gives_the_same_interval():
    table = _table(np.random.default_rng(0), 5, 12, (1, 1, 1))
    first, second = _bootstrap(table), _bootstrap(table)
    np.testing.assert_array_equal(first.distribution.replicates, second.distribution.replicates)
    other = hierarchical_bootstrap(table, resamples=RESAMPLES, seed=1)
    assert (other.distribution.replicates != first.distribution.replicates).any()
    opposite = _bootstrap(-table)
    assert opposite.estimate == -first.estimate
    assert opposite.distribution.p_value == pytest.approx(first.distribution.p_value, abs=0.02)


def test_additive_cells_are_filled_exactly():
    table = np.array([[0.0], [1.0], [5.0]]) + np.array([[0.0, 2.0, 3.0, 7.0]])
    holes = table.copy()
    holes[[0, 1, 2, 0], [0, 1, 2, 3]] = np.nan
    np.testing.assert_allclose(fill_cells(holes, np.isfinite(holes)), table, atol=1e-12)
    assert _bootstrap(holes).estimate == pytest.approx(table.mean())
    assert np.nanmean(holes) != pytest.approx(table.mean(), abs=0.1)
    counted = _bootstrap(holes)
    assert (counted.seeds, counted.patients, counted.missing_cells) == (3, 4, 4)


def test_a_filled_cell_is_the_least_squares_fit():
    generator = np.random.default_rng(0)
    table = generator.normal(size=(4, 6))
    known = generator.random((4, 6)) < 0.7
    design = np.array([np.concatenate([np.eye(4)[i], np.eye(6)[j]]) for i in range(4) for j in range(6)])
    effects = np.linalg.lstsq(design[known.ravel()], table[known], rcond=None)[0]
    expected = np.where(known, table, (design @ effects).reshape(4, 6))
    np.testing.assert_allclose(fill_cells(np.where(known, table, np.nan), known), expected, atol=1e-9)


def test_what_nobody_has_is_left_out():
    table = _table(np.random.default_rng(0), 4, 8, (1, 1, 1))
    wider = np.full((5, 10), np.nan)
    wider[1:, 2:] = table
    found, expected = _bootstrap(wider), _bootstrap(table)
    assert (found.estimate, found.seeds, found.patients) == (expected.estimate, 4, 8)
    np.testing.assert_array_equal(found.distribution.replicates, expected.distribution.replicates)


NAN = np.nan


@pytest.mark.parametrize(
    ('cells', 'estimate', 'reason'),
    [
        ([[NAN, NAN]], None, 'no patient has a value'),
        ([[0.2, 0.4, 0.6]], 0.4, 'two seeds'),
        ([[0.2], [0.4]], 0.3, 'two patients'),
        ([[0.2, NAN], [NAN, 0.4]], 0.3, 'in common'),
        ([[0.2, 0.4], [0.4, NAN]], 0.4, 'two patients'),  # additive: the last cell is 0.6
    ],
)
def test_what_cannot_be_told_has_a_reason(cells, estimate, reason):
    found = _bootstrap(np.array(cells))
    assert found.estimate == (None if estimate is None else pytest.approx(estimate))
    assert found.distribution is None
    assert reason in found.reason


def test_equal_arms_differ_by_nothing():
    found = _bootstrap(np.zeros((5, 8))).distribution
    assert (found.interval(0.95), found.p_value) == ((0.0, 0.0), 1.0)


@pytest.mark.parametrize('compute', [_bootstrap, lambda cells: bootstrap_mean(cells, resamples=10, seed=0)])
def test_infinite_values_are_refused(compute):
    with pytest.raises(ValueError, match='finite'):
        compute(np.array([[1.0, np.inf], [0.0, 1.0]]))


def test_the_standard_error_of_one_class_is_that_of_a_mean():
    values = np.array([[0.1], [0.7], [0.4], [0.9]])
    error, freedom = resampling._standard_error(values - values.mean(), np.array([4]))
    assert error == pytest.approx(scipy.stats.sem(values[:, 0]), rel=1e-12)
    assert freedom == pytest.approx(3)
