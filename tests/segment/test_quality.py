"""Whether expected Dice is said to tell the true one where it does, and only there."""

import numpy as np
import pytest
import scipy.stats

from segment.metrics import CaseMeasures
from segment.quality import check_quality
from segment.summary import MeasuredCase


def _row(patient, expected, true, name='liver'):
    """A case whose mask of 1,000 pixels has this Dice."""
    hits = round(1000 * true)
    measured = CaseMeasures(hits, 1000 - hits, 1000 - hits, 3, 'mm', 2.0, 1.0, 5.0, 0.5)
    return MeasuredCase(f'{patient}/{expected:.3f}', patient, name, measured, expected)


def _rows(bias, noise, seed):
    generator = np.random.default_rng(seed)
    true = generator.uniform(0.3, 0.9, 60).round(3)
    expected = np.clip(true + bias + noise * generator.normal(size=60), 0, 1)
    return [
        _row(f'p{number // 2}', own, other) for number, (own, other) in enumerate(zip(expected, true, strict=True))
    ]


def test_it_is_what_scipy_and_the_definition_say():
    rows = _rows(0.05, 0.1, seed=0)
    expected = np.array([row.expected_dice for row in rows])
    true = np.array([row.measured.score('dice', 'nnunet') for row in rows])
    check = check_quality(rows, 'nnunet', seed=0)['liver']
    assert (check['cases'], check['patients']) == (60, 30)
    assert check['rank_correlation']['value'] == pytest.approx(scipy.stats.spearmanr(expected, true).statistic)
    assert check['difference']['value'] == pytest.approx(np.mean(expected - true))
    assert check['distance']['value'] == pytest.approx(np.mean(abs(expected - true)))
    for name in ('rank_correlation', 'difference', 'distance'):
        assert check[name]['low'] < check[name]['value'] < check[name]['high']
    assert 'rank correlation 0.8' in check['text']


def test_the_interval_of_what_tells_nothing_holds_zero():
    rows = _rows(0.0, 10.0, seed=1)
    check = check_quality(rows, 'nnunet', seed=0)['liver']
    assert check['rank_correlation']['low'] < 0 < check['rank_correlation']['high']


def test_what_was_not_found_has_no_expectation_and_few_cases_no_correlation():
    rows = [_row('a', 0.5, 0.4), _row('b', 0.6, 0.5), _row('c', 0.7, 0.7, name='tumour')]
    rows.append(MeasuredCase('d/0', 'd', 'liver', CaseMeasures(0, 0, 9, 3, 'mm', 2.0, 1.0, 5.0, None), None))
    checks = check_quality(rows, 'nnunet', seed=0)
    assert checks['liver']['cases'] == 2
    assert checks['liver']['rank_correlation']['value'] is None
    assert checks['liver']['text'] == 'only 2 cases have both'
    same = check_quality([_row(f'p{number}', 0.5, 0.8) for number in range(4)], 'nnunet', seed=0)['liver']
    assert same['rank_correlation']['value'] is None
    assert 'rank correlation undefined' in same['text']
