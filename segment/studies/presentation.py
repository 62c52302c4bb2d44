"""The results of a study for people and for programs: tables, a figure, a page, and study.json."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foundation.files import write_file
from foundation.report.figures import create_figure, write_figure
from foundation.report.page import Page
from foundation.statistics.differences import Difference
from foundation.training import workdir as workdirs
from segment.studies.analysis import Analysis, ArmComparison
from segment.studies.audits import Audit
from segment.studies.design import StudyDesign
from segment.studies.exchange_rate import Worth
from segment.studies.results import Group, Results

FIGURE_FILE, PAGE_FILE, RESULT_FILE, CELLS_FILE = 'study.png', 'study.html', 'study.json', 'cells.csv'
_MEANS_HEADER = ('trained on', 'Dice', 'by seed')
_DIFFERENCES_HEADER = ('first', 'second', 'difference in Dice', 'p after Holm', 'verdict')
_LIMITS = (
    'Intervals are of the mean over test patients and seeds of the segmenters, which are crossed; where each arm '
    'has one generator, what another training of it would give is not in them. Best checkpoints were chosen on '
    'the validation split, which all arms share; all arms had as many steps.'
)


def present(
    design: StudyDesign, workdir: Path, results: Results, analysis: Analysis, audits: Sequence[Audit]
) -> None:
    """Writes and prints all.

    Args:
      design: of the study.
      workdir: where the files go.
      results: Dice of all cells.
      analysis: of these.
      audits: of the generators.
    """
    _write_cells(design.seeds, results, workdir / CELLS_FILE)
    workdirs.write_json(workdir / RESULT_FILE, _as_json(design, results, analysis, audits))
    draw_figure(design, analysis, workdir / FIGURE_FILE)
    means, differences = _mean_rows(design, results, analysis), _difference_rows(design, analysis)
    _write_page(design, workdir, results, analysis, audits)
    for header, rows in ((_MEANS_HEADER, means), (_DIFFERENCES_HEADER, differences)):
        print(_align([header, *rows]))
        print()
    for text in (*_worth_sentences(design, analysis), *analysis.claims, _LIMITS):
        print(text)
    print(f'Page: {workdir / PAGE_FILE}   figure: {workdir / FIGURE_FILE}   numbers: {workdir / RESULT_FILE}')


def _mean_rows(design: StudyDesign, results: Results, analysis: Analysis) -> list[tuple[str, ...]]:
    return [
        (group.meaning, _describe(analysis.means[group], design.level, '.3f', lowest=0.0), _by_seed(cells))
        for group, cells in results.groups.items()
    ]


def _by_seed(cells: np.ndarray) -> str:
    return ', '.join('none' if np.isnan(row).all() else f'{np.nanmean(row):.3f}' for row in cells)


def _difference_rows(design: StudyDesign, analysis: Analysis) -> list[tuple[str, ...]]:
    return [
        (
            one.first.meaning,
            one.second.meaning,
            _describe(one.difference, design.level, '+.3f', lowest=-1.0),
            f'{one.adjusted_p:.2g}',
            one.verdict.answer,
        )
        for one in analysis.compared
    ]


def _describe(difference: Difference, level: float, form: str, *, lowest: float) -> str:
    if difference.estimate is None:
        return f'none: {difference.reason}'
    interval = _interval(difference, level, lowest)
    if interval is None:
        return f'{difference.estimate:{form}} ({difference.reason})'
    low, high = interval
    return f'{difference.estimate:{form}} [{low:{form}}, {high:{form}}]'


def _interval(difference: Difference, level: float, lowest: float) -> list[float] | None:
    """Within what a Dice (from 0) or the difference of two (from -1) can be, which calibration may leave."""
    if difference.distribution is None:
        return None
    return [float(np.clip(end, lowest, 1.0)) for end in difference.distribution.interval(level)]


def _worth_sentences(design: StudyDesign, analysis: Analysis) -> list[str]:
    return [_say_worth(group, worth, design.level) for group, worth in analysis.worths.items()]


def _say_worth(group: Group, worth: Worth, level: float) -> str:
    if worth.real_images is None:
        return f'{group.meaning}: what one generated image is worth cannot be told: {worth.reason}'
    ends = ''
    if worth.interval is not None:
        low, high = ('beyond the curve' if end is None else f'{end:.2f}' for end in worth.interval)
        ends = f' [{low}, {high}] at {level:.0%}'
    return f'{group.meaning}: one generated image is worth {worth.real_images:.2f} real ones{ends}.'


def _align(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def draw_figure(design: StudyDesign, analysis: Analysis, path: Path) -> None:
    """Dice of each arm on the left, paired differences with the margin of equivalence on the right."""
    rows = max(len(analysis.means), len(analysis.compared))
    figure = create_figure(1300, 140 + 35 * rows)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.15, right=0.99, wspace=0.75, top=0.9, bottom=0.1)
    level = design.level
    _draw_intervals(left, {group.label: mean for group, mean in analysis.means.items()}, level, 0.0)
    left.set_title('Dice', loc='left')
    names = {f'{one.first.label} - {one.second.label}': one.difference for one in analysis.compared}
    _draw_intervals(right, names, level, -1.0)
    right.axvline(0, color='black', linewidth=0.8)
    right.axvspan(-design.margin, design.margin, color='grey', alpha=0.2, linewidth=0)
    right.set_title('difference in Dice (grey: too small to matter)', loc='left')
    write_figure(figure, path)


def _draw_intervals(axis: Any, rows: dict[str, Difference], level: float, lowest: float) -> None:
    for place, difference in enumerate(rows.values()):
        if difference.estimate is None:
            continue
        axis.plot(difference.estimate, -place, 'o', color='C0')
        interval = _interval(difference, level, lowest)
        if interval is not None:
            axis.plot(interval, (-place, -place), color='C0')
    axis.set_yticks(-np.arange(len(rows)), list(rows), fontsize=9)
    axis.set_ylim(-len(rows) + 0.5, 0.5)
    axis.grid(axis='x', alpha=0.3)


def _write_page(
    design: StudyDesign, workdir: Path, results: Results, analysis: Analysis, audits: Sequence[Audit]
) -> None:
    page = Page(f'Study {design.name}')
    page.section('Claims')
    for sentence in analysis.claims:
        page.note(sentence)
    page.paragraph(_LIMITS)
    page.section('Dice')
    caption = f'{len(results.patients)} test patients, policy {design.policy}, {design.level:.0%} intervals'
    page.table(_MEANS_HEADER, _mean_rows(design, results, analysis), caption)
    page.figure(workdir / FIGURE_FILE, 'Dice and paired differences')
    page.section('Paired differences')
    page.table(_DIFFERENCES_HEADER, _difference_rows(design, analysis), 'over patients and seeds')
    for one in analysis.compared:
        page.paragraph(one.sentence)
    page.section('What one generated image is worth')
    for sentence in _worth_sentences(design, analysis) or ['No arm adds generated images to real ones.']:
        page.paragraph(sentence)
    if audits:
        page.section('Generators')
        header = ('generator', *audits[0].scores)
        page.table(header, [(audit.name, *audit.scores.values()) for audit in audits], 'by gan.evaluate')
    page.section('Config')
    page.table(('field', 'value'), design.fields, 'of the study')
    page.write(workdir / PAGE_FILE)


def _write_cells(seeds: Sequence[int], results: Results, path: Path) -> None:
    """One line for each patient and seed; empty where the policy skips the patient."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator='\n')
    table.writerow(('arm', 'fraction', 'ratio', 'seed', 'patient', 'dice'))
    for group, cells in results.groups.items():
        for seed, row in zip(seeds, cells, strict=True):
            for patient, value in zip(results.patients, row, strict=True):
                text = '' if np.isnan(value) else f'{value:.6f}'
                table.writerow((group.arm, group.fraction, group.ratio, seed, patient, text))
    write_file(path, file.getvalue().encode())


