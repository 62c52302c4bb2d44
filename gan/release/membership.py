"""A membership-inference attack: can generated images tell who was in the training set?"""

import dataclasses

import numpy as np
import scipy.stats
from jaxtyping import Float, Float64, Int

from gan.scores.distances import nearest
from gan.scores.estimates import Estimate, Missing, Sample, Score, find_faults

MINIMUM = 10  # held-out images


@dataclasses.dataclass(frozen=True)
class Attack:
    """What the attack found.

    Attributes:
      area: under its ROC curve, 0.5 where it tells nothing, 1 where it tells everybody; with its interval.
      calibrated: whether distances to a generator that never saw the images were subtracted.
    """

    area: Score
    calibrated: bool


def attack(
    members: Sample,
    others: Sample,
    generated: Float[np.ndarray, 'generated feature'],
    reference: Float[np.ndarray, 'reference feature'] | None,
) -> Attack:
    """Scores images by how near the nearest generated one is, and asks how well that tells members from others.

    GAN-Leaks (Chen et al. 2020, arXiv:1909.03935, sections 4.2 and 4.5): the score of x is -min_j |x - G(z_j)|,
    less the same for a reference that has not seen x, so that images which are easy to draw do not pass as known.

    Args:
      members, others: features of training images and of held-out ones, with the groups of their patients.
      generated: features of images of the generator under attack.
      reference: features of images of another generator, or of real images that are neither members nor others;
        None attacks without calibration.
    """
    calibrated = reference is not None and len(reference) > 0
    if fault := find_faults(MINIMUM, training=members, held_out=others):
        return Attack(fault, calibrated)
    for name, features in (('generated', generated), ('reference', reference)):
        if features is not None and not np.isfinite(features).all():
            return Attack(Missing(f'has {name} images whose features are not finite.'), calibrated)
    scores = [-nearest(sample.values, generated)[0] for sample in (members, others)]
    if reference is not None and len(reference):
        easy = [nearest(sample.values, reference)[0] for sample in (members, others)]
        scores = [score + distance for score, distance in zip(scores, easy, strict=True)]
    counts = {'members': len(members), 'others': len(others), 'generated': len(generated)}
    kept = [_area(*scores)]
    for group in range(members.group_count):
        kept.append(_area(scores[0][members.groups != group], scores[1][others.groups != group]))
    return Attack(Estimate(kept[0], np.asarray(kept[1:]), counts), calibrated)


def _area(members: Float64[np.ndarray, 'member'], others: Float64[np.ndarray, 'other']) -> float:
    """Chance that a member's score is above another's, ties counted half (Mann-Whitney U over all pairs)."""
    ranks = scipy.stats.rankdata(np.concatenate([members, others]))[: len(members)]
    wins = ranks.sum() - len(members) * (len(members) + 1) / 2
    return float(wins / (len(members) * len(others)))


def choose(owners: Int[np.ndarray, 'count'], count: int, seed: int) -> Int[np.ndarray, 'chosen']:
    """Rows of at most `count` images, of whole patients where these have no more than that, in rising order."""
    patients, places = np.unique(owners, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(patients))[places]
    return np.sort(np.argsort(order, kind='stable')[:count])
