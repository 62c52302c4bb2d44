"""Classical baselines: they learn what is there and nothing else, with real-valued scores and fixed seeds."""

import numpy as np
import pytest
import sklearn.metrics

from detect.evaluation.scores import fit_baselines
from foundation.training.errors import UserError

NAMES = ['support_vector_machine', 'random_forest', 'decision_tree']


def _draw(seed: int, *, shift: float):
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=120)
    features = generator.normal(size=(120, 5)).astype(np.float32)
    features[:, 2] += shift * labels
    features[:, 0] *= 1e4  # a large scale says nothing
    return features, labels


@pytest.fixture(scope='module')
def fitted():
    return fit_baselines(*_draw(0, shift=3.0), seed=0)


@pytest.mark.parametrize('name', NAMES)
def test_fakes_score_higher(fitted, name):
    features, labels = _draw(1, shift=3.0)
    scores = fitted[name](features)
    assert sklearn.metrics.roc_auc_score(labels, scores) > 0.85
    assert np.isfinite(scores).all()
    assert scores.shape == labels.shape


def test_scores_are_more_than_decisions(fitted):
    features, _ = _draw(1, shift=3.0)
    fewest = {'support_vector_machine': 100, 'random_forest': 50, 'decision_tree': 3}
    assert all(len(np.unique(fitted[name](features))) >= count for name, count in fewest.items())


def test_larger_leaves_are_surer():
    """One split: a leaf of six fakes and one of two reals."""
    features = np.array([[1.0]] * 6 + [[0.0]] * 2)
    scores = fit_baselines(features, np.array([1] * 6 + [0] * 2), seed=0)['decision_tree'](features)
    np.testing.assert_allclose(scores, np.log([7.0] * 6 + [1 / 3] * 2))


@pytest.mark.parametrize('name', NAMES)
def test_scores_follow_the_seed(fitted, name):
    features, _ = _draw(1, shift=3.0)
    again = fit_baselines(*_draw(0, shift=3.0), seed=0)
    np.testing.assert_array_equal(again[name](features), fitted[name](features))


@pytest.mark.parametrize('name', NAMES)
def test_without_a_difference_there_is_chance(name):
    features, labels = _draw(3, shift=0.0)
    scores = fit_baselines(*_draw(2, shift=0.0), seed=0)[name](features)
    assert 0.3 < sklearn.metrics.roc_auc_score(labels, scores) < 0.7


def test_bad_training_images_are_refused():
    features, labels = _draw(0, shift=0.0)
    with pytest.raises(UserError, match='real and fake'):
        fit_baselines(features, np.ones_like(labels), seed=0)
    features[3, 1] = np.nan
    with pytest.raises(UserError, match='finite'):
        fit_baselines(features, labels, seed=0)
