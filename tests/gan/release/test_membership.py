"""The attack reads chance on a generator that knows nobody, and more on one that repeats its patients."""

import dataclasses

import numpy as np
import pytest

from foundation.statistics.jackknife import Estimate, FeatureSample, Missing
from gan.release import decision, membership
from gan.release.decision import Policy, decide
from gan.release.gate import GateThresholds, Tally
from gan.release.membership import attack

POLICY = Policy(quantile=0.01, largest_withheld=0.1, largest_area=0.6)
K = 10


def _patients(count, seed):
    features = np.random.default_rng(seed).normal(size=(count, 8))
    return FeatureSample(features, np.arange(count) % K, K)


MEMBERS, OTHERS = _patients(300, 1), _patients(300, 2)
ONE_CLASS = np.zeros(300, int), np.zeros(300, int)
THRESHOLDS = GateThresholds(0.2, 3.0, 0.01, 50, 40)
REFERENCE = _patients(400, 3).values


def _repeat(share):
    """Draws of the same distribution, a share of which are noisy copies of members."""
    generator = np.random.default_rng(4)
    copies = MEMBERS.values[: int(share * 300)] + 0.05 * generator.normal(size=(int(share * 300), 8))
    return np.concatenate([generator.normal(size=(300, 8)), copies])


def test_chance_without_and_more_with_copies():
    innocent = attack(MEMBERS, OTHERS, ONE_CLASS, _repeat(0.0), REFERENCE).area
    assert abs(innocent.value - 0.5) < 0.06  # deviation of an area of 300 by 300: 0.024
    assert innocent.interval()[1] < 0.6
    guilty = attack(MEMBERS, OTHERS, ONE_CLASS, _repeat(0.6), REFERENCE).area
    assert guilty.value > 0.75
    assert guilty.interval()[0] > 0.7


def test_calibration_takes_away_what_is_easy_for_everybody():
    """Members of a common kind are near to any draw; that is no leak, and calibration sees it."""
    easy = FeatureSample(0.3 * MEMBERS.values, MEMBERS.groups, K)
    drawn = _repeat(0.0)
    assert attack(easy, OTHERS, ONE_CLASS, drawn, None).area.value > 0.9
    assert abs(attack(easy, OTHERS, ONE_CLASS, drawn, REFERENCE[:300]).area.value - 0.5) < 0.15
    assert not attack(easy, OTHERS, ONE_CLASS, drawn, None).calibrated


def test_the_area_is_that_of_the_ranks():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 9, 40) / 2, generator.integers(2, 12, 50) / 2  # with ties
    pairs = first[:, None] - second
    expected = (pairs > 0).mean() + (pairs == 0).mean() / 2
    assert membership._area(first, second) == pytest.approx(expected, abs=1e-12)


def test_replicates_leave_a_group_out():
    found = attack(MEMBERS, OTHERS, ONE_CLASS, _repeat(0.3), REFERENCE).area
    without = attack(MEMBERS.without(4), OTHERS.without(4), (np.zeros(270, int),) * 2, _repeat(0.3), REFERENCE)
    assert found.replicates[4] == pytest.approx(without.area.value, abs=1e-12)


def test_too_few_patients_or_values_that_are_not_finite_give_no_area():
    few = FeatureSample(OTHERS.values[:10], OTHERS.groups[:10], K)
    assert 'at least 10 held-out images' in attack(MEMBERS, few, ONE_CLASS, REFERENCE, None).area.reason
    bad = REFERENCE.copy()
    bad[0, 0] = np.nan
    assert (
        'generated images whose features are not finite'
        in attack(MEMBERS, OTHERS, ONE_CLASS, bad, None).area.reason
    )


def test_classes_that_are_easier_to_draw_are_no_leak():
    """Members are mostly of a class that the generator draws well, others mostly of one that it does not."""
    generator = np.random.default_rng(7)
    shares = np.repeat([0, 1], [240, 60]), np.repeat([0, 1], [60, 240])
    places = 20 * np.eye(8)[:2]
    members, others = (
        FeatureSample(places[labels] + generator.normal(size=(300, 8)), np.arange(300) % K, K) for labels in shares
    )
    drawn = np.concatenate(
        [places[0] + generator.normal(size=(500, 8)), places[1] + generator.normal(size=(8, 8))]
    )
    mixed = attack(members, others, ONE_CLASS, drawn, None).area
    assert mixed.value > 0.7
    within = attack(members, others, shares, drawn, None).area
    low, high = within.interval()
    assert low < 0.5 < high
    none = attack(members, others, (ONE_CLASS[0], ONE_CLASS[1] + 1), drawn, None).area
    assert none == Missing('has no class with training and held-out images.')


def _attack(value, error):
    """An estimate whose interval has this half-width over 2.26, for ten groups."""
    replicates = value + error * np.resize([1, -1], K) / np.sqrt(K - 1)
    return membership.MembershipAttack(Estimate(value, replicates, {}), calibrated=True)


@pytest.mark.parametrize(
    ('withheld', 'area', 'words'),
    [
        (5, _attack(0.51, 0.01), ()),
        (11, _attack(0.51, 0.01), ('11 of 100 candidates',)),
        (5, _attack(0.70, 0.01), ('tells who was in training',)),
        (5, _attack(0.52, 0.10), ('too few to exclude it',)),
        (5, _attack(0.30, 0.01), ('its answers turned round, tells who was in training',)),
        (5, _attack(0.48, 0.05), ('its answers turned round, may tell who was in training',)),
        (5, _attack(0.42, 0.005), ()),
        (11, membership.MembershipAttack(Missing('needs more.'), False), ('11 of 100', 'could not be made')),
    ],
)
def test_a_release_passes_only_what_is_shown_to_be_safe(withheld, area, words):
    passed, reasons = decide(Tally(100, withheld, {}), THRESHOLDS, area, POLICY)
    assert passed == (not words)
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))


def test_a_gate_that_cannot_tell_copies_lets_nothing_pass():
    blind = dataclasses.replace(THRESHOLDS, pixels=0.0005)
    passed, (reason,) = decide(Tally(100, 0, {}), blind, _attack(0.5, 0.01), POLICY)
    assert not passed
    assert 'held-out images are copies of training images' in reason


def test_the_manifest_tells_all_figures():
    release = decision.create_release(
        False,
        ['a reason'],
        Tally(100, 11, {'pixels': 4, 'features': 9}),
        THRESHOLDS,
        _attack(0.7, 0.01),
        POLICY,
        extractor={'name': 'random'},
        splits={'train': 5},
        anyway=True,
    )
    figures = release.figures
    assert (release.verdict, figures['released_anyway'], figures['withheld']) == ('fail', True, 11)
    assert figures['membership_attack']['value'] == 0.7
    assert figures['thresholds'] == {
        'pixels': 0.2, 'features': 3.0, 'quantile': 0.01, 'held_out': 50, 'patients': 40
    }  # fmt: skip
