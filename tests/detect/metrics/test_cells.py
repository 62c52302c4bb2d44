"""Scores apart: which images a cell has, what is said of small ones, and which is the worst."""

import dataclasses
import json

import numpy as np
import pytest

from detect.metrics.samples import Judged
from detect.metrics.table import cells_by_fakes, cells_by_modality, score_cells, score_table
from detect.metrics.thresholds import DecisionThresholds

THRESHOLDS = DecisionThresholds(0.5, 0.5, None, None)
SETTINGS = {'prevalence': 0.01, 'resamples': 20, 'seed': 0}
LABELS = np.array([0] * 12 + [1] * 14)
NAMES = ['real'] * 12 + ['good'] * 6 + ['poor'] * 6 + ['rare'] * 2
MODALITIES = ['CT'] * 6 + ['MR'] * 6 + ['CT'] * 6 + ['CT', 'MR'] * 3 + ['MR'] * 2
SCORES = np.array([0.0] * 12 + [0.4] * 6 + [1.0, 0.0] * 3 + [1.0] * 2)


@pytest.fixture(scope='module')
def judged() -> Judged:
    scores = SCORES + np.random.default_rng(0).uniform(0, 0.05, len(SCORES))
    return Judged(scores, scores / 2, LABELS, np.arange(len(SCORES)))


@pytest.fixture(scope='module')
def by_fakes(judged):
    cells = cells_by_fakes(LABELS, NAMES, MODALITIES)
    return score_cells(judged, cells, THRESHOLDS, fewest_patients=3, **SETTINGS)


def test_fakes_are_compared_with_reals_of_their_modalities():
    cells = cells_by_fakes(LABELS, NAMES, MODALITIES)
    assert list(cells) == ['good', 'poor', 'rare']
    assert np.flatnonzero(cells['good']).tolist() == [*range(6), *range(12, 18)]
    assert np.flatnonzero(cells['poor']).tolist() == [*range(12), *range(18, 24)]
    assert np.flatnonzero(cells['rare']).tolist() == [*range(6, 12), 24, 25]


def test_modalities_part_all_images():
    cells = cells_by_modality(MODALITIES)
    assert list(cells) == ['CT', 'MR']
    assert (cells['CT'] != cells['MR']).all()
    assert cells['MR'].sum() == MODALITIES.count('MR')


def test_a_cell_has_the_scores_of_its_images(judged, by_fakes):
    good = by_fakes.cells['good']
    chosen = cells_by_fakes(LABELS, NAMES, MODALITIES)['good']
    assert good.scores == score_table(judged[chosen], THRESHOLDS, **SETTINGS)
    assert (good.reals, good.fakes, good.real_patients, good.fake_patients) == (6, 6, 6, 6)


def test_a_small_cell_has_counts_and_no_number(by_fakes):
    rare = by_fakes.cells['rare']
    assert (rare.reals, rare.fakes, rare.scores) == (6, 2, None)


def test_a_cell_counts_patients_and_not_images(judged):
    same = dataclasses.replace(judged, patients=np.where(LABELS == 1, 99, judged.patients))
    scored = score_cells(same, {'all': LABELS >= 0}, THRESHOLDS, fewest_patients=2, **SETTINGS)
    assert scored.cells['all'].fake_patients == 1
    assert scored.cells['all'].scores is None
    assert scored.macro == scored.worst == {}


def test_macro_is_the_mean_and_worst_follows_the_direction(by_fakes):
    """`good` ranks well and calls nothing right at the threshold; `poor` calls half of its fakes right."""
    values = {name: by_fakes.cells[name].scores for name in ('good', 'poor')}
    assert by_fakes.macro['auroc'] == pytest.approx(np.mean([each['auroc'].value for each in values.values()]))
    assert by_fakes.worst['auroc'] == 'poor'
    assert by_fakes.worst['equal_error_rate'] == 'poor'
    assert by_fakes.worst['youden/recall'] == 'good'
    assert by_fakes.macro['youden/recall'] == pytest.approx(0.25)
    assert by_fakes.macro['youden/precision'] == 1.0  # undefined for `good`, which calls nothing fake
    assert by_fakes.macro['tpr_at_fpr_1_percent'] is None
    assert by_fakes.worst['tpr_at_fpr_1_percent'] is None
    assert 'share_of_fakes' not in by_fakes.macro


def test_cells_go_through_json(by_fakes):
    stored = json.loads(json.dumps(dataclasses.asdict(by_fakes), allow_nan=False))
    assert stored['cells']['rare']['scores'] is None
    assert stored['cells']['good']['scores']['auroc']['value'] == by_fakes.cells['good'].scores['auroc'].value


def test_a_cell_with_scores_has_a_patient_of_each_class(judged):
    with pytest.raises(ValueError, match='at least one patient'):
        score_cells(judged, {}, THRESHOLDS, fewest_patients=0, **SETTINGS)
