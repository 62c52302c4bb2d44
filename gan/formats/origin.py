"""Where generated images come from: the model, its data, and what a format must know to write their values."""

import dataclasses
import hashlib
import importlib.metadata
import json
import logging

import input_pipeline
from gan.generator import TrainedGenerator
from gan.reporting.runs import ReportedRun

SOFTWARE = 'enhanced-gan'
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Model:
    """The generator that drew the images.

    Attributes:
      weights_sha256: of its averaged weights.
      config_sha256: of the run's config as canonical JSON.
      step, images_seen: where in training it was saved.
      alpha: how far its last block had faded in, 0 to 1.
      resolution: pixels of a side of its images.
    """

    weights_sha256: str
    config_sha256: str
    step: int
    images_seen: int
    alpha: float
    resolution: int


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
      modality: DICOM's short name of the one of the data; 'unknown' where it is, or where there are several.
      spacing: typical millimetres between rows and columns; None where unknown, or where it varies.
    """

    channels: int
    classes: tuple[str, ...]
    mask_classes: int
    dtype: str
    intensity: tuple[float, float] | None
    modality: str
    spacing: tuple[float, float] | None

    @property
    def is_hounsfield(self) -> bool:
        """Whether values are Hounsfield units: CT that reaches below water. Grey levels of pictures start at 0."""
        return self.modality == 'CT' and self.intensity is not None and min(self.intensity) < 0


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


def find_origin(trained: TrainedGenerator, run: ReportedRun, seed: int) -> Origin:
    """Gathers it; a data set that is gone or has changed costs modality, spacing and licence, and is told."""
    config = json.dumps(run.recipe.fields, sort_keys=True, separators=(',', ':'))
    resolution, facts, image_format = trained.network.resolution, trained.facts, trained.image_format
    provenance = _find_provenance(run, resolution)
    return Origin(
        model=Model(
            weights_sha256=trained.checksum(),
            config_sha256=hashlib.sha256(config.encode()).hexdigest(),
            step=trained.position.step,
            images_seen=trained.position.images_seen,
            alpha=float(trained.weights.alpha),
            resolution=resolution,
        ),
        data=Data(
            name=facts.name,
            fingerprint=facts.fingerprint,
            split=run.recipe.split,
            images=facts.num_examples,
            patients=facts.num_patients if provenance.patients_known else None,
            licence=provenance.licence,
            patients_known=provenance.patients_known,
        ),
        form=ValueForm(
            channels=image_format.channels,
            classes=facts.classes if image_format.num_classes else (),
            mask_classes=image_format.mask_classes,
            dtype=facts.dtype,
            intensity=facts.intensity,
            modality=provenance.modality,
            spacing=provenance.spacing,
        ),
        seed=seed,
        version=_version(),
    )


def _find_provenance(run: ReportedRun, resolution: int) -> input_pipeline.Provenance:
    images, reason = run.recipe.images, 'has changed since'
    try:
        found = input_pipeline.find_provenance(
            images.name,
            images.data_dir,
            run.recipe.split,
            modalities=images.modalities,
            classes=images.classes,
            preprocessing=images.preprocessing,
            resolution=resolution,
        )
        if found.fingerprint == run.facts.fingerprint:
            return found
    except input_pipeline.DataError as error:
        reason = f'cannot be opened ({error})'
    _LOGGER.warning(
        'The training data %r %s; the images are written without modality, spacing and licence of the data.',
        images.name,
        reason,
    )
    return input_pipeline.Provenance(
        run.facts.fingerprint,
        modality='unknown',
        spacing=None,
        licence='',
        patients_known=run.facts.num_patients < run.facts.num_examples,  # all that is left to tell it
    )


def _version() -> str:
    try:
        return importlib.metadata.version(SOFTWARE)
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'
