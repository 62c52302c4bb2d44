"""What a detector says of a whole split, and what is known of each image."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32

import input_pipeline
from detect.calibration import Calibration, score_split
from detect.data import binary_labels, describe_split
from detect.detector import TrainedDetector
from detect.fusion import probability_of_fake
from detect.metrics.samples import Judged
from detect.scoring import FUSED, NETWORK, Scored
from foundation.training.errors import UserError
from input_pipeline.dataset.mixture import MixtureForm

OUTPUTS = 'outputs.npz'
_SCORE = 'score.'
_BATCH_SIZE = 64


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

    def with_scores(self, scores: Mapping[str, Float64[np.ndarray, ' image']]) -> 'SplitOutputs':
        """The same with further scores, which have no thresholds."""
        return dataclasses.replace(
            self, scored=dataclasses.replace(self.scored, scores={**self.scored.scores, **scores})
        )


def read_detector(workdir: Path, data: str) -> TrainedDetector:
    """The finished detector of a workdir, with its data where they are.

    Args:
      workdir: of its run.
      data: name of the data set that it is measured on; '' for that of its training.

    Raises:
      UserError: when it is not finished, or was trained on since.
    """
    detector = TrainedDetector.load(workdir, batch_size=_BATCH_SIZE)
    wanted = detector.recipe.data.of(data) if data else detector.recipe.data
    wanted = dataclasses.replace(wanted, request=wanted.request.find(workdir))
    recipe = dataclasses.replace(detector.recipe, data=wanted)
    return dataclasses.replace(detector, recipe=recipe)


def measure(detector: TrainedDetector, images: input_pipeline.ImageData) -> SplitOutputs:
    """All scores of a split.

    Raises:
      UserError: when its images were not prepared as those of training.
    """
    if MixtureForm.from_dict(images.options['form']) != detector.calibration.form:
        raise UserError(
            f'{images.name} was prepared otherwise than the data of {detector.workdir} (size, depth, window), '
            'which a detector would see; prepare it in the same way.'
        )
    scored = score_split(detector, detector.anomalies, images)
    fused = detector.calibration.fuse(scored.scores)
    records = images.records
    return SplitOutputs(
        images,
        binary_labels(images),
        records.labels,
        records.modalities,
        dataclasses.replace(scored, scores=scored.scores | {FUSED: fused}),
    )


def save_outputs(measured: SplitOutputs, folder: Path) -> None:
    """Writes what a detector says, without what the images are."""
    scored = measured.scored
    arrays = {f'{_SCORE}{name}': own for name, own in scored.scores.items()}
    np.savez(folder / OUTPUTS, allow_pickle=False, pooled=scored.pooled, maps=scored.maps, **arrays)


def read_outputs(images: input_pipeline.ImageData, folder: Path) -> SplitOutputs:
    """What `save_outputs` wrote, of the same images."""
    with np.load(folder / OUTPUTS, allow_pickle=False) as file:
        scores = {name.removeprefix(_SCORE): file[name] for name in file.files if name.startswith(_SCORE)}
        scored = Scored(scores, file['pooled'], file['maps'])
    records = images.records
    return SplitOutputs(images, binary_labels(images), records.labels, records.modalities, scored)


def logits_of_split(detector: TrainedDetector, images: input_pipeline.ImageData) -> Float64[np.ndarray, ' image']:
    """The network's logits alone, which is quicker."""

    def describe(batch: np.ndarray) -> np.ndarray:
        return np.asarray(detector.describe(batch).logits, np.float64)

    return describe_split(describe, images, detector.recipe.resolution, _BATCH_SIZE)


def probabilities_of(
    measured: SplitOutputs, calibration: Calibration, name: str
) -> Float64[np.ndarray, ' image'] | None:
    """p(synthetic) of a score that was calibrated; None for others."""
    temperatures = {NETWORK: calibration.temperature, FUSED: 1.0}
    if name not in temperatures:
        return None
    return probability_of_fake(measured.scored.scores[name], temperatures[name])
