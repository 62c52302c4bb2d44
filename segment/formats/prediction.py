"""What is written: the masks of one case, where they belong, and who made them."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import UInt8

from input_pipeline import Case
from input_pipeline.inputs import Incoming
from segment.segmentation import Segmentation


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The masks of one picture, series or volume.

    Attributes:
      incoming: what was segmented.
      case: its images.
      segmentation: on the pixels of each record.
      classes: names of the foreground classes; the first has id 1.
      checksum: SHA-256 of the network's weights.
    """

    incoming: Incoming
    case: Case
    segmentation: Segmentation
    classes: tuple[str, ...]
    checksum: str

    @property
    def masks(self) -> UInt8[np.ndarray, 'slices height width']:
        """Class ids, 0 the background."""
        return self.segmentation.ids

    def measure(self) -> dict[str, dict[str, Any]]:
        """Of every class that was found: pixels, millilitres (None where a spacing is unknown), expected Dice."""
        counts = np.bincount(self.masks.ravel(), minlength=len(self.classes) + 1)
        millilitres = math.prod(self.case.records[0].spacing) / 1000
        return {
            name: {
                'pixels': int(count),
                'ml': round(float(count) * millilitres, 6) if millilitres else None,
                'expected_dice': None if expected is None else round(expected, 4),
            }
            for name, count, expected in zip(
                self.classes, counts[1:], self.segmentation.expected_dice, strict=True
            )
            if count
        }

    @property
    def lowest_dice(self) -> float | None:
        """That is expected of a class that was found; None where none was."""
        return min((value for value in self.segmentation.expected_dice if value is not None), default=None)
