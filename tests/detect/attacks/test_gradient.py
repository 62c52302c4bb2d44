"""Attacks along the gradient: exact for a linear detector, monotone, and a numpy form of Auto-PGD."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from detect.attacks.evasion import OBJECTIVES, Point, Walk, adapt, apgd, checkpoints, pgd
from detect.attacks.threat import Threat, find_logits, margins_of
from tests.detect.attacks.models import (
    BENT,
    BIAS,
    IMAGES,
    KEY,
    LABELS,
    LINEAR,
    WEIGHTS,
    logits,
    steps_from,
    worst_logits,
)

ATTACKS = {
    f'{attack.__name__} {objective}': functools.partial(attack, objective=objective, restarts=1)
    for attack in (pgd, apgd)
    for objective in OBJECTIVES
}
attacks = pytest.mark.parametrize('attack', ATTACKS.values(), ids=ATTACKS)


def _margins(logits_of, images):
    return np.asarray(margins_of(find_logits(logits_of, images), LABELS))


@attacks
@pytest.mark.parametrize('eps', [0.03, 0.5])
def test_the_exact_worst_case_of_a_linear_detector(attack, eps):
    attacked = attack(LINEAR, IMAGES, LABELS, KEY, threat=Threat(eps, None), steps=8)
    np.testing.assert_allclose(logits(attacked), worst_logits(IMAGES, LABELS, eps), rtol=1e-4, atol=1e-4)


@attacks
def test_the_smallest_change_that_deceives_a_linear_detector(attack):
    """|w x + b| / |w|_1, within [-1, 1]."""
    images = IMAGES * 0.3
    labels = jnp.asarray(logits(images) > 0)
    distances = np.abs(logits(images)) / np.abs(WEIGHTS).sum()
    assert distances.max() < 0.7
    for eps, deceived in ((0.99 * distances.min(), 0), (1.01 * distances.max(), len(images))):
        attacked = attack(LINEAR, images, labels, KEY, threat=Threat(eps, None), steps=8)
        assert ((logits(attacked) > 0) != labels).sum() == deceived


@attacks
def test_eps_0_changes_nothing(attack):
    attacked = attack(BENT, IMAGES, LABELS, KEY, threat=Threat(0.0, None), steps=3)
    np.testing.assert_array_equal(attacked, IMAGES)


@attacks
def test_larger_changes_and_more_steps_are_worse(attack):
    clean = _margins(BENT, IMAGES)
    small, large, one_step = (
        _margins(BENT, attack(BENT, IMAGES, LABELS, KEY, threat=Threat(eps, None), steps=steps))
        for eps, steps in ((0.05, 12), (0.2, 12), (0.2, 1))
    )
    assert (small < clean).all()
    assert (large < small).all()
    assert large.mean() < one_step.mean()


@attacks
@pytest.mark.parametrize('levels', [None, 81])
def test_images_stay_within_reach(attack, levels):
    """2.5 Hounsfield units in a window of 80 are 2, once stored as integers."""
    images = IMAGES if levels is None else jnp.round((IMAGES + 1) * 40) / 40 - 1
    attacked = attack(BENT, images, LABELS, KEY, threat=Threat(2.5 / 40, levels), steps=6)
    assert np.abs(attacked).max() <= 1
    changes = np.abs(attacked - images).max(axis=(1, 2, 3)) * 40
    np.testing.assert_allclose(changes, 2.5 if levels is None else 2, atol=1e-4)
    assert (_margins(BENT, attacked) < _margins(BENT, images)).all()
    if levels is not None:
        np.testing.assert_allclose(steps_from(attacked, levels), np.round(steps_from(attacked, levels)), atol=1e-3)


@attacks
def test_a_change_below_one_grey_level_does_not_survive(attack):
    images = jnp.round((IMAGES + 1) * 127.5) / 127.5 - 1
    attacked = attack(BENT, images, LABELS, KEY, threat=Threat(0.9 / 127.5, 256), steps=3)
    np.testing.assert_allclose(attacked, images, atol=1e-6)


@pytest.mark.parametrize('attack', [pgd, apgd])
def test_the_key_decides_and_restarts_only_help(attack):
    attack = functools.partial(attack, BENT, IMAGES, LABELS, threat=Threat(0.3, None), objective='margin', steps=2)
    first, again, other = (attack(jax.random.key(seed), restarts=1) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    more = attack(jax.random.key(0), restarts=4)
    assert (_margins(BENT, more) <= _margins(BENT, first)).all()
    assert (_margins(BENT, more) < _margins(BENT, first)).any()


@pytest.mark.parametrize('attack', [pgd, apgd])
def test_only_the_margin_reaches_a_detector_that_saturates(attack):
    scaled = Partial(LINEAR.func, 1e4 * jnp.asarray(WEIGHTS), jnp.float32(1e4 * BIAS))
    labels = jnp.asarray(logits(IMAGES) > 0)
    threat = Threat(float(1.1 * np.abs(logits(IMAGES)).max() / np.abs(WEIGHTS).sum()), None)
    fooled = {}
    for objective in OBJECTIVES:
        settings = {'threat': threat, 'objective': objective, 'steps': 8, 'restarts': 1}
        attacked = attack(scaled, IMAGES * 0.8, labels, KEY, **settings)
        fooled[objective] = ((logits(attacked) > 0) != labels).mean()
    assert fooled['margin'] == 1
    assert fooled['cross_entropy'] < 0.5


def test_checkpoints_of_the_paper():
    assert checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)


@pytest.mark.parametrize(
    ('rises', 'halved', 'gained', 'halves'),
    [(7, False, True, True), (8, False, True, False), (8, False, False, True), (8, True, False, False)],
)
def test_when_steps_are_halved(rises, halved, gained, halves):
    """Of 10 steps fewer than 7.5 helped; or nothing was gained, though the last checkpoint did not halve."""
    here, best = (Point(jnp.full((1, 1, 1, 1), x), jnp.array([x]), jnp.full((1, 1, 1, 1), x)) for x in (1.0, 2.0))
    milestone = best.values - 0.5 if gained else best.values
    walk = Walk(here, here.images, best, jnp.array([0.4]), jnp.array([rises]), jnp.array([halved]), milestone)
    adapted = adapt(walk, 10)
    assert adapted.size.item() == pytest.approx(0.2 if halves else 0.4)
    assert adapted.halved.item() == halves
    assert [part.item() for part in adapted.current] == ([2.0] * 3 if halves else [1.0] * 3)
    assert (adapted.rises.item(), adapted.milestone.item()) == (0, 2.0)


def _apgd_in_numpy(objective, gradient, clean, start, eps, steps):
    """Algorithm 1 of Croce and Hein 2020 for one image, with the paper's indices."""

    def project(x):
        return np.clip(np.clip(x, clean - eps, clean + eps), -1, 1)

    marks = [0, *checkpoints(steps)]
    eta, x = 2 * eps, [start]
    etas = {0: eta}
    x.append(project(x[0] + eta * np.sign(gradient(x[0]))))
    values = [objective(x[0]), objective(x[1])]
    bests = [values[0], max(values)]
    best = x[int(values[1] > values[0])]
    rises = [values[1] > values[0]]
    for k in range(1, steps + 1):
        if k in marks:
            before = marks[marks.index(k) - 1]
            few = sum(rises[before:k]) < 0.75 * (k - before)
            stuck = etas[before] == eta and bests[before] == bests[k]
            if few or stuck:
                eta, x[k] = eta / 2, best
                values[k] = bests[k]
            etas[k] = eta
        if k == steps:
            return bests[k]
        z = project(x[k] + eta * np.sign(gradient(x[k])))
        x.append(project(x[k] + 0.75 * (z - x[k]) + 0.25 * (x[k] - x[k - 1])))
        values.append(objective(x[k + 1]))
        rises.append(values[k + 1] > values[k])
        if values[k + 1] > bests[k]:
            best = x[k + 1]
        bests.append(max(bests[k], values[k + 1]))
    raise AssertionError


def test_auto_pgd_in_numpy():
    eps, steps = 0.4, 30
    first, second = (np.asarray(weights, np.float64) for weights in BENT.args[0])
    low, high = (np.clip(IMAGES + change, -1, 1) for change in (-eps, eps))
    starts = low + (high - low) * np.asarray(jax.random.uniform(jax.random.fold_in(KEY, 0), IMAGES.shape))
    threat = Threat(eps, None)
    attacked = apgd(BENT, IMAGES, LABELS, KEY, threat=threat, objective='margin', steps=steps, restarts=1)
    found = _margins(BENT, attacked)
    for image, label, start, margin in zip(IMAGES, LABELS, starts, found, strict=True):
        sign = -1 if label else 1

        def objective(x, sign=sign):
            return sign * np.tanh(x @ first / 2) @ second

        def gradient(x, sign=sign):
            return sign * first @ (second * (1 - np.tanh(x @ first / 2) ** 2)) / 2

        flat = np.asarray(image, np.float64).ravel()
        best = _apgd_in_numpy(objective, gradient, flat, start.ravel().astype(np.float64), eps, steps)
        assert -margin == pytest.approx(best, abs=1e-4)
