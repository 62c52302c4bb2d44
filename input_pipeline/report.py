"""What `prepare` tells at its end: on the screen, and as a page beside the data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundation.report.page import Page
from input_pipeline.readers.paths import describe_kinds

SHEET_FILE, PAGE_FILE = 'pictures.png', 'report.html'
_SHOWN_REFUSALS = 20


def describe(summary: Mapping[str, Any], folder: Path) -> str:
    """The summary as a table for people.

    Args:
      summary: see `Summarizer.finish`.
      folder: of the data set.
    """
    lines = [f'\nData set {folder.parent.name} in {folder}', '', *_counts(summary), '']
    sizes = summary['sizes']
    lines.append(
        f'sizes       {_size(sizes["smallest"])} to {_size(sizes["largest"])}, mostly '
        f'{_size(sizes["most_common"])} (height x width); {summary["channels"]} channels of {summary["dtype"]}'
    )
    low, high = summary['intensity_range']
    ranks, window = summary['percentiles'], summary['window']
    lines.append(
        f'intensity   {low:g} to {high:g}; training percentiles {ranks[0]:g} and {ranks[1]:g} are '
        f'{window[0]:g} and {window[1]:g}'
    )
    lines.append('modalities  ' + ', '.join(f'{name} {count}' for name, count in summary['modalities'].items()))
    lines.append(f'licence     {summary["licence"] or "not stated"}')
    lines.append(f'split by    {summary["split_rule"]}')
    if summary['mask_ids'] is not None:
        lines.append('mask ids    ' + ', '.join(map(str, summary['mask_ids'])) + ' (0 is the background)')
    if summary['unknown_patients']:
        lines.append(
            'note        no patients are known, so each image counts as one: near-duplicates may be in two\n'
            '            splits, unless split folders or a split column keep them apart; --patient_pattern or an\n'
            '            index.csv with a patient column helps.'
        )
    lines += _passed_over(summary['passed_over']) + _refusals(summary['refused'])
    lines += [f'note        {sentence}' for sentence in summary['notes']]
    lines += [f'look at     {sentence}' for sentence in summary['plausibility']]
    return '\n'.join([*lines, f'pictures    {folder / SHEET_FILE}, and all of this in {folder / PAGE_FILE}'])


def write_page(summary: Mapping[str, Any], folder: Path, name: str) -> None:
    """The summary as a page, with the sheet of pictures that lies in the folder."""
    page = Page(f'Data set {name}')
    page.section('What should be looked at')
    for sentence in (*summary['plausibility'], *summary['notes']):
        page.note(sentence)
    if not summary['plausibility'] and not summary['notes']:
        page.paragraph('Nothing was found.')
    page.section('Images as training sees them')
    page.figure(folder / SHEET_FILE, 'drawn at random; masks are red')
    page.section('Contents')
    header, *rows = _table(summary)
    page.table(header, rows, 'Images by class and split, and patients.')
    if summary['refused']:
        refused = [[path, reason] for path, reason in list(summary['refused'].items())[:_SHOWN_REFUSALS]]
        page.table(['file', 'reason'], refused, f'{len(summary["refused"])} refused files; all in summary.json.')
    page.write(folder / PAGE_FILE)


def _table(summary: Mapping[str, Any]) -> list[list[str]]:
    """Images by split and class, and patients by split, as far as they are known."""
    splits = list(summary['splits'])
    rows: list[list[Any]] = [['', *splits, 'all']]
    for name, total in summary['classes'].items():
        rows.append([name, *(summary['classes_by_split'][split].get(name, 0) for split in splits), total])
    rows.append(['images', *summary['splits'].values(), sum(summary['splits'].values())])
    patients = [*summary['patients'].values(), sum(summary['patients'].values())]
    rows.append(['patients', *(['unknown'] * len(patients) if summary['unknown_patients'] else patients)])
    return [[str(cell) for cell in row] for row in rows]


def _counts(summary: Mapping[str, Any]) -> list[str]:
    rows = _table(summary)
    width = max(len(row[0]) for row in rows)
    return [f'{row[0]:<{width}}' + ''.join(f'{value:>12}' for value in row[1:]) for row in rows]


def _size(size: list[int]) -> str:
    return f'{size[0]}x{size[1]}'


def _passed_over(kinds: Mapping[str, int]) -> list[str]:
    return [f'passed over {describe_kinds(kinds)}'] if kinds else []


def _refusals(refused: Mapping[str, str]) -> list[str]:
    if not refused:
        return ['refused     none']
    lines = [f'refused     {len(refused)} files:']
    lines += [f'  {name}: {reason}' for name, reason in list(refused.items())[:_SHOWN_REFUSALS]]
    if len(refused) > _SHOWN_REFUSALS:
        lines.append(f'  ... and {len(refused) - _SHOWN_REFUSALS} more, all in summary.json')
    return lines
