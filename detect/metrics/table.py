"""All scores of a detector on one set of images, with intervals; by modality, generator and kind of fake, too."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int

from detect.metrics import calibration, decisions, ranking
from detect.metrics.samples import RATES, Judged, Labels, Values, Weights, weigh_once
from detect.metrics.thresholds import DecisionThresholds
from foundation.statistics.calibration import Bins, bins_of_equal_mass, bins_of_equal_width, error_interval
from foundation.statistics.percentiles import TAIL, Score, faultless_share, percentile_interval
from foundation.statistics.proportions import auroc_interval, share_interval
from foundation.statistics.resampling import count_draws

LOWER_IS_BETTER = ('equal_error_rate', 'brier', 'calibration_error_width', 'calibration_error_mass')
_THRESHOLDS = ('youden', 'equal_error', *RATES)
Mask = Bool[np.ndarray, ' image']
_CELLS = 2**21  # weights held at a time, so that memory is bounded
Patients = Int[np.ndarray, ' image']


def score_table(
    judged: Judged, thresholds: DecisionThresholds | None, *, prevalence: float, resamples: int, seed: int
) -> dict[str, Score]:
    """Scores by name, each with its 95% interval.

    `auroc`, `average_precision`, `equal_error_rate`, `tpr_at_<rate>`: see `ranking`.
    `<threshold>/<score>`: see `decisions`; `predictive_value` at the stated prevalence, others as they come.
    `brier`, `calibration_error_width`, `calibration_error_mass`: see `calibration`; not without probabilities.
    `share_of_fakes`: of these images; average precision, accuracy, precision, F1, the Matthews correlation and
    calibration depend on it.

    Args:
      judged: images of one split.
      thresholds: from validation; None leaves out what needs one.
      prevalence: of fakes where the detector is used, between 0 and 1.
      resamples: of the bootstrap over patients, 2,000 or more for a report.
      seed: of the bootstrap.

    Raises:
      ValueError: for a prevalence that is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f'A prevalence lies between 0 and 1, not at {prevalence}.')
    once = weigh_once(len(judged.labels))
    points = {name: value[0].item() for name, value in _evaluate(judged, thresholds, prevalence, once).items()}
    bins = _find_bins(judged)
    gaps = _measure_gaps(judged, bins, once)
    errors = {name: calibration.calibration_error(own).item() for name, own in gaps.items()}
    if not can_resample(judged.patients, judged.fake):
        every = points | errors
        return {name: Score(None if np.isnan(value) else value, None, None) for name, value in every.items()}
    drawn = draw_weights(judged.patients, judged.fake, resamples=resamples, seed=seed)
    blocks = [_evaluate(judged, thresholds, prevalence, own) | _measure_gaps(judged, bins, own) for own in drawn]
    draws = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    known = {name: interval for name, interval in _find_proportions(judged, thresholds) if interval is not None}
    scores = {
        name: Score(value, *known[name])
        if name in known
        else _create_score(name, value, draws[name], judged, prevalence)
        for name, value in points.items()
    }
    for name, error in errors.items():
        scores[name] = Score(error, *error_interval(gaps[name][0], draws[name], TAIL))
    return scores


def _evaluate(
    judged: Judged, thresholds: DecisionThresholds | None, prevalence: float, weights: Weights
) -> dict[str, Values]:
    roc = ranking.trace_roc(judged.scores, judged.labels, weights)
    values = {
        'share_of_fakes': roc.fakes[:, -1] / weights.sum(axis=1),
        'auroc': ranking.auroc(roc),
        'average_precision': ranking.average_precision(roc),
        'equal_error_rate': ranking.equal_error_rate(roc),
    }
    values |= {f'tpr_at_{name}': ranking.true_rate_at(roc, rate) for name, rate in RATES.items()}
    for name in _THRESHOLDS if thresholds is not None else ():
        values |= _evaluate_threshold(name, judged, getattr(thresholds, name), prevalence, weights)
    if judged.probabilities is not None:
        values['brier'] = calibration.brier(judged.probabilities, judged.labels, weights)
    return values


