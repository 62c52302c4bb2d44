"""The privacy budget of a run: what each step spends, the secret behind it, and what the workdir keeps of both."""

import dataclasses
import json
import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import input_pipeline
from foundation.files import write_file
from foundation.training import parallel
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from gan.differential_privacy.accounting import (
    SampledSteps,
    compute_epsilon,
    find_noise,
    name_accountant,
    require_accountant,
)
from gan.differential_privacy.terms import PrivacyTerms
from gan.schedule import Stage
from input_pipeline import PoissonSampling

PRIVACY_FILE = 'privacy.json'
SECRET_FILE = 'noise_secret.json'  # whoever has it can take the noise away again: it is never passed on
_ENTRIES = 20  # of the table of epsilons


@dataclasses.dataclass(frozen=True, eq=False)
class PrivacyLedger:
    """What a run spends.

    Attributes:
      terms: with the noise that was found.
      units: the number of each example's unit.
      stages: of the run.
      secret: 64 bits, from which coins and noise come.
      epsilons: images seen, and epsilon up to there, in rising order.
    """

    terms: PrivacyTerms
    units: np.ndarray
    stages: tuple[Stage, ...]
    secret: int
    epsilons: tuple[tuple[int, float], ...]

    @property
    def count(self) -> int:
        """Units that are protected."""
        return int(self.units.max()) + 1

    def sampling(self, stage: Stage) -> PoissonSampling:
        """How the batches of a stage are drawn."""
        probability = self.terms.probability(stage.batch_size, self.count)
        return PoissonSampling(self.secret, self.units, probability, stage.batch_size, stage.start)

    def spent(self, images_seen: int) -> float:
        """Epsilon after so many images: of the next entry of the table, so never too little."""
        return _look_up(self.epsilons, images_seen)

    def content(self) -> dict[str, Any]:
        """What the workdir keeps, and may be passed on."""
        return {
            'unit': self.terms.unit,
            'units': self.count,
            'delta': self.terms.delta,
            'noise_multiplier': self.terms.noise_multiplier,
            'clip_norm': self.terms.clip_norm,
            'sampling': [
                {'from': stage.start, 'to': stage.end, 'probability': self.sampling(stage).probability}
                for stage in self.stages
            ],
            'accountant': name_accountant(),
            'epsilons': [list(entry) for entry in self.epsilons],
        }

    def describe(self) -> str:
        """What is protected, for the log."""
        overfull = [
            stats.binom.sf(stage.batch_size, self.count, self.sampling(stage).probability) for stage in self.stages
        ]
        return (
            f'Differential privacy: each {self.terms.unit} of {self.count}, noise '
            f'{self.terms.noise_multiplier:.4g} times the clip norm of {self.terms.clip_norm:g}; all '
            f'{self.stages[-1].end} images will have spent epsilon {self.epsilons[-1][1]:.3g} at delta '
            f'{self.terms.delta:g}. {max(overfull):.2%} of the batches are left empty, as more are drawn than fit.'
        )


def open_ledger(
    terms: PrivacyTerms, workdir: Path, images: input_pipeline.ImageData, stages: Sequence[Stage]
) -> PrivacyLedger:
    """The ledger of a run that begins, or of the one in `workdir`, whose noise stays as it was; writes nothing.

    Raises:
      UserError: when packages are missing, the terms do not fit the data, or the schedule goes beyond the budget.
    """
    require_accountant()
    units = _number_units(terms, images)
    count = int(units.max()) + 1
    if terms.delta >= 1 / count:
        raise UserError(
            f'config.privacy.delta is {terms.delta:g}, but must be below 1 / {count}, one over the number of '
            f'{terms.unit}s: otherwise one of them could be published as it is.'
        )
    steps = [_steps_until(terms, count, stages, images_seen) for images_seen in _mark_entries(stages)]
    secret = _read_secret(workdir)
    if (workdir / PRIVACY_FILE).exists():
        terms = dataclasses.replace(terms, noise_multiplier=_read_noise(workdir))
    elif _has_trained(workdir):
        raise UserError(_describe_gone(workdir / PRIVACY_FILE, 'which tells the noise of this run'))
    elif not terms.noise_multiplier:
        noise = find_noise(steps[-1], terms.epsilon, terms.delta)
        terms = dataclasses.replace(terms, noise_multiplier=noise)
    entries = [compute_epsilon(until, terms.noise_multiplier, terms.delta) for until in steps]
    if terms.epsilon and entries[-1] > terms.epsilon:
        raise UserError(
            f'The schedule ends after {stages[-1].end} images, which would spend epsilon {entries[-1]:.4g}, but '
            f'config.privacy.epsilon is {terms.epsilon:g}; train fewer images, begin in another --workdir with '
            'more noise, or allow more.'
        )
    table = tuple(zip(_mark_entries(stages), entries, strict=True))
    return PrivacyLedger(terms, units, tuple(stages), secret, table)


