"""The scores of a detector: of each of its scores, of classical baselines, by modality, source and kind."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from detect.baselines import fit_baselines
from detect.calibration import score_split
from detect.data import binary_labels
from detect.detector import TrainedDetector
from detect.evaluation.outputs import SplitOutputs, probabilities_of
from detect.metrics.cells import Cells, cells_by_fakes, cells_by_modality, score_cells
from detect.metrics.samples import Judged
from detect.metrics.table import score_table
from detect.metrics.thresholds import fit_thresholds
from detect.scoring import FUSED

_FEWEST_PATIENTS = 5
WHOLE = 'whole image'


@dataclasses.dataclass(frozen=True)
class DetectorProtocol:
    """How scores are taken.

    Attributes:
      prevalence: of synthetic images, for predictive values.
      resamples: of the bootstrap over patients.
      seed: of it, and of baselines.
    """

    prevalence: float
    resamples: int
    seed: int


def score_all(detector: TrainedDetector, measured: SplitOutputs, protocol: DetectorProtocol) -> dict[str, Any]:
    """Every score of the detector as JSON has it: by name, its table at thresholds from validation."""
    calibration = detector.calibration
    return {
        name: {
            key: dataclasses.asdict(score)
            for key, score in score_table(
                measured.judged(name, probabilities_of(measured, calibration, name)),
                calibration.thresholds[name],
                **dataclasses.asdict(protocol),
            ).items()
        }
        for name in measured.scored.scores
    }


def score_parts(detector: TrainedDetector, measured: SplitOutputs, protocol: DetectorProtocol) -> dict[str, Any]:
    """The fused score by modality, by source and by kind of alteration."""
    judged = measured.judged(FUSED, probabilities_of(measured, detector.calibration, FUSED))
    kinds = find_kinds(measured)
    parts = {
        'modality': cells_by_modality(measured.modalities),
        'source': cells_by_fakes(measured.labels, measured.sources, measured.modalities),
        'kind': cells_by_fakes(measured.labels, kinds, measured.modalities),
    }
    return {name: _score(detector, judged, cells, protocol) for name, cells in parts.items()}


def find_kinds(measured: SplitOutputs) -> tuple[str, ...]:
    """What was done to each image: made as a whole, or altered in the way that its source is named after."""
    altered = {source['name'] for source in measured.images.options['sources'] if source['altered']}
    return tuple(source if source in altered else WHOLE for source in measured.sources)


def _score(
    detector: TrainedDetector, judged: Judged, cells: Mapping[str, Any], protocol: DetectorProtocol
) -> dict[str, Any]:
    scored: Cells = score_cells(
        judged,
        cells,
        detector.calibration.thresholds[FUSED],
        fewest_patients=_FEWEST_PATIENTS,
        **dataclasses.asdict(protocol),
    )
    return dataclasses.asdict(scored)


def score_baselines(
    detector: TrainedDetector, measured: SplitOutputs, protocol: DetectorProtocol
) -> dict[str, Any]:
    """Classical classifiers on pooled features of training images, with thresholds from validation."""
    data = detector.recipe.data.with_every_source()
    train, validation = (data.open(split, train=False) for split in ('train', 'validation'))
    fitting, choosing = (score_split(detector, detector.anomalies, own).pooled for own in (train, validation))
    tables = {}
    for name, scorer in fit_baselines(fitting, binary_labels(train), seed=protocol.seed).items():
        thresholds = fit_thresholds(scorer(choosing), binary_labels(validation), split='validation')
        judged = Judged(scorer(measured.scored.pooled), None, measured.labels, measured.images.patients)
        table = score_table(judged, thresholds, **dataclasses.asdict(protocol))
        tables[name] = {key: dataclasses.asdict(score) for key, score in table.items()}
    return tables
