"""Temperatures, calibration errors and intervals against closed forms and simulation."""

import matplotlib.image
import numpy as np
import pytest
import scipy.special
import scipy.stats

from backbones.calibration import calibration_error, fit_temperature, log_loss, probabilities_of
from backbones.evaluation import ClassifiedImages, assess, describe_score
from backbones.train import draw_assessment, reliability

CLASSES = ('CT', 'DX', 'MR')


def _draw_calibrated(count, seed):
    """Log probabilities, and labels drawn from them."""
    generator = np.random.default_rng(seed)
    logits = scipy.special.log_softmax(2 * generator.normal(size=(count, 3)), axis=1)
    labels = (np.exp(logits).cumsum(axis=1) < generator.uniform(size=(count, 1))).sum(axis=1)
    return logits, np.minimum(labels, 2)


@pytest.mark.parametrize('temperature', [0.4, 1.0, 3.0])
def test_the_temperature_of_logits_is_found(temperature):
    logits, labels = _draw_calibrated(20_000, 0)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.03)


def test_logits_without_errors_are_not_believed_without_end():
    """n images, all right by a margin m of two classes: p = sigmoid(m / T) is the target, (n + 1) / (n + 2)."""
    count, margin = 50, 8.0
    labels = np.arange(count) % 2
    logits = margin * np.eye(2)[labels]
    assert fit_temperature(logits, labels) == pytest.approx(margin / np.log(count + 1), rel=1e-3)


def test_logits_of_another_order_than_the_labels_say_nothing():
    assert fit_temperature(np.eye(3)[[0, 1, 2] * 20], np.array([1, 2, 0] * 20)) == pytest.approx(100, rel=1e-3)


def test_log_loss_by_hand():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    assert log_loss(logits, np.array([1, 2]), 1.0) == pytest.approx(-np.log(0.25 * 0.7) / 2)
    # Squared and divided by their sum: 1/4 : 1/16 : 1/16 is 2/3 : 1/6 : 1/6.
    np.testing.assert_allclose(probabilities_of(logits, 0.5)[0], [2 / 3, 1 / 6, 1 / 6])
    assert np.isfinite(log_loss(np.array([[0.0, 1e4]]), np.array([0]), 0.01))


def test_calibration_error_by_hand():
    """Bins of 1/15: 0.6 and 0.62 share one, one of them right; 0.9 is wrong; 1.0 is right."""
    confidence = np.array([0.6, 0.62, 0.9, 1.0])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 1, 1, 0])
    assert calibration_error(probabilities, labels) == pytest.approx((abs(1 - 1.22) + 0.9 + 0) / 4)


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
        np.testing.assert_allclose(tenfold[name]['interval'], single[name]['interval'])
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
        logits, labels = _draw_calibrated(400, seed)
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
    scores = assess(ClassifiedImages(logits, np.array([0, 1, 1, 1, 0]), np.arange(5)), 1.0, CLASSES)
    assert scores['confusion'] == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert scores['recall'] == {'CT': 1 / 2, 'DX': 2 / 3, 'MR': None}


def test_points_of_the_diagram_by_hand():
    points = reliability(np.array([0.6, 0.62, 0.9, 1.0]), np.array([True, False, False, True]))
    np.testing.assert_allclose(points, [(0.61, 0.5, 2), (0.9, 0, 1), (1.0, 1, 1)])


def test_the_picture_is_written_whole(tmp_path):
    logits, labels = _draw_calibrated(50, 0)
    draw_assessment(ClassifiedImages(logits, labels, np.arange(50)), 1.0, CLASSES, tmp_path / 'assessment.png')
    assert [path.name for path in tmp_path.iterdir()] == ['assessment.png']
    assert matplotlib.image.imread(tmp_path / 'assessment.png').std() > 0.05
