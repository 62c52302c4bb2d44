"""Where generated images come from, and what a format must know to write their values."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Model:
    """The generator that drew the images.

    Attributes:
      weights_sha256: of its averaged weights.
      config_sha256: of the run's config as canonical JSON.
      step, images_seen: where in training it was saved.
      alpha: how far its last block had faded in, 0 to 1.
      resolution: pixels of a side of its images.
      privacy: what is proved of its training, as JSON has it: epsilon, delta, unit, and how; None for nothing.
    """

    weights_sha256: str
    config_sha256: str
    step: int
    images_seen: int
    alpha: float
    resolution: int
    privacy: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Data:
    """What it was trained on.

    Attributes:
      name, fingerprint: of the data set.
      split: of it, that it was trained on.
      images: in that split.
      patients: in it; None where they are unknown.
      licence: of the data; '' where it is not stated or not known any more.
      patients_known: whether the source of the data told patients; else each image counts as one.
    """

    name: str
    fingerprint: str
    split: str
    images: int
    patients: int | None
    licence: str
    patients_known: bool


@dataclasses.dataclass(frozen=True)
class ValueForm:
    """What its images are.

    Attributes:
      channels: of the images.
      classes: names by label; empty where the generator has no condition.
      mask_classes: foreground classes of the masks; 0 without masks.
      dtype: 'uint8' or 'uint16', the stored type of the data.
      intensity: physical values of -1 and 1; None where they differ from image to image.
      lowest: physical value in the data; None where it is not known.
      modality: DICOM's short name of the one of the data; 'unknown' where it is, or where there are several.
      spacing: typical millimetres between rows and columns; None where unknown, or where it varies.
    """

    channels: int
    classes: tuple[str, ...]
    mask_classes: int
    dtype: str
    intensity: tuple[float, float] | None
    lowest: float | None
    modality: str
    spacing: tuple[float, float] | None

    @property
    def is_hounsfield(self) -> bool:
        """Whether values are Hounsfield units: of CT data below water. Grey levels of pictures start at 0."""
        if self.modality != 'CT' or self.intensity is None:
            return False
        return min(*self.intensity, self.lowest or 0) < 0


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a set of generated images comes from.

    Attributes:
      model, data, form: see there.
      seed: that the images were drawn with.
      version: of this software, or 'unknown' where it is not installed.
    """

    model: Model
    data: Data
    form: ValueForm
    seed: int
    version: str
