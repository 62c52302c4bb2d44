"""Predictions for all files that came in, a line for each; one bad file never stops the others."""

import contextlib
import dataclasses
import datetime as dt
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import tqdm

from backbones.grids import save_picture
from detect.explanation import draw_frames, draw_heat
from detect.judge import Judge, Judgement, describe_judgement
from foundation.export.manifest import MANIFEST_FILE, file_checksum, read_manifest
from foundation.signing.kinds import DICOM, find_kinds
from foundation.signing.packages import is_installed
from foundation.software import software_version
from foundation.training.errors import UserError
from input_pipeline import Case
from input_pipeline.atomic import finish, resumable
from input_pipeline.depth import NOTE
from input_pipeline.errors import DataError, Refusals, reason_of
from input_pipeline.inputs import Incoming, list_checksum, read_header
from input_pipeline.journal import AnswerJournal

# What IPTC calls pictures that a trained model drew, or drew parts of.
_SYNTHETIC_SOURCES = ('trainedAlgorithmicMedia', 'compositeWithTrainedAlgorithmicMedia', 'compositeSynthetic')
_FOLDERS_UP = 16  # images lie below the folder that has the manifest, translated ones as deep as their sources


def find_declaration(incoming: Incoming, checksums: Mapping[Path, str]) -> dict[str, Any] | None:
    """Who says that it is synthetic: its DICOM header, the manifest of the folder it lies in, or its content
    credentials (C2PA, where c2pa-python is installed), whoever signed them; None for nobody.

    A manifest counts only for files whose checksum it gives, and credentials only where they are right. Without a
    declaration an image may be synthetic all the same.

    Args:
      incoming: a picture, series or volume.
      checksums: SHA-256 of its files.
    """
    for file in checksums if incoming.kind == 'dicom' else ():
        if read_header(file).get('SyntheticData') == 'YES':
            return {'by': 'DICOM header', 'file': file.name, 'element': 'SyntheticData (0008,001C) = YES'}
    for file, checksum in checksums.items():
        found = _find_in_manifest(file, checksum) or _find_in_credentials(file)
        if found is not None:
            return found
    return None


def _find_in_credentials(file: Path) -> dict[str, Any] | None:
    kinds = find_kinds(file) - {DICOM}
    if not kinds or not is_installed('c2pa'):
        return None
    from foundation.signing.credentials import CredentialReader

    claim = CredentialReader(None).find_claim(file, min(kinds))
    sources, signer = claim or ((), '')
    source = next((own for own in sources if own in _SYNTHETIC_SOURCES), None)  # photographs may be edited by one
    if source is None:
        return None
    return {'by': 'content credentials', 'file': file.name, 'source': source, 'signer': signer}


def _find_in_manifest(file: Path, checksum: str) -> dict[str, Any] | None:
    for folder in list(file.absolute().parents)[:_FOLDERS_UP]:
        if not (folder / MANIFEST_FILE).is_file():
            continue
        try:
            manifest = read_manifest(folder)
        except UserError:  # an altered manifest declares nothing
            continue
        if any(entry['sha256'] == checksum for entry in manifest['files']):
            model = manifest['model']['weights_sha256']
            return {'by': 'manifest', 'file': str(folder / MANIFEST_FILE), 'generator_sha256': model}
    return None


_LINES = ''  # the part of the journal that is kept when all lines are written; no file has this name
_SHOWN = 8  # slices of an overlay: the most suspicious ones


@dataclasses.dataclass(frozen=True)
class PredictionRequest:
    """Where answers go.

    Attributes:
      out: file for the lines; None for the standard output.
      overlays: new folder for pictures; None without.
      audit: file that lines are added to; None without.
      command: what else decides the answers, beside the detector, as JSON has it.
    """

    out: Path | None
    overlays: Path | None
    audit: Path | None
    command: Mapping[str, Any]

    def check(self) -> None:
        """Raises UserError where something would be overwritten or cannot be written."""
        folder = self.overlays
        # Where pictures are missing, a call may have been killed before they got their name: `answer_all` looks.
        if self.out is not None and self.out.exists() and (folder is None or folder.exists()):
            raise self.is_taken()
        if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f'{folder} exists already; give --overlays a new folder.')
        if self.audit is not None and self.audit.is_dir():
            raise UserError(f'{self.audit} is a folder; give --audit a file.')
        for path in (self.out, self.audit):
            if path is not None and not path.absolute().parent.is_dir():
                raise UserError(f'{path}: there is no folder {path.absolute().parent}.')

    def is_taken(self) -> UserError:
        """What is said where the file of lines is there."""
        return UserError(f'{self.out} exists already; give --out a new file.')


