"""Kernel distance against all pairs at once, and against scikit-learn's kernel."""

import numpy as np
import pytest

from foundation.statistics.jackknife import Missing
from gan.scores.kernel import kernel_score, kernel_score_of_subsets
from tests.gan.scores.recomputing import assert_exact_replicates, sample


def _all_pairs(generated, reference):
    def kernel(x, y):
        return (x.values @ y.values.T / x.values.shape[1] + 1) ** 3

    def within(x):
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return within(generated) + within(reference) - 2 * kernel(generated, reference).mean()


@pytest.fixture
def sets():
    generator = np.random.default_rng(0)
    return sample(generator.normal(size=(70, 6)) + 0.3, 1), sample(2 * generator.normal(size=(90, 6)), 2)


@pytest.mark.parametrize('tile', [7, 2048])
def test_all_pairs_count_once_whatever_the_tiles(sets, tile, monkeypatch):
    monkeypatch.setattr('gan.scores.kernel._TILE', tile)
    score = kernel_score(*sets)
    assert score.value == pytest.approx(_all_pairs(*sets), rel=1e-9)
    assert score.counts == {'generated': 70, 'reference': 90}
    assert_exact_replicates(score, _all_pairs, *sets)


def test_two_points_have_their_closed_form():
    first, second = np.array([1.0, 2.0]), np.array([-1.0, 0.5])
    score = kernel_score(sample(np.tile(first, (20, 1))), sample(np.tile(second, (30, 1))))
    expected = (2.5 + 1) ** 3 + (0.625 + 1) ** 3 - 2 * (0 + 1) ** 3
    np.testing.assert_allclose([score.value, *score.replicates], expected, rtol=1e-12)


def test_draws_of_one_distribution_have_a_distance_around_zero():
    generator = np.random.default_rng(0)
    values = [
        kernel_score(sample(generator.normal(size=(40, 3))), sample(generator.normal(size=(60, 3)))).value
        for _ in range(100)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10
    assert min(values) < 0


def test_subsets_of_all_images_are_all_pairs(sets):
    first, second = sets[0].values, sets[1].values[:70]
    spread = kernel_score_of_subsets(first, second, seed=0)
    expected = _all_pairs(sample(first), sample(second))
    assert spread == pytest.approx((expected, 0, 100), rel=1e-9, abs=1e-9)
    larger = kernel_score_of_subsets(first, sets[1].values, seed=0)
    assert larger.mean == pytest.approx(_all_pairs(*sets), abs=3 * larger.deviation / 10)
    assert larger.deviation > 0


def test_kernel_is_that_of_scikit_learn(sets):
    pairwise = pytest.importorskip('sklearn.metrics.pairwise')
    first, second = (each.values for each in sets)
    blocks = [pairwise.polynomial_kernel(x, y) for x, y in ((first, first), (second, second), (first, second))]
    means = [block[~np.eye(len(block), dtype=bool)].mean() for block in blocks[:2]]
    assert kernel_score(*sets).value == pytest.approx(sum(means) - 2 * blocks[2].mean(), rel=1e-9)


def test_bad_vectors_have_a_reason(sets):
    values = sets[0].values.copy()
    values[0, 0] = np.inf
    assert kernel_score(sample(values), sets[1]) == Missing('1 of 70 generated images are not finite.')
    assert isinstance(kernel_score_of_subsets(values, sets[1].values, 0), Missing)
    assert isinstance(kernel_score_of_subsets(sets[0].values[:1], sets[1].values, 0), Missing)
    assert isinstance(kernel_score(sample(sets[0].values[:2]), sets[1]), Missing)
