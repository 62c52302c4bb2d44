"""A stand-in for a trained network: class 1 where a pixel is bright in its window, 2 where it is very bright."""

import numpy as np

from input_pipeline import Case
from input_pipeline.preprocessing import apply_window

CLASSES = ('tissue', 'Läsion 病変')
CHECKSUM = 'ab' * 32


def segment(case: Case) -> np.ndarray:
    """Class ids on the pixels of each record."""
    shown = [apply_window(record.image, record.intensity, record.window)[..., 0] for record in case.records]
    return np.stack([np.digitize(image, (0.6, 0.85)) for image in shown]).astype(np.uint8)
