"""Means over patients, policies told, and nothing made up where there is no case."""

import json

import numpy as np
import pytest

from segment.evaluation import print_summary
from segment.metrics import POLICIES, CaseMeasures
from segment.summary import MeasuredCase, summarise


def _measured(hits, extra, missed, unit='mm', tolerance=1.0):
    both = hits + extra > 0 and hits + missed > 0
    neither = not (hits or extra or missed)
    return CaseMeasures(
        hits, extra, missed, 3, unit, 2.0, tolerance, None if neither else 5.0, 0.5 if both else None
    )


def _summarise(rows):
    cases = [MeasuredCase(f'{row[0]}/{number}', *row, None) for number, row in enumerate(rows)]
    return summarise(cases, level=0.95, seed=0)


def test_a_mean_goes_by_patients_then_by_classes():
    """Patient a has Dice 1 and 0.5, patient b 0.25: 0.5 and not 0.583; all have 0.9 of the other class."""
    summary = _summarise(
        [
            ('a', 'liver', _measured(10, 0, 0)),
            ('a', 'liver', _measured(5, 5, 5)),
            ('b', 'liver', _measured(1, 3, 3)),
            ('a', 'tumour', _measured(9, 1, 1)),
            ('b', 'tumour', _measured(9, 1, 1)),
        ]
    )
    for policy in POLICIES:
        assert summary['classes']['liver']['dice'][policy]['value'] == pytest.approx(0.5)
        assert summary['classes']['tumour']['dice'][policy]['interval'] == pytest.approx([0.9, 0.9])
        assert summary['overall']['dice'][policy]['value'] == pytest.approx((0.5 + 0.9) / 2)
    volume = summary['classes']['liver']['false_positive_volume']
    assert (volume['value'], volume['unit']) == (pytest.approx((5 + 6) / 2), 'mm^3')
    assert (summary['cases'], summary['patients']) == (5, 2)


def test_each_policy_says_what_it_did():
    rows = [
        ('a', 'tumour', _measured(8, 2, 2)),
        ('b', 'tumour', _measured(0, 0, 0)),
        ('c', 'tumour', _measured(0, 4, 0)),
        ('d', 'tumour', _measured(0, 0, 4)),
    ]
    scores = _summarise(rows)['classes']['tumour']
    assert scores['kinds'] == {'both': 1, 'both empty': 1, 'missed': 1, 'false': 1}
    told = {
        policy: (pytest.approx(score['value']), score['patients'], score['touched'], score['skipped'])
        for policy, score in scores['dice'].items()
    }
    assert told == {'nnunet': (0.8 / 3, 3, 3, 1), 'monai': (0.4, 2, 3, 2), 'ones': (0.45, 4, 3, 0)}
    distance = {policy: (score['value'], score['skipped']) for policy, score in scores['hd95'].items()}
    assert distance == {'nnunet': (5.0, 1), 'monai': (5.0, 1), 'ones': (15 / 4, 0)}
    assert (scores['sensitivity']['value'], scores['sensitivity']['skipped']) == (pytest.approx(0.4), 2)


def test_no_defined_case_is_no_score():
    summary = _summarise([(patient, 'tumour', _measured(0, 0, 0)) for patient in 'abc'])
    for scores in (summary['classes']['tumour'], summary['overall']):
        missing = [
            scores['dice']['nnunet'],
            scores['nsd']['monai'],
            scores['hd95']['nnunet'],
            scores['sensitivity'],
        ]
        for score in missing:
            assert (score['value'], score['interval'], score['reason']) == (None, None, 'no patient has a value.')
        assert scores['dice']['ones']['value'] == 1
    json.dumps(summary, allow_nan=False)


def test_a_class_without_a_value_is_named():
    rows = [(patient, 'liver', _measured(8, 2, 2)) for patient in 'abc']
    rows += [(patient, 'tumour', _measured(0, 0, 0)) for patient in 'abc']
    scores = _summarise(rows)['overall']['dice']
    assert (scores['nnunet']['value'], scores['nnunet']['left_out']) == (pytest.approx(0.8), ['tumour'])
    assert (scores['ones']['value'], scores['ones']['left_out']) == (pytest.approx(0.9), [])


def test_no_case_at_all():
    summary = _summarise([])
    assert summary['classes'] == {}
    assert summary['overall']['dice']['ones']['value'] is None


def test_what_is_printed_says_why_there_is_no_interval(capsys):
    print_summary(_summarise([('a', 'liver', _measured(8, 2, 2))]), 'nnunet')
    printed = capsys.readouterr().out
    assert 'dice                  0.800 (an interval needs two patients or more of each class.)' in printed


def test_one_patient_has_no_interval():
    score = _summarise([('a', 'liver', _measured(8, 2, 2))] * 3)['overall']['dice']['ones']
    assert (score['value'], score['interval'], score['patients']) == (pytest.approx(0.8), None, 1)
    assert 'two patients' in score['reason']


@pytest.mark.parametrize(
    ('other', 'without', 'reason'),
    [
        (_measured(8, 2, 2, unit='pixels'), ('hd95', 'nsd', 'false_positive_volume'), 'pixels'),
        (_measured(8, 2, 2, tolerance=2.0), ('nsd',), '1 mm and in 2 mm'),
    ],
)
def test_what_is_measured_differently_is_not_averaged(other, without, reason):
    scores = _summarise([('a', 'liver', _measured(8, 2, 2)), ('b', 'liver', other)])['overall']
    for metric in ('dice', 'iou', 'hd95', 'nsd', 'sensitivity', 'false_positive_volume'):
        score = scores[metric].get('ones', scores[metric])
        assert (score['value'] is None) == (metric in without)
        assert (reason in (score['reason'] or '')) == (metric in without)


def test_intervals_hold_the_value_and_stay_in_range():
    generator = np.random.default_rng(0)
    rows = [
        (f'{i}', 'liver', _measured(100, int(extra), 0)) for i, extra in enumerate(generator.integers(9, size=9))
    ]
    rows.append(('missed', 'liver', _measured(0, 0, 100)))
    summary = _summarise(rows)
    for metric in ('dice', 'iou', 'sensitivity', 'false_positive_volume'):
        score = summary['overall'][metric].get('ones', summary['overall'][metric])
        low, high = score['interval']
        assert 0 <= low < score['value'] < high
        assert metric == 'false_positive_volume' or high <= 1
    assert summary['overall']['sensitivity']['interval'][1] == 1  # cut: nine of ten are 1
    assert _summarise(rows) == summary
