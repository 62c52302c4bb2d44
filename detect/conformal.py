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
class Evidence:
    """Three things that are known of an image, none of which stands for another; all are conformal p values.

    Attributes:
      real_p, fake_p: trace of synthesis: how often real images bear as much of it, and synthetic ones
        as little.
      anomaly_p: distance from real training images: how often real images of validation are as strange.
      kind_p, made_kind_p: whether this kind of picture was trained on: how often real images of validation are as
        far from the real ones of training, and synthetic ones from the synthetic; None where the detector was
        finished before that was looked at.
    """

    real_p: float
    fake_p: float
    anomaly_p: float
    kind_p: float | None
    made_kind_p: float | None

    def fits(self, error_level: float) -> tuple[bool, bool]:
        """Whether it fits real images, and synthetic ones, by its trace."""
        return self.real_p > error_level, self.fake_p > error_level

    def knows(self, error_level: float) -> tuple[bool, bool] | None:
        """Whether real pictures of its kind were trained on, and synthetic ones; None where nobody looked."""
        if self.kind_p is None or self.made_kind_p is None:
            return None
        return self.kind_p > error_level, self.made_kind_p > error_level

    def describe(self, error_level: float) -> dict[str, Any]:
        """What each says at the error level, for JSON and for people."""
        fits_real, fits_fake = self.fits(error_level)
        strange = self.anomaly_p <= error_level
        known = self.knows(error_level)
        return {
            'trace': {
                'found': None if fits_real == fits_fake else fits_fake,
                'real_p': self.real_p,
                'fake_p': self.fake_p,
                'says': _TRACES[fits_real, fits_fake],
            },
            'strangeness': {'found': strange, 'p': self.anomaly_p, 'says': _STRANGENESS[strange]},
            'kind': {
                'known': None if known is None else any(known),
                'real_p': self.kind_p,
                'fake_p': self.made_kind_p,
                'says': _KINDS[known],
            },
        }


def describe_unseen() -> dict[str, Any]:
    """What `Evidence.describe` tells of an image that was not looked at."""
    says = 'It was not looked at.'
    return {
        'trace': {'found': None, 'real_p': None, 'fake_p': None, 'says': says},
        'strangeness': {'found': None, 'p': None, 'says': says},
        'kind': {'known': None, 'real_p': None, 'fake_p': None, 'says': says},
    }


_TRACES = {
    (True, True): 'It fits both real and synthetic images.',
    (True, False): 'It bears no trace of a generator that is known.',
    (False, True): 'It bears the trace of a generator.',
    (False, False): 'It fits neither real nor synthetic images.',
}
_STRANGENESS = {
    True: 'It is unlike the real images of training.',
    False: 'It is no stranger than real images are.',
}
_KINDS = {
    (True, True): 'Pictures of its kind were trained on.',
    (True, False): 'Real pictures of its kind were trained on.',
    (False, True): 'Of its kind, only synthetic pictures were trained on.',
    (False, False): 'Pictures of its kind were not trained on.',
    None: 'Whether pictures of its kind were trained on is not known.',
}
_UNCHECKED = (
    'It bears no trace of a generator, but whether pictures of its kind were trained on is not known: this '
    'detector was finished before that was looked at; run its training command again, which adds it.'
)


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
        """A verdict for each score, by the trace of synthesis alone.

        Args:
          scores: of images.
          error_level: share of reals that may be taken not to be real, and of fakes not to be fake.

        Raises:
          UserError: for an error level that is not between 0 and 1, or that calibration has too few images for.
        """
        self.check_level(error_level)
        real_p, fake_p = self.p_values(scores)
        pairs = zip(real_p, fake_p, strict=True)
        return [decide(Evidence(float(real), float(fake), 1.0, 1.0, 1.0), error_level) for real, fake in pairs]

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


def decide(evidence: Evidence, error_level: float) -> ConformalVerdict:
    """The class that is conformal at the error level, where the other is not, and the kind of picture is known.

    What is stranger than nearly all real images is never called real: it need not bear the traces of generators
    that are known. Nothing is called anything of a kind that was not trained on, nor real where only synthetic
    pictures of its kind were.
    """
    fits_real, _ = evidence.fits(error_level)
    reason = _find_doubt(evidence, error_level)
    answer: Answer = "don't know" if reason else 'real' if fits_real else 'synthetic'
    return ConformalVerdict(answer, evidence.real_p, evidence.fake_p, reason)


def _find_doubt(evidence: Evidence, error_level: float) -> str | None:
    """Why nothing can be said, the weightiest first; None where something can."""
    fits_real, fits_fake = evidence.fits(error_level)
    known = evidence.knows(error_level)
    if known == (False, False):
        return 'It is unlike every kind of picture that the detector was trained on.'
    if fits_real == fits_fake:
        return f'The image fits {"both real and" if fits_real else "neither real nor"} synthetic images.'
    if fits_real and evidence.anomaly_p <= error_level:
        return 'It bears no trace of a generator, but is unlike the real images of training.'
    if fits_real and known == (False, True):
        return 'It bears no trace of a generator, but only synthetic pictures of its kind were trained on.'
    return _UNCHECKED if fits_real and known is None else None
