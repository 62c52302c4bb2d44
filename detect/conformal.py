"""Verdicts that are wrong no more often than stated: conformal p values of being real and of being fake.

They hold exactly for images that are drawn as those of calibration were, and a score that was not fitted on these.
Where several images are of one patient, or the same images served for stacking, they hold about. They say nothing
of images of other machines or generators.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from detect.metrics.samples import Labels, Scores
from detect.metrics.thresholds import check_fit
from foundation.statistics.conformal import conformal_p_values
from foundation.training.errors import UserError

Answer = Literal['real', 'synthetic', "don't know"]


@dataclasses.dataclass(frozen=True)
class ConformalVerdict:
    """What is said of an image.

    Attributes:
      answer: the class that the image fits, where it does not fit the other.
      real_p, fake_p: conformal p values of being real and of being fake.
      reason: one sentence where the answer is "don't know".
    """

    answer: Answer
    real_p: float
    fake_p: float
    reason: str | None


@dataclasses.dataclass(frozen=True)
class Conformal:
    """Scores of calibration, apart by class (label-conditional split conformal prediction).

    Attributes:
      reals, fakes: scores, the higher, the more like a fake.

    Raises:
      ValueError: where either are missing or not finite.
    """

    reals: tuple[float, ...]
    fakes: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.reals or not self.fakes or not all(map(math.isfinite, (*self.reals, *self.fakes))):
            raise ValueError('Conformal verdicts need finite scores of real and of fake images.')

    def judge(self, scores: Scores, *, error_level: float) -> list[ConformalVerdict]:
        """A verdict for each score.

        Args:
          scores: of images.
          error_level: share of reals that may be taken not to be real, and of fakes not to be fake.

        Raises:
          UserError: for an error level that is not between 0 and 1, or that calibration has too few images for.
        """
        self.check_level(error_level)
        real_p, fake_p = self.p_values(scores)
        return [decide(float(real), float(fake), error_level) for real, fake in zip(real_p, fake_p, strict=True)]

    def p_values(self, scores: Scores) -> tuple[Float64[np.ndarray, ' image'], Float64[np.ndarray, ' image']]:
        """Of being real and of being fake, for each score."""
        fake_p = conformal_p_values(-np.array(self.fakes), -scores)
        return conformal_p_values(np.array(self.reals), scores), fake_p

    def check_level(self, error_level: float) -> None:
        """Raises UserError for an error level that cannot be kept, see `judge`."""
        fewest = min(len(self.reals), len(self.fakes))
        if not 1 / (fewest + 1) <= error_level < 1:
            raise UserError(
                f'An error level of {error_level} cannot be kept: {len(self.reals)} real and {len(self.fakes)} '
                f'fake images of validation allow {1 / (fewest + 1):.2g} to below 1.'
            )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> 'Conformal':
        """What `to_dict` gave.

        Raises:
          ValueError: for anything else.
        """
        try:
            return cls(**{name: tuple(value) for name, value in stored.items()})
        except TypeError as error:
            raise ValueError(f'These are no stored scores of calibration: {error}.') from error


def fit_conformal(scores: Scores, labels: Labels, *, split: str) -> Conformal:
    """Keeps the scores of validation.

    Raises:
      ValueError: for another split than 'validation', and for bad scores or labels.
      UserError: without real or without fake images.
    """
    check_fit('A conformal p value', scores, labels, split=split)
    fake, scores = labels.astype(bool), np.asarray(scores, np.float64)
    return Conformal(tuple(np.sort(scores[~fake]).tolist()), tuple(np.sort(scores[fake]).tolist()))


def decide(real_p: float, fake_p: float, error_level: float, *, anomaly_p: float = 1.0) -> ConformalVerdict:
    """The class that is conformal at the error level, where the other is not.

    What is stranger than nearly all real images (`anomaly_p` at most the error level) is never called real: it
    need not bear the traces of generators that are known.
    """
    fits_real, fits_fake = real_p > error_level, fake_p > error_level
    if fits_real and fits_fake:
        return ConformalVerdict("don't know", real_p, fake_p, 'The image fits both real and synthetic images.')
    if not fits_real and not fits_fake:
        return ConformalVerdict("don't know", real_p, fake_p, 'The image fits neither real nor synthetic images.')
    if fits_real and anomaly_p <= error_level:
        reason = 'It bears no trace of a generator, but is unlike the real images of training.'
        return ConformalVerdict("don't know", real_p, fake_p, reason)
    return ConformalVerdict('real' if fits_real else 'synthetic', real_p, fake_p, None)
