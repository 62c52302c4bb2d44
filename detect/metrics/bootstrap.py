"""95% intervals from resampled patients."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from detect.metrics.samples import Values, Weights
from foundation.statistics.resampling import count_draws

TAIL = 0.025  # at each end of a 95% interval
_CELLS = 2**21  # weights held at a time, so that memory is bounded
_DEFINED = 0.9  # share of the draws in which a score must be defined
Patients = Int[np.ndarray, ' image']


@dataclasses.dataclass(frozen=True)
class Score:
    """A score with its 95% interval, for JSON.

    Attributes:
      value: None where it is undefined.
      low, high: ends of the interval; None where it cannot be told.
    """

    value: float | None
    low: float | None
    high: float | None


def draw_weights(
    patients: Patients, fake: Bool[np.ndarray, ' image'], *, resamples: int, seed: int
) -> Iterator[Weights]:
    """How often each image counts where patients are drawn with replacement, in blocks of draws.

    Patients with real images only, with fakes only and with both are drawn apart, as many as there are, so that
    every draw has reals and fakes, and that a patient's real images and fakes come together.

    Args:
      patients: the number of each image's patient.
      fake: whether an image is.
      resamples: draws over all blocks.
      seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    places = np.unique(patients, return_inverse=True)[1]
    strata = [np.flatnonzero(kind) for kind in _kinds(places, fake) if kind.any()]
    block = max(1, _CELLS // len(places))
    for start in range(0, resamples, block):
        times = np.zeros((min(block, resamples - start), int(places.max()) + 1))
        for members in strata:
            times[:, members] = count_draws(generator, len(times), len(members))
        yield times[:, places]


def _kinds(places: Patients, fake: Bool[np.ndarray, ' image']) -> Bool[np.ndarray, '3 patient']:
    """Whether a patient, numbered from 0, has real images only, fakes only, or both."""
    has_fakes, has_reals = (np.bincount(places, weights=each) > 0 for each in (fake, ~fake))
    return np.stack([has_reals & ~has_fakes, has_fakes & ~has_reals, has_reals & has_fakes])


def count_patients(patients: Patients, fake: Bool[np.ndarray, ' image']) -> tuple[int, int]:
    """Patients with real images, and with fakes."""
    return len(np.unique(patients[~fake])), len(np.unique(patients[fake]))


def count_pairs(patients: Patients, fake: Bool[np.ndarray, ' image']) -> int:
    """The most pairs of a patient with real images and another with fakes, no patient being in two of them."""
    return min(*count_patients(patients, fake), len(np.unique(patients)) // 2)


def can_resample(patients: Patients, fake: Bool[np.ndarray, ' image']) -> bool:
    """Whether both the reals and the fakes vary between draws."""
    reals, fakes, both = _kinds(np.unique(patients, return_inverse=True)[1], fake).sum(axis=1)
    return bool(max(reals, both) > 1 and max(fakes, both) > 1)


def percentile_interval(value: float, replicates: Values, patients: int) -> Score:
    """The percentile interval (Efron and Tibshirani 1993, section 13.3).

    Where all draws give 1 the lower end is the share p with p^patients = 2.5%: resampled, faultless images would
    be faultless again, and 0 errors in 5 patients would look like 0 in 5,000. For the shares of a class that is
    exact with one image a patient; for AUROC it is safe, since as many pairs of patients were ranked rightly; for
    other scores it is of the right size. Where all draws give 0, the upper end likewise.

    Args:
      value: of the data, without weights.
      replicates: of the draws; NaN where undefined.
      patients: of the class that the score is about; pairs of them where it is about both.
    """
    defined = replicates[np.isfinite(replicates)]
    if np.isnan(value) or len(defined) < max(_DEFINED * len(replicates), 1):
        return Score(None if np.isnan(value) else value, None, None)
    low, high = (float(end) for end in np.quantile(defined, [TAIL, 1 - TAIL]))
    if defined.min() == defined.max() == 1:
        low = faultless_share(patients)
    if defined.min() == defined.max() == 0:
        high = 1 - faultless_share(patients)
    return Score(value, low, high)


def faultless_share(patients: int) -> float:
    """The smallest share that lets this many patients all be right with a probability of 2.5%."""
    return TAIL ** (1 / patients)
