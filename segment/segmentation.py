"""A mask, and how sure its network was: of each pixel, and of each class as a whole."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, UInt8

_WHOLE = 255  # of doubt


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """The mask of one image or volume.

    Attributes:
      ids: class of every pixel, 0 the background.
      doubt: 1 minus the probability of that class, from 0 to 255 for 0 to 1.
      expected_dice: of each foreground class, that of id 1 first: the Dice that the mask would reach if the
        probabilities were true; None where the class was not found.
    """

    ids: UInt8[np.ndarray, 'slices height width']
    doubt: UInt8[np.ndarray, 'slices height width']
    expected_dice: tuple[float | None, ...]


def decide(slices: Iterable[Float[np.ndarray, 'height width classes']]) -> Segmentation:
    """The most probable class of every pixel.

    With p the probability of a class at a pixel and m whether it was chosen there, its expected Dice is
    2 sum(p m) / (sum(p) + sum(m)), over all slices: the ratio of the expected numerator and denominator of Dice.

    Args:
      slices: probabilities, the background first.
    """
    ids, doubts, sums = [], [], []
    for probabilities in slices:
        own = probabilities.argmax(axis=-1).astype(np.uint8)
        highest = np.take_along_axis(probabilities, own[..., None], axis=-1)[..., 0]
        doubts.append(np.rint(_WHOLE * np.clip(1 - highest, 0, 1)).astype(np.uint8))
        classes = probabilities.shape[-1]
        chosen = np.bincount(own.ravel(), minlength=classes)
        both = np.bincount(own.ravel(), highest.ravel(), minlength=classes)
        sums.append((2 * both, probabilities.sum(axis=(0, 1), dtype=np.float64) + chosen, chosen))
        ids.append(own)
    doubled, total, chosen = np.sum(sums, axis=0)[:, 1:]
    expected = (
        float(np.clip(above / below, 0, 1)) if count else None
        for above, below, count in zip(doubled, total, chosen, strict=True)
    )
    return Segmentation(np.stack(ids), np.stack(doubts), tuple(expected))
