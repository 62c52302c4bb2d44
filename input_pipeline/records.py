"""What readers hand over: items known from file headers, and records with their pixels."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

Dtype = Literal['uint8', 'uint16', 'float32']
PERCENTILES = (0.5, 99.5)  # of brightness: where a window begins and ends unless something else is said
PIXEL_LIMIT = 2**26  # 8192 x 8192, and volumes of 2**28 voxels: what is read then fits in 2 GiB


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One image as it will be stored.

    Attributes:
      key: unique in the data set and stable between runs (it decides the order on disk).
      image: (height, width, channels) of uint8, uint16 or float32.
      patient: the unit of every split; the key itself where nothing better is known.
      modality: DICOM's short name (`CT`, `MR`, `DX`, ...), or `unknown`.
      label: class name, or None.
      mask: (height, width, 1) uint8 of class ids, 0 the background, or None.
      intensity: physical values (Hounsfield, or the file's own units) of the stored zero and of the
        largest value of the stored type; for float32, of 0.0 and 1.0. A stored value v of uint16
        means low + (high - low) * v / 65535.
      window: lower and upper percentile of the volume (of the image, where it is alone), in physical units.
      spacing: millimetres between rows, columns and slices; 0 where unknown.
      source: file the image came from, relative to the prepared path.
    """

    key: str
    image: np.ndarray
    patient: str
    modality: str
    label: str | None
    mask: np.ndarray | None
    intensity: tuple[float, float]
    window: tuple[float, float]
    spacing: tuple[float, float, float]
    source: str

    @property
    def physical(self) -> np.ndarray:
        """The image in physical units, float32."""
        largest = np.iinfo(self.image.dtype).max if self.image.dtype.kind == 'u' else 1.0
        low, high = self.intensity
        return (low + self.image * ((high - low) / largest)).astype(np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One file or volume, known without decoding its pixels.

    Attributes:
      key: unique and stable; the keys of its records start with it.
      patient: see Record.
      split: the split a folder or an index names, or None (then a hash of the patient decides).
      label: class name, or None.
      dtype: the widest type its records will have.
      channels: the channels its records will have.
      load: reads the pixels; yields one record for an image, one a slice for a volume. Raises
        DataError when the file turns out to be unusable.
    """

    key: str
    patient: str
    split: str | None
    label: str | None
    dtype: Dtype
    channels: int
    load: Callable[[], Iterator[Record]]


@dataclasses.dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What the user may say about how files are read (`prepare --help` explains each).

    Attributes:
      modality: stored in every record whose file does not tell its own, '' for `unknown`.
      percentiles: lower and upper percentile that become `Record.window`.
      pixel_limit: a picture of more pixels, and a volume of more than four times as many voxels, is refused before
        it is decoded (decompression bombs).
      axis: the axis along which volumes are cut into slices, 0, 1 or 2 (after reorientation to RAS+).
      patient_pattern: regular expression whose first group, searched in the relative path, is the
        patient; '' where each image is its own patient.
      mask_threshold: physical value above which a pixel of a mask is foreground, the class 1; None where masks
        hold class ids.
      columns: (role, name) of columns of a foreign index.csv, where role is `image`, `mask`, `label`, `patient`
        or `split`.
      keep_label_maps: whether images that look like masks of others beside them are kept.
    """

    modality: str
    percentiles: tuple[float, float]
    pixel_limit: int
    axis: int
    patient_pattern: str
    mask_threshold: float | None = None
    columns: tuple[tuple[str, str], ...] = ()
    keep_label_maps: bool = False


def reader_options(axis: int, pixel_limit: int) -> ReaderOptions:
    """How files are read that nobody prepared, of which users may say nothing else."""
    return ReaderOptions(
        modality='', percentiles=PERCENTILES, pixel_limit=pixel_limit, axis=axis, patient_pattern=''
    )
