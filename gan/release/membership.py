"""A membership-inference attack: can generated images tell who was in the training set?"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float, Float64, Int

from foundation.statistics.jackknife import SHARE, Estimate, FeatureSample, Missing, Score, find_faults
from gan.scores.distances import nearest

MINIMUM = 10  # held-out images
Labels = Int[np.ndarray, '_']


@dataclasses.dataclass(frozen=True)
class MembershipAttack:
    """What the attack found.

    Attributes:
      area: under its ROC curve among images of one class, 0.5 where it tells nothing, 1 where it tells everybody;
        with its interval.
      calibrated: whether distances to a generator that never saw the images were subtracted.
    """

    area: Score
    calibrated: bool


def highest_area(area: Estimate) -> float:
    """The upper end of the interval for an attacker who may also turn the answers round.

    An area far below 0.5 tells members as well as one as far above it: they are those who look less known.
    """
    low, high = area.interval()
    return max(high, 1 - low)


class AttackedImages(NamedTuple):
    """What an attack compares; see `attack`."""

    members: FeatureSample
    others: FeatureSample
    classes: tuple[Labels, Labels]
    generated: Float[np.ndarray, 'generated feature']
    reference: Float[np.ndarray, 'reference feature'] | None


def attack(
    members: FeatureSample,
    others: FeatureSample,
    classes: tuple[Labels, Labels],
    generated: Float[np.ndarray, 'generated feature'],
    reference: Float[np.ndarray, 'reference feature'] | None,
) -> MembershipAttack:
    """Scores images by how near the nearest generated one is, and asks how well that tells members from others.

    GAN-Leaks (Chen et al. 2020, arXiv:1909.03935, sections 4.2 and 4.5): the score of x is -min_j |x - G(z_j)|,
    less the same for a reference that has not seen x, so that images which are easy to draw do not pass as known.
    Only images of the same class are compared: classes are not equally easy, and need not be as frequent among
    members as among others.

    Args:
      members, others: features of training images and of held-out ones, with the groups of their patients.
      classes: of the images of both.
      generated: features of images of the generator under attack.
      reference: features of images of another generator, or of real images that are neither members nor others;
        None attacks without calibration.
    """
    calibrated = reference is not None and len(reference) > 0
    if fault := find_faults(MINIMUM, training=members, held_out=others):
        return MembershipAttack(fault, calibrated)
    for name, features in (('generated', generated), ('reference', reference)):
        if features is not None and not np.isfinite(features).all():
            return MembershipAttack(Missing(f'has {name} images whose features are not finite.'), calibrated)
    scores = [score_images(sample.values, generated, reference) for sample in (members, others)]
    counts = {'members': len(members), 'others': len(others), 'generated': len(generated)}
    areas = [area_within_classes(scores, classes)]
    for group in range(members.group_count):
        kept = [sample.groups != group for sample in (members, others)]
        areas.append(area_within_classes(_keep(scores, kept), _keep(classes, kept)))
    if not np.isfinite(areas).all():
        return MembershipAttack(Missing('has no class with training and held-out images.'), calibrated)
    return MembershipAttack(Estimate(areas[0], np.asarray(areas[1:]), counts, SHARE), calibrated)


def score_images(
    images: Float[np.ndarray, 'image feature'],
    generated: Float[np.ndarray, 'generated feature'],
    reference: Float[np.ndarray, 'reference feature'] | None,
) -> Float64[np.ndarray, ' image']:
    """How much nearer the nearest generated image is than the nearest reference image; see `attack`."""
    scores = -nearest(images, generated)[0]
    if reference is not None and len(reference):
        scores = scores + nearest(images, reference)[0]
    return scores


def _keep(columns: Sequence[np.ndarray], kept: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [column[rows] for column, rows in zip(columns, kept, strict=True)]


def area_within_classes(scores: Sequence[np.ndarray], classes: Sequence[np.ndarray]) -> float:
    """The area under the ROC curve over all pairs of a member and another of the same class; NaN without any."""
    wins, pairs = 0.0, 0
    for label in np.intersect1d(classes[0], classes[1]):
        members, others = _keep(scores, [labels == label for labels in classes])
        wins += _area(members, others) * len(members) * len(others)
        pairs += len(members) * len(others)
    return wins / pairs if pairs else math.nan


def _area(members: Float64[np.ndarray, 'member'], others: Float64[np.ndarray, 'other']) -> float:
    """Chance that a member's score is above another's, ties counted half (Mann-Whitney U over all pairs)."""
    ranks = scipy.stats.rankdata(np.concatenate([members, others]))[: len(members)]
    wins = ranks.sum() - len(members) * (len(members) + 1) / 2
    return float(wins / (len(members) * len(others)))
