"""How good a segmenter is on patients that training has not seen: every case measured on its own grid."""

import csv
import dataclasses
import heapq
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from jaxtyping import UInt8

import input_pipeline
from backbones.grids import save_picture
from foundation.files import write_file
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from segment.ensemble import SegmenterEnsemble
from segment.formats.overlays import choose_slices, draw_contours
from segment.metrics import METRICS, measure
from segment.parts import describe_parts
from segment.quality import check_quality
from segment.segmentation import Segmentation
from segment.summary import MeasuredCase, summarise

REPORT_FILE, CASES_FILE, WORST_FILE = 'report.json', 'cases.csv', 'worst.png'
_SHOWN_CASES = 8
_SIDE = 256
_CASE_FIELDS = ('case', 'patient', 'class', 'kind', 'expected_dice')
_COUNTS = ('true_positives', 'false_positives', 'false_negatives')


@dataclasses.dataclass(frozen=True)
class SegmenterProtocol:
    """How a segmenter is measured.

    Attributes:
      split: whose patients.
      policy: for empty masks, in what is printed, in cases.csv and for the worst cases.
      tolerance: of NSD: millimetres, or pixels where no spacing is known.
      mirror: whether mirrored copies were averaged.
      level: coverage of the intervals.
      seed: of the bootstrap.
    """

    split: str
    policy: str
    tolerance: float
    mirror: bool
    level: float
    seed: int


@dataclasses.dataclass(frozen=True, order=True)
class Shown:
    """A case worth looking at.

    Attributes:
      rank: the higher, the worse it is.
      number: of the case; decides between equals.
      name: of the case.
      picture: the slice with most error, the truth on the left and the prediction on the right.
    """

    rank: float
    number: int
    name: str = dataclasses.field(compare=False)
    picture: UInt8[np.ndarray, 'height width 3'] = dataclasses.field(compare=False)


def evaluate(
    segmenter: SegmenterEnsemble,
    images: input_pipeline.ImageData,
    protocol: SegmenterProtocol,
    out: Path,
    *,
    draw: bool,
) -> None:
    """Measures a segmenter on a split; writes and prints what came out.

    Args:
      segmenter, images: the network and the split.
      protocol: how.
      out: folder for report.json, cases.csv and worst.png.
      draw: whether to draw the worst cases.

    Raises:
      UserError, DataError: when a case has no mask, or cannot be segmented.
    """
    rows, worst = measure_cases(segmenter, images, tolerance=protocol.tolerance, policy=protocol.policy)
    summary = summarise(rows, level=protocol.level, seed=protocol.seed)
    out.mkdir(parents=True, exist_ok=True)
    write_cases(rows, protocol.policy, out / CASES_FILE)
    (out / WORST_FILE).unlink(missing_ok=True)  # of an evaluation before
    if worst and draw:
        draw_worst(worst, out / WORST_FILE)
    about = {
        'data': images.name,
        'data_fingerprint': images.fingerprint,
        'step': segmenter.first.position.step,
        'members': len(segmenter.members),
        'largest_part_alone': list(segmenter.one_part_classes),
        'weights': segmenter.checksum,
        **dataclasses.asdict(protocol),
    }
    by_case = [dataclasses.asdict(row) | {'dice': row.measured.score('dice', protocol.policy)} for row in rows]
    quality = check_quality(rows, protocol.policy, seed=protocol.seed)
    workdirs.write_json(out / REPORT_FILE, about | {'scores': summary, 'quality': quality, 'rows': by_case})
    print_summary(summary, protocol.policy)
    print_quality(quality)
    for line in describe_parts(segmenter.one_part_classes):
        print(line)
    if protocol.split == 'validation':
        print('These patients chose the checkpoint, so the scores flatter it.')
    print(f'Table: {out / CASES_FILE}   numbers: {out / REPORT_FILE}')
    if worst and draw:
        print(f'Worst cases, the truth on the left of each: {out / WORST_FILE}')


def measure_cases(
    segmenter: SegmenterEnsemble, images: input_pipeline.ImageData, *, tolerance: float, policy: str
) -> tuple[list[MeasuredCase], list[Shown]]:
    """Segments and measures every case of a split, with a progress bar.

    Args:
      segmenter: the network.
      images: the split.
      tolerance: of NSD, in millimetres.
      policy: by which the worst cases are found.

    Returns:
      A row for each case and class, and the worst cases, the worst first.

    Raises:
      UserError, DataError: when a case has no mask, or cannot be segmented.
    """
    rows: list[MeasuredCase] = []
    worst: list[Shown] = []
    for number, case in enumerate(tqdm.tqdm(images.cases(1), total=images.num_cases, unit=' cases')):
        segmentation, truth = segmenter.segment(case), _truth(case)
        own = list(_measure_classes(case, segmentation, truth, segmenter.classes, tolerance))
        rows += own
        scores = [score for row in own if (score := row.measured.score('dice', policy)) is not None]
        if scores:
            rank = 1 - float(np.mean(scores))
            if len(worst) < _SHOWN_CASES or rank > worst[0].rank:
                shown = Shown(rank, number, case.name, _draw(case, segmentation.ids, truth))
                (heapq.heappush if len(worst) < _SHOWN_CASES else heapq.heappushpop)(worst, shown)
    return rows, sorted(worst, reverse=True)


