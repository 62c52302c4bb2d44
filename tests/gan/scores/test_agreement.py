"""Dice of masks with what a segmenter finds: by hand, with its interval, and ids that mean two things."""

import numpy as np
import pytest

from foundation.statistics.jackknife import FeatureSample, Missing
from gan.scores.agreement import ALL_CLASSES, find_exchange, measure_agreement, score_agreement


def _ids(*rows):
    return np.array(rows, np.uint8)[..., None]


def test_dice_by_hand():
    """Class 1: 2 of 2 and 3 pixels in common, missed, and in neither; class 2: in neither, in neither, equal."""
    masks = _ids([[1, 1], [0, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 2]])
    found = _ids([[1, 1], [1, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 2]])
    expected = [[0.8, np.nan, 0.8], [0, np.nan, 0], [np.nan, 1, 1]]
    np.testing.assert_allclose(measure_agreement(masks, found, 2), expected)
    both = measure_agreement(_ids([[1, 2], [2, 2]]), _ids([[1, 2], [2, 1]]), 2)
    np.testing.assert_allclose(both, [[2 / 3, 0.8, (2 / 3 + 0.8) / 2]])


def test_empty_images_have_no_dice():
    empty = np.zeros((2, 4, 4, 1), np.uint8)
    assert np.isnan(measure_agreement(empty, empty, 1)).all()
    sample = FeatureSample(measure_agreement(empty, empty, 1), np.arange(2), 2)
    assert isinstance(score_agreement(sample, ('tumour',))['tumour'], Missing)


def test_means_leave_patients_out():
    rng = np.random.default_rng(0)
    values, groups = rng.uniform(size=(30, 3)), np.arange(30) % 5
    values[rng.uniform(size=values.shape) < 0.2] = np.nan
    scores = score_agreement(FeatureSample(values, groups, 5), ('liver', 'tumour'))
    assert list(scores) == ['liver', 'tumour', ALL_CLASSES]
    for column, score in enumerate(scores.values()):
        assert score.value == pytest.approx(np.nanmean(values[:, column]))
        expected = [np.nanmean(values[groups != group, column]) for group in range(5)]
        np.testing.assert_allclose(score.replicates, expected)
        assert score.counts == {'images': int(np.isfinite(values[:, column]).sum())}
        assert 0 <= score.interval()[0] < score.value < score.interval()[1] <= 1
    assert list(score_agreement(FeatureSample(values[:, :2], groups, 5), ('liver',))) == ['liver']


def test_ids_that_mean_two_things_are_found():
    rng = np.random.default_rng(1)
    masks = rng.integers(0, 3, (20, 8, 8, 1)).astype(np.uint8)
    rough = np.where(rng.uniform(size=masks.shape) < 0.4, rng.integers(0, 3, masks.shape), masks).astype(np.uint8)
    assert find_exchange(masks, rough, 2) is None
    exchanged = np.array([0, 2, 1], np.uint8)[rough]
    assert find_exchange(masks, exchanged, 2) == (1, 2)
    assert find_exchange(masks, np.zeros_like(masks), 2) is None  # it finds nothing, which Dice tells