def check_not_private(workdir: Path) -> None:
    """Refuses to train on without noise what was trained with it, whose record would then promise too much.

    Raises:
      UserError: when the run in `workdir` has a ledger.
    """
    if (workdir / PRIVACY_FILE).exists() or (workdir / SECRET_FILE).exists():
        raise UserError(
            f'{workdir} holds a run with differential privacy, which steps without noise would undo; give '
            'config.privacy.epsilon or config.privacy.noise_multiplier as before, or another --workdir.'
        )


def keep_secret(ledger: PrivacyLedger, workdir: Path) -> None:
    """Writes the secret into the workdir, for its owner's eyes alone; one that is there stays."""
    path = workdir / SECRET_FILE
    if not path.exists():
        content = json.dumps({'secret': f'{ledger.secret:016x}'}, indent=2) + '\n'
        write_file(path, content.encode(), 0o600)


@dataclasses.dataclass(frozen=True)
class PrivacySpent:
    """What is proved of the networks that a run had at some time.

    Attributes:
      epsilon, delta: of the guarantee.
      unit: whom it protects, `image` or `patient`.
      units: how many there were.
      noise_multiplier, clip_norm: of the gradient.
      accountant: who counted.
    """

    epsilon: float
    delta: float
    unit: str
    units: int
    noise_multiplier: float
    clip_norm: float
    accountant: str

    def __str__(self) -> str:
        """What is proved, in a sentence."""
        return (
            f'epsilon {self.epsilon:.3g} at delta {self.delta:g} for each {self.unit} of {self.units:,} (noise '
            f'{self.noise_multiplier:.4g}, clip norm {self.clip_norm:g}; {self.accountant}). It covers the '
            'networks and what is made of them alone, not scores, logs, and what else is known of real images.'
        )


def read_spent(workdir: Path, images_seen: int) -> PrivacySpent:
    """What is proved of the networks that a run had after so many images.

    Raises:
      UserError: when the workdir's record is missing or damaged.
    """
    content = workdirs.read_json(workdir, PRIVACY_FILE)
    try:
        epsilon = _look_up([(int(images), float(spent)) for images, spent in content['epsilons']], images_seen)
        if not math.isfinite(epsilon):
            raise ValueError(f'it ends before {images_seen} images')
        names = [field.name for field in dataclasses.fields(PrivacySpent) if field.name != 'epsilon']
        return PrivacySpent(epsilon, **{name: content[name] for name in names})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{workdir / PRIVACY_FILE} is damaged ({error}); restore it from a copy.') from error


def _number_units(terms: PrivacyTerms, images: input_pipeline.ImageData) -> np.ndarray:
    if terms.unit == 'image':
        return np.arange(images.num_examples)
    if not images.patients_known:
        raise UserError(
            f"config.privacy.unit is 'patient', but nobody told the patients of {images.name!r}; set it to "
            "'image', which then protects single images, not persons."
        )
    return np.unique(images.patients, return_inverse=True)[1].reshape(-1)


def _mark_entries(stages: Sequence[Stage]) -> list[int]:
    """Images seen at the entries of the table, evenly spread over the run."""
    end = stages[-1].end
    return sorted({-(-end * number // _ENTRIES) for number in range(1, _ENTRIES + 1)})


def _steps_until(terms: PrivacyTerms, count: int, stages: Sequence[Stage], images_seen: int) -> list[SampledSteps]:
    """All steps that have begun before so many images."""
    return [
        SampledSteps(
            terms.probability(stage.batch_size, count),
            -(-max(min(images_seen, stage.end) - stage.start, 0) // stage.batch_size),
        )
        for stage in stages
    ]


def _look_up(entries: Sequence[tuple[int, float]], images_seen: int) -> float:
    """Epsilon of the first entry that is not before; infinite where there is none."""
    if not images_seen:
        return 0.0
    return next((spent for images, spent in entries if images >= images_seen), math.inf)


def _read_secret(workdir: Path) -> int:
    """The secret of the run in `workdir`, or a new one, the same on all processes."""
    path = workdir / SECRET_FILE
    if path.exists():
        try:
            secret = int(workdirs.read_json(workdir, SECRET_FILE)['secret'], 16)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f'{path} is damaged; restore it from a copy, or begin in another --workdir.'
            ) from error
    elif _has_trained(workdir):
        raise UserError(_describe_gone(path, 'from which the noise of this run comes'))
    else:
        secret = secrets.randbits(64)
    return parallel.agree(secret)


def _read_noise(workdir: Path) -> float:
    """The noise multiplier that was found when the run began."""
    content = workdirs.read_json(workdir, PRIVACY_FILE)
    try:
        noise = float(content['noise_multiplier'])
        if not 0 < noise < math.inf:
            raise ValueError(f'noise of {noise}')
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{workdir / PRIVACY_FILE} is damaged ({error}); restore it from a copy.') from error
    return noise


def _has_trained(workdir: Path) -> bool:
    return (workdir / 'checkpoints').is_dir() and any((workdir / 'checkpoints').iterdir())


def _describe_gone(path: Path, role: str) -> str:
    return f'{path} is gone, {role}; restore it from a copy, or begin in another --workdir.'
