"""Segments everything that came in and writes the answers, with a table of what became of each file."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import tqdm

from foundation.export.manifest import file_checksum
from foundation.files import write_file
from foundation.software import software_version
from foundation.training.errors import UserError
from input_pipeline import Case
from input_pipeline.atomic import resumable
from input_pipeline.depth import NOTE
from input_pipeline.errors import Refusals, of_one_file
from input_pipeline.inputs import Incoming, list_checksum
from input_pipeline.journal import AnswerJournal
from segment.formats.files import choose_format, write_masks, write_overlay
from segment.formats.prediction import Prediction
from segment.segmentation import Segmentation

TABLE_FILE = 'predictions.json'
_FIRST = 3  # cases that are named
Segment = Callable[[Case], Segmentation]


@dataclasses.dataclass(frozen=True)
class SegmentationRequest:
    """What is written.

    Attributes:
      out: folder for masks, overlays and the table.
      mask_format: one of `files.FORMATS`.
      overlays: whether sheets with contours are drawn.
      classes: names of the foreground classes; the first has id 1.
      checksum: SHA-256 of the network's weights.
      command: what else decided the answers, as JSON has it.
      note_on: what is to be said of the window in which a case is segmented; '' for nothing.
    """

    out: Path
    mask_format: str
    overlays: bool
    classes: tuple[str, ...]
    checksum: str
    command: Mapping[str, Any]
    note_on: Callable[[Case], str]


def check_out(out: Path) -> None:
    """Raises UserError when the folder exists and is not empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f'{out} exists already; give --out a new folder.')


def answer_all(
    found: Sequence[Incoming], segment: Segment, order: SegmentationRequest, refusals: Refusals
) -> list[dict[str, Any]]:
    """Segments and writes one after the other; a file that fails is refused, and the others are answered.

    All is written beside its place first, so that a folder that exists is whole. What a stopped call with the
    same arguments answered is kept.

    Args:
      found: what came in.
      segment: gives classes on the pixels of every record.
      order: what to write.
      refusals: takes what fails, and a note on windows; what it holds already goes into the table.

    Returns:
      A row of the table for each that was answered.
    """
    check_out(order.out)
    rows: list[dict[str, Any]] = []
    with resumable(order.out.absolute(), _identify(found, order)) as journal:
        order = dataclasses.replace(order, out=journal.folder)
        for incoming in tqdm.tqdm(found, unit=' cases'):
            with refusals.refusing(incoming.source):
                rows.append(journal.find(incoming.name) or _answer(incoming, segment, order, journal, refusals))
                if rows[-1]['note']:
                    refusals.note(NOTE)
        _write_table(rows, order, refusals, total=len(found))
    return rows


def look_first(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cases whose masks are expected to be worst, the worst first, for people to begin with."""
    judged = sorted((row['lowest_dice'], row['name']) for row in rows if row['lowest_dice'] is not None)
    if len(judged) < 2:
        return []
    return ['Look first at (lowest Dice that the network expects; segment.evaluate tells what that is worth):'] + [
        f'  {name}: {dice:.2f}' for dice, name in judged[:_FIRST]
    ]


def _identify(found: Sequence[Incoming], order: SegmentationRequest) -> dict[str, Any]:
    """All that decides what is written."""
    order_fields = {field.name: getattr(order, field.name) for field in dataclasses.fields(order)}
    own = {name: order_fields[name] for name in ('mask_format', 'overlays', 'checksum', 'command')}
    return own | {'classes': list(order.classes), 'found': list_checksum(found), 'version': software_version()}


def _answer(
    incoming: Incoming, segment: Segment, order: SegmentationRequest, journal: AnswerJournal, refusals: Refusals
) -> dict[str, Any]:
    mask_format, refused = choose_format(incoming.kind, order.mask_format), len(refusals.reasons)
    with of_one_file():
        case = incoming.load()
        files = [{'path': str(file), 'sha256': _checksum(file)} for file in incoming.files_of(case)]
    prediction = Prediction(incoming, case, segment(case), order.classes, order.checksum)
    masks = write_masks(prediction, mask_format, order.out)
    overlay = write_overlay(prediction, order.out) if order.overlays else None
    row = {
        'name': incoming.name,
        'kind': incoming.kind,
        'files': files,
        'slices': len(case.records),
        'mask': masks[0] if len(masks) == 1 else str(PurePosixPath(masks[0]).parent),
        'overlay': overlay,
        'classes': prediction.measure(),
        'lowest_dice': prediction.lowest_dice,
        'note': order.note_on(case),
    }
    if len(refusals.reasons) == refused:  # a series of which files were refused is read again, to tell so again
        journal.keep(incoming.name, row, masks if overlay is None else [*masks, overlay])
    return row


_checksum = functools.lru_cache(maxsize=8)(file_checksum)  # the volumes of one file follow each other


def _write_table(
    rows: Sequence[Mapping[str, Any]], order: SegmentationRequest, refusals: Refusals, *, total: int
) -> None:
    table = {
        'weights_sha256': order.checksum,
        'classes': dict(enumerate(order.classes, 1)),
        'command': dict(order.command),
        'found': total,
        'answered': rows,
        'refused': refusals.reasons,
    }
    text = json.dumps(table, indent=2, ensure_ascii=False) + '\n'
    # Names of files need not be UTF-8; what Python puts for such bytes is an escape of JSON, too.
    write_file(order.out / TABLE_FILE, text.encode('utf-8', 'backslashreplace'))
