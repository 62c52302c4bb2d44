"""Intervals of shares and of AUROC: closed forms, independent implementations, and their level in simulation."""

import numpy as np
import pytest
import scipy.stats

from foundation.statistics.proportions import auroc_interval, share_interval


def _one_each(count):
    return np.arange(count)


@pytest.mark.parametrize(('hits', 'count'), [(3, 20), (50, 60), (0, 12), (12, 12)])
def test_with_one_image_a_patient_a_share_has_nearly_the_exact_interval(hits, count):
    found = share_interval(np.arange(count) < hits, _one_each(count))
    exact = scipy.stats.binomtest(hits, count).proportion_ci(method='exact')
    assert found == pytest.approx((exact.low, exact.high), abs=0.012)
    assert found[0] <= exact.low + 1e-9
    if hits in (0, count):
        assert found == pytest.approx((exact.low, exact.high))


def test_patients_whose_images_agree_count_once():
    few = share_interval(np.arange(20) < 14, _one_each(20))
    many = share_interval(np.repeat(np.arange(20) < 14, 50), np.repeat(_one_each(20), 50))
    assert many == pytest.approx(few, abs=0.02)  # less the few degrees of freedom of a variance


def test_one_patient_has_no_interval():
    assert share_interval(np.array([True, False]), np.zeros(2, int)) is None
    scores, positive = np.arange(4.0), np.array([False, True, False, True])
    assert auroc_interval(scores, positive, np.array([0, 1, 0, 2])) is None


def _delong(scores, positive):
    """Area and variance by the definition: all pairs."""
    pairs = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    variance = sum(pairs.mean(axis=axis).var(ddof=1) / pairs.shape[1 - axis] for axis in (0, 1))
    return pairs.mean(), variance


def test_the_variance_of_auroc_is_delongs():
    generator = np.random.default_rng(0)
    positive = np.arange(70) < 30
    scores = np.round(generator.normal(size=70) + positive, 1)  # with ties
    area, variance = _delong(scores, positive)
    low, high = (np.log(end / (1 - end)) for end in auroc_interval(scores, positive, _one_each(70)))
    assert (low + high) / 2 == pytest.approx(np.log(area / (1 - area)))
    reach = (high - low) / 2 * area * (1 - area) / np.sqrt(variance)
    assert scipy.stats.t.ppf(0.975, 69) < reach < scipy.stats.t.ppf(0.975, 29)


def test_auroc_counts_patients_not_images_and_falls_and_rises_with_the_scores():
    generator = np.random.default_rng(1)
    positive = np.arange(40) < 20
    scores = generator.normal(size=40) + positive
    once = auroc_interval(scores, positive, _one_each(40))
    copies = auroc_interval(np.repeat(scores, 30), np.repeat(positive, 30), np.repeat(_one_each(40), 30))
    assert copies == pytest.approx(once, abs=1e-9)
    turned = auroc_interval(-scores, positive, _one_each(40))
    assert turned == pytest.approx((1 - once[1], 1 - once[0]))


def test_a_patient_with_images_of_both_classes_counts_as_one():
    """Each patient's own level cancels, so that the area is known better than from patients of one class each."""
    generator = np.random.default_rng(2)
    level = generator.normal(size=30)
    scores = np.concatenate([level + 0.2, level]) + 0.05 * generator.normal(size=60)
    positive = np.arange(60) < 30
    paired = auroc_interval(scores, positive, np.tile(_one_each(30), 2))
    apart = auroc_interval(scores, positive, _one_each(60))
    assert np.diff(paired) < 0.7 * np.diff(apart)


def test_an_area_of_1_has_no_variance():
    assert auroc_interval(np.arange(6.0), np.arange(6) > 2, _one_each(6)) is None


@pytest.mark.parametrize('area', [0.8, 0.97])
def test_the_interval_of_auroc_keeps_its_level(area):
    generator, count = np.random.default_rng(0), 12
    positive, owners = np.repeat([True, False], 2 * count), np.repeat(_one_each(2 * count), 2)
    distance = np.sqrt(2) * scipy.stats.norm.ppf(area)
    held = []
    for _ in range(400):
        own = np.repeat(generator.normal(size=2 * count), 2)  # half of the variance is the patient's
        scores = np.sqrt(0.5) * (own + generator.normal(size=4 * count)) + distance * positive
        found = auroc_interval(scores, positive, owners)
        held.append(found is None or found[0] <= area <= found[1])
    assert np.mean(held) > 0.93


@pytest.mark.parametrize('share', [0.6, 0.95])
def test_the_interval_of_a_share_keeps_its_level(share):
    generator, count = np.random.default_rng(0), 15
    held = []
    for _ in range(400):
        own = generator.beta(3 * share, 3 * (1 - share), count)
        right = generator.uniform(size=4 * count) < np.repeat(own, 4)
        low, high = share_interval(right, np.repeat(_one_each(count), 4))
        held.append(low <= share <= high)
    assert np.mean(held) > 0.93
