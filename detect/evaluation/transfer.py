"""Generators that a detector has never seen: runs that left some out, tested on each."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from detect.detector import TrainedDetector
from detect.evaluation.outputs import SplitOutputs, logits_of_split
from detect.metrics import decisions
from detect.metrics.cells import cells_by_fakes
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import weigh_once
from detect.scoring import NETWORK


@dataclasses.dataclass(frozen=True)
class TransferCell:
    """A run tested on one source, against the real images of its modalities.

    Attributes:
      run: its workdir.
      source: of the synthetic images.
      seen: whether the run was trained on that source.
      auroc: of the network's logit.
      balanced_accuracy, fake_accuracy: at the threshold that validation, on sources it has seen, chose (Youden).
    """

    run: str
    source: str
    seen: bool
    auroc: float
    balanced_accuracy: float
    fake_accuracy: float


def transfer(detectors: Sequence[TrainedDetector], measured: SplitOutputs) -> dict[str, Any]:
    """The matrix of runs by sources, with means over seen and unseen ones, and the worst cell.

    Args:
      detectors: the first is the one that was measured.
      measured: the test split with all its sources.
    """
    cells: list[TransferCell] = []
    for number, detector in enumerate(detectors):
        logits = measured.scored.scores[NETWORK] if not number else logits_of_split(detector, measured.images)
        cells += _test(detector, measured, logits)
    return {
        'cells': [dataclasses.asdict(cell) for cell in cells],
        'seen': _summarise([cell for cell in cells if cell.seen]),
        'unseen': _summarise([cell for cell in cells if not cell.seen]),
    }


def _test(
    detector: TrainedDetector, measured: SplitOutputs, logits: Float64[np.ndarray, ' image']
) -> list[TransferCell]:
    wanted = tuple(detector.recipe.data.sources)
    threshold = detector.calibration.thresholds[NETWORK].youden
    cells = []
    for source, chosen in cells_by_fakes(measured.labels, measured.sources, measured.modalities).items():
        own, labels = logits[chosen], measured.labels[chosen]
        made = decisions.decide(own, labels, weigh_once(len(own)), threshold=threshold)
        cells.append(
            TransferCell(
                run=str(detector.workdir),
                source=source,
                seen=not wanted or source in wanted,
                auroc=auroc_of(own, labels),
                balanced_accuracy=decisions.balanced_accuracy(made).item(),
                fake_accuracy=decisions.recall(made).item(),
            )
        )
    return cells


def _summarise(cells: Sequence[TransferCell]) -> dict[str, Any] | None:
    if not cells:
        return None
    worst = min(cells, key=lambda cell: cell.auroc)
    return {
        'mean_auroc': float(np.mean([cell.auroc for cell in cells])),
        'mean_balanced_accuracy': float(np.mean([cell.balanced_accuracy for cell in cells])),
        'worst': dataclasses.asdict(worst),
    }
