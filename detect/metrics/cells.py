"""Scores apart by modality, by generator and by kind of fake, with their mean and the worst of them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from detect.metrics.bootstrap import count_patients
from detect.metrics.samples import Judged, Labels
from detect.metrics.table import LOWER_IS_BETTER, score_table
from detect.metrics.thresholds import DecisionThresholds
from foundation.statistics.percentiles import Score

Mask = Bool[np.ndarray, ' image']


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