def _find_bins(judged: Judged) -> dict[str, Bins]:
    """Those of each calibration error; none without probabilities."""
    if judged.probabilities is None:
        return {}
    return {
        'calibration_error_width': bins_of_equal_width(judged.probabilities),
        'calibration_error_mass': bins_of_equal_mass(judged.probabilities),
    }


def _measure_gaps(
    judged: Judged, bins: dict[str, Bins], weights: Weights
) -> dict[str, Float64[np.ndarray, 'draw bin']]:
    """What calibration errors are made of."""
    if judged.probabilities is None:
        return {}
    shown = judged.probabilities, judged.labels
    return {name: calibration.mean_gaps(*shown, own, weights) for name, own in bins.items()}


def _evaluate_threshold(
    name: str, judged: Judged, threshold: float | None, prevalence: float, weights: Weights
) -> dict[str, Values]:
    """NaN for a threshold that validation could not tell."""
    keys = [f'{name}/{score}' for score in (*decisions.DECISION_SCORES, 'predictive_value')]
    if threshold is None:
        return {key: np.full(len(weights), np.nan) for key in keys}
    made = decisions.decide(judged.scores, judged.labels, weights, threshold=threshold)
    scores = [score(made) for score in decisions.DECISION_SCORES.values()]
    return dict(zip(keys, [*scores, decisions.predictive_value(made, prevalence)], strict=True))


def _find_proportions(
    judged: Judged, thresholds: DecisionThresholds | None
) -> Iterator[tuple[str, tuple[float, float] | None]]:
    """Intervals of the area under the curve, and of shares of reals and of fakes, that need no draws."""
    scores, fake, patients = judged.scores, judged.fake, judged.patients
    yield 'auroc', auroc_interval(scores, fake, patients)
    for name in _THRESHOLDS if thresholds is not None else ():
        threshold = getattr(thresholds, name)
        if threshold is None:
            continue
        found = share_interval(scores[fake] >= threshold, patients[fake])
        yield from ((f'{name}/{kind}', found) for kind in ('fake_accuracy', 'recall'))
        yield f'{name}/real_accuracy', share_interval(scores[~fake] < threshold, patients[~fake])


def _create_score(name: str, value: float, replicates: Values, judged: Judged, prevalence: float) -> Score:
    """An interval of the kind that suits a score."""
    kind = name.rpartition('/')[2]
    real_patients, _ = count_patients(judged.patients, judged.fake)
    score = percentile_interval(value, replicates, count_pairs(judged.patients, judged.fake))
    if kind == 'predictive_value' and value == 1 and score.low is not None:
        alarms = 1 - faultless_share(real_patients)  # that many may have been lucky not to be called fake
        return Score(value, prevalence / (prevalence + (1 - prevalence) * alarms), 1.0)
    return score


@dataclasses.dataclass(frozen=True)
class Cell:
    """Scores of some of the images.

    Attributes:
      reals, fakes: images.
      real_patients, fake_patients: who they are of.
      scores: see `score_table`; None where there are too few patients.
    """

    reals: int
    fakes: int
    real_patients: int
    fake_patients: int
    scores: dict[str, Score] | None


@dataclasses.dataclass(frozen=True)
class Cells:
    """Scores by cell, for JSON with `dataclasses.asdict`.

    Attributes:
      cells: by name, those too small included.
      macro: mean over the cells in which a score is defined, by score; None where it is in none.
      worst: the cell with the worst value, by score; None where no cell has one.
    """

    cells: dict[str, Cell]
    macro: dict[str, float | None]
    worst: dict[str, str | None]


def cells_by_modality(modalities: Sequence[str]) -> dict[str, Mask]:
    """The images of each modality, real and fake."""
    known = np.asarray(modalities)
    return {str(name): known == name for name in np.unique(known)}


def cells_by_fakes(labels: Labels, names: Sequence[str], modalities: Sequence[str]) -> dict[str, Mask]:
    """The fakes of each name, with the real images of the modalities that these fakes have.

    Against real images of another modality, a detector would be praised for telling the modality.

    Args:
      labels: 1 = fake.
      names: of the generator, or the kind of fake, of every image; those of real images are not used.
      modalities: of every image.
    """
    fake, known, kinds = labels.astype(bool), np.asarray(names), np.asarray(modalities)
    cells = {}
    for name in np.unique(known[fake]):
        chosen = fake & (known == name)
        cells[str(name)] = chosen | (~fake & np.isin(kinds, kinds[chosen]))
    return cells


