"""Scores of classifiers and their intervals against closed forms and simulation."""

import matplotlib.image
import numpy as np
import pytest
import scipy.stats

from backbones.evaluation import ClassifiedImages, assess, describe_score
from backbones.train import draw_assessment
from tests.foundation.statistics.calibrated import draw_calibrated

CLASSES = ('CT', 'DX', 'MR')


def _described(right, patients):
    """Images of one class that are classified rightly or not, with a confidence of 0.8 at temperature 1."""
    logits = np.log([[0.8, 0.2]] * len(right))
    return ClassifiedImages(logits, np.where(right, 0, 1), np.asarray(patients))


def test_accuracy_of_single_images_has_the_binomial_interval():
    right = np.arange(400) < 300
    score = assess(_described(right, np.arange(400)), 1.0, ('a', 'b'))['accuracy']
    low, high = scipy.stats.binom(400, 0.75).interval(0.95)
    assert score['value'] == 0.75
    np.testing.assert_allclose(score['interval'], [low / 400, high / 400], atol=0.006)


def test_patients_are_resampled_as_wholes():
    """Ten images each, all right or all wrong: as uncertain as one image each; numbers of patients may be any."""
    right = np.arange(100) < 75
    single = assess(_described(right, np.arange(100)), 1.0, ('a', 'b'))
    tenfold = assess(_described(np.repeat(right, 10), np.repeat(7 * np.arange(100) + 5, 10)), 1.0, ('a', 'b'))
    assert (single['images'], tenfold['images'], tenfold['patients']) == (100, 1000, 100)
    for name in ('accuracy', 'log_loss', 'calibration_error'):
        rtol = 0.01 if name == 'accuracy' else 1e-7  # its variance is trusted a little less
        np.testing.assert_allclose(tenfold[name]['interval'], single[name]['interval'], rtol=rtol)
    # One patient with most of the images decides much.
    heavy = assess(_described(right, np.maximum(np.arange(100), 60)), 1.0, ('a', 'b'))
    assert np.ptp(heavy['accuracy']['interval']) > 2 * np.ptp(single['accuracy']['interval'])


def test_intervals_cover_the_truth():
    """Of drawn sets of 40 patients with five images each, whose accuracy varies; few patients cost a little."""
    generator, covered = np.random.default_rng(0), 0
    for _ in range(100):
        right = generator.uniform(size=(40, 5)) < generator.beta(8, 2, size=(40, 1))
        score = assess(_described(right.ravel(), np.repeat(np.arange(40), 5)), 1.0, ('a', 'b'))
        low, high = score['accuracy']['interval']
        covered += low <= 0.8 <= high
    assert 87 <= covered <= 100


def test_the_interval_of_a_calibrated_network_reaches_zero():
    reached = 0
    for seed in range(12):
        logits, labels = draw_calibrated(400, seed)
        score = assess(ClassifiedImages(logits, labels, np.arange(400)), 1.0, CLASSES)['calibration_error']
        low, high = score['interval']
        assert 0 < score['value'] <= high
        reached += low == 0
        # At a temperature of 3 it is off by far, and this is seen.
        off = assess(ClassifiedImages(logits, labels, np.arange(400)), 3.0, CLASSES)['calibration_error']
        assert off['interval'][0] > 0.1
    assert reached >= 11


def test_no_error_is_no_proof_of_perfection():
    score = assess(_described(np.ones(60, bool), np.repeat(np.arange(20), 3)), 1.0, ('a', 'b'))['accuracy']
    low, high = score['interval']
    assert (score['value'], high) == (1.0, 1.0)
    assert scipy.stats.binom(20, low).pmf(20) == pytest.approx(0.025)
    assert describe_score(score) == f'1.0000 [{low:.4f}, 1.0000]'


def test_one_patient_has_no_interval():
    scores = assess(_described(np.array([True, False, True]), [4, 4, 4]), 1.0, ('a', 'b'))
    assert [scores[name]['interval'] for name in ('accuracy', 'log_loss', 'calibration_error')] == [None] * 3
    assert describe_score(scores['accuracy']) == '0.6667 (one patient has no interval)'


def test_confusion_and_recall():
    logits = np.eye(3)[[0, 0, 1, 1, 1]]
    scores = assess(ClassifiedImages(logits, np.array([0, 1, 1, 1, 1]), np.arange(5)), 1.0, CLASSES)
    assert scores['confusion'] == [[1, 0, 0], [1, 3, 0], [0, 0, 0]]
    assert scores['recall'] == {'CT': 1, 'DX': 3 / 4, 'MR': None}


def test_a_mean_that_all_images_share_has_no_spread():
    """However many images the patients of a draw have."""
    score = assess(_described(np.ones(12, bool), np.repeat([0, 1, 2], [1, 3, 8])), 1.0, ('a', 'b'))['log_loss']
    np.testing.assert_allclose([score['value'], *score['interval']], -np.log(0.8))


def test_the_picture_is_written_whole(tmp_path):
    logits, labels = draw_calibrated(50, 0)
    draw_assessment(ClassifiedImages(logits, labels, np.arange(50)), 1.0, CLASSES, tmp_path / 'assessment.png')
    assert [path.name for path in tmp_path.iterdir()] == ['assessment.png']
    assert matplotlib.image.imread(tmp_path / 'assessment.png').std() > 0.05
