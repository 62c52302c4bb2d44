"""Jackknife intervals against closed forms, and how often they hold the truth."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from foundation.statistics.jackknife import (
    ANY,
    SHARE,
    Estimate,
    FeatureSample,
    Missing,
    create_estimate,
    deal_groups,
    difference,
    find_faults,
    leave_out,
)
from gan.scores.classification import inception_score
from gan.scores.gaussian import collect_moments, frechet_score

REPEATS = 200


def _mean(values, group_count):
    groups = np.arange(len(values)) % group_count
    sums = np.bincount(groups, values)
    return create_estimate(leave_out(sums) / leave_out(np.bincount(groups)), ANY, images=len(values))


def test_the_interval_of_a_mean_is_students():
    """With a group an image, the jackknife of a mean is the textbook interval."""
    values = np.random.default_rng(0).normal(size=30)
    estimate = _mean(values, 30)
    assert estimate.value == pytest.approx(values.mean(), rel=1e-12)
    assert estimate.standard_error == pytest.approx(scipy.stats.sem(values), rel=1e-9)
    for level in (0.9, 0.95):
        expected = scipy.stats.t.interval(level, 29, values.mean(), scipy.stats.sem(values))
        assert estimate.interval(level) == pytest.approx(expected, rel=1e-9)
    assert estimate.counts == {'images': 30}


def test_an_interval_ends_where_the_score_does():
    values = np.array([0.95, 0.9, 1.0, 0.9, 1.0])
    free, share = (create_estimate(values, bounds, images=4) for bounds in (ANY, SHARE))
    low, high = free.interval()
    assert high > 1
    assert share.interval() == (low, 1.0)
    assert create_estimate(1 - values, SHARE, images=4).interval() == (0.0, pytest.approx(1 - low))
    gap = difference(share, create_estimate(values[::-1], SHARE, images=4))
    assert gap.interval()[0] < -0.05  # a difference of shares may be negative


def test_left_out_sums_keep_what_is_small():
    sums = leave_out(np.array([1e20, 1.0, 2.0]))
    np.testing.assert_array_equal(sums[1:], [3.0, 1e20, 1e20])


def test_a_difference_is_paired_by_group():
    values = np.random.default_rng(0).normal(size=60)
    first, second = _mean(values + 0.5, 20), _mean(values, 20)
    gap = difference(first, second)
    assert gap.value == pytest.approx(0.5, rel=1e-9)
    assert gap.interval() == pytest.approx((0.5, 0.5), rel=1e-6)  # all that varies is common to both
    assert gap.counts == {'first images': 60, 'second images': 60}
    missing = Missing('is not there.')
    assert difference(first, missing) == missing
    assert difference(missing, first) == missing
    with pytest.raises(ValueError, match='20 and 10 groups'):
        difference(first, _mean(values, 10))


def test_samples_have_groups_that_fit():
    values = np.zeros((4, 2))
    with pytest.raises(ValueError, match='4 images have 3 groups'):
        FeatureSample(values, np.array([0, 1, 2]), 3)
    with pytest.raises(ValueError, match='Groups are 0 to 3, not 0 to 2'):
        FeatureSample(values, np.arange(4), 3)
    with pytest.raises(ValueError, match='Groups are -1 to 2, not 0 to 3'):
        FeatureSample(values, np.arange(4) - 1, 4)
    with pytest.raises(ValueError, match='two groups or more, not 1'):
        FeatureSample(values, np.zeros(4, int), 1)
    with pytest.raises(ValueError, match='same number of groups'):
        find_faults(1, a=FeatureSample(values, np.arange(4), 4), b=FeatureSample(values, np.arange(4), 5))


def test_a_patient_is_in_one_group_and_groups_have_as_many_patients():
    owners = np.random.default_rng(0).permutation(np.repeat([7, 3, 9, 4, 1], [5, 1, 2, 8, 3]))
    groups = deal_groups(owners, 2)
    of_patients = [set(groups[owners == owner].tolist()) for owner in np.unique(owners)]
    assert all(len(found) == 1 for found in of_patients)
    assert sorted(np.bincount([found.pop() for found in of_patients])) == [2, 3]


def test_images_of_one_group_make_no_score():
    one = FeatureSample(np.zeros((7, 2)), np.full(7, 2), 4)
    assert find_faults(1, reference=one) == Missing(
        'needs at least 1 reference images without the largest group; there are 0, and 7 with it.'
    )
    nothing = FeatureSample(np.zeros((0, 2)), np.zeros(0, int), 4)
    enough = FeatureSample(np.zeros((5, 2)), np.array([0, 0, 0, 1, 2]), 3)
    assert find_faults(2, reference=enough) is None
    assert isinstance(find_faults(3, reference=enough), Missing)
    assert isinstance(find_faults(1, reference=nothing), Missing)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_not_finite_is_no_estimate(value):
    assert isinstance(create_estimate(np.array([1.0, value, 1.0]), ANY, images=3), Missing)


def _share_that_holds(truth, draw):
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(REPEATS):
        estimate = draw(generator)
        assert isinstance(estimate, Estimate)
        low, high = estimate.interval()
        held += low <= truth <= high
    return held / REPEATS


# Of 200 intervals at 95%, this many hold the truth with a probability of 0.998.
BOUNDS = 0.9, 0.99


def test_intervals_of_the_inception_score_hold_it():
    weights = np.array([0.3, 0.5, 1.0])
    groups = np.arange(200) % 20
    shares = weights / weights.sum()
    information = shares @ (scipy.special.psi(weights + 1) - scipy.special.psi(weights.sum() + 1))
    truth = np.exp(information - shares @ np.log(shares))
    share = _share_that_holds(
        truth, lambda g: inception_score(FeatureSample(g.dirichlet(weights, 200), groups, 20))
    )
    assert BOUNDS[0] <= share <= BOUNDS[1]


def test_intervals_of_the_frechet_distance_hold_it():
    """Where patients differ as much as their images do, so that images of one patient are alike."""
    scales, shift = np.array([1.0, 2.0, 0.5]), np.array([1.0, -2.0, 2.0])
    truth = np.square(shift).sum() + np.square(1 - scales).sum()
    patients = np.arange(400) // 2

    def draw(generator):
        generated = generator.normal(size=(400, 3)) * scales + shift
        reference = generator.normal(size=(200, 3))[patients] + generator.normal(size=(400, 3))
        moments = (collect_moments(x, patients % 10, 10) for x in (generated, reference / np.sqrt(2)))
        return frechet_score(*moments)

    share = _share_that_holds(truth, draw)
    assert BOUNDS[0] <= share <= BOUNDS[1]
