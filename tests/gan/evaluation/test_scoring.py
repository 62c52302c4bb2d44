"""All scores of two sets: their extremes, and the reasons of those that are missing."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from foundation.statistics.jackknife import Estimate, FeatureSample, Missing, Spread, count_groups
from gan.evaluation import scoring
from gan.evaluation.scoring import MEANINGS, MEMORY, measure, measure_memory
from gan.scores import patches
from tests.gan.evaluation.drawn import CLASSES, draw_described, spoil

GROUPS = 5


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(patches, '_DIRECTIONS', 8)
    monkeypatch.setattr(patches, '_REPLICATED', 4)
    monkeypatch.setattr(scoring, '_PAIRS', 200)


def _values(scores):
    return {name: score.value for name, score in scores.items() if isinstance(score, Estimate)}


def _reasons(scores):
    return {name: score.reason for name, score in scores.items() if isinstance(score, Missing)}


def test_every_score_that_is_explained_is_measured():
    generated, reference = (draw_described(60, seed) for seed in range(2))
    scores = measure(generated, reference, GROUPS, CLASSES)
    assert set(scores) == set(MEANINGS) - set(MEMORY) | {'swd_16', 'swd_intensity_aware_16'}
    memory = measure_memory(draw_described(400, 3), draw_described(200, 4), reference, GROUPS)
    assert set(memory) == set(MEMORY)
    for score in (scores | memory).values():
        assert isinstance(score, Estimate), score
        assert len(score.replicates) == GROUPS
        assert score.counts
    assert scores['swd'].value == pytest.approx(scores['swd_16'].value)


def test_a_set_against_itself():
    same = draw_described(60)
    scores = _values(measure(same, same, GROUPS, CLASSES))
    for name in ('swd', 'swd_intensity_aware', 'ms_ssim', 'intensity_distance', 'spectrum_distance'):
        assert scores[name] == 0
    assert scores['frechet_distance'] == pytest.approx(0, abs=1e-9)
    assert (scores['precision'], scores['recall'], scores['coverage']) == (1, 1, 1)
    entropy = scipy.stats.entropy(same.probabilities.astype(np.float64), axis=1).mean()
    assert scores['am_score'] == pytest.approx(entropy, rel=1e-5)
    for variant in ('mode_score', 'mode_score_identity', 'mode_score_reversed'):
        assert scores[variant] == pytest.approx(scores['inception_score'], rel=1e-6)
    copied = draw_described(400)
    memory = _values(measure_memory(copied, draw_described(200, 1), copied, GROUPS))
    assert memory['authentic_percentage'] == 0
    assert memory['copying_score'] < -5


def test_one_image_that_is_not_finite_leaves_no_score():
    broken, reference = spoil(draw_described(60, 1), 3, 40), draw_described(60)
    reason = '2 of 60 generated images are not finite.'
    assert set(_reasons(measure(broken, reference, GROUPS, CLASSES)).items()) == {
        (name, reason) for name in set(MEANINGS) - set(MEMORY)
    }
    assert _reasons(measure_memory(broken, reference, reference, GROUPS)) == dict.fromkeys(MEMORY, reason)
    features = scoring.measure_features(broken, reference, GROUPS)
    assert _reasons(features) == dict.fromkeys(scoring.BY_FEATURES, reason)
    published = scoring.measure_as_published(broken, reference, CLASSES)
    assert all(spread == Missing(reason) for spread in published.values())
    reverse = measure(reference, broken, GROUPS, CLASSES)
    assert set(_reasons(reverse).values()) == {'2 of 60 reference images are not finite.'}


def test_a_generator_that_draws_one_image_over_and_over():
    drawn = draw_described(60, 1)
    constant = dataclasses.replace(
        drawn,
        features=np.zeros_like(drawn.features),
        probabilities=np.tile(np.float32([1, 0, 0]), (60, 1)),
        pixels=np.full_like(drawn.pixels, 90),
    )
    reference = draw_described(60)
    scores = measure(constant, reference, GROUPS, CLASSES)
    values, reasons = _values(scores), _reasons(scores)
    assert np.isfinite(list(values.values())).all()
    expected = np.square(reference.features.mean(0)).sum() + np.var(reference.features, axis=0, ddof=1).sum()
    assert values['frechet_distance'] == pytest.approx(expected, rel=1e-5)
    assert (values['recall'], values['inception_score']) == (0, 1)
    assert values['ms_ssim'] > 0.5
    flat = 'has generated images without any detail at one of the scales.'
    assert [reasons.pop(name) for name in ('swd', 'swd_intensity_aware')] == [flat, flat]
    infinite = "is infinite: class 'bright' has probability 0 in all generated images"
    assert all(reasons[name].startswith(infinite) for name in ('am_score', 'mode_score_reversed'))


def test_too_few_images_leave_out_what_needs_more():
    few, reference = draw_described(5, 1), draw_described(60)
    reasons = _reasons(measure(few, reference, GROUPS, CLASSES))
    needs = 'needs at least 6 generated images without the largest group; there are 4, and 5 with it.'
    assert reasons == dict.fromkeys(('frechet_distance', 'precision', 'recall', 'density', 'coverage'), needs)
    reasons = _reasons(measure_memory(few, reference, reference, GROUPS))
    assert list(reasons) == ['copying_score']
    assert 'needs at least 20 generated images' in reasons['copying_score']


def test_classes_that_are_absent():
    whole, lacking = draw_described(60), draw_described(60, 1)
    probabilities = lacking.probabilities * np.float32([1, 0, 1]) + np.float32([1e-6, 0, 0])
    lacking = dataclasses.replace(lacking, probabilities=probabilities / probabilities.sum(1, keepdims=True))
    reasons = _reasons(measure(lacking, whole, GROUPS, CLASSES))
    assert set(reasons) == {'am_score', 'mode_score_reversed'}
    assert "class 'bright' has probability 0 in all generated images" in reasons['am_score']
    reasons = _reasons(measure(whole, lacking, GROUPS, CLASSES))
    assert set(reasons) == {'mode_score', 'mode_score_identity'}
    assert "class 'bright' has probability 0 in all reference images" in reasons['mode_score']


def test_an_extractor_without_classes_says_so():
    sets = [draw_described(60, seed, class_count=0) for seed in range(2)]
    reasons = _reasons(measure(*sets, GROUPS, ()))
    assert set(reasons) == {name for name in MEANINGS if name.startswith(('am_', 'mode_', 'inception'))}
    assert set(reasons.values()) == {'needs class probabilities: name a classifier as --extractor.'}
    published = scoring.measure_as_published(*sets, ())
    assert isinstance(published['kernel_distance_of_subsets'], Spread)
    assert isinstance(published['inception_score_of_splits'], Missing)


def test_parts_of_the_published_inception_score_are_random():
    drawn = draw_described(300)
    in_turn = dataclasses.replace(drawn, probabilities=np.eye(3, dtype=np.float32)[np.arange(300) // 100])
    spread = scoring.measure_as_published(in_turn, drawn, CLASSES)['inception_score_of_splits']
    assert isinstance(spread, Spread)
    assert spread.mean > 2.5  # of parts in order it would be 1


def test_patches_come_from_as_many_images_of_each_group():
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [40, 30, 3, 20]))
    sample = FeatureSample(np.arange(93), groups, 4)
    fewer = scoring._spread(sample, 41)
    assert fewer.sizes.tolist() == [10, 10, 3, 10]
    np.testing.assert_array_equal(fewer.groups, groups[fewer.values])
    assert len(set(fewer.values.tolist())) == 33
    assert len(scoring._spread(sample, 1000)) == 93


def test_groups_are_as_many_as_the_fewest_patients():
    assert count_groups(np.repeat(np.arange(8), 5), np.arange(30)) == 8
    assert count_groups(np.arange(90), np.arange(30)) == 20


def test_only_inception_makes_a_distance_fid():
    plain, named = (scoring.create_meanings(is_fid=is_fid, is_radiomic=False) for is_fid in (False, True))
    assert (plain['frechet_distance'].title, plain['kernel_distance'].title) == (
        'Frechet distance',
        'kernel distance',
    )
    assert (named['frechet_distance'].title, named['kernel_distance'].title) == ('FID', 'KID')
    assert plain['recall'] == named['recall']
