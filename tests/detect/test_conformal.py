"""Conformal p values against their definition, how often verdicts are wrong, and their reasons."""

import json

import numpy as np
import pytest

from detect.conformal import Conformal, fit_conformal
from foundation.statistics.conformal import conformal_p_values
from foundation.training.errors import UserError

CALIBRATION = Conformal(tuple(np.linspace(-3, 1, 39)), tuple(np.linspace(0, 4, 39)))


@pytest.mark.parametrize(('score', 'above'), [(9.0, 0), (3.0, 1), (2.0, 3), (1.5, 3), (-1.0, 4)])
def test_p_values_count_scores_no_less(score, above):
    p_values = conformal_p_values(np.array([2.0, 3.0, 1.0, 2.0]), np.array([score]))
    assert p_values == pytest.approx((1 + above) / 5)


@pytest.mark.parametrize('error_level', [0.05, 0.2])
def test_p_values_err_no_more_often_than_stated(error_level):
    generator = np.random.default_rng(0)
    wrong = []
    for _ in range(2000):
        drawn = generator.normal(size=20)
        wrong.append(conformal_p_values(drawn[1:], drawn[:1])[0] <= error_level)
    assert np.mean(wrong) == pytest.approx(error_level, abs=0.02)  # 19 and 1 scores make it exact


@pytest.mark.parametrize(
    ('score', 'answer', 'reason'),
    [
        (-2.0, 'real', None),
        (3.0, 'synthetic', None),
        (0.5, "don't know", 'both'),
    ],
)
def test_the_answer_is_the_class_that_alone_fits(score, answer, reason):
    (verdict,) = CALIBRATION.judge(np.array([score]), error_level=0.05)
    assert verdict.answer == answer
    assert reason is None if verdict.reason is None else reason in verdict.reason


def test_a_class_with_the_error_level_as_its_p_value_does_not_fit():
    (verdict,) = CALIBRATION.judge(np.array([3.0]), error_level=1 / 40)
    assert (verdict.answer, verdict.real_p) == ('synthetic', 1 / 40)


def test_what_fits_neither_is_not_known():
    parted = Conformal(tuple(np.linspace(-3, -1, 39)), tuple(np.linspace(1, 3, 39)))
    (verdict,) = parted.judge(np.array([0.0]), error_level=0.05)
    assert verdict.answer == "don't know"
    assert 'neither' in verdict.reason
    assert (verdict.real_p, verdict.fake_p) == (1 / 40, 1 / 40)


def test_verdicts_turn_with_the_sign():
    turned = Conformal(tuple(-np.array(CALIBRATION.fakes)), tuple(-np.array(CALIBRATION.reals)))
    scores = np.linspace(-4, 5, 19)
    given, other = (each.judge(sign * scores, error_level=0.1) for each, sign in ((CALIBRATION, 1), (turned, -1)))
    assert [(each.real_p, each.fake_p) for each in given] == [(each.fake_p, each.real_p) for each in other]
    assert {each.answer for each in given} == {'real', 'synthetic', "don't know"}


@pytest.mark.parametrize('error_level', [0.0, 0.024, 1.0, float('nan')])
def test_an_error_level_that_cannot_be_kept_is_refused(error_level):
    CALIBRATION.judge(np.zeros(1), error_level=0.025)
    with pytest.raises(UserError, match='39 real and 39 fake'):
        CALIBRATION.judge(np.zeros(1), error_level=error_level)


@pytest.mark.parametrize(('reals', 'fakes'), [(9, 39), (39, 9)])
def test_the_smaller_class_decides_which_error_level_can_be_kept(reals, fakes):
    """Of 9 images and one more, each is the strangest with a chance of 0.1."""
    calibration = Conformal(tuple(np.linspace(-3, 1, reals)), tuple(np.linspace(0, 4, fakes)))
    calibration.check_level(0.1)
    with pytest.raises(UserError, match=f'{reals} real and {fakes} fake'):
        calibration.check_level(0.099)


def test_calibration_keeps_scores_by_class_and_goes_through_json():
    fitted = fit_conformal(np.array([3, 1, 2, 0.1], np.float32), np.array([1, 1, 0, 0]), split='validation')
    assert fitted == Conformal((float(np.float32(0.1)), 2.0), (1.0, 3.0))
    assert Conformal.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


@pytest.mark.parametrize(
    'change', [{'reals': []}, {'fakes': [float('nan')]}, {'fakes': 1.0}, {'reals': 'ab'}, {'x': []}]
)
def test_bad_stored_scores_are_refused(change):
    stored = {'reals': [0.0], 'fakes': [1.0]}
    Conformal.from_dict(stored)
    with pytest.raises(ValueError, match='scores'):
        Conformal.from_dict(stored | change)


def test_other_splits_and_single_classes_are_refused():
    scores = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match='validation split alone'):
        fit_conformal(scores, np.array([0, 1]), split='test')
    with pytest.raises(UserError, match='real and fake'):
        fit_conformal(scores, np.array([0, 0]), split='validation')
