"""The control finds differences between splits, and is not moved by what a generator remembers."""

import dataclasses
import math

import numpy as np
import pytest

from foundation.statistics.jackknife import Estimate, FeatureSample, Missing
from gan.release import control
from gan.release.control import MemberControl, attack_unseen, control_members, needed_patients
from gan.release.membership import AttackedImages, MembershipAttack, attack

K = 10


def _images(drift: float, copies: int, seed: int = 0) -> AttackedImages:
    """300 patients in the order of their names, whose features drift; neighbours of them are held out."""
    generator = np.random.default_rng(seed)
    place = np.linspace(-1, 1, 300)
    features = generator.normal(size=(300, 6))
    features[:, 0] += drift * place
    out = np.zeros(300, bool)
    out[180:240] = True
    members, others = (
        FeatureSample(values, np.arange(len(values)) % K, K) for values in (features[~out], features[out])
    )
    drawn = generator.normal(size=(600, 6))
    # Generators and references of the first patients alone: near to these for no reason but their kind.
    drawn[:, 0] += drift * generator.uniform(-1, -0.5, 600)
    drawn[:copies] = features[~out][:copies] + generator.normal(0, 0.01, (copies, 6))
    reference = generator.normal(size=(100, 6))
    return AttackedImages(members, others, (np.zeros(240, int), np.zeros(60, int)), drawn, reference)


def _control(images: AttackedImages, *, in_blocks: bool) -> MemberControl:
    found = control_members(images, np.arange(len(images.members)), in_blocks=in_blocks)
    assert isinstance(found, MemberControl)
    return found


def test_neighbours_that_differ_explain_an_area_that_chance_does_not():
    images = _images(drift=6.0, copies=0)
    area = attack(*images).area.value
    assert area > 0.6
    blocks, chance = (_control(images, in_blocks=in_blocks) for in_blocks in (True, False))
    assert blocks.share_as_high(area) > 0.05
    assert chance.share_as_high(area) < 0.05
    assert np.ptp(blocks.middle()) > 2 * np.ptp(chance.middle())


def test_a_planted_leak_is_not_explained():
    images = _images(drift=0.0, copies=200)
    area = attack(*images).area.value
    assert area > 0.8
    for in_blocks in (True, False):
        assert _control(images, in_blocks=in_blocks).share_as_high(area) < 0.05
    unseen = attack_unseen(images).area
    low, high = unseen.interval()
    assert low < 0.5 < high


def test_the_best_generator_that_saw_nobody_shares_the_difference_of_the_splits():
    images = _images(drift=6.0, copies=0)
    images = images._replace(reference=np.concatenate([images.generated[:50], images.reference]))
    assert abs(attack_unseen(images._replace(reference=images.generated)).area.value - 0.5) < 0.1
    assert isinstance(attack_unseen(images._replace(reference=None)).area, Missing)


def test_parts_are_cut_as_the_split_was(monkeypatch):
    """Of each class as many patients, as a share, as are held out of it; neighbours, and whole patients."""
    owners = np.repeat(np.arange(40), 3)
    labels = np.repeat([0, 1], 60)
    others = np.repeat([0, 1], [15, 60])  # a fifth of the first class, half of the second
    values = np.random.default_rng(0).normal(size=(120, 2))
    members = FeatureSample(values, owners % K, K)
    held_out = FeatureSample(values[:75], np.arange(75) % K, K)
    parts = []

    def record(scores, classes):
        parts.append([len(part) for part in scores])
        return 0.5

    monkeypatch.setattr(control, 'area_within_classes', record)
    images = AttackedImages(members, held_out, (labels, others), values, None)
    control_members(images, owners, in_blocks=True, cuts=50)
    assert set(map(tuple, parts)) == {(120 - 3 * (4 + 10), 3 * (4 + 10))}
    chosen = control._choose(np.arange(20, 40), 0.5, np.random.default_rng(1), in_blocks=True)
    np.testing.assert_array_equal(np.diff(chosen), 1)


def test_few_patients_cannot_be_cut_often_enough():
    images = _images(drift=0.0, copies=0)
    found = control_members(images, np.arange(240) // 60, in_blocks=True)
    assert isinstance(found, Missing)
    assert '20 ways' in found.reason


def test_shares_count_the_attack_itself():
    found = MemberControl(np.array([0.4, 0.5, 0.6]))
    assert found.share_as_high(0.7) == 1 / 4
    assert found.share_as_high(0.5) == 3 / 4


@pytest.mark.parametrize(('half_width', 'patients', 'expected'), [(0.2, 50, 200), (0.05, 80, 20), (0.1, 30, 30)])
def test_intervals_narrow_with_the_root_of_the_patients(half_width, patients, expected):
    error = half_width / 2.2621571628540993  # Student's t with nine degrees of freedom
    area = Estimate(0.5, 0.5 + error * np.resize([1, -1], K) / math.sqrt(K - 1), {})
    found = MembershipAttack(area, calibrated=True)
    assert np.ptp(area.interval()) / 2 == pytest.approx(half_width)
    assert needed_patients(found, patients, 0.6) == pytest.approx(expected, abs=1)
    assert needed_patients(dataclasses.replace(found, area=Missing('is not there.')), patients, 0.6) is None
