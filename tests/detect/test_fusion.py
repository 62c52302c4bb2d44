"""Temperature, stacking and prevalence against closed forms and scikit-learn."""

import json

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.linear_model import LogisticRegression

from detect.fusion import (
    Stacking,
    fit_logit_temperature,
    fit_stacking,
    log_odds_at_prevalence,
    probability_of_fake,
)
from foundation.training.errors import UserError

STORED = {
    'names': ['a', 'b'],
    'means': [0.0, 1.0],
    'deviations': [1.0, 2.0],
    'weights': [0.5, -0.5],
    'bias': 0.1,
    'fitted_prevalence': 0.5,
}


@pytest.fixture(scope='module')
def drawn():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=400)
    scores = {
        'logit': (3 * generator.normal(size=400) + 4 * labels).astype(np.float32),
        'anomaly': 1000 + 50 * (generator.normal(size=400) + labels),
        'constant': np.full(400, 0.1),
    }
    return scores, labels


def test_the_temperature_undoes_a_factor():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=20_000)
    labels = generator.uniform(size=20_000) < scipy.special.expit(logits)
    temperature = fit_logit_temperature(5 * logits, labels, split='validation')
    assert temperature == pytest.approx(5, rel=0.05)
    np.testing.assert_allclose(probability_of_fake(5 * logits, 5.0), scipy.special.expit(logits))


def test_stacking_is_the_logistic_regression_of_scikit_learn(drawn):
    scores, labels = drawn
    fitted = fit_stacking(scores, labels, split='validation', penalty=0.01)
    table = np.stack([scores[name] for name in ('logit', 'anomaly')], axis=1).astype(np.float64)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    theirs = LogisticRegression(C=1 / (0.01 * len(labels)), tol=1e-10).fit(table, labels)
    np.testing.assert_allclose(fitted.weights[:2], theirs.coef_[0], atol=1e-5)
    assert fitted.weights[2] == pytest.approx(0, abs=1e-12)
    assert fitted.bias == pytest.approx(theirs.intercept_[0], abs=1e-5)
    np.testing.assert_allclose(fitted.log_odds(scores), theirs.decision_function(table), atol=1e-4)


def test_stacking_is_calibrated_in_the_large_and_deterministic(drawn):
    scores, labels = drawn
    fitted = fit_stacking(scores, labels, split='validation', penalty=0.01)
    assert scipy.special.expit(fitted.log_odds(scores)).mean() == pytest.approx(labels.mean(), abs=1e-6)
    assert fitted.fitted_prevalence == labels.mean()
    assert fit_stacking(scores, labels, split='validation', penalty=0.01) == fitted


def test_the_penalty_bounds_weights_of_scores_that_part_the_classes():
    labels = np.arange(20) % 2
    scores = {'perfect': 2.0 * labels - 1}
    fitted = fit_stacking(scores, labels, split='validation', penalty=0.1)
    # By symmetry the bias is 0; the gradient vanishes where the weight times the penalty is sigmoid(-weight).
    expected = scipy.optimize.brentq(lambda weight: 0.1 * weight - scipy.special.expit(-weight), 0, 10)
    assert fitted.weights[0] == pytest.approx(expected, abs=1e-6)
    assert fitted.bias == pytest.approx(0, abs=1e-6)


def test_scores_are_matched_by_name(drawn):
    scores, labels = drawn
    fitted = fit_stacking(scores, labels, split='validation', penalty=0.01)
    turned = dict(reversed(scores.items()))
    np.testing.assert_array_equal(fitted.log_odds(turned), fitted.log_odds(scores))
    with pytest.raises(ValueError, match='does not go with'):
        fitted.log_odds({'logit': scores['logit']})


def test_stacking_goes_through_json(drawn):
    fitted = fit_stacking(*drawn, split='validation', penalty=0.01)
    assert Stacking.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    'change',
    [
        {'weights': [1.0]},
        {'means': [0.0, float('nan')]},
        {'deviations': [0.0, 1.0]},
        {'fitted_prevalence': 1.0},
        {'bias': 'much'},
        {'bias': None},
        {'names': []},
        {'means': 0.0},
        {'more': 1},
    ],
)
def test_bad_stored_stackings_are_refused(change):
    Stacking.from_dict(STORED)
    with pytest.raises(ValueError, match=r'tacking|Deviations'):
        Stacking.from_dict(STORED | change)


def test_a_stored_stacking_has_all_fields():
    with pytest.raises(ValueError, match='bias'):
        Stacking.from_dict({name: value for name, value in STORED.items() if name != 'bias'})


@pytest.mark.parametrize('split', ['test', 'train'])
def test_other_splits_are_refused(drawn, split):
    scores, labels = drawn
    with pytest.raises(ValueError, match='validation split alone'):
        fit_stacking(scores, labels, split=split, penalty=0.01)
    with pytest.raises(ValueError, match='validation split alone'):
        fit_logit_temperature(scores['logit'], labels, split=split)


def test_bad_input_is_refused(drawn):
    scores, labels = drawn
    with pytest.raises(ValueError, match='penalty'):
        fit_stacking(scores, labels, split='validation', penalty=0.0)
    with pytest.raises(ValueError, match='not finite'):
        fit_stacking({'logit': np.full(400, np.nan)}, labels, split='validation', penalty=0.1)
    with pytest.raises(UserError, match='real and fake'):
        fit_stacking(scores, np.ones_like(labels), split='validation', penalty=0.1)
    with pytest.raises(UserError, match='real and fake'):
        fit_logit_temperature(scores['logit'], np.zeros_like(labels), split='validation')


@pytest.mark.parametrize(
    ('probability', 'prevalence', 'fitted'), [(0.9, 0.001, 0.5), (0.2, 0.3, 0.7), (0.6, 0.4, 0.4)]
)
def test_odds_follow_the_prevalence(probability, prevalence, fitted):
    log_odds = np.log([probability / (1 - probability)])
    moved = log_odds_at_prevalence(log_odds, prevalence=prevalence, fitted_prevalence=fitted)
    fake, real = probability / fitted * prevalence, (1 - probability) / (1 - fitted) * (1 - prevalence)
    assert np.exp(moved) == pytest.approx(fake / real)


@pytest.mark.parametrize('prevalence', [0.0, 1.0, -0.1, float('nan')])
def test_an_impossible_prevalence_is_refused(prevalence):
    with pytest.raises(UserError, match='prevalence'):
        log_odds_at_prevalence(np.zeros(1), prevalence=prevalence, fitted_prevalence=0.5)
