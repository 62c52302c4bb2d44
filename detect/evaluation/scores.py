"""The scores of a detector, by modality, source and kind; of classical baselines; and of runs on unseen sources.

Baselines are after Solaiyappan and Wen 2022 (arXiv:2109.12800). They live in memory, within an evaluation, and are
never stored.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Float, Float64
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from detect.calibration import score_split
from detect.data import binary_labels
from detect.detector import TrainedDetector
from detect.evaluation.outputs import SplitOutputs, logits_of_split, probabilities_of
from detect.metrics import decisions
from detect.metrics.ranking import auroc_of
from detect.metrics.samples import Judged, Labels, weigh_once
from detect.metrics.table import Cells, cells_by_fakes, cells_by_modality, score_cells, score_table
from detect.metrics.thresholds import fit_thresholds
from detect.scoring import FUSED, NETWORK
from foundation.training.errors import UserError

_FEWEST_PATIENTS = 5
WHOLE = 'whole image'
Features = Float[np.ndarray, 'image feature']
Scorer = Callable[[Features], Float64[np.ndarray, ' image']]
_TREES = 500


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
                calibration.thresholds.get(name),
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


def fit_baselines(features: Features, labels: Labels, *, seed: int) -> dict[str, Scorer]:
    """A support vector machine, a random forest and a decision tree: each a function from features to scores.

    Scores are real numbers, the higher, the more like a fake; they are not calibrated. The time of the support
    vector machine grows with the square of the images.

    Args:
      features: of training images.
      labels: 1 = fake.
      seed: of the forest, and of ties in the tree.

    Raises:
      UserError: for features that are not finite, and without real or without fake images.
    """
    if not np.isfinite(features).all():
        raise UserError('Features of training images are not finite: look at the images that they come from.')
    fake = labels.astype(bool)
    if fake.all() or not fake.any():
        raise UserError(
            f'Baselines are trained on real and fake images; {int(fake.sum())} of {len(fake)} are fake: prepare a '
            'training split that has both.'
        )
    return {
        'support_vector_machine': _fit_machine(features, fake),
        'random_forest': _fit_forest(features, fake, seed),
        'decision_tree': _fit_tree(features, fake, seed),
    }


def _fit_machine(features: Features, fake: np.ndarray) -> Scorer:
    """Radial basis functions on standardised features; its score is the signed distance to the margin."""
    return make_pipeline(StandardScaler(), SVC()).fit(features, fake).decision_function


def _fit_forest(features: Features, fake: np.ndarray, seed: int) -> Scorer:
    """Log odds of the mean vote of the trees, smoothed by a vote for either class."""
    forest = RandomForestClassifier(_TREES, random_state=seed).fit(features, fake)
    return lambda given: _smoothed_log_odds(_TREES * forest.predict_proba(given)[:, 1], np.array(_TREES))


def _fit_tree(features: Features, fake: np.ndarray, seed: int) -> Scorer:
    """Log odds of the fakes in a leaf, smoothed by one of either class.

    Unpruned leaves hold one class only, and larger ones are more to be trusted (Provost and Domingos 2003,
    doi:10.1023/A:1024099825458).
    """
    tree = DecisionTreeClassifier(random_state=seed).fit(features, fake)

    def score(given: Features) -> Float64[np.ndarray, ' image']:
        sizes = tree.tree_.n_node_samples[tree.apply(given)].astype(np.float64)
        return _smoothed_log_odds(sizes * tree.predict_proba(given)[:, 1], sizes)

    return score


def _smoothed_log_odds(fakes: np.ndarray, total: np.ndarray) -> Float64[np.ndarray, ' image']:
    return scipy.special.logit((fakes + 1) / (total + 2))


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
    threshold = detector.calibration.thresholds[NETWORK].youden
    cells = []
    for source, chosen in cells_by_fakes(measured.labels, measured.sources, measured.modalities).items():
        own, labels = logits[chosen], measured.labels[chosen]
        made = decisions.decide(own, labels, weigh_once(len(own)), threshold=threshold)
        cells.append(
            TransferCell(
                run=str(detector.workdir),
                source=source,
                seen=source in detector.facts.classes,  # as far as names tell, where --data is another set
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
