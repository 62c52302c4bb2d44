"""What is written: the masks of one case, where they belong, and who made them."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import UInt8

from input_pipeline import Case
from input_pipeline.inputs import Incoming


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The masks of one picture, series or volume.

    Attributes:
      incoming: what was segmented.
      case: its images.
      masks: class ids, 0 the background, on the pixels of each record.
      classes: names of the foreground classes; the first has id 1.
      checksum: SHA-256 of the network's weights.
    """

    incoming: Incoming
    case: Case
    masks: UInt8[np.ndarray, 'slices height width']
    classes: tuple[str, ...]
    checksum: str

    def measure(self) -> dict[str, dict[str, Any]]:
        """Pixels of every class that was found, and millilitres (None where a spacing is unknown)."""
        counts = np.bincount(self.masks.ravel(), minlength=len(self.classes) + 1)
        millilitres = math.prod(self.case.records[0].spacing) / 1000
        return {
            name: {'pixels': int(count), 'ml': round(float(count) * millilitres, 6) if millilitres else None}
            for name, count in zip(self.classes, counts[1:], strict=True)
            if count
        }