def _as_json(design: StudyDesign, results: Results, analysis: Analysis, audits: Sequence[Audit]) -> dict[str, Any]:
    level = design.level
    return {
        'level': level,
        'policy': design.policy,
        'patients': len(results.patients),
        'means': [
            {'group': vars(group), 'meaning': group.meaning, **_difference_json(mean, level, 0.0)}
            for group, mean in analysis.means.items()
        ],
        'differences': [_compared_json(one, level) for one in analysis.compared],
        'worth': [{'group': vars(group), **vars(worth)} for group, worth in analysis.worths.items()],
        'generators': [vars(audit) for audit in audits],
        'claims': analysis.claims,
    }


def _difference_json(difference: Difference, level: float, lowest: float) -> dict[str, Any]:
    return {
        'estimate': difference.estimate,
        'interval': _interval(difference, level, lowest),
        'seeds': difference.seeds,
        'patients': difference.patients,
        'missing_cells': difference.missing_cells,
        'reason': difference.reason,
    }


def _compared_json(one: ArmComparison, level: float) -> dict[str, Any]:
    return {
        'first': vars(one.first),
        'second': vars(one.second),
        **_difference_json(one.difference, level, -1.0),
        'adjusted_p': one.adjusted_p,
        'verdict': one.verdict.answer,
        'one_sided': one.one_sided,
        'sentence': one.sentence,
    }
