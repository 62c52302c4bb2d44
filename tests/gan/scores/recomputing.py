"""What replicates must equal: the score of the images that are left without a group."""

import numpy as np
import pytest

from foundation.statistics.jackknife import Estimate, FeatureSample

GROUPS = 5


def sample(values, seed=0, group_count=GROUPS):
    """Values in random groups of different sizes."""
    shares = np.arange(1, group_count + 1) / (group_count * (group_count + 1) / 2)
    groups = np.random.default_rng(seed).choice(group_count, size=len(values), p=shares)
    return FeatureSample(np.asarray(values), groups, group_count)


def assert_exact_replicates(score, compute, *samples, rel=1e-9, abs_=1e-9):
    """Each replicate of `score` is what `compute` makes of the samples without the group."""
    assert isinstance(score, Estimate), score
    for group in range(samples[0].group_count):
        expected = compute(*(each.without(group) for each in samples))
        value = expected.value if isinstance(expected, Estimate) else expected
        assert score.replicates[group] == pytest.approx(value, rel=rel, abs=abs_)
