"""Conformal p values: how strange a score is among those of calibration."""

import numpy as np
from jaxtyping import Float, Float64


def conformal_p_values(
    calibration: Float[np.ndarray, ' calibrated'], scores: Float[np.ndarray, ' image']
) -> Float64[np.ndarray, ' image']:
    """(1 + number of the n calibration scores no less than s) / (n + 1), above 0, up to 1 (Vovk et al. 2005).

    Of images like those of calibration, no more than a share alpha has p <= alpha. For fakes, which are strange
    where scores are low, negate both.

    Args:
      calibration: of images of one class that nothing was trained on.
      scores: to be judged; the higher, the less like that class.
    """
    below = np.searchsorted(np.sort(calibration), scores, side='left')
    return (1 + len(calibration) - below) / (len(calibration) + 1)
