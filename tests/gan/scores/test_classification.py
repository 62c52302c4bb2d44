"""Scores of class probabilities against the divergences of SciPy, and what happens where one is infinite."""

import numpy as np
import pytest
import scipy.stats

from foundation.statistics.jackknife import Estimate, FeatureSample, Missing
from gan.scores.classification import (
    MODE_SCORES,
    absent_classes,
    am_score,
    inception_score,
    inception_score_of_splits,
    mode_score,
)
from tests.gan.scores.recomputing import assert_exact_replicates, sample

NAMES = ('hand', 'chest', 'head')
KL = scipy.stats.entropy


def _draw(weights, count, seed):
    return sample(np.random.default_rng(seed).dirichlet(weights, count), seed)


@pytest.fixture
def generated():
    return _draw([0.5, 1.0, 2.0], 90, 1)


@pytest.fixture
def reference():
    return _draw([1.0, 1.0, 0.5], 120, 2)


def _by_hand(generated, reference, variant):
    marginal, target = generated.values.mean(0), reference.values.mean(0)
    information = np.mean([KL(p, target if variant == 'identity' else marginal) for p in generated.values])
    divergence = KL(target, marginal) if variant == 'reversed' else KL(marginal, target)
    return np.exp(information - divergence)


def test_inception_score_of_known_probabilities():
    certain = sample(np.eye(3)[np.arange(60) % 3])
    assert inception_score(certain).value == pytest.approx(3, rel=1e-9)
    assert inception_score(sample(np.full((60, 3), 1 / 3))).value == pytest.approx(1, rel=1e-9)
    assert inception_score(sample(np.tile([0.0, 1.0, 0.0], (60, 1)))).value == 1.0


def test_inception_score_of_splits_is_the_published_form(generated):
    parts = np.split(generated.values, 10)
    scores = [np.exp(np.mean([KL(p, part.mean(0)) for p in part])) for part in parts]
    spread = inception_score_of_splits(generated.values)
    assert spread == pytest.approx((np.mean(scores), np.std(scores), 10), rel=1e-9)
    assert isinstance(inception_score_of_splits(generated.values[:9]), Missing)


@pytest.mark.parametrize('variant', MODE_SCORES)
def test_mode_scores_are_their_formulas(generated, reference, variant):
    score = mode_score(generated, reference, variant, NAMES)
    assert score.value == pytest.approx(_by_hand(generated, reference, variant), rel=1e-9)
    assert_exact_replicates(score, lambda g, r: _by_hand(g, r, variant), generated, reference)


def test_the_common_mode_score_is_the_inception_score(generated, reference):
    score, inception = mode_score(generated, reference, 'identity', NAMES), inception_score(generated)
    assert score.value == pytest.approx(inception.value, rel=1e-12)
    np.testing.assert_allclose(score.replicates, inception.replicates, rtol=1e-12)
    assert mode_score(generated, reference, 'default', NAMES).value < inception.value - 0.01


def test_am_score_is_its_formula(generated, reference):
    def by_hand(generated, reference):
        divergence = KL(reference.values.mean(0), generated.values.mean(0))
        return divergence + np.mean([KL(p) for p in generated.values])

    score = am_score(generated, reference, NAMES)
    assert score.value == pytest.approx(by_hand(generated, reference), rel=1e-9)
    assert_exact_replicates(score, by_hand, generated, reference)


def test_certain_images_in_the_right_numbers_have_the_best_scores():
    certain = sample(np.eye(3)[np.arange(60) % 3])
    assert am_score(certain, certain, NAMES).value == 0.0
    assert mode_score(certain, certain, 'default', NAMES).value == pytest.approx(3, rel=1e-9)


def test_a_class_that_the_reference_lacks_is_named(generated):
    lacking = sample(np.tile([0.5, 0.0, 0.5], (120, 1)))
    for variant in ('default', 'identity'):
        score = mode_score(generated, lacking, variant, NAMES)
        assert score == Missing(
            "is infinite: class 'chest' has probability 0 in all reference images, but not in the generated ones."
        )
    assert isinstance(mode_score(generated, lacking, 'reversed', NAMES), Estimate)  # 0 log 0 = 0
    assert isinstance(am_score(generated, lacking, NAMES), Estimate)


def test_a_class_that_is_never_generated_is_named(reference):
    lacking = sample(np.tile([0.5, 0.5, 0.0], (120, 1)))
    reason = "is infinite: class 'head' has probability 0 in all generated images, but not in the reference ones."
    assert am_score(lacking, reference, NAMES) == Missing(reason)
    assert mode_score(lacking, reference, 'reversed', NAMES) == Missing(reason)
    assert isinstance(mode_score(lacking, reference, 'default', NAMES), Estimate)


def test_a_class_of_one_group_is_named(generated):
    values = np.tile([0.5, 0.5, 0.0], (50, 1))
    values[7] = [0.0, 0.0, 1.0]
    score = mode_score(generated, FeatureSample(values, np.arange(50) % 5, 5), 'default', NAMES)
    assert isinstance(score, Missing)
    assert 'in all reference images without group 2,' in score.reason


def test_absent_classes_are_those_of_other_images_alone():
    values = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]])
    others = np.array([[0.6, 0.3, 0.1], [0.1, 0.5, 0.4]])
    assert absent_classes(values, others, NAMES) == ('chest',)
    assert absent_classes(others, values, NAMES) == ()
    assert absent_classes(values[:, :0], others[:, :0], ()) == ()


def test_bad_values_have_no_score(generated, reference):
    values = generated.values.copy()
    values[3] = np.nan
    broken = FeatureSample(values, generated.groups, generated.group_count)
    expected = Missing('1 of 90 generated images are not finite.')
    assert inception_score(broken) == am_score(broken, reference, NAMES) == expected
    assert isinstance(inception_score_of_splits(values), Missing)
    with pytest.raises(ValueError, match='add up to 1'):
        inception_score(sample(2 * generated.values))
    with pytest.raises(ValueError, match="no Mode Score 'other'; there are default, identity, reversed"):
        mode_score(generated, reference, 'other', NAMES)
