"""A mask, and how sure its network was: of each pixel, and of each class as a whole."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float64, UInt8

_WHOLE = 255  # of doubt


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """The mask of one image or volume.

    Attributes:
      ids: class of every pixel, 0 the background.
      doubt: 1 minus the probability of that class, from 0 to 255 for 0 to 1; whole where a part was taken away.
      mass: sum over all pixels of the probability of each foreground class, that of id 1 first.
    """

    ids: UInt8[np.ndarray, 'slices height width']
    doubt: UInt8[np.ndarray, 'slices height width']
    mass: Float64[np.ndarray, ' classes']

    @functools.cached_property
    def expected_dice(self) -> tuple[float | None, ...]:
        """The Dice that each class would reach if the probabilities were true; None where it was not found.

        With p the probability of the class at a pixel and m whether it was chosen there, 2 sum(p m) / (sum(p) +
        sum(m)): the ratio of the expected numerator and denominator of Dice.
        """
        counts = np.bincount(self.ids.ravel(), minlength=len(self.mass) + 1)[1:]
        surely = np.bincount(self.ids.ravel(), 1 - self.doubt.ravel() / _WHOLE, minlength=len(self.mass) + 1)[1:]
        below = self.mass + counts
        return tuple(
            float(min(2 * above / total, 1.0)) if count else None
            for above, total, count in zip(surely, below, counts, strict=True)
        )

    def with_largest_parts(self, class_ids: Sequence[int]) -> 'Segmentation':
        """The same with one part alone of these classes: the largest; pixels of others become background.

        Pixels that touch, also by a corner, are of one part.
        """
        ids, doubt = self.ids.copy(), self.doubt.copy()
        for class_id in class_ids:
            parts, count = scipy.ndimage.label(ids == class_id, np.ones((3, 3, 3)))
            if count > 1:
                largest = 1 + np.bincount(parts.ravel())[1:].argmax()
                taken = (parts > 0) & (parts != largest)
                ids[taken], doubt[taken] = 0, _WHOLE
        return dataclasses.replace(self, ids=ids, doubt=doubt)


def decide(slices: Iterable[Float[np.ndarray, 'height width classes']]) -> Segmentation:
    """The most probable class of every pixel.

    Args:
      slices: probabilities, the background first.
    """
    ids, doubts, masses = [], [], []
    for probabilities in slices:
        own = probabilities.argmax(axis=-1).astype(np.uint8)
        highest = np.take_along_axis(probabilities, own[..., None], axis=-1)[..., 0]
        doubts.append(np.rint(_WHOLE * np.clip(1 - highest, 0, 1)).astype(np.uint8))
        masses.append(probabilities.sum(axis=(0, 1), dtype=np.float64)[1:])
        ids.append(own)
    return Segmentation(np.stack(ids), np.stack(doubts), np.sum(masses, axis=0))