def score_cells(
    judged: Judged,
    cells: Mapping[str, Mask],
    thresholds: DecisionThresholds,
    *,
    fewest_patients: int,
    prevalence: float,
    resamples: int,
    seed: int,
) -> Cells:
    """Scores of each cell, at the same thresholds.

    Args:
      judged: all images of a split.
      cells: which images belong to each cell; they may overlap.
      thresholds: from validation.
      fewest_patients: with real images, and with fakes, that a cell needs for scores, 1 or more.
      prevalence, resamples, seed: see `score_table`.

    Raises:
      ValueError: where the fewest patients are less than 1.
    """
    if fewest_patients < 1:
        raise ValueError('A cell with scores has at least one patient with real images and one with fakes.')
    scored = {}
    for name, chosen in cells.items():
        fake = judged.fake[chosen]
        patients = count_patients(judged.patients[chosen], fake)
        table = None
        if min(patients) >= fewest_patients:
            table = score_table(judged[chosen], thresholds, prevalence=prevalence, resamples=resamples, seed=seed)
        scored[name] = Cell(int((~fake).sum()), int(fake.sum()), *patients, table)
    return _summarise(scored)


def _summarise(cells: dict[str, Cell]) -> Cells:
    tables = {key: cell.scores for key, cell in cells.items() if cell.scores is not None}
    macro: dict[str, float | None] = {}
    worst: dict[str, str | None] = {}
    for name in next(iter(tables.values()), {}):
        if name == 'share_of_fakes':
            continue
        values = [(table[name].value, key) for key, table in tables.items()]
        defined = [(value, key) for value, key in values if value is not None]
        macro[name] = float(np.mean([value for value, _ in defined])) if defined else None
        choose = max if name in LOWER_IS_BETTER else min
        worst[name] = choose(defined)[1] if defined else None
    return Cells(cells, macro, worst)


def draw_weights(
    patients: Patients, fake: Bool[np.ndarray, ' image'], *, resamples: int, seed: int
) -> Iterator[Weights]:
    """How often each image counts where patients are drawn with replacement, in blocks of draws.

    Patients with real images only, with fakes only and with both are drawn apart, as many as there are, so that
    every draw has reals and fakes, and that a patient's real images and fakes come together.

    Args:
      patients: the number of each image's patient.
      fake: whether an image is.
      resamples: draws over all blocks.
      seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    places = np.unique(patients, return_inverse=True)[1]
    strata = [np.flatnonzero(kind) for kind in _kinds(places, fake) if kind.any()]
    block = max(1, _CELLS // len(places))
    for start in range(0, resamples, block):
        times = np.zeros((min(block, resamples - start), int(places.max()) + 1))
        for members in strata:
            times[:, members] = count_draws(generator, len(times), len(members))
        yield times[:, places]


def _kinds(places: Patients, fake: Bool[np.ndarray, ' image']) -> Bool[np.ndarray, '3 patient']:
    """Whether a patient, numbered from 0, has real images only, fakes only, or both."""
    has_fakes, has_reals = (np.bincount(places, weights=each) > 0 for each in (fake, ~fake))
    return np.stack([has_reals & ~has_fakes, has_fakes & ~has_reals, has_reals & has_fakes])


def count_patients(patients: Patients, fake: Bool[np.ndarray, ' image']) -> tuple[int, int]:
    """Patients with real images, and with fakes."""
    return len(np.unique(patients[~fake])), len(np.unique(patients[fake]))


def count_pairs(patients: Patients, fake: Bool[np.ndarray, ' image']) -> int:
    """The most pairs of a patient with real images and another with fakes, no patient being in two of them."""
    return min(*count_patients(patients, fake), len(np.unique(patients)) // 2)


def can_resample(patients: Patients, fake: Bool[np.ndarray, ' image']) -> bool:
    """Whether both the reals and the fakes vary between draws."""
    reals, fakes, both = _kinds(np.unique(patients, return_inverse=True)[1], fake).sum(axis=1)
    return bool(max(reals, both) > 1 and max(fakes, both) > 1)
