"""The results of a study's cells: Dice of every patient, for every seed."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from foundation.training import launch
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from segment.studies.design import ARMS
from segment.studies.plan import StudyCell

REPORT = Path('evaluation') / 'report.json'
Cells = Float64[np.ndarray, 'seeds patients']


@dataclasses.dataclass(frozen=True)
class Group:
    """Cells that differ by their seed alone.

    Attributes:
      arm, fraction, ratio: see `StudyCell`.
    """

    arm: str
    fraction: float
    ratio: float

    @property
    def label(self) -> str:
        """For figures."""
        return f'{self.arm} {100 * self.fraction:g}%' + (f' x {self.ratio:g}' if self.ratio else '')

    @property
    def meaning(self) -> str:
        """For tables."""
        added = f', {self.ratio:g} generated for each real image' if self.ratio else ''
        return f'{ARMS[self.arm].meaning}, {100 * self.fraction:g}% of the patients{added}'


@dataclasses.dataclass(frozen=True)
class Results:
    """Of all cells.

    Attributes:
      patients: test patients, in the order of all arrays.
      groups: Dice under the study's policy; NaN where it skips a patient.
    """

    patients: tuple[str, ...]
    groups: dict[Group, Cells]


def read_results(cells: Sequence[StudyCell], folders: Sequence[Path], policy: str) -> Results:
    """Reads what `segment.evaluate` wrote for each cell.

    Args:
      cells: of the study.
      folders: of the cells.
      policy: for empty masks.

    Raises:
      UserError: when a report is missing or damaged, is of another policy, or the cells were judged on different
        patients or classes.
    """
    values: dict[Group, list[dict[str, float]]] = {}
    classes: set[str] = set()
    for cell, folder in zip(cells, folders, strict=True):
        group = Group(cell.arm, cell.fraction, cell.ratio)
        own, named = _read(folder, policy)
        values.setdefault(group, []).append(own)
        classes = classes or named
        if named != classes:
            raise UserError(
                f'{folder / REPORT} knows other classes than the cells before it: {", ".join(sorted(named))}; set '
                '--config.mask_classes in config.segmenter.flags, for all cells alike.'
            )
    patients = tuple(next(iter(values.values()))[0])
    for group, rows in values.items():
        if any(set(row) != set(patients) for row in rows):
            raise UserError(
                f'The cells of {group.meaning} were judged on other patients than the first cell: their data sets '
                'were changed; start the study in another --workdir with another config.name.'
            )
    table = {
        group: np.array([[row[patient] for patient in patients] for row in rows]) for group, rows in values.items()
    }
    return Results(patients, table)


def _read(folder: Path, policy: str) -> tuple[dict[str, float], set[str]]:
    """Dice of each patient, the mean over the patient's cases, then over classes; and the names of these."""
    path, command = folder / REPORT, f'{launch.python()} -m segment.evaluate --workdir={folder} --policy={policy}'
    anew = f'make it anew: {command}'
    if not path.is_file():
        raise UserError(f'{path} is missing; {anew}')
    report = workdirs.read_json(path.parent, path.name)
    try:
        if report['policy'] != policy:
            raise UserError(f'{path} was made with the policy {report["policy"]}, not {policy}; {anew}')
        if report['split'] != 'test':
            raise UserError(f'{path} is of the {report["split"]} split; {anew}')
        by_patient: dict[str, dict[str, list[float]]] = {}
        for row in report['rows']:
            own = by_patient.setdefault(row['patient'], {}).setdefault(row['class_name'], [])
            own += [] if row['dice'] is None else [float(row['dice'])]
    except (KeyError, TypeError) as error:
        raise UserError(f'{path} is damaged ({error!r}); {anew}') from error
    classes = {name for own in by_patient.values() for name in own}
    return {patient: _mean(own) for patient, own in by_patient.items()}, classes


def _mean(classes: dict[str, list[float]]) -> float:
    means = [math.fsum(values) / len(values) for values in classes.values() if values]
    return math.fsum(means) / len(means) if means else math.nan
