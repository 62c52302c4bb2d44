"""A stand-in for a trained network: class 1 where a pixel is bright in its window, 2 where it is very bright."""

import numpy as np

from input_pipeline import Case
from input_pipeline.preprocessing import apply_window
from segment.segmentation import Segmentation, decide

CLASSES = ('tissue', 'Läsion 病変')
CHECKSUM = 'ab' * 32


def segment(case: Case) -> Segmentation:
    """Classes on the pixels of each record; the farther from a threshold, the surer."""
    shown = [apply_window(record.image, record.intensity, record.window)[..., 0] for record in case.records]
    return decide(map(_probabilities, shown))


def _probabilities(image: np.ndarray) -> np.ndarray:
    ids = np.digitize(image, (0.6, 0.85))
    surely = 0.5 + np.minimum(abs(image - 0.6), abs(image - 0.85))[..., None]
    return np.where(ids[..., None] == np.arange(3), surely, (1 - surely) / 2)
