"""Mahalanobis distances against scikit-learn and the definition, and what is saved of them."""

import io

import numpy as np
import pytest
import sklearn.covariance
import sklearn.metrics

from detect.anomaly.gaussian import Mahalanobis, fit_mahalanobis, shrunk_covariance
from foundation.training.errors import UserError


@pytest.fixture
def real():
    random = np.random.default_rng(0)
    labels = random.integers(3, size=60) * 2  # one class between them never occurs
    features = random.normal(size=(60, 7)) @ random.normal(size=(7, 7)) + 5 * labels[:, None]
    return features.astype(np.float32), labels


@pytest.mark.parametrize('count', [3, 20, 400])
def test_covariance_is_that_of_scikit_learn(count):
    residuals = np.random.default_rng(1).normal(size=(count, 12)) * np.linspace(0.1, 3, 12)
    expected, share = sklearn.covariance.ledoit_wolf(residuals, assume_centered=True)
    assert 0 < share <= 1
    np.testing.assert_allclose(shrunk_covariance(residuals), expected, rtol=1e-10, atol=1e-12)


def test_score_is_the_least_distance_to_a_class(real):
    features, labels = real
    queries = np.random.default_rng(2).normal(size=(9, 7)).astype(np.float32) * 10
    means = {label: features[labels == label].astype(np.float64).mean(0) for label in (0, 2, 4)}
    residuals = features - np.stack([means[label] for label in labels])
    inverse = np.linalg.inv(sklearn.covariance.ledoit_wolf(residuals, assume_centered=True)[0])
    expected = [min((q - mu) @ inverse @ (q - mu) for mu in means.values()) for q in queries]
    np.testing.assert_allclose(fit_mahalanobis(features, labels).score(queries), expected, rtol=1e-6)


@pytest.mark.parametrize(('shift', 'low', 'high'), [(0.0, 0.4, 0.6), (5.0, 0.95, 1.0)])
def test_what_is_shifted_is_found(shift, low, high):
    random = np.random.default_rng(3)
    fitted = fit_mahalanobis(random.normal(size=(300, 5)), np.zeros(300, int))
    queries = random.normal(size=(400, 5))
    queries[200:, 1] += shift
    area = sklearn.metrics.roc_auc_score(np.arange(400) >= 200, fitted.score(queries))
    assert low <= area <= high


@pytest.mark.parametrize(
    ('features', 'reason'),
    [
        (np.ones((4, 3)), 'no invertible covariance'),
        (np.full((4, 3), np.nan), 'all finite'),
        (np.empty((0, 3)), 'one image at least'),
    ],
)
def test_features_without_a_covariance_are_refused(features, reason):
    with pytest.raises(UserError, match=reason):
        fit_mahalanobis(features, np.zeros(len(features), int))


def test_a_constant_feature_is_borne(real):
    features, labels = real
    features[:, 2] = 1
    assert np.isfinite(fit_mahalanobis(features, labels).score(features)).all()


def test_arrays_survive_a_file_without_pickle(real):
    fitted, file = fit_mahalanobis(*real), io.BytesIO()
    np.savez(file, **fitted.to_arrays())
    file.seek(0)
    restored = Mahalanobis.from_arrays(np.load(file, allow_pickle=False))
    np.testing.assert_array_equal(restored.score(real[0]), fitted.score(real[0]))


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'extra': np.zeros(1)}, 'has the arrays'),
        ({'means': np.zeros((3, 6))}, 'does not fit'),  # another number of features than in the matrix
        ({'means': np.zeros(7)}, 'does not fit'),
        ({'means': np.zeros((3, 7), np.float32)}, 'does not fit'),
        ({'whitening': np.full((7, 7), np.inf)}, 'not finite'),
    ],
)
def test_other_arrays_are_refused(real, change, reason):
    arrays = fit_mahalanobis(*real).to_arrays() | change
    with pytest.raises(UserError, match=reason):
        Mahalanobis.from_arrays(arrays)


def test_a_missing_array_is_refused(real):
    arrays = fit_mahalanobis(*real).to_arrays()
    del arrays['means']
    with pytest.raises(UserError, match="not \\['whitening'\\]"):
        Mahalanobis.from_arrays(arrays)
