"""AuthPct and C_T against their definitions, on copies and on independent draws."""

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats

from foundation.statistics.jackknife import Missing
from gan.scores.memorisation import authentic_percentage, copying_score, find_cells
from tests.gan.scores.recomputing import assert_exact_replicates, sample


@pytest.fixture
def training():
    return np.random.default_rng(0).normal(size=(120, 3))


def _draw(count, seed, scale=1.0):
    return sample(scale * np.random.default_rng(seed).normal(size=(count, 3)), seed)


def test_authentic_vectors_are_farther_than_the_next_training_vector(training):
    def by_definition(generated):
        between = scipy.spatial.distance.cdist(generated.values, training)
        among = scipy.spatial.distance.cdist(training, training)
        np.fill_diagonal(among, np.inf)
        return 100 * (between.min(1) > among.min(1)[between.argmin(1)]).mean()

    generated = _draw(90, 1)
    score = authentic_percentage(generated, training)
    assert 30 < score.value < 80
    assert score.value == pytest.approx(by_definition(generated), rel=1e-12)
    assert_exact_replicates(score, by_definition, generated)


def test_copies_are_not_authentic(training):
    assert authentic_percentage(sample(training), training).value == 0
    assert authentic_percentage(sample(training + 1e-6), training).value == 0
    assert authentic_percentage(sample(training + 50), training).value == 100
    twice = np.concatenate([training, training])
    assert authentic_percentage(sample(training), twice).value == 0  # as near as its own copy: not farther


def _by_scipy(generated, held_out, training, centres):
    """Mean z of SciPy's Mann-Whitney test in each cell."""
    distances, places = [], []
    for each in (generated, held_out):
        distances.append(scipy.spatial.distance.cdist(each.values, training).min(1))
        places.append(scipy.spatial.distance.cdist(each.values, centres).argmin(1))
    scores, weights = [], []
    for cell in range(len(centres)):
        first, second = (values[place == cell] for values, place in zip(distances, places, strict=True))
        statistic = scipy.stats.mannwhitneyu(first, second).statistic
        product = len(first) * len(second)
        scores.append((statistic - product / 2) / np.sqrt(product * (len(first) + len(second) + 1) / 12))
        weights.append(len(second))
    return np.average(scores, weights=weights)


@pytest.mark.parametrize('cells', [1, 3])
def test_the_copying_score_is_that_of_scipy(training, cells):
    generated, held_out = _draw(250, 1, scale=0.9), _draw(150, 2)
    generated.values[:20] = training[:20]  # ties at 0
    held_out.values[:5] = training[:5]
    centres = find_cells(training, cells, seed=0)
    score = copying_score(generated, held_out, training, cells, seed=0)
    assert score.value == pytest.approx(_by_scipy(generated, held_out, training, centres), rel=1e-9)
    assert_exact_replicates(score, lambda g, h: _by_scipy(g, h, training, centres), generated, held_out)
    assert score.counts == {'generated': 250, 'held_out': 150, 'training': 120}


def test_copies_have_a_negative_copying_score(training):
    held_out = _draw(150, 2)
    copied = copying_score(sample(np.tile(training, (2, 1)) + 1e-3), held_out, training, 3, seed=0)
    drawn = copying_score(_draw(240, 3), held_out, training, 3, seed=0)
    away = copying_score(_draw(240, 3, scale=3.0), held_out, training, 3, seed=0)
    assert copied.interval()[1] < -5
    assert drawn.interval()[0] < 0 < drawn.interval()[1]
    assert away.interval()[0] > 3


def test_cells_without_enough_vectors_do_not_count():
    training = np.concatenate([np.zeros((30, 2)), np.full((30, 2), 100.0)])
    training += np.random.default_rng(0).normal(size=training.shape)
    held_out = sample(training + 0.5)
    near, far = np.tile(training[:30], (2, 1)) + 0.1, training[30:] + 0.1
    generated = sample(np.concatenate([near, far[:10]]))
    without = sample(near)
    both = copying_score(generated, held_out, training, 2, seed=0)
    assert both.value == pytest.approx(copying_score(without, held_out, training, 2, seed=0).value, rel=1e-9)
    none = copying_score(sample(np.concatenate([near[:19], far[:19]])), held_out, training, 2, seed=0)
    assert none == Missing('has no cell with 20 generated images and held-out ones of two groups.')


def test_cells_are_found():
    corners = np.array([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0]])
    points = np.repeat(corners, 20, axis=0) + np.random.default_rng(0).normal(size=(60, 2))
    centres = find_cells(points, 3, seed=0)
    expected = points.reshape(3, 20, 2).mean(1)
    np.testing.assert_allclose(sorted(map(tuple, centres)), sorted(map(tuple, expected)), rtol=1e-9)
    assert np.isfinite(find_cells(np.ones((5, 2)), 3, seed=0)).all()  # fewer points than cells


def test_bad_vectors_have_a_reason(training):
    generated, held_out = _draw(90, 1), _draw(50, 2)
    broken = training.copy()
    broken[3] = np.nan
    expected = Missing('1 of 120 training images are not finite.')
    assert authentic_percentage(generated, broken) == copying_score(generated, held_out, broken, 3, 0) == expected
    assert authentic_percentage(generated, training[:1]) == Missing(
        'needs at least 2 training images; there are 1.'
    )
    nothing = sample(held_out.values[:0])
    assert 'at least 1 held-out images' in copying_score(generated, nothing, training, 3, 0).reason
    assert 'at least 20 generated' in copying_score(_draw(20, 1), held_out, training, 3, 0).reason