def answer_all(found: Sequence[Incoming], judge: Judge, order: PredictionRequest, refusals: Refusals) -> int:
    """Writes a line for each; returns how many were answered. Files and folders get their names when all is done.

    What a stopped call with the same arguments answered is kept, where the lines go to a file.

    Args:
      found: what came in.
      judge: the detector.
      order: where lines and pictures go.
      refusals: takes what fails, and a note on windows; what it holds already gets its lines first.

    Raises:
      UserError: the file of lines is there, and no pictures wait that belong to it.
    """
    answered, told = 0, 0
    command = _identify(found, judge, order)
    if order.out is not None and order.out.exists():
        return _finish(order.out, order, command, refusals)
    with _begin(order, command) as answers:
        for incoming in tqdm.tqdm(found, unit=' cases', file=sys.stderr):
            told = _tell(refusals, told, answers.lines)
            try:
                answer = answers.find(incoming.name) or _answer(incoming, judge, order, answers, refusals)
            except (DataError, UserError) as error:
                refusals.add(incoming.source, str(error))
                continue
            _write(answers.lines, answer)
            answered += 1
            if answer['note']:
                refusals.note(NOTE)
        _tell(refusals, told, answers.lines)
    return answered


def _identify(found: Sequence[Incoming], judge: Judge, order: PredictionRequest) -> dict[str, Any]:
    """All that decides what is written."""
    return {
        'command': dict(order.command),
        'overlays': str(order.overlays),
        'judge': [judge.prevalence, judge.error_level, judge.detector.checksum],
        'stack': None if judge.stack is None else judge.stack.trained.checksum,
        'found': list_checksum(found),
        'version': software_version(),
    }


@dataclasses.dataclass(frozen=True)
class _Answers:
    """Where answers are until all are there.

    Attributes:
      lines: they go to.
      journal: of the lines; None for the standard output, which cannot be gone on with.
      overlays: journal of the pictures; None without.
    """

    lines: TextIO
    journal: AnswerJournal | None
    overlays: AnswerJournal | None

    def find(self, name: str) -> dict[str, Any] | None:
        """What was answered before; None where that, or its picture, is not there."""
        answer = None if self.journal is None else self.journal.find(name)
        if answer is None or 'overlay' not in answer:
            return answer
        return answer if self.overlays is not None and self.overlays.find(name) is not None else None

    def keep(self, name: str, answer: Mapping[str, Any], pictures: Sequence[str]) -> None:
        """Keeps an answer for when the command is stopped; pictures are names in the folder of overlays."""
        if self.journal is None:
            return
        if self.overlays is not None:
            self.overlays.keep(name, {}, pictures)
        self.journal.keep(name, answer, [])


def _finish(out: Path, order: PredictionRequest, command: Mapping[str, Any], refusals: Refusals) -> int:
    """Names the pictures of a call that was killed when the lines had their name; returns how many it answered."""
    kept = {_LINES: file_checksum(out)}
    if order.overlays is None or not finish(order.overlays.absolute(), command, _LINES, kept):
        raise order.is_taken()
    lines = [json.loads(line) for line in out.read_text(encoding='utf-8').splitlines()]
    for line in lines:
        if 'error' in line and line['name'] not in refusals.reasons:
            refusals.add(line['name'], line['error'])
    return sum('error' not in line for line in lines)


@contextlib.contextmanager
def _begin(order: PredictionRequest, command: Mapping[str, Any]) -> Iterator[_Answers]:
    with contextlib.ExitStack() as stack:
        lines, journal, overlays = sys.stdout, None, None
        if order.overlays is not None:
            overlays = stack.enter_context(resumable(order.overlays.absolute(), command))
        if order.out is not None:
            journal = stack.enter_context(resumable(order.out.absolute(), command, is_file=True))
            lines = stack.enter_context((journal.folder / order.out.name).open('w', encoding='utf-8'))
        yield _Answers(lines, journal, overlays)
        if overlays is not None and journal is not None:  # the file gets its name first, then `_finish` can help
            lines.close()
            overlays.keep(_LINES, {_LINES: file_checksum(Path(lines.name))}, [])


