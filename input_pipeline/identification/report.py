"""What the answers about many pictures say together, as tables for people and values for JSON."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.identification.recognition import NONE, Answers

MIXED = 'several kinds'
_MAJORITY = 0.5


@dataclasses.dataclass(frozen=True)
class Identification:
    """What the pictures of one path look like.

    Attributes:
      path: as the user gave it.
      measure: by which they were compared.
      kind: that of more than half of the pictures, 'none of these', or 'several kinds'.
      pictures: how many were compared.
      share: of the pictures that are of the kind (of the most frequent one where there are several).
      score: mean likeness of all pictures to the kind that each is most like.
      second: the kind that comes next in mean likeness, '' where there is only one.
      margin: mean likeness to the first minus that to the second.
      counts: pictures of every kind found.
      refused: files that could not be used, with reasons.
    """

    path: str
    measure: str
    kind: str
    pictures: int
    share: float
    score: float
    second: str
    margin: float
    counts: dict[str, int]
    refused: dict[str, str]


def judge(path: str, measure: str, answers: Answers, refused: dict[str, str]) -> Identification:
    """Sums up the answers about the pictures of one path; there must be one at least."""
    total = len(answers.scores)
    frequent, count = next(iter(answers.counts.items()))
    mean = answers.scores.mean(axis=0)
    order = [int(kind) for kind in np.argsort(-mean)]
    has_second = len(order) > 1
    return Identification(
        path=path,
        measure=measure,
        kind=frequent if count > _MAJORITY * total else MIXED,
        pictures=total,
        share=count / total,
        score=float(answers.scores.max(axis=1).mean()),
        second=answers.kinds[order[1]] if has_second else '',
        margin=float(mean[order[0]] - mean[order[1]]) if has_second else 0.0,
        counts=answers.counts,
        refused=refused,
    )


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as aligned columns: text to the left, numbers to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(rows[0]))]
    numeric = [isinstance(value, float | int) for value in rows[-1]]
    lines = []
    for row in texts:
        cells = zip(row, widths, numeric, strict=True)
        lines.append('  '.join(f'{cell:>{w}}' if right else f'{cell:<{w}}' for cell, w, right in cells).rstrip())
    return '\n'.join(lines)


def _cell(value: Any) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)


def verdict_table(verdicts: Sequence[Identification]) -> str:
    """One line for each path and measure, and below a path of several kinds how many pictures each has."""
    header = ('path', 'measure', 'pictures', 'looks like', 'share', 'likeness', 'next', 'margin')
    rows = [(v.path, v.measure, v.pictures, v.kind, v.share, v.score, v.second, v.margin) for v in verdicts]
    lines = [table([header, *rows])]
    for verdict in verdicts:
        if len(verdict.counts) > 1:
            counts = ', '.join(f'{kind} {count}' for kind, count in verdict.counts.items())
            lines.append(f'{verdict.path} by {verdict.measure}: {counts}')
    refused = {path: reason for verdict in verdicts for path, reason in verdict.refused.items()}
    if refused:
        path, reason = next(iter(refused.items()))
        lines.append(f'{len(refused)} files could not be used; first {path}: {reason}')
    return '\n'.join(lines)


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How often one measure is right about pictures whose kind is known; shares are None without such pictures.

    Attributes:
      measure: its name.
      pictures: how many have one of the kinds, or another.
      accuracy: the most alike kind is the right one, threshold aside.
      right: the answer is right, threshold included.
      none: the answer is wrongly 'none of these'.
      rejected: pictures of other kinds that are rightly 'none of these'.
      seconds: for describing and comparing.
    """

    measure: str
    pictures: int
    accuracy: float | None
    right: float | None
    none: float | None
    rejected: float | None
    seconds: float


def accuracy(measure: str, answers: Answers, labels: Sequence[str], seconds: float) -> Accuracy:
    """Compares answers with the true kinds; a label that is no kind should be 'none of these'."""
    places = {kind: place for place, kind in enumerate(answers.kinds)}
    truth = np.array([places.get(label, -1) for label in labels])
    own, other = truth >= 0, truth < 0

    def share(values: np.ndarray) -> float | None:
        return float(values.mean()) if len(values) else None

    return Accuracy(
        measure,
        len(truth),
        share(answers.best[own] == truth[own]),
        share(answers.kind[own] == truth[own]),
        share(answers.kind[own] < 0),
        share(answers.kind[other] < 0),
        seconds,
    )


def accuracy_table(rows: Sequence[Accuracy]) -> str:
    """One line for each measure."""
    header = ('measure', 'pictures', 'accuracy', 'right', 'wrongly none', 'others none', 'seconds')
    values = [tuple('-' if value is None else value for value in dataclasses.astuple(row)) for row in rows]
    return table([header, *values])


def confusion_table(answers: Answers, labels: Sequence[str]) -> str:
    """Pictures of every class (rows) by answer (columns)."""
    header = ('class', *answers.kinds, NONE)
    rows = []
    for label in sorted(set(labels)):
        own = answers.kind[np.array(labels) == label]
        rows.append((label, *(int((own == place).sum()) for place in [*range(len(answers.kinds)), -1])))
    return table([header, *rows])
