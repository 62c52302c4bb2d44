"""Thresholds against a search over all of them, and on which data they are refused."""

import dataclasses
import json

import numpy as np
import pytest
import sklearn.metrics

from detect.metrics.thresholds import DecisionThresholds, fit_thresholds
from foundation.training.errors import UserError


def _draw(count: int):
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=count)
    return (generator.normal(size=count) + 1.5 * labels).astype(np.float32), labels


def test_thresholds_do_best_on_what_they_are_fitted_on():
    scores, labels = _draw(4000)
    fitted = fit_thresholds(scores, labels, split='validation')
    false_rate, true_rate, levels = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)

    def rates(threshold):
        called = scores >= threshold
        return called[labels == 0].mean(), called[labels == 1].mean()

    false, true = rates(fitted.youden)
    assert true - false == pytest.approx((true_rate - false_rate).max())
    false, true = rates(fitted.equal_error)
    assert abs(1 - true - false) == pytest.approx(np.abs(1 - true_rate - false_rate).min())
    for threshold, rate in ((fitted.fpr_1_percent, 0.01), (fitted.fpr_0_1_percent, 0.001)):
        allowed = levels[false_rate <= rate].min()
        assert rates(threshold) == rates(allowed)
        assert threshold <= allowed


def test_thresholds_lie_midway_between_scores():
    fitted = fit_thresholds(np.array([1.0, 2.0, 4.0, 5.0]), np.array([0, 0, 1, 1]), split='validation')
    assert fitted == DecisionThresholds(3.0, 3.0, None, None)


@pytest.mark.parametrize(('reals', 'known'), [(99, 0), (100, 1), (999, 1), (1000, 2)])
def test_few_reals_give_no_threshold_for_a_small_rate(reals, known):
    scores, labels = np.arange(reals + 2.0), np.repeat([0, 1], [reals, 2])
    fitted = fit_thresholds(scores, labels, split='validation')
    assert [fitted.fpr_1_percent is not None, fitted.fpr_0_1_percent is not None].count(True) == known


@pytest.mark.parametrize('values', [(1.0, 2.0), (1.0, np.nextafter(1.0, 2.0))])
def test_a_threshold_between_neighbouring_numbers_parts_them(values):
    scores = np.array(values)
    threshold = fit_thresholds(scores, np.array([0, 1]), split='validation').youden
    assert (scores >= threshold).tolist() == [False, True]


def test_where_reals_score_higher_nothing_is_called_fake():
    scores = np.array([1.0, 2.0])
    assert fit_thresholds(scores, np.array([1, 0]), split='validation').youden > 2


def test_equal_scores_have_thresholds():
    fitted = fit_thresholds(np.full(300, 2.0), np.arange(300) % 2, split='validation')
    assert fitted.youden > 2
    assert fitted.fpr_1_percent > 2


@pytest.mark.parametrize('split', ['test', 'train', 'Validation', ''])
def test_other_splits_are_refused(split):
    with pytest.raises(ValueError, match='validation split alone'):
        fit_thresholds(np.array([0.0, 1.0]), np.array([0, 1]), split=split)


@pytest.mark.parametrize('label', [0, 1])
def test_one_class_alone_is_refused(label):
    with pytest.raises(UserError, match='real and fake'):
        fit_thresholds(np.array([0.0, 1.0]), np.array([label, label]), split='validation')


@pytest.mark.parametrize(
    ('scores', 'labels', 'message'),
    [([], [], 'no images'), ([0.0, np.nan], [0, 1], 'not finite'), ([0.0, 1.0], [1, 2], 'Labels')],
)
def test_bad_scores_are_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        fit_thresholds(np.array(scores, np.float64), np.array(labels, int), split='validation')


def test_thresholds_go_through_json():
    fitted = fit_thresholds(*_draw(300), split='validation')
    assert DecisionThresholds(**json.loads(json.dumps(dataclasses.asdict(fitted)))) == fitted


@pytest.mark.parametrize('value', [float('nan'), float('inf'), True])
def test_bad_thresholds_are_refused(value):
    with pytest.raises(ValueError, match='youden'):
        DecisionThresholds(value, 0.0, None, None)
