"""Whether masks belong to their images: Dice of what a segmenter finds in an image with its own mask."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, UInt8

from foundation.statistics.jackknife import SHARE, FeatureSample, Score
from gan.scores.masks import average_known

ALL_CLASSES = 'all classes'
Masks = UInt8[np.ndarray, 'count height width 1']


def measure_agreement(masks: Masks, found: Masks, class_count: int) -> Float64[np.ndarray, 'count _']:
    """Dice of each foreground class and their mean, a row an image; NaN for a class that is in neither mask.

    A class that one of both lacks has a Dice of 0, as nnU-Net has it.

    Args:
      masks: that belong to the images, class ids, 0 the background.
      found: by the segmenter in the images.
      class_count: foreground classes.
    """
    columns = []
    for number in range(1, class_count + 1):
        one, other = ((ids == number).reshape(len(ids), -1) for ids in (masks, found))
        total = one.sum(axis=1) + other.sum(axis=1)
        columns.append(np.where(total > 0, 2 * (one & other).sum(axis=1) / np.maximum(total, 1), np.nan))
    dice = np.stack(columns, axis=1)
    known = np.isfinite(dice)
    counts = known.sum(axis=1)
    mean = np.where(counts > 0, np.where(known, dice, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)
    return np.concatenate([dice, mean[:, None]], axis=1)


def score_agreement(measured: FeatureSample, classes: Sequence[str]) -> dict[str, Score]:
    """The mean over images of each class, and of all where there are several, with intervals over patients.

    Args:
      measured: rows of `measure_agreement`.
      classes: names of the foreground classes, that of id 1 first.
    """
    scores = {name: average_known(measured, column, SHARE) for column, name in enumerate(classes)}
    if len(classes) > 1:
        scores[ALL_CLASSES] = average_known(measured, len(classes), SHARE)
    return scores


def find_exchange(masks: Masks, found: Masks, class_count: int) -> tuple[int, int] | None:
    """A class of the masks, and another of the segmenter's that lies there more than the class of its own id.

    By the Dice of all pixels of all images together: two such ids mean two things. None where there is no such
    class.
    """
    size = class_count + 1
    pairs = np.bincount(size * masks.ravel().astype(int) + found.ravel(), minlength=size**2).reshape(size, size)
    totals = pairs.sum(axis=1)[1:, None] + pairs.sum(axis=0)[None, 1:]
    dice = 2 * pairs[1:, 1:] / np.maximum(totals, 1)
    for number, row in enumerate(dice, start=1):
        if row.max() > row[number - 1]:
            return number, int(row.argmax()) + 1
    return None
