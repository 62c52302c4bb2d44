"""The plan of a study: made once, whole, and never changed; its truth lies beside it.

plan.json     numbers, sources, checksums, and the order in which each reader sees the cases
truth.json    which case is what
cases.npy     all images, in an order that tells nothing
links.json    what stands in each reader's address
answers/      a file a reader
"""

import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt16

import input_pipeline
from foundation.export.manifest import content_checksum, file_checksum
from foundation.files import write_file
from foundation.training.errors import UserError
from foundation.training.workdir import read_json, write_json

PLAN_FILE, TRUTH_FILE, CASES_FILE, LINKS_FILE, ANSWERS = (
    'plan.json', 'truth.json', 'cases.npy', 'links.json', 'answers'
)  # fmt: skip
_VERSION = 1
_CHECKSUM = 'plan_sha256'
CaseImages = UInt16[np.ndarray, 'case height width channel']


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """What is fixed before the first answer.

    Attributes:
      cases: that each reader judges, half of them generated.
      repeats: of these, how many come a second time.
      readers: how many.
      seed: of the choice of patients, of the generated images and of all orders.
      margin: the smallest distance of accuracy from 0.5 that matters.
      alpha: level of all tests.
      bits: of the grey levels that are shown.
      sources: where the cases are from, as JSON has it.
      checksums: SHA-256 of truth and images.
      orders: by reader, cases by their numbers from 0, as they come.
    """

    cases: int
    repeats: int
    readers: int
    seed: int
    margin: float
    alpha: float
    bits: int
    sources: Mapping[str, Any]
    checksums: Mapping[str, str]
    orders: Sequence[Sequence[int]]

    @property
    def checksum(self) -> str:
        """SHA-256 of all of it."""
        return content_checksum(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class CaseTruth:
    """What a case is.

    Attributes:
      generated: or real.
      label: its class; '' without classes.
      number: of the image among those of its source.
    """

    generated: bool
    label: str
    number: int


@dataclasses.dataclass(frozen=True, eq=False)
class OpenStudy:
    """A study as its folder holds it.

    Attributes:
      folder: of it.
      plan: of it.
      truth: of each case.
      images: of each case, 0 to 2^bits - 1.
      links: of each reader.
    """

    folder: Path
    plan: StudyPlan
    truth: tuple[CaseTruth, ...]
    images: CaseImages
    links: tuple[str, ...]


def draw_order(
    generated: Bool[np.ndarray, ' case'], repeats: int, generator: np.random.Generator
) -> Int[np.ndarray, ' position']:
    """Cases in random order, of which some come again: as many real as generated ones, of those that came early.

    Between the two times at least a quarter of the other cases is seen.

    Args:
      generated: whether each case is.
      repeats: even, and at most half of the cases.
      generator: advanced by the draws.
    """
    count = len(generated)
    order = generator.permutation(count)
    places = np.arange(count, dtype=np.float64)
    again, when = [], []
    for kind in (False, True):
        early = np.flatnonzero(generated[order] == kind)[: count // 4]  # before three quarters of all
        for first in generator.permutation(early)[: repeats // 2]:
            again.append(int(order[first]))
            when.append(generator.uniform(first + count / 4 + 1, count + 1))
    sequence = np.argsort(np.concatenate([places, when]), kind='stable')
    return np.concatenate([order, np.array(again, np.int64)])[sequence]


def choose_repeats(cases: int, wanted: int | None) -> int:
    """How many cases come twice: as many as are wanted, else a tenth.

    Raises:
      UserError: when they are odd, or more than half of the cases.
    """
    repeats = cases // 20 * 2 if wanted is None else wanted
    if repeats % 2 or repeats > cases // 2:
        raise UserError(f'--repeats={repeats} of {cases} cases; give an even number, at most {cases // 4 * 2}.')
    return repeats


def check_same(folder: Path, plan: StudyPlan, wanted: Mapping[str, Any]) -> None:
    """Raises UserError where flags, by the names of fields or sources, ask for another study than is there."""
    for name, value in wanted.items():
        planned = plan.sources[name] if name in plan.sources else getattr(plan, name)
        if value != planned:
            raise UserError(
                f'{folder} holds a study with --{name}={planned}, not {value}, and a plan is not changed: leave '
                f'--{name} out to go on with it, or give another --out.'
            )


def write_study(
    out: Path,
    fields: Mapping[str, Any],
    images: CaseImages,
    truth: Sequence[CaseTruth],
    sources: Mapping[str, Any],
) -> None:
    """Writes a study into a new folder, in one step.

    Args:
      out: the folder.
      fields: `cases`, `repeats`, `readers`, `seed`, `margin`, `alpha`, `bits` of the plan.
      images, truth: of the cases, in any order; they are shuffled here.
      sources: see `StudyPlan`.

    Raises:
      DataError: when something is there.
    """
    seeds = np.random.SeedSequence(fields['seed']).spawn(1 + fields['readers'])
    shuffled = np.random.default_rng(seeds[0]).permutation(len(truth))
    truth = [truth[case] for case in shuffled]
    generated = np.array([case.generated for case in truth])
    orders = [draw_order(generated, fields['repeats'], np.random.default_rng(seed)) for seed in seeds[1:]]
    with input_pipeline.complete_folder(out.absolute(), overwrite=False) as folder:
        np.save(folder / CASES_FILE, images[shuffled], allow_pickle=False)
        write_json(folder / TRUTH_FILE, {'cases': [dataclasses.asdict(case) for case in truth]})
        links = [secrets.token_urlsafe(16) for _ in seeds[1:]]
        write_json(folder / LINKS_FILE, {'links': links})
        for name in (TRUTH_FILE, LINKS_FILE):  # readers may be users of the same machine
            (folder / name).chmod(0o600)
        (folder / ANSWERS).mkdir()
        plan = StudyPlan(
            **fields,
            sources=dict(sources),
            checksums={name: file_checksum(folder / name) for name in (TRUTH_FILE, CASES_FILE)},
            orders=[order.tolist() for order in orders],
        )
        content = {'format_version': _VERSION, **dataclasses.asdict(plan), _CHECKSUM: plan.checksum}
        write_file(folder / PLAN_FILE, (json.dumps(content) + '\n').encode())


def read_study(folder: Path) -> OpenStudy:
    """The study in a folder, where it is as it was made.

    Raises:
      UserError: when there is none, or it was altered.
    """
    plan = _read_plan(folder)
    for name, checksum in plan.checksums.items():
        if not (folder / name).is_file() or file_checksum(folder / name) != checksum:
            raise _altered(folder / name)
    truth = read_json(folder, TRUTH_FILE)['cases']
    links = read_json(folder, LINKS_FILE).get('links')
    if not isinstance(links, list) or len(links) != plan.readers or not all(map(_is_link, links)):
        raise _altered(folder / LINKS_FILE)
    images = np.load(folder / CASES_FILE, mmap_mode='r', allow_pickle=False)
    return OpenStudy(folder, plan, tuple(CaseTruth(**case) for case in truth), images, tuple(links))


def _read_plan(folder: Path) -> StudyPlan:
    content = read_json(folder, PLAN_FILE)
    version, checksum = content.pop('format_version', None), content.pop(_CHECKSUM, None)
    if version != _VERSION:
        raise UserError(f'{folder / PLAN_FILE} is of format version {version}; use the version that wrote it.')
    try:
        plan = StudyPlan(**content)
    except TypeError as error:
        raise _altered(folder / PLAN_FILE) from error
    if plan.checksum != checksum or set(plan.checksums) != {TRUTH_FILE, CASES_FILE}:
        raise _altered(folder / PLAN_FILE)
    return plan


def _is_link(link: Any) -> bool:
    return isinstance(link, str) and len(link) >= 16


def _altered(path: Path) -> UserError:
    return UserError(f'{path} is missing or was altered after the study began; restore it from a copy.')
