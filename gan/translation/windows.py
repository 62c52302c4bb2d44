"""Images that are larger than a network's, in overlapping windows whose results fade into each other."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

Images = Float32[np.ndarray, 'count height width channels']
_OVERLAP = 0.5  # share of a window that its neighbour covers


def starts_of(length: int, side: int) -> list[int]:
    """First pixels of windows that cover a length evenly and overlap by half at least.

    Args:
      length: pixels to cover, not fewer than `side`.
      side: pixels of a window.
    """
    steps = -(-(length - side) // max(int(side * _OVERLAP), 1))
    return [round(number * (length - side) / max(steps, 1)) for number in range(steps + 1)]


def in_windows(translate: Callable[[Images], Images], images: Images, side: int) -> Images:
    """Translates images by windows; each result weighs most in the middle of its window.

    Args:
      translate: square images of this side.
      images: square, not smaller.
      side: of a window.
    """
    if images.shape[1] == side:
        return translate(images)
    ramp = np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float32)
    weights = (ramp[:, None] * ramp[None, :])[None, :, :, None]
    total, weight = np.zeros_like(images), np.zeros((1, *images.shape[1:3], 1), np.float32)
    for row in starts_of(images.shape[1], side):
        for column in starts_of(images.shape[2], side):
            window = np.s_[:, row : row + side, column : column + side]
            total[window] += weights * translate(images[window])
            weight[window] += weights
    return total / weight
