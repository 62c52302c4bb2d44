"""PatchCore and its coreset against direct forms in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial.distance
import scipy.special
import scipy.stats
import sklearn.metrics

from detect.anomaly.maps import join_stages, locate
from detect.anomaly.patchcore import (
    Patchcore,
    Reservoir,
    choose_coreset,
    distances_to_nearest,
    extract_patches,
    fit_patchcore,
)
from foundation.training.errors import UserError

SIZE = 12, 16
_BUDGET = {'candidates': 500, 'ratio': 0.2, 'most': 60}


def draw_stages(seed, count):
    random = np.random.default_rng(seed)
    return [jnp.asarray(random.normal(size=(count, *shape)), jnp.float32) for shape in ((3, 4, 4), (2, 2, 3))]


@pytest.fixture(scope='module')
def fitted():
    return fit_patchcore([draw_stages(seed, 8) for seed in range(3)], seed=0, **_BUDGET)


def greedy(points, size, first):
    """k-centre with all distances at once."""
    distances, chosen = scipy.spatial.distance.cdist(points, points), [first]
    while len(chosen) < size:
        chosen.append(int(distances[chosen].min(axis=0).argmax()))
    return chosen


@pytest.mark.parametrize('offset', [0.0, 1000.0])
def test_coreset_is_the_greedy_one_and_keeps_its_seed(offset):
    points = (np.random.default_rng(0).normal(size=(80, 6)) + offset).astype(np.float32)
    for first in (0, 41):
        chosen = choose_coreset(points, 25, first).tolist()
        assert chosen[0] == first
        assert chosen == greedy(points, 25, first)


def test_coreset_repeats_no_point():
    points = np.zeros((9, 2), np.float32)
    assert sorted(choose_coreset(points, 9, 4).tolist()) == list(range(9))
    with pytest.raises(ValueError, match='10 of 9'):
        choose_coreset(points, 10, 0)


def test_reservoir_is_fair_and_bounded():
    counts = np.zeros(40)
    for seed in range(500):
        reservoir = Reservoir(10, seed)
        for start in range(0, 40, 8):
            reservoir.add(np.arange(start, start + 8, dtype=np.float32)[:, None])
        kept = reservoir.kept[:, 0].astype(int)
        assert len(kept) == 10
        assert (np.diff(kept) > 0).all()
        counts[kept] += 1
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_reservoir_keeps_all_that_fit():
    reservoir = Reservoir(5, 0)
    with pytest.raises(ValueError, match='Nothing'):
        _ = reservoir.kept
    reservoir.add(np.arange(5, dtype=np.float32)[:, None])
    assert reservoir.kept[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_patches_are_means_of_what_is_around():
    stages = draw_stages(1, 2)
    pooled = []
    for stage in stages:
        ones = np.ones(stage.shape[1:3])
        inside = scipy.ndimage.convolve(ones, np.ones((3, 3)), mode='constant')
        sums = scipy.ndimage.convolve(np.asarray(stage), np.ones((1, 3, 3, 1)), mode='constant')
        pooled.append(jnp.asarray(sums / inside[None, :, :, None]))
    expected = np.asarray(join_stages(pooled, None)).reshape(24, 7)
    np.testing.assert_allclose(extract_patches(stages), expected, atol=1e-6)


@pytest.mark.parametrize('tile', [1, 100, 2**24])
def test_nearest_is_nearest_whatever_the_tiles(monkeypatch, tile):
    monkeypatch.setattr('detect.anomaly.patchcore._TILE', tile)
    random = np.random.default_rng(2)
    queries, bank = ((random.normal(size=(n, 6)) + 100).astype(np.float32) for n in (23, 30))
    distances = distances_to_nearest(queries, jnp.asarray(bank))
    np.testing.assert_allclose(distances, scipy.spatial.distance.cdist(queries, bank).min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(distances_to_nearest(bank, jnp.asarray(bank)), 0, atol=3e-3)


def test_score_is_the_definition(fitted):
    stages = draw_stages(7, 5)
    patches, bank = extract_patches(stages).reshape(5, 12, 7), fitted.bank
    assert len(bank) == 58  # a fifth of 288
    scores, maps = [], []
    for image in patches:
        distances = scipy.spatial.distance.cdist(image, bank)
        strangest = distances.min(axis=1).argmax()
        nearest_one = distances[strangest].argmin()
        around = np.argsort(scipy.spatial.distance.cdist(bank, bank)[nearest_one])[:9]
        weight = 1 - scipy.special.softmax(distances[strangest, around])[0]
        scores.append(weight * distances[strangest, nearest_one])
        maps.append(distances.min(axis=1).reshape(3, 4))
    located = fitted.score(stages, *SIZE)
    np.testing.assert_allclose(located.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(located.maps, locate(jnp.asarray(np.stack(maps)), *SIZE).maps, rtol=1e-4)


def test_far_patches_do_not_overflow(fitted):
    stages = [1e4 * stage for stage in draw_stages(7, 2)]
    assert np.isfinite(fitted.score(stages, *SIZE).scores).all()


def test_the_bank_holds_real_patches_and_the_first_one(fitted):
    every = np.concatenate([extract_patches(draw_stages(seed, 8)) for seed in range(3)])
    first = np.random.default_rng(0).integers(len(every))
    np.testing.assert_array_equal(fitted.bank, every[greedy(every, 58, first)])


@pytest.mark.parametrize('planted', [False, True])
def test_what_is_planted_is_found_at_its_place(fitted, planted):
    stages = draw_stages(11, 60)
    if planted:
        stages[0] = stages[0].at[30:, 2, 3].add(15.0)
    located = fitted.score(stages, *SIZE)
    area = sklearn.metrics.roc_auc_score(np.arange(60) >= 30, located.scores)
    assert area > 0.95 if planted else 0.3 < area < 0.7
    if planted:
        rows, columns = np.unravel_index(located.maps[30:].reshape(30, -1).argmax(axis=1), SIZE)
        assert ((rows > 6) & (columns > 8)).mean() > 0.9


def test_arrays_are_restored(fitted):
    restored, stages = Patchcore.from_arrays(fitted.to_arrays()), draw_stages(7, 2)
    np.testing.assert_array_equal(restored.score(stages, *SIZE).scores, fitted.score(stages, *SIZE).scores)


@pytest.mark.parametrize(
    ('batches', 'change', 'reason'),
    [
        ([], {}, 'there are none'),
        ([draw_stages(0, 8)], {'most': 8}, 'would keep 8'),
        ([draw_stages(0, 8)], {'ratio': 0.05}, 'would keep 5'),
        ([[jnp.inf * stage for stage in draw_stages(0, 8)]], {}, 'not finite'),
        ([draw_stages(0, 8), draw_stages(0, 8)[:1]], {}, 'use the network'),
    ],
)
def test_what_cannot_be_fitted_is_refused(batches, change, reason):
    with pytest.raises(UserError, match=reason):
        fit_patchcore(batches, seed=0, **(_BUDGET | change))
