"""95% intervals from resampled patients."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from detect.metrics.samples import Weights
from foundation.statistics.resampling import count_draws

_CELLS = 2**21  # weights held at a time, so that memory is bounded
Patients = Int[np.ndarray, ' image']


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
