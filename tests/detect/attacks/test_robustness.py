"""Robust scores by direction, and attacks on data that do not fill their last batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from detect.attacks.evasion import pgd
from detect.attacks.threat import Threat
from detect.evaluation.robustness import attack_one_class, attacked_logits, measure_robustness, worst_logits
from tests.detect.attacks import models

LABELS = np.array([1, 1, 1, 0, 0])
CLEAN = np.array([3.0, 1.0, -1.0, -2.0, 2.0])
WORST = np.array([1.0, -3.0, -2.0, 0.5, 4.0])


@pytest.mark.parametrize('kind', [bool, int])
def test_the_worst_of_several_attacks(kind):
    logits = [np.array([1.0, 2.0, 1.0, 2.0]), np.array([2.0, 1.0, 2.0, 1.0])]
    np.testing.assert_array_equal(worst_logits(logits, np.array([1, 1, 0, 0], kind)), [1, 1, 2, 2])


@pytest.mark.parametrize('threshold', [0.0, 0.5])
def test_scores_by_direction(threshold):
    scores = measure_robustness(CLEAN, WORST, LABELS, threshold=threshold)
    found = scores.accuracy, scores.fake_accuracy, scores.real_accuracy
    assert found == pytest.approx((1 / 5, 1 / 3, 0))
    mixed = {
        'auroc': [1, -3, -2, 0.5, 4],
        'auroc_fake_to_real': [1, -3, -2, -2, 2],
        'auroc_real_to_fake': [3, 1, -1, 0.5, 4],
    }
    for name, logits in mixed.items():
        assert getattr(scores, name) == pytest.approx(roc_auc_score(LABELS, logits))


def test_a_class_without_images_has_no_score():
    scores = measure_robustness(CLEAN[:3], WORST[:3], LABELS[:3], threshold=0.0)
    assert scores.fake_accuracy == pytest.approx(1 / 3)
    assert np.isnan([scores.real_accuracy, scores.auroc]).all()


def test_one_class_is_attacked():
    np.testing.assert_array_equal(attack_one_class(CLEAN, WORST, LABELS, fakes=True), [1, -3, -2, -2, 2])


def test_batches_and_the_part_of_a_batch_at_the_end():
    images, labels = np.asarray(models.IMAGES), np.asarray(models.LABELS)
    shapes = []

    def attack(shown, labels, key):
        shapes.append(shown.shape)
        settings = {'threat': Threat(0.1, None), 'objective': 'margin', 'steps': 4, 'restarts': 1}
        return pgd(models.LINEAR, shown, labels, key, **settings)

    found = attacked_logits(models.LINEAR, attack, images, labels, models.KEY, batch=4)
    np.testing.assert_allclose(found, models.worst_logits(images, labels, 0.1), rtol=1e-4, atol=1e-5)
    assert shapes == [(4, *models.SHAPE)] * 2


def test_batches_have_keys_of_their_own():
    def jitter(shown, labels, key):
        return shown + jax.random.uniform(key, (len(shown), 1, 1, 1))

    images = np.zeros((4, 1, 1, 1), np.float32)
    mean = functools.partial(jnp.mean, axis=(1, 2, 3))
    found = attacked_logits(mean, jitter, images, np.zeros(4, int), models.KEY, batch=2)
    assert len(set(found)) == 4
