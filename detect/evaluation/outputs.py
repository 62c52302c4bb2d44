"""What a detector says of a whole split, and what is known of each image."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32
from ml_collections import ConfigDict

import input_pipeline
from detect.calibration import Calibration, restore_calibrated, score_split
from detect.data import binary_labels, describe_split, open_images
from detect.fusion import probability_of_fake
from detect.metrics.samples import Judged
from detect.scoring import FUSED, NETWORK, Anomalies, Scored, read_anomalies
from detect.trained_network import Trained
from foundation.training.errors import UserError

_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class EvaluatedDetector:
    """A finished detector, with what its scores mean.

    Attributes:
      workdir: of its run.
      trained, anomalies, calibration: see there.
    """

    workdir: Path
    trained: Trained
    anomalies: Anomalies
    calibration: Calibration


@dataclasses.dataclass(frozen=True)
class SplitOutputs:
    """A split as a detector sees it.

    Attributes:
      images: the split.
      labels: 1 = synthetic.
      sources, modalities: of each image; the source of a real one is `real`.
      scored: all its scores, `fused` among them.
    """

    images: input_pipeline.ImageData
    labels: Int32[np.ndarray, ' image']
    sources: tuple[str, ...]
    modalities: tuple[str, ...]
    scored: Scored

    def judged(self, name: str, probabilities: Float64[np.ndarray, ' image'] | None) -> Judged:
        """One score of all images."""
        return Judged(self.scored.scores[name], probabilities, self.labels, self.images.patients)


def read_detector(workdir: Path, data: str) -> EvaluatedDetector:
    """The finished detector of a workdir.

    Args:
      workdir: of its run.
      data: name of the data set that it is measured on; '' for that of its training.

    Raises:
      UserError: when it is not finished, or was trained on since.
    """
    trained, calibration = restore_calibrated(workdir, batch_size=_BATCH_SIZE)
    if data:
        with trained.config.unlocked():
            trained.config.data.name = data
    return EvaluatedDetector(workdir, trained, read_anomalies(workdir), calibration)


def open_every_source(config: ConfigDict, split: str, *, mask_classes: int = 0) -> input_pipeline.ImageData:
    """A split with all its sources, those that a run left out of its training too, and true labels."""
    own = config.copy_and_resolve_references()
    with own.unlocked():
        own.data.sources = ()
        own.data.labels = 'true'
    return open_images(own, split, train=False, mask_classes=mask_classes)


def measure(detector: EvaluatedDetector, images: input_pipeline.ImageData) -> SplitOutputs:
    """All scores of a split.

    Raises:
      UserError: when its images were not prepared as those of training.
    """
    if images.options.get('form') != detector.calibration.form.to_dict():
        raise UserError(
            f'{images.name} was prepared otherwise than the data of {detector.workdir} (size, depth, window), '
            'which a detector would see; prepare it in the same way.'
        )
    scored = score_split(detector.trained, detector.anomalies, images)
    fused = detector.calibration.fuse(scored.scores)
    records = images.records
    return SplitOutputs(
        images,
        binary_labels(images),
        records.labels,
        records.modalities,
        dataclasses.replace(scored, scores=scored.scores | {FUSED: fused}),
    )


def logits_of_split(trained: Trained, images: input_pipeline.ImageData) -> Float64[np.ndarray, ' image']:
    """The network's logits alone, which is quicker."""

    def describe(batch: np.ndarray) -> np.ndarray:
        return np.asarray(trained.describe(batch).logits, np.float64)

    return describe_split(describe, images, trained.config.resolution, _BATCH_SIZE)


def probabilities_of(
    measured: SplitOutputs, calibration: Calibration, name: str
) -> Float64[np.ndarray, ' image'] | None:
    """p(synthetic) of a score that was calibrated; None for others."""
    temperatures = {NETWORK: calibration.temperature, FUSED: 1.0}
    if name not in temperatures:
        return None
    return probability_of_fake(measured.scored.scores[name], temperatures[name])
