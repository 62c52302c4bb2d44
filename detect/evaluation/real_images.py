"""What a detector says of images that are known to be real: false alarms and don't-knows, by patient."""

import collections
import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from jaxtyping import Bool, Int

from detect.evaluation.report import describe
from detect.judge import Judge, Judgement
from detect.predictions import read_case
from foundation.report.page import Page
from foundation.statistics.percentiles import Score
from foundation.statistics.proportions import share_interval
from foundation.training import workdir as workdirs
from input_pipeline.errors import DataError, Refusals
from input_pipeline.inputs import Incoming, read_header

REPORT_FILE, PAGE_FILE = 'report.json', 'report.html'
_UNTOLD = 'not told'
_ANSWERS = {'synthetic': 'called synthetic', "don't know": "don't know", 'real': 'called real'}
_TOLD = {
    True: 'No: the interval lies above the level.',
    False: 'Yes: the interval lies below the level.',
    None: 'The images are too few to tell.',
}


@dataclasses.dataclass(frozen=True)
class CheckedCase:
    """What is said of one real picture, series or volume, and what is known of it.

    Attributes:
      patient: whose it is; itself where nothing tells.
      modality, scanner: as headers tell.
      answer, reason: see `Judgement`.
    """

    patient: str
    modality: str
    scanner: str
    answer: str
    reason: str | None


def check_cases(found: Sequence[Incoming], judge: Judge, refusals: Refusals) -> list[CheckedCase]:
    """Judges all that came in, as `detect.predict` does; what cannot be read is refused, and the others go on."""
    checked = []
    for incoming in tqdm.tqdm(found, unit=' cases', file=sys.stderr):
        try:
            case, files = read_case(incoming)
            judgement: Judgement = judge.judge(case)
            scanner = _find_scanner(files[0]) if incoming.kind == 'dicom' else _UNTOLD
        except DataError as error:
            refusals.add(incoming.source, str(error))
            continue
        modality = case.records[0].modality
        checked.append(CheckedCase(case.patient, modality, scanner, judgement.answer, judgement.reason))
    return checked


def _find_scanner(file: Path) -> str:
    header = read_header(file)
    told = (str(header.get(name, '') or '').strip() for name in ('Manufacturer', 'ManufacturerModelName'))
    return ' '.join(filter(None, told)) or _UNTOLD


def report_check(checked: Sequence[CheckedCase], *, error_level: float, refused: int) -> dict[str, Any]:
    """Shares of all cases, and by modality and by scanner, each with an interval over patients.

    Args:
      checked: one case or more.
      error_level: the share of real images that may be called synthetic, as promised.
      refused: files that could not be read.
    """
    parts: dict[str, dict[str, Any]] = {'all': {'all': [True] * len(checked)}}
    for kind in ('modality', 'scanner'):
        values = [getattr(case, kind) for case in checked]
        parts[kind] = {name: [value == name for value in values] for name in sorted(set(values))}
    reasons = collections.Counter(case.reason for case in checked if case.reason)
    return {
        'error_level': error_level,
        'refused': refused,
        'parts': {
            kind: {name: _measure(checked, np.array(chosen), error_level) for name, chosen in own.items()}
            for kind, own in parts.items()
        },
        'reasons': dict(reasons.most_common()),
    }


def _measure(checked: Sequence[CheckedCase], chosen: Bool[np.ndarray, ' case'], level: float) -> dict[str, Any]:
    own = [case for case, is_chosen in zip(checked, chosen, strict=True) if is_chosen]
    _, patients = np.unique([case.patient for case in own], return_inverse=True)
    answers = np.array([case.answer for case in own])
    shares = {name: _share(answers == name, patients) for name in _ANSWERS}
    return {
        'cases': len(own),
        'patients': int(patients.max()) + 1,
        'shares': {name: dataclasses.asdict(share) for name, share in shares.items()},
        'above_level': is_above(shares['synthetic'], level),
    }


def _share(hits: Bool[np.ndarray, ' case'], patients: Int[np.ndarray, ' case']) -> Score:
    """The share of cases, with its interval over patients; see `share_interval`."""
    low, high = share_interval(hits, patients) or (None, None)
    return Score(float(hits.mean()), low, high)


def is_above(share: Score, level: float) -> bool | None:
    """Whether the interval of a share lies above a level: True, or False where it lies below; None for neither."""
    if share.low is None or share.high is None:
        return None
    return True if share.low > level else False if share.high <= level else None


def write_check(report: Mapping[str, Any], folder: Path) -> None:
    """Writes the numbers and a page."""
    workdirs.write_json(folder / REPORT_FILE, report)
    page = Page('What the detector says of real images')
    page.paragraph(describe_promise(report))
    for kind, rows in list_rows(report):
        page.section({'all': 'All', 'modality': 'By modality', 'scanner': 'By scanner'}[kind])
        page.table(_HEADER, rows, _CAPTION)
    if report['reasons']:
        page.section('Why it does not know')
        counts = [[reason, str(count)] for reason, count in report['reasons'].items()]
        page.table(['reason', 'cases'], counts, 'Pictures, series or volumes.')
    page.write(folder / PAGE_FILE)


_HEADER = ['part', 'cases (patients)', *_ANSWERS.values(), 'level kept']
_CAPTION = 'Shares with 95% intervals over patients.'


def list_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """Rows of the tables, by what they part: all, modality, scanner."""
    words = {True: 'NO', False: 'yes', None: 'open'}
    for kind, parts in report['parts'].items():
        rows = []
        for name, own in parts.items():
            shares = [describe(own['shares'][answer]) for answer in _ANSWERS]
            rows.append([name, f'{own["cases"]} ({own["patients"]})', *shares, words[own['above_level']]])
        yield kind, rows


def describe_promise(report: Mapping[str, Any]) -> str:
    """Whether the error level is kept on these images, and what was left out."""
    own = report['parts']['all']['all']
    refused = f' {report["refused"]} files could not be read, and are left out.' if report['refused'] else ''
    return (
        f'At most {report["error_level"]:.2%} of real images should be called synthetic. Of these {own["cases"]} '
        f'cases of {own["patients"]} patients: {describe(own["shares"]["synthetic"])}. Is the level kept? '
        f'{_TOLD[own["above_level"]]}{refused}'
    )


def print_check(report: Mapping[str, Any], rows: Iterable[tuple[str, list[list[str]]]]) -> None:
    """The tables, for a terminal."""
    print(describe_promise(report))
    for kind, own in rows:
        print(f'\n{"by " + kind if kind != "all" else "all"}')
        for row in ([_HEADER] if kind == 'all' else []) + own:
            print(f'  {row[0][:28]:<28}{row[1]:>18}' + ''.join(f'{cell:>24}' for cell in row[2:5]) + f'  {row[5]}')
    for reason, count in report['reasons'].items():
        print(f'  {count} x {reason}')
