"""Draws one phantom image of any modality at any size."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8

from input_pipeline.errors import DataError
from input_pipeline.phantom import brain_mr, chest_dx, head_tissues, torso_ct
from input_pipeline.phantom.geometry import Field
from input_pipeline.phantom.torso_ct import draw_ct

SMALLEST_DRAWING = 128  # smaller images are averages of a drawing at least this wide, as thick pixels are


@dataclasses.dataclass(frozen=True, slots=True)
class Modality:
    """What one imaging modality is drawn with.

    Attributes:
      draw: (patient_seed, slice_index, size, lesion) to the image and the coverage of its lesion.
      intensity: smallest and largest value that the modality can store, in physical units.
      field_of_view: width of the image in mm.
      slice_distance: mm between slices; 0 for projections.
    """

    draw: Callable[[int, int, int, bool], tuple[Field, Field]]
    intensity: tuple[float, float]
    field_of_view: float
    slice_distance: float


def _head(tissues: head_tissues.Tissues, intensity: tuple[float, float]) -> Modality:
    return Modality(functools.partial(brain_mr.draw_head, tissues), intensity, brain_mr.FIELD_OF_VIEW, 5.0)


CONTRASTS = {  # of one head
    'CT': _head(head_tissues.CT, (-1024.0, 3071.0)),
    'T1': _head(head_tissues.T1, (0.0, 4095.0)),
    'T2': _head(head_tissues.T2, (0.0, 4095.0)),
}
MODALITIES = {
    'CT': Modality(draw_ct, (-1024.0, 3071.0), torso_ct.FIELD_OF_VIEW, 5.0),
    'MR': CONTRASTS['T1'],
    'DX': Modality(chest_dx.draw_dx, (0.0, 255.0), chest_dx.FIELD_OF_VIEW, 0.0),
}


def draw(
    modality: str, patient_seed: int, slice_index: int, size: int, lesion: bool
) -> tuple[Float32[np.ndarray, 'size size'], UInt8[np.ndarray, 'size size']]:
    """Draws one image and the mask of its lesion.

    A lesion does not change the random numbers of the anatomy: with and without it the same patient is drawn.
    The anatomy does not depend on the size either.

    Args:
      modality: `CT` (axial chest or upper abdomen), `MR` (axial T1-weighted brain) or `DX` (frontal chest).
      patient_seed: in [0, 2**128).
      slice_index: which of the patient's slices (for DX: which of the exposures), from 0.
      size: pixels along each side, at least 8.
      lesion: draws a pulmonary nodule or liver metastasis (CT), a tumour (MR), an opacity (DX).

    Returns:
      Whole numbers in physical units (CT: Hounsfield, -1024 to 3071; MR: arbitrary, 0 to 4095; DX: grey
      levels, 0 to 255, dense tissue bright), and the mask of {0, 1}, empty without a lesion.

    Raises:
      DataError: the modality is not one of the three.
    """
    if modality not in MODALITIES:
        raise DataError(f'phantom modality {modality!r} is unknown: choose from {", ".join(MODALITIES)}.')
    return draw_as(MODALITIES[modality], patient_seed, slice_index, size, lesion)


def draw_as(
    chosen: Modality, patient_seed: int, slice_index: int, size: int, lesion: bool
) -> tuple[Float32[np.ndarray, 'size size'], UInt8[np.ndarray, 'size size']]:
    """The same of one modality, or contrast, itself."""
    factor = -(-SMALLEST_DRAWING // size)
    image, share = chosen.draw(patient_seed, slice_index, size * factor, lesion)
    image, share = (a.reshape(size, factor, size, factor).mean(axis=(1, 3)) for a in (image, share))
    # The smallest images may have no pixel that the lesion covers by half: keep the one it covers most.
    mask = (share >= min(0.5, float(share.max()))) & (share > 0)
    return np.rint(np.clip(image, *chosen.intensity)), mask.astype(np.uint8)
