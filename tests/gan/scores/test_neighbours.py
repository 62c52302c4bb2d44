"""Precision, recall, density and coverage against all distances at once and against `prdc`."""

import numpy as np
import pytest
import scipy.spatial.distance

from foundation.statistics.jackknife import Missing
from gan.scores.distances import nearest, nearest_other
from gan.scores.neighbours import SCORES, coverage, precision_recall_density_coverage
from tests.gan.scores.recomputing import assert_exact_replicates, sample


def _all_distances(generated, reference):
    """The definitions, written down."""
    between = scipy.spatial.distance.cdist(generated.values, reference.values)
    real, made = (np.sort(scipy.spatial.distance.cdist(x.values, x.values)) for x in (reference, generated))
    closed, wide = between <= real[:, 3], between < real[:, 5]
    return {
        'precision': closed.any(1).mean(),
        'recall': (between <= made[:, 3][:, None]).any(0).mean(),
        'density': wide.sum() / (5 * len(between)),
        'coverage': wide.any(0).mean(),
    }


@pytest.fixture
def sets():
    generator = np.random.default_rng(0)
    generated = sample(0.7 * generator.normal(size=(80, 3)).astype(np.float32) + 100.5, 1)
    return generated, sample(generator.normal(size=(110, 3)).astype(np.float32) + 100, 2)


@pytest.mark.parametrize('tile', [(9, 13), (1024, 4096)])
def test_scores_are_their_definitions_whatever_the_tiles(sets, tile, monkeypatch):
    monkeypatch.setattr('gan.scores.distances.ROWS', tile[0])
    monkeypatch.setattr('gan.scores.distances.COLUMNS', tile[1])
    scores = precision_recall_density_coverage(*sets)
    expected = _all_distances(*sets)
    for name in SCORES:
        assert 0.3 < expected[name] < 1.5
        assert scores[name].value == pytest.approx(expected[name], rel=1e-9)
        assert_exact_replicates(scores[name], lambda g, r, name=name: _all_distances(g, r)[name], *sets)


def test_scores_are_those_of_prdc(sets):
    prdc = pytest.importorskip('prdc')
    scores = precision_recall_density_coverage(*sets)
    for neighbours, names in ((3, SCORES[:2]), (5, SCORES[2:])):
        expected = prdc.compute_prdc(sets[1].values, sets[0].values, neighbours)
        assert {name: scores[name].value for name in names} == pytest.approx({n: expected[n] for n in names})


@pytest.mark.parametrize('offset', [0, 1000])
def test_a_set_lies_in_itself(offset):
    reference = sample(np.random.default_rng(0).normal(size=(70, 5)) + offset)
    scores = precision_recall_density_coverage(reference, reference)
    for name in ('precision', 'recall', 'coverage'):
        np.testing.assert_array_equal([scores[name].value, *scores[name].replicates], 1.0)


def test_equal_vectors_lie_in_closed_balls_only():
    one = sample(np.full((40, 3), 0.1))
    scores = precision_recall_density_coverage(one, one)
    assert [scores[name].value for name in SCORES] == [1, 1, 0, 0]


def test_ties_on_a_grid():
    """Balls around a grid reach to its points exactly: closed ones hold them, open ones do not."""
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0)), -1).reshape(-1, 2) / 3
    reference = sample(np.concatenate([grid] * 2), 1)
    generated = sample(grid[::2] + np.array([1 / 3, 0]), 2)
    scores = precision_recall_density_coverage(generated, reference)
    halves = np.concatenate([grid] * 2) * 3, np.rint(generated.values * 3)  # whole numbers have no rounding
    expected = _all_distances(sample(halves[1]), sample(halves[0]))
    assert {name: scores[name].value for name in SCORES} == pytest.approx(expected)


def test_sets_far_apart_share_nothing():
    values = np.random.default_rng(0).normal(size=(60, 3))
    scores = precision_recall_density_coverage(sample(values), sample(values + 50))
    assert [scores[name].value for name in SCORES] == [0, 0, 0, 0]


def test_too_few_vectors_have_a_reason(sets):
    scores = precision_recall_density_coverage(sample(sets[0].values[:5]), sets[1])
    assert all(isinstance(score, Missing) and 'at least 6 generated' in score.reason for score in scores.values())


def test_coverage_counts_real_vectors_with_a_generated_one_strictly_within():
    real = np.arange(8.0)[:, None]
    # The second neighbour of an inner point is at 1, of the two ends at 2.
    assert coverage(real, real + 0.5, neighbours=2) == 1.0
    assert coverage(real, np.array([[0.0]]), neighbours=2) == pytest.approx(1 / 8)
    assert coverage(real, np.array([[2.5]]), neighbours=2) == pytest.approx(2 / 8)
    assert coverage(real, np.array([[-2.0]]), neighbours=2) == 0.0  # exactly at the end's radius: not within
    assert np.isnan(coverage(real, np.array([[np.nan]]), neighbours=2))
    with pytest.raises(ValueError, match='2 real vectors have no neighbour number 5'):
        coverage(real[:2], real, neighbours=5)


@pytest.mark.parametrize('tile', [(9, 13), (1024, 4096)])
def test_nearest_is_exact(tile, monkeypatch):
    monkeypatch.setattr('gan.scores.distances.ROWS', tile[0])
    monkeypatch.setattr('gan.scores.distances.COLUMNS', tile[1])
    generator = np.random.default_rng(0)
    others = generator.normal(size=(50, 4)) + 1000
    queries = np.concatenate([generator.normal(size=(30, 4)) + 1000, others[:5], others[5:9] + 1e-6])
    between = scipy.spatial.distance.cdist(queries, others)
    distances, indices = nearest(queries, others)
    np.testing.assert_array_equal(indices, between.argmin(1))
    np.testing.assert_allclose(distances, between.min(1), rtol=1e-12, atol=0)
    among = scipy.spatial.distance.cdist(others, others)
    np.fill_diagonal(among, np.inf)
    distances, indices = nearest_other(others, np.array([3, 40, 7]))
    np.testing.assert_array_equal(indices, among.argmin(1)[[3, 40, 7]])
    np.testing.assert_allclose(distances, among.min(1)[[3, 40, 7]], rtol=1e-12)
    with pytest.raises(ValueError, match='no neighbour'):
        nearest_other(others[:1], np.array([0]))
    with pytest.raises(ValueError, match='nothing to be near'):
        nearest(queries, others[:0])
