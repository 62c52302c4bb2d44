"""Temperatures and calibration errors against closed forms."""

import numpy as np
import pytest

from foundation.statistics.calibration import (
    bins_of_equal_width,
    calibration_error,
    fit_temperature,
    log_loss,
    probabilities_of,
    tabulate_reliability,
)
from tests.foundation.statistics.calibrated import draw_calibrated


@pytest.mark.parametrize('temperature', [0.4, 1.0, 3.0])
def test_the_temperature_of_logits_is_found(temperature):
    logits, labels = draw_calibrated(20_000, 0)
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


def test_points_of_the_diagram_by_hand():
    confidence = np.array([0.6, 0.62, 0.9, 1.0])
    bins = bins_of_equal_width(confidence)
    points = tabulate_reliability(confidence, np.array([True, False, False, True]), bins)
    np.testing.assert_allclose(
        [(one.probability, one.share, one.images) for one in points], [(0.61, 0.5, 2), (0.9, 0, 1), (1.0, 1, 1)]
    )
