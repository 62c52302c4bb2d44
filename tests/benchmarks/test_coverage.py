"""The table of coverage is of what was simulated."""

import numpy as np
import pytest

from benchmarks import coverage


@pytest.mark.parametrize('simulate', [coverage.simulate_auroc, coverage.simulate_share])
def test_intervals_in_use_hold_the_truth_more_often_than_percentiles(simulate):
    ((patients, truth, held, width, percentiles),) = coverage.measure_coverage(simulate, [0.95], [10], 3, 120)
    assert (patients, truth) == (10, 0.95)
    assert held >= percentiles
    assert held > 0.92
    assert 0.02 < width < 0.6


def test_studies_without_an_effect_seldom_claim_one():
    ((seeds, spread, held, width, claimed),) = coverage.measure_studies([3], [0.08], 20, 4, 60)
    assert (seeds, spread) == (3, 0.08)
    assert held > 0.9
    assert 0.2 < width < 0.8
    assert claimed < 0.1  # 5% are promised, and 12% were seen with Satterthwaite's degrees of freedom alone


def test_areas_are_those_that_were_asked_for():
    generator = np.random.default_rng(0)
    ours, percentiles = coverage.simulate_auroc(generator, 400, 2, 0.9)
    for low, high in (ours, percentiles):
        assert low < 0.9 < high
        assert high - low < 0.06
