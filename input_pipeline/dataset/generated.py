"""Generated images as a data set, which everything that reads data sets can read."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt, UInt8

from input_pipeline.dataset.builder import Target, WriteOptions, write_dataset
from input_pipeline.dataset.splits import SplitFractions
from input_pipeline.errors import Refusals
from input_pipeline.preprocessing import stored_maximum
from input_pipeline.records import PERCENTILES, Dtype, Item, Record

_Image = UInt[np.ndarray, 'height width channels']
_Mask = UInt8[np.ndarray, 'height width 1']


@dataclasses.dataclass(frozen=True)
class Generated:
    """What all images of a generated set have in common.

    Attributes:
      dtype: uint8 or uint16.
      channels: of the images.
      modality: see `Record.modality`.
      intensity: physical values of the stored 0 and of the largest stored value; None for the stored values.
      spacing: millimetres between rows and columns; None where unknown.
      licence: under which they may be used; '' where it is not stated.
      recorded: where they come from, kept in the summary.
    """

    dtype: Dtype
    channels: int
    modality: str
    intensity: tuple[float, float] | None
    spacing: tuple[float, float] | None
    licence: str
    recorded: Mapping[str, Any]


def write_generated(
    images: Sequence[tuple[str, str | None, Callable[[], tuple[_Image, _Mask | None]]]],
    target: Target,
    generated: Generated,
) -> Path:
    """Writes generated images as the training split of a new data set, each a patient of its own.

    Args:
      images: key (which is also the patient), class, and a function that reads the image and its mask.
      target: where the set goes.
      generated: what they have in common.

    Returns:
      The folder of the data set's files.

    Raises:
      DataError: see `write_dataset`.
    """
    items = [
        Item(key, key, 'train', label, generated.dtype, generated.channels,
             functools.partial(_load, key, label, read, generated))
        for key, label, read in images
    ]  # fmt: skip
    options = WriteOptions(
        SplitFractions(validation=0, test=0),
        generated.channels,
        PERCENTILES,
        generated.recorded,
        generated.licence,
    )
    write_dataset(items, target, options, Refusals(skip=False))
    return target.folder


def _load(
    key: str, label: str | None, read: Callable[[], tuple[_Image, _Mask | None]], generated: Generated
) -> Iterator[Record]:
    image, mask = read()
    # The whole stored range is the window too, so that training on these images sees what the generator drew.
    intensity = generated.intensity or (0.0, stored_maximum(image.dtype))
    yield Record(
        key=key,
        image=image,
        patient=key,
        modality=generated.modality,
        label=label,
        mask=mask,
        intensity=intensity,
        window=intensity,
        spacing=(*(generated.spacing or (0.0, 0.0)), 0.0),
        source=f'synthetic/{key}',
    )
