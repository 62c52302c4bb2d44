"""Rank correlations of scores with use, by other means; which checkpoints are looked at; what may not change."""

import numpy as np
import pytest
import scipy.stats

from benchmarks import predictive
from foundation.training.errors import UserError
from gan.recipe import create_recipe

TERMS = predictive.Terms('organs', 6_000, 500, 600, 4, 0.0)


def test_the_correlation_is_spearmans_with_ties():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 5, 12).astype(float)
    other = one + rng.normal(size=12).round(1)
    score = predictive.correlate(one, other)
    assert score.value == pytest.approx(scipy.stats.spearmanr(one, other).statistic)
    assert score.low < score.value < score.high <= 1
    assert predictive.correlate(np.arange(9.0), np.arange(9.0) ** 3).value == pytest.approx(1)
    assert predictive.correlate(np.arange(9.0), np.ones(9)).value is None
    assert predictive.correlate(np.arange(2.0), np.arange(2.0)).value is None


def test_more_generators_tell_more():
    rng = np.random.default_rng(1)
    widths = []
    for count in (8, 80):
        one = rng.normal(size=count)
        score = predictive.correlate(one, one + rng.normal(size=count))
        widths.append(score.high - score.low)
    assert widths[1] < 0.6 * widths[0]


def test_better_is_higher_whatever_the_score():
    assert predictive.goodness('frechet_distance', 3.0) == -3
    assert predictive.goodness('frechet_distance (radiomics)', 3.0) == -3
    assert predictive.goodness('recall (random features)', 0.3) == 0.3
    assert predictive.goodness('ms_ssim', 0.2) == predictive.goodness('ms_ssim', -0.2) == -0.2
    assert np.isnan(predictive.goodness('recall', None))


def _cell(name, accuracy, distance, recall):
    told = {'value': accuracy, 'interval': [accuracy - 0.1, accuracy + 0.1]}
    scores = {'recall': {'value': recall}, 'frechet_distance (radiomics)': {'value': distance}}
    return {'name': name, 'images': 2000, 'accuracy': told, 'scores': scores}


def test_the_best_predictor_comes_first_and_what_is_missing_is_left_out():
    cells = [_cell(f'g{n}', 0.5 + 0.05 * n, 10 - n, (n * 3) % 4 if n else None) for n in range(6)]
    lines = predictive.tabulate(cells)
    assert lines[2] == '| g0 | 2,000 | 0.500 [0.400, 0.600] |'
    assert lines[-2].startswith('| Frechet distance (radiomics) | 6 | 1.00 [')
    assert lines[-1].startswith('| recall (classifier) | 5 | ')


@pytest.mark.parametrize('name', predictive._MEMBERS)
def test_members_are_trained_with_classes_and_keep_what_is_looked_at(name, tmp_path):
    recipe = create_recipe(predictive._configure(name, TERMS, tmp_path))
    assert recipe.conditional
    (stage,) = recipe.stages(4_000)
    assert stage.resolution == 32
    assert 6_000 <= stage.end < 6_032  # whole batches
    assert recipe.checkpoints_to_keep >= 8


def test_the_nearest_checkpoint_is_taken(tmp_path):
    for step in (24, 47, 71, 95, 118, 142, 166, 188):
        (tmp_path / 'checkpoints' / f'{step:09d}').mkdir(parents=True)
    (tmp_path / 'checkpoints' / 'tmp').mkdir()
    assert [predictive._find_step(tmp_path, eighths) for eighths in (1, 3, 8)] == [24, 71, 188]


def test_a_folder_has_one_set_of_terms(tmp_path):
    predictive._keep_terms(tmp_path, TERMS)
    predictive._keep_terms(tmp_path, TERMS)
    with pytest.raises(UserError, match='was begun with other flags'):
        predictive._keep_terms(tmp_path, predictive.Terms('organs', 6_000, 500, 600, 5, 0.0))
    with pytest.raises(UserError, match='--members=pggan is none that does not grow'):
        predictive._check_names(['pggan'])
