"""PaDiM against the direct form in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import sklearn.metrics

from detect.anomaly.gaussian import Padim, fit_padim
from detect.anomaly.maps import join_stages, locate
from foundation.training.errors import UserError

SIZE = 14, 18  # of images


def draw_stages(seed, count, offset=0.0):
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, 3, 4, 4)) @ np.random.default_rng(9).normal(size=(4, 4)) + offset
    return [jnp.asarray(mixed), jnp.asarray(random.normal(size=(count, 2, 2, 3)) + offset)]


@pytest.fixture(scope='module')
def fitted():
    return fit_padim([draw_stages(seed, 8) for seed in range(4)], channels=5, seed=0)


def test_score_is_the_definition(fitted):
    every = np.concatenate([np.asarray(join_stages(draw_stages(seed, 8), fitted.channels)) for seed in range(4)])
    stages = draw_stages(7, 3)
    queries = np.asarray(join_stages(stages, fitted.channels))
    expected = np.empty(queries.shape[:3])
    for row, column in np.ndindex(3, 4):
        real = every[:, row, column].astype(np.float64)
        inverse = np.linalg.inv(np.cov(real, rowvar=False) + 0.01 * np.eye(5))
        for image in range(3):
            expected[image, row, column] = scipy.spatial.distance.mahalanobis(
                queries[image, row, column], real.mean(axis=0), inverse
            )
    located = fitted.score(stages, *SIZE)
    direct = locate(jnp.asarray(expected), *SIZE)
    np.testing.assert_allclose(located.maps, direct.maps, rtol=1e-4)
    np.testing.assert_allclose(located.scores, direct.scores, rtol=1e-4)


def test_channels_are_drawn_by_seed(fitted):
    assert fitted.channels.tolist() == sorted(set(fitted.channels.tolist()))
    drawn = [fit_padim([draw_stages(0, 4)], channels=2, seed=seed).channels.tolist() for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len({tuple(channels) for channels in drawn}) > 1


def test_batches_do_not_matter_even_far_from_zero(fitted):
    """Sums of squares in float32 would lose everything at an offset of 1000."""
    far = [draw_stages(seed, 8, offset=1000.0) for seed in range(4)]
    at_once = [[jnp.concatenate(parts) for parts in zip(*far, strict=True)]]
    maps = [fit_padim(b, channels=5, seed=0).score(draw_stages(7, 3, 1000.0), *SIZE).maps for b in (far, at_once)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=2e-3)
    np.testing.assert_allclose(maps[0], fitted.score(draw_stages(7, 3), *SIZE).maps, rtol=2e-2)


@pytest.mark.parametrize('planted', [False, True])
def test_what_is_planted_is_found_at_its_place(fitted, planted):
    stages = draw_stages(11, 60)
    if planted:
        stages[0] = stages[0].at[30:, 2, 3].add(8.0)
    located = fitted.score(stages, *SIZE)
    area = sklearn.metrics.roc_auc_score(np.arange(60) >= 30, located.scores)
    assert area > 0.95 if planted else 0.3 < area < 0.7
    if planted:
        peaks = located.maps[30:].reshape(30, -1).argmax(axis=1)
        rows, columns = np.unravel_index(peaks, SIZE)
        assert ((rows > 14 / 2) & (columns > 18 / 2)).mean() > 0.9


def test_arrays_are_restored_or_refused(fitted):
    restored = Padim.from_arrays(fitted.to_arrays())
    stages = draw_stages(7, 3)
    np.testing.assert_array_equal(restored.score(stages, *SIZE).maps, fitted.score(stages, *SIZE).maps)
    with pytest.raises(UserError, match='does not fit'):
        Padim.from_arrays(fitted.to_arrays() | {'channels': fitted.channels[:-1]})


@pytest.mark.parametrize(
    ('batches', 'channels', 'reason'),
    [
        ([], 2, 'at least two'),
        ([draw_stages(0, 1)], 2, 'at least two'),
        ([draw_stages(0, 4)], 8, 'stages have 7'),
        ([draw_stages(0, 4, np.nan)], 2, 'not finite'),
        ([draw_stages(0, 4), draw_stages(0, 4)[:1]], 2, 'use the network'),
    ],
)
def test_what_cannot_be_fitted_is_refused(batches, channels, reason):
    with pytest.raises(UserError, match=reason):
        fit_padim(batches, channels=channels, seed=0)
