"""The phantom data set: patients known from their number, images drawn when they are loaded."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt16

from input_pipeline.errors import DataError
from input_pipeline.phantom.images import MODALITIES, Modality, draw_as
from input_pipeline.records import PERCENTILES, Item, Record

SIZES = (8, 1024)


@dataclasses.dataclass(frozen=True)
class PhantomOptions:
    """What a phantom data set holds.

    Attributes:
      count: images in all; the last patient may have fewer than the others.
      size: pixels along each side, 8 to 1024.
      modalities: of `CT`, `MR`, `DX`; patients take turns through each of them, healthy and with a lesion.
      seed: in [0, 2**64); decides every pixel.
      images_per_patient: slices (for DX: exposures) of each patient.

    Raises:
      DataError: a value is out of its range.
    """

    count: int
    size: int
    modalities: tuple[str, ...]
    seed: int
    images_per_patient: int

    def __post_init__(self) -> None:
        known = ', '.join(MODALITIES)
        checks = {
            f'count is {self.count}: ask for at least one image': self.count >= 1,
            f'size is {self.size}: choose {SIZES[0]} to {SIZES[1]} pixels': SIZES[0] <= self.size <= SIZES[1],
            f'modalities are {self.modalities}: choose one or more of {known}, each once': (
                0 < len(self.modalities) == len(set(self.modalities) & set(MODALITIES))
            ),
            f'seed is {self.seed}: choose a whole number from 0 to 2**64 - 1': 0 <= self.seed < 2**64,
            f'images_per_patient is {self.images_per_patient}: choose at least 1': self.images_per_patient >= 1,
        }
        for message, good in checks.items():
            if not good:
                raise DataError(f'phantom: {message}.')


def scan(options: PhantomOptions) -> list[Item]:
    """One item per patient; `load()` draws that patient's images, alone and always the same.

    All images are uint16 whatever their modality, so that a mixed set has one type. Values are whole physical
    units (Hounsfield, MR units, 8-bit grey levels of DX) spread over the type's range without loss;
    `intensity` tells how to get them back. Classes are `<modality>_healthy` and `<modality>_lesion`; patients
    take turns through them, so each class holds as many patients as any other, give or take one.
    """
    classes = [(modality, lesion) for modality in options.modalities for lesion in (False, True)]
    patients = -(-options.count // options.images_per_patient)
    items = []
    for index in range(patients):
        modality, lesion = classes[index % len(classes)]
        patient = f'phantom-{index:05d}'
        items.append(
            Item(
                key=patient,
                patient=patient,
                split=None,
                label=_label(modality, lesion),
                dtype='uint16',
                channels=1,
                load=functools.partial(_load, options, index, modality, lesion),
            )
        )
    return items


def _label(modality: str, lesion: bool) -> str:
    return f'{modality}_{"lesion" if lesion else "healthy"}'


def _load(options: PhantomOptions, index: int, modality: str, lesion: bool) -> Iterator[Record]:
    """Draws the images of one patient."""
    patient = f'phantom-{index:05d}'
    slices = min(options.images_per_patient, options.count - index * options.images_per_patient)
    return create_records(
        MODALITIES[modality],
        (options.seed << 64) + index,
        [f'{patient}_{number:02d}' for number in range(slices)],
        size=options.size,
        lesion=lesion,
        patient=patient,
        modality=modality,
        label=_label(modality, lesion),
    )


def create_records(
    chosen: Modality,
    patient_seed: int,
    keys: Sequence[str],
    *,
    size: int,
    lesion: bool,
    patient: str,
    modality: str,
    label: str,
) -> Iterator[Record]:
    """Slices of one patient, under these keys, with one window."""
    drawn = [draw_as(chosen, patient_seed, number, size, lesion) for number in range(len(keys))]
    low, high = (float(p) for p in np.percentile([image for image, _ in drawn], PERCENTILES))
    pixel = chosen.field_of_view / size
    for key, (image, mask) in zip(keys, drawn, strict=True):
        yield Record(
            key=key,
            image=store(image, chosen.intensity)[:, :, None],
            patient=patient,
            modality=modality,
            label=label,
            mask=mask[:, :, None],
            intensity=chosen.intensity,
            window=(low, high),
            spacing=(pixel, pixel, chosen.slice_distance),
            source='phantom',
        )


def store(
    image: Float[np.ndarray, 'height width'], intensity: tuple[float, float]
) -> UInt16[np.ndarray, 'height width']:
    """Spreads physical values over uint16: `intensity[0]` becomes 0, `intensity[1]` becomes 65535."""
    low, high = intensity
    return np.rint((image.astype(np.float64) - low) * (65535 / (high - low))).astype(np.uint16)
