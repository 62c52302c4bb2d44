"""What scores are computed from: a number for every image, its label, its patient, and how often it counts.

Scores take weights with a row for every draw of a bootstrap, so that all draws are computed at once. Where a score
is undefined it is NaN, never 0.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Integer

Scores = Float[np.ndarray, ' image']
Probabilities = Float[np.ndarray, ' image']
Labels = Integer[np.ndarray, ' image'] | Bool[np.ndarray, ' image']
Weights = Float64[np.ndarray, 'draw image']
Values = Float64[np.ndarray, ' draw']
RATES = {'fpr_1_percent': 0.01, 'fpr_0_1_percent': 0.001}  # of false positives that a user may accept


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """What a detector says of the images of a split.

    Attributes:
      scores: the higher, the more like a fake; logits, or anything that ranks.
      probabilities: p(fake), calibrated on validation; None where the detector gives none.
      labels: 1 = fake.
      patients: the number of each image's patient.

    Raises:
      ValueError: without images, for numbers that are not finite, probabilities outside [0, 1] and other labels.
    """

    scores: Scores
    probabilities: Probabilities | None
    labels: Labels
    patients: Int[np.ndarray, ' image']

    def __post_init__(self) -> None:
        check_scores(self.scores, self.labels)
        if self.probabilities is not None and not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise ValueError('Probabilities are numbers from 0 to 1.')

    def __getitem__(self, chosen: Bool[np.ndarray, ' image']) -> 'Judged':
        """The images that are chosen."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Judged(self.scores[chosen], probabilities, self.labels[chosen], self.patients[chosen])

    @property
    def fake(self) -> Bool[np.ndarray, ' image']:
        """Whether an image is fake."""
        return self.labels.astype(bool)


def check_scores(scores: Scores, labels: Labels) -> None:
    """Raises ValueError without images, for scores that are not finite, and for labels that are not 0 or 1."""
    if not len(scores):
        raise ValueError('There are no images to be scored.')
    if not np.isfinite(scores).all():
        raise ValueError(f'{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite.')
    if not np.isin(labels, (0, 1)).all():
        raise ValueError('Labels are 0 for real and 1 for fake.')


def weigh_once(count: int) -> Weights:
    """One draw in which each image counts once."""
    return np.ones((1, count))


def ratio(
    numerator: Float64[np.ndarray, '*shape'], denominator: Float64[np.ndarray, '*#shape']
) -> Float64[np.ndarray, '*shape']:
    """NaN where the denominator is 0."""
    whole = np.broadcast_to(denominator, numerator.shape)
    return np.divide(numerator, whole, out=np.full(numerator.shape, np.nan), where=whole != 0)