def _answer(
    incoming: Incoming, judge: Judge, order: PredictionRequest, answers: _Answers, refusals: Refusals
) -> dict[str, Any]:
    folder, refused = None if answers.overlays is None else answers.overlays.folder, len(refusals.reasons)
    answer, pictures = answer_one(incoming, judge, folder), []
    if order.overlays is not None and folder is not None and 'overlay' in answer:
        pictures.append(Path(answer['overlay']).relative_to(folder).as_posix())
        answer['overlay'] = str(order.overlays / pictures[0])
    _audit(order.audit, answer)
    if len(refusals.reasons) == refused:  # a series of which files were refused is read again, to tell so again
        answers.keep(incoming.name, answer, pictures)
    return answer


def answer_one(incoming: Incoming, judge: Judge, overlays: Path | None) -> dict[str, Any]:
    """What is said of one picture, series or volume.

    Raises:
      DataError: when it cannot be read, in one sentence.
    """
    case, files = read_case(incoming)
    checksums = _find_checksums(files)
    judgement = judge.judge(case)
    answer = {
        'name': incoming.name,
        'kind': incoming.kind,
        'modality': case.records[0].modality,
        'verdict': judgement.answer,
        'declared_synthetic': find_declaration(incoming, checksums),
        **{name: value for name, value in describe_judgement(judgement).items() if name != 'answer'},
        'prevalence': judge.prevalence,
        'error_level': judge.error_level,
        'files': [{'path': str(file), 'sha256': checksum} for file, checksum in checksums.items()],
        'model_sha256': judge.detector.checksum,
    }
    if overlays is not None and len(judgement.slices):
        path = overlays / f'{incoming.name}.png'
        save_picture(draw_judgement(judgement), path)
        answer['overlay'] = str(path)
    return answer


def read_case(incoming: Incoming) -> tuple[Case, list[Path]]:
    """The pixels, and the files they came from.

    Raises:
      DataError: for whatever reading raises.
    """
    try:
        case = incoming.load()
        return case, incoming.files_of(case)
    except Exception as error:
        raise DataError(reason_of(error)) from error


def _find_checksums(files: Sequence[Path]) -> dict[Path, str]:
    try:
        return {file: file_checksum(file) for file in files}
    except OSError as error:
        raise DataError(reason_of(error)) from error


def draw_judgement(judgement: Judgement) -> np.ndarray:
    """The most suspicious slices in their order, each as it is and with its heat, uint8 (height, width, 3).

    Patches are framed, the brighter the more they weighed.
    """
    every = judgement.slices
    suspicious = sorted(range(len(every)), key=lambda index: -every[index].probability)[:_SHOWN]
    columns = []
    for index in sorted(suspicious):
        grey = judgement.shown[index].mean(axis=-1)
        plain = draw_heat(grey, np.zeros_like(judgement.heat[index]))
        heated = draw_heat(grey, judgement.heat[index])
        if judgement.frames:
            weights = [patch.weight for patch in every[index].patches]
            heated = draw_frames(heated, judgement.frames[index], np.array(weights))
        columns.append(np.concatenate([plain, heated], axis=0))
    return np.concatenate(columns, axis=1)


def _tell(refusals: Refusals, told: int, out: TextIO) -> int:
    """Lines of what was refused since `told`; returns how many are told now."""
    for source, reason in list(refusals.reasons.items())[told:]:
        _write(out, {'name': source, 'error': reason})
    return len(refusals.reasons)


def _write(out: TextIO, line: dict[str, Any]) -> None:
    # ASCII, for names of files may hold bytes that are no text.
    out.write(json.dumps(line, allow_nan=False) + '\n')
    out.flush()


def _audit(path: Path | None, answer: dict[str, Any]) -> None:
    """Adds who was asked, about what, when, and what was said."""
    if path is None:
        return
    kept = ('name', 'verdict', 'probability', 'anomaly_p', 'error_level', 'prevalence', 'files', 'model_sha256')
    line = {'time': dt.datetime.now(dt.UTC).isoformat(timespec='seconds')}
    with path.open('a', encoding='utf-8') as file:
        _write(file, line | {name: answer[name] for name in kept})