def _truth(case: input_pipeline.Case) -> UInt8[np.ndarray, 'slices height width']:
    masks = [record.mask for record in case.records if record.mask is not None]
    if len(masks) < len(case.records):
        raise UserError(f'{case.name} has no mask, so nothing can be measured.')
    return np.stack([mask[..., 0] for mask in masks])


def _measure_classes(
    case: input_pipeline.Case, found: Segmentation, truth: np.ndarray, classes: Sequence[str], tolerance: float
) -> Iterator[MeasuredCase]:
    """An image is measured in two axes, a volume in three."""
    predicted = found.ids
    spacing: tuple[float, ...] = case.spacing
    if len(truth) == 1:
        predicted, truth, spacing = predicted[0], truth[0], spacing[1:]
    for class_id, (name, expected) in enumerate(zip(classes, found.expected_dice, strict=True), start=1):
        measured = measure(predicted, truth, class_id, spacing, tolerance)
        yield MeasuredCase(case.name, case.patient, name, measured, expected)


def _draw(case: input_pipeline.Case, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    errors = (predicted != truth).astype(np.uint8)
    index = int(max(choose_slices(errors), key=lambda place: np.count_nonzero(errors[place])))
    record = case.records[index]
    return np.concatenate([draw_contours(record, mask[index], side=_SIDE) for mask in (truth, predicted)], axis=1)


def draw_worst(worst: Sequence[Shown], path: Path) -> None:
    """The worst cases, two in a row; the truth on the left of each, the prediction on the right."""
    height = max(shown.picture.shape[0] for shown in worst)
    width = max(shown.picture.shape[1] for shown in worst)
    cells = [np.zeros((height, width, 3), np.uint8) for _ in range(-(-len(worst) // 2) * 2)]
    for cell, shown in zip(cells, worst, strict=False):
        cell[: shown.picture.shape[0], : shown.picture.shape[1]] = shown.picture
    rows = [np.concatenate(pair, axis=1) for pair in zip(cells[::2], cells[1::2], strict=True)]
    save_picture(np.concatenate(rows), path)


def write_cases(rows: Sequence[MeasuredCase], policy: str, path: Path) -> None:
    """A table of all cases and classes; a score that a policy skips is empty."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator='\n')
    table.writerow((*_CASE_FIELDS, *_COUNTS, *METRICS, 'unit'))
    for row in rows:
        measured = row.measured
        scores = [measured.score(metric, policy) for metric in METRICS]
        counts = [getattr(measured, name) for name in _COUNTS]
        texts = ['' if score is None else f'{score:.6g}' for score in scores]
        expected = '' if row.expected_dice is None else f'{row.expected_dice:.6g}'
        about = (row.case, row.patient, row.class_name, measured.kind, expected)
        table.writerow((*about, *counts, *texts, measured.unit))
    write_file(path, file.getvalue().encode())


def print_summary(summary: dict[str, Any], policy: str) -> None:
    """Scores of each class, and over all, with their intervals, and what empty masks did to them."""
    print(f'{summary["cases"]} cases of {summary["patients"]} patients; intervals cover {summary["level"]:.0%}.')
    several = len(summary['classes']) > 1
    for name, scores in [*summary['classes'].items(), *[('all classes', summary['overall'])] * several]:
        print(name)
        for metric in METRICS:
            score = scores[metric][policy] if policy in scores[metric] else scores[metric]
            print(f'  {metric.replace("_", " "):<22}{_describe(score)}')
    kinds = summary['overall']['kinds']
    empty = ', '.join(f'{count} {kind}' for kind, count in kinds.items() if kind != 'both' and count)
    others = ', '.join(
        f'{name}: {_describe(score)}' for name, score in summary['overall']['dice'].items() if name != policy
    )
    print(f'Empty masks (a case counts once for each class): {empty or "none"}. Policy: {policy}.')
    print(f'Dice under other policies: {others}.')


def print_quality(quality: dict[str, dict[str, Any]]) -> None:
    """Whether the Dice that the segmenter expects, as segment.predict tells it, can be believed."""
    print('Dice that the segmenter expects without knowing the truth, against the true one:')
    for name, check in quality.items():
        print(f'  {name:<22}{check["text"]}')


def _describe(score: dict[str, Any]) -> str:
    if score['value'] is None:
        return f'none ({score["reason"]})'
    interval = score['interval']
    within = f' within {score["within"]}' if 'within' in score else ''
    between = '' if interval is None else f' [{interval[0]:.3f}, {interval[1]:.3f}]'
    reason = f' ({score["reason"]})' if score['reason'] else ''
    return f'{score["value"]:.3f}{between}{" " + score["unit"] if "unit" in score else ""}{within}{reason}'
