"""Resampled patients: who is drawn, and how wide intervals are."""

import numpy as np
import pytest
import scipy.stats

from detect.metrics.ranking import auroc, trace_roc
from detect.metrics.table import can_resample, count_pairs, draw_weights
from foundation.statistics.percentiles import Score, percentile_interval

PATIENTS = np.array([7, 7, 3, 9, 9, 9, 4, 4, 5])
FAKE = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1], bool)  # 7 and 3 are real, 9 and 5 fake, 4 has both


def _draw(patients, fake, resamples, seed=0):
    return np.concatenate(list(draw_weights(patients, fake, resamples=resamples, seed=seed)))


def test_patients_are_drawn_whole_and_within_their_kind():
    weights = _draw(PATIENTS, FAKE, 400)
    of = {patient: weights[:, patient == PATIENTS] for patient in np.unique(PATIENTS)}
    assert all((each == each[:, :1]).all() for each in of.values())
    assert (of[7][:, 0] + of[3][:, 0] == 2).all()
    assert (of[9][:, 0] + of[5][:, 0] == 2).all()
    assert (of[4] == 1).all()
    assert scipy.stats.chisquare(np.bincount(of[7][:, 0].astype(int)), [100, 200, 100]).pvalue > 1e-3


def test_blocks_follow_the_seed(monkeypatch):
    whole = _draw(PATIENTS, FAKE, 10)
    assert (whole == _draw(PATIENTS, FAKE, 10)).all()
    assert (whole != _draw(PATIENTS, FAKE, 10, seed=1)).any()
    monkeypatch.setattr('detect.metrics.table._CELLS', 4 * len(PATIENTS))
    blocks = list(draw_weights(PATIENTS, FAKE, resamples=10, seed=0))
    assert [len(block) for block in blocks] == [4, 4, 2]


@pytest.mark.parametrize(
    ('patients', 'fake', 'varies', 'pairs'),
    [
        ([0, 1, 2, 3], [0, 0, 1, 1], True, 2),
        ([0, 0, 2, 3], [0, 0, 1, 1], False, 1),
        ([0, 1, 2, 2], [0, 0, 1, 1], False, 1),
        ([0, 0, 1, 1], [0, 1, 0, 1], True, 1),
        ([0, 0], [0, 1], False, 0),
        ([0, 1], [1, 1], False, 0),
    ],
)
def test_each_class_needs_two_patients(patients, fake, varies, pairs):
    patients, fake = np.array(patients), np.array(fake, bool)
    assert can_resample(patients, fake) is varies
    assert count_pairs(patients, fake) == pairs


def test_faultless_scores_have_the_exact_interval():
    perfect = percentile_interval(1.0, np.ones(100), 20)
    exact = scipy.stats.binomtest(20, 20).proportion_ci(method='exact')  # its upper tail is left at 2.5%
    assert (perfect.low, perfect.high) == pytest.approx((exact.low, exact.high))
    worst = percentile_interval(0.0, np.zeros(100), 20)
    assert (worst.low, worst.high) == pytest.approx((0, 1 - exact.low))


def test_intervals_are_percentiles_of_draws_in_which_a_score_is_defined():
    replicates = np.arange(1000.0)
    assert percentile_interval(500.0, replicates, 3) == Score(500.0, *np.quantile(replicates, [0.025, 0.975]))
    replicates[:50] = np.nan
    assert percentile_interval(500.0, replicates, 3) == Score(500.0, *np.quantile(replicates[50:], [0.025, 0.975]))
    replicates[:200] = np.nan
    assert percentile_interval(500.0, replicates, 3) == Score(500.0, None, None)
    assert percentile_interval(float('nan'), replicates, 3) == Score(None, None, None)


def _covers(patients_of_draws, scores, fake, truth):
    weights = _draw(patients_of_draws, fake, 300)
    low, high = np.quantile(auroc(trace_roc(scores, fake, weights)), [0.025, 0.975])
    return low <= truth <= high


def test_intervals_cover_when_patients_are_drawn_and_not_when_images_are():
    """30 patients of each class, 5 images each, which are alike within a patient."""
    generator, truth = np.random.default_rng(0), scipy.stats.norm.cdf(1 / np.sqrt(2 * 1.25))
    patients = np.repeat(np.arange(60), 5)
    fake = patients >= 30
    covered = []
    for _ in range(150):
        scores = fake + generator.normal(size=60)[patients] + 0.5 * generator.normal(size=300)
        covered.append([_covers(units, scores, fake, truth) for units in (patients, np.arange(300))])
    by_patient, by_image = np.mean(covered, axis=0)
    assert by_patient > 0.88
    assert by_image < 0.75
