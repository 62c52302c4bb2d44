"""Origins of images that no generator drew."""

import dataclasses

import numpy as np

import input_pipeline
from foundation.export.origin import Data, Model, Origin, ValueForm

_FORM = ValueForm(
    channels=1,
    classes=(),
    mask_classes=0,
    dtype='uint16',
    intensity=(-1024.0, 3071.0),
    lowest=None,
    modality='CT',
    spacing=(0.7, 0.8),
)


def make_origin(**form) -> Origin:
    """CT in Hounsfield units, but for the given fields of its form."""
    return Origin(
        model=Model('ab' * 32, 'cd' * 32, step=10, images_seen=100, alpha=1.0, resolution=6),
        data=Data('chest', 'ef' * 32, split='train', images=10, patients=5, licence='CC0', patients_known=True),
        form=dataclasses.replace(_FORM, **form),
        seed=3,
        version='1.2.3',
    )


def make_stored(origin: Origin, count: int = 1, seed: int = 0) -> np.ndarray:
    """Noise that reaches both ends of the stored type: (count, 6, 6, channels)."""
    largest = np.iinfo(origin.form.dtype).max
    shape = (count, 6, 6, origin.form.channels)
    stored = np.random.default_rng(seed).integers(0, largest + 1, shape).astype(origin.form.dtype)
    stored[:, 0, 0], stored[:, 0, 1] = 0, largest
    return stored


def make_masks(count: int = 1) -> np.ndarray:
    """Class ids 0 to 2: (count, 6, 6, 1)."""
    return np.random.default_rng(1).integers(0, 3, (count, 6, 6, 1)).astype(np.uint8)


def fitted(resolution: int, fit: str, pixels: str | float = 'as_stored') -> input_pipeline.Preprocessing:
    """Preprocessing of grey images in their stored range."""
    return input_pipeline.Preprocessing(resolution, 1, 'stored', fit, mask_classes=0, context=0, pixels=pixels)
