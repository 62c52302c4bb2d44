"""Parts of a mask: of which classes the largest alone is better on the validation patients, so that others go."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from jaxtyping import Float64

from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from input_pipeline import Case
from segment.segmentation import Segmentation

PARTS_FILE = 'parts.json'


@dataclasses.dataclass(frozen=True)
class PartsChoice:
    """What taking away all parts of a class but the largest does to validation patients.

    Attributes:
      class_name: of the class.
      patients: that have a Dice of it.
      dice: mean over them, with all parts.
      gain: of that mean with the largest part alone; 0.0 where no patient has a Dice.
      error: standard error of the gain; None with fewer than two patients.
    """

    class_name: str
    patients: int
    dice: float | None
    gain: float
    error: float | None

    @property
    def largest_alone(self) -> bool:
        """Whether the gain is more than twice its standard error: chance alone shall take nothing away."""
        return self.error is not None and self.gain > 2 * self.error


def choose_parts(
    segment: Callable[[Case], Segmentation], cases: Iterable[Case], classes: Sequence[str], *, total: int
) -> list[PartsChoice]:
    """Compares both ways, class by class, with a progress bar.

    Args:
      segment: with all parts.
      cases: of the validation split, with masks.
      classes: names of the foreground classes.
      total: how many cases there are.
    """
    rows, patients = [], []
    for case in tqdm.tqdm(cases, total=total, unit=' cases', desc='parts'):
        truth = np.stack([record.mask[..., 0] for record in case.records if record.mask is not None])
        found = segment(case)
        pair = [found, found.with_largest_parts(range(1, len(classes) + 1))]
        rows.append([_dice(one.ids, truth, len(classes)) for one in pair])
        patients.append(case.patient)
    table, owners = np.array(rows), np.array(patients)
    means = np.stack([_mean(table[owners == name]) for name in dict.fromkeys(patients)])
    return [_judge(name, means[..., place]) for place, name in enumerate(classes)]


def _judge(name: str, dice: Float64[np.ndarray, 'patient way']) -> PartsChoice:
    valued = dice[~np.isnan(dice).any(axis=1)]
    if not len(valued):
        return PartsChoice(name, 0, None, 0.0, None)
    gains = valued[:, 1] - valued[:, 0]
    error = float(np.std(gains, ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else None
    return PartsChoice(name, len(gains), float(valued[:, 0].mean()), float(gains.mean()), error)


def _dice(ids: np.ndarray, truth: np.ndarray, classes: int) -> list[float]:
    """Of each class; NaN where it is in neither mask."""
    scores = []
    for class_id in range(1, classes + 1):
        one, other = ids == class_id, truth == class_id
        total = np.count_nonzero(one) + np.count_nonzero(other)
        scores.append(2 * np.count_nonzero(one & other) / total if total else np.nan)
    return scores


def _mean(values: Float64[np.ndarray, 'case way class']) -> Float64[np.ndarray, 'way class']:
    counts = np.count_nonzero(~np.isnan(values), axis=0)
    return np.divide(np.nansum(values, axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def write_parts(workdir: Path, choices: Sequence[PartsChoice]) -> None:
    """Keeps what was chosen, and why, beside the network."""
    rows = [dataclasses.asdict(choice) | {'largest_alone': choice.largest_alone} for choice in choices]
    workdirs.write_json(workdir / PARTS_FILE, {'classes': rows})


def read_parts(workdir: Path, classes: Sequence[str]) -> tuple[int, ...]:
    """Ids of the classes of which the largest part alone stays; none for runs that never chose.

    Raises:
      UserError: when the file is damaged, or of other classes.
    """
    if not (workdir / PARTS_FILE).exists():
        return ()
    content: dict[str, Any] = workdirs.read_json(workdir, PARTS_FILE)
    try:
        names = [row['class_name'] for row in content['classes']]
        chosen = [row['largest_alone'] for row in content['classes']]
    except (KeyError, TypeError) as error:
        raise UserError(f'{workdir / PARTS_FILE} is damaged ({error}); restore it from a copy.') from error
    if names != list(classes) or not all(isinstance(one, bool) for one in chosen):
        raise UserError(
            f'{workdir / PARTS_FILE} does not say yes or no of each of {", ".join(classes)}; give the training '
            'command again, which writes it anew.'
        )
    return tuple(number for number, alone in enumerate(chosen, 1) if alone)


def describe_parts(classes: Sequence[str]) -> list[str]:
    """A line on the classes of which parts are taken away; none where there are none."""
    if not classes:
        return []
    return [f'Of {", ".join(classes)} the largest part alone is kept, as validation chose; --all_parts keeps all.']
