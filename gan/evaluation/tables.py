"""The numbers of a report as rows of text, for the screen and for the page."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gan.evaluation.scoring import NO_FLOOR
from gan.scores.masks import MEASURES

_SHOWN = 10  # classes that a note names
_NUMBERS = re.compile(r'\d[\d,.]*')
_SIGNS = {'lower': 'low', 'higher': 'high', 'floor': 'as real'}  # what is good
Report = Mapping[str, Any]


def describe_value(score: Mapping[str, Any] | None, digits: int) -> str:
    """A value with its interval; `-` where there is none."""
    if score is None or score['value'] is None:
        return '-'
    low, high = score['interval']
    return f'{score["value"]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]'


def run_names(report: Report) -> list[str]:
    """What runs are called in tables: letters where there are two."""
    return ['generated'] if len(report['runs']) == 1 else ['A', 'B']


def score_header(report: Report, *, at_floor: bool) -> list[str]:
    """Column titles of `score_rows`."""
    runs, names = report['runs'], run_names(report)
    header = ['score', *(f'{name}, {run["count"]:,}' for name, run in zip(names, runs, strict=True))]
    if len(runs) > 1:
        header.append('A - B')
    if at_floor:
        header += [f'{name}, {report["data"]["floor_images"]:,}' for name in names]
    return [*header, f'real, {report["data"]["floor_images"]:,}']


def score_rows(report: Report, *, at_floor: bool) -> list[list[str]]:
    """A row a score: each run, their difference, each run on as many images as are held out, and the floor.

    Args:
      report: as in report.json.
      at_floor: whether to have the columns of as many images as are held out.
    """
    rows = []
    for name, meaning in report['meanings'].items():
        digits = meaning['digits']
        scores = [run['scores'][name] for run in report['runs']]
        row = [
            f'{meaning["title"]} ({_SIGNS[meaning["better"]]})',
            *(describe_value(score, digits) for score in scores),
        ]
        if len(scores) > 1:
            row.append(_describe_difference(report['differences'][name], digits))
        if at_floor:
            row += [describe_value(score['at_floor_count'], digits) for score in scores]
        rows.append([*row, describe_value(scores[0]['floor'], digits)])
    return rows


def table_notes(report: Report, *, at_floor: bool) -> list[str]:
    """How the table is to be read; for `at_floor` see `score_rows`."""
    notes = [
        'Columns: images that were scored. `real`: held-out real images in place of generated ones, the floor.'
    ]
    notes += [
        f'Of fewer images: {titles}: {counts}.' for counts, titles in _fewer_images(report, at_floor).items()
    ]
    if len(report['runs']) > 1:
        runs = ', '.join(f'{name}: {run["workdir"]}' for name, run in zip('AB', report['runs'], strict=True))
        notes += [f'{runs}.', '* the interval of the difference does not hold 0.']
    return [*notes, *_logarithms(report), *_absent_classes(report)]


def _logarithms(report: Report) -> Iterator[str]:
    """Radiomic distances as their paper gives them."""
    for title, run in zip(run_names(report), report['runs'], strict=True):
        logarithm = (run.get('radiomics') or {}).get('logarithm')
        if logarithm is not None:
            low, high = ('-' if end is None else f'{end:.3f}' for end in logarithm['interval'])
            yield (
                f'Frechet radiomic distance of {title} as a logarithm (Konz et al. 2026, equation 3): '
                f'{logarithm["value"]:.3f} [{low}, {high}].'
            )


def driver_rows(run: Mapping[str, Any]) -> list[list[str]]:
    """What sets a run's images apart in measured features, a row a feature; empty for features of a network."""
    return [
        [driver['words'], f'{driver["shift"]:+.2f}', f'{driver["spread"]:.2f}', driver['feature']]
        for driver in (run.get('radiomics') or {}).get('drivers', ())
    ]


DRIVER_HEADER = ['what differs', 'shift', 'spread', 'feature']
DRIVER_CAPTION = (
    'Shift: difference of the means, in standard deviations of real images. Spread: standard deviation of '
    'generated images, as a multiple of that of real ones.'
)


def mask_rows(run: Mapping[str, Any]) -> list[list[str]]:
    """What a run's masks are like beside real ones, a row a measure; empty where it draws none."""
    return [
        [MEASURES[name].title, *(describe_value(sets[kind], MEASURES[name].digits) for kind in _MASK_SETS)]
        for name, sets in run.get('masks', {}).items()
    ]


_MASK_SETS = {'generated': 'generated', 'reference': 'real, reference', 'held_out': 'real, held out'}
MASK_HEADER = ['of masks', *_MASK_SETS.values()]
MASK_CAPTION = (
    'Means over images with a mask, with 95% intervals. A picture into which contours were drawn is rougher there '
    'than real ones are.'
)


def agreement_rows(run: Mapping[str, Any]) -> list[list[str]]:
    """Dice of a segmenter with a run's masks and with real ones, a row a class; empty where none was asked."""
    return [
        [name, *(describe_value(sets[kind], _DICE_DIGITS) for kind in ('generated', 'held_out'))]
        for name, sets in ((run.get('agreement') or {}).get('dice') or {}).items()
    ]


def agreement_caption(run: Mapping[str, Any]) -> str:
    """What these are of, and how they are to be read."""
    segmenter, size = run['agreement']['segmenter'], run['agreement']['segmenter']['resolution']
    told = (
        f'Dice of what the segmenter {segmenter["workdir"]} ({segmenter["data"]}, {size}x{size}) finds in an '
        "image with the image's own mask: means over images that have the class in either, with 95% intervals. "
        'Real images show what it can find; well below them, masks do not belong to their images, above them '
        'images are easier than real ones.'
    )
    if segmenter['same_data']:
        return told
    return (
        f'{told} It was trained on other data than the generator: look whether its classes are those of the '
        'masks, and whether it knows the held-out patients.'
    )


AGREEMENT_HEADER = ['class', 'generated', 'real, held out']
_DICE_DIGITS = 3


def _absent_classes(report: Report) -> list[str]:
    """Classes that the extractor sees in generated or in reference images alone."""
    notes = []
    for title, run in zip(run_names(report), report['runs'], strict=True):
        for lacking, names in run['absent_classes'].items():
            if names:
                told = ', '.join(names[:_SHOWN]) + (f' and {len(names) - _SHOWN} more' if names[_SHOWN:] else '')
                kind = 'reference' if lacking == 'reference' else title
                other = title if lacking == 'reference' else 'reference'
                notes.append(f'Absent: the extractor takes no {kind} image, but some {other} ones, for {told}.')
    return notes


def _fewer_images(report: Report, at_floor: bool) -> dict[str, str]:
    """Titles of scores that do not use all images of their columns, by the images that they do use."""
    titles: dict[str, dict[str, None]] = {}
    few = report['data']['floor_images']
    for run in report['runs']:
        whole = [run['count'], few, few]
        for name, score in run['scores'].items():
            columns = (score, score['at_floor_count'] if at_floor else None, score['floor'])
            used = [_count_generated(column) for column in columns]
            if any(count is not None and count < most for count, most in zip(used, whole, strict=True)):
                kinds = ('generated', 'generated beside the floor', 'real in place of generated ones')
                told = [f'{count:,} {kind}' for count, kind in zip(used, kinds, strict=True) if count is not None]
                titles.setdefault(', '.join(told), {})[report['meanings'][name]['title']] = None
    return {counts: '; '.join(names) for counts, names in titles.items()}


def _count_generated(score: Mapping[str, Any] | None) -> int | None:
    """Images that were judged; scores that are a difference of two means name the set of each."""
    counts = {} if score is None else score['counts']
    return counts.get('generated', counts.get('first generated'))


def describe_counts(counts: Mapping[str, int]) -> str:
    """Images that a score used, by set: `10,000 generated, 2,084 reference`."""
    told = [
        f'{count:,} {kind.removeprefix("first ").removeprefix("second ").replace("_", " ")}'
        for kind, count in counts.items()
    ]
    return ', '.join(dict.fromkeys(told))


def _describe_difference(score: Mapping[str, Any], digits: int) -> str:
    """The difference, marked where its interval does not hold 0."""
    text = describe_value(score, digits)
    if score['value'] is None:
        return text
    low, high = score['interval']
    return f'{text} *' if low > 0 or high < 0 else text


def missing_reasons(report: Report) -> list[str]:
    """Why scores are missing: each reason once, behind the titles of all scores that have it.

    Of classes that lack the same for reasons that differ in numbers alone, the first stands for all.
    """
    reasons: dict[str, dict[str, None]] = {}
    alike: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for run in report['runs']:
        for name, score in run['scores'].items():
            title, few = report['meanings'][name]['title'], score['at_floor_count']
            if score['value'] is None:
                reasons.setdefault(score['reason'], {})[title] = None
                continue
            if few is not None and few['value'] is None:
                reasons.setdefault(few['reason'], {})[f'{title}, {report["data"]["floor_images"]:,} images'] = None
            if score['floor']['value'] is None and score['floor']['reason'] != NO_FLOOR.reason:
                reasons.setdefault(score['floor']['reason'], {})[f'{title}, floor'] = None
        for label, scores in run['by_class'].items():
            for name, score in scores.items():
                part, of = (score, '') if score['value'] is None else (score['floor'], ', floor')
                if part['value'] is None:
                    key = report['meanings'][name]['title'], of, _NUMBERS.sub('', part['reason'])
                    alike.setdefault(key, []).append((label, part['reason']))
    for (title, of, _), found in alike.items():
        labels = list(dict.fromkeys(label for label, _ in found))
        others = f' (and {len(labels) - 1} others likewise)' if len(labels) > 1 else ''
        reasons.setdefault(found[0][1], {})[f'{title}, class {labels[0]}{others}{of}'] = None
    return [f'{"; ".join(titles)}: {reason}' for reason, titles in reasons.items()]


def class_rows(report: Report, run: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows for each class: all its images, as many as are held out where that is fewer, and these."""
    meanings, names = report['meanings'], list(next(iter(run['by_class'].values())))
    rows = []
    for label, scores in run['by_class'].items():
        parts: dict[str, Report] = {
            label: scores,
            f'{label}, fewer': {name: score['at_floor_count'] for name, score in scores.items()},
            f'{label}, real': {name: as_held_out(score['floor']) for name, score in scores.items()},
        }
        if _class_counts(parts[f'{label}, fewer']) in ('-', _class_counts(scores)):
            del parts[f'{label}, fewer']  # nobody, or no fewer, held out
        for title, part in parts.items():
            values = [describe_value(part[name], meanings[name]['digits']) for name in names]
            rows.append([title, _class_counts(part), *values])
    return ['class', 'images', *(meanings[name]['title'] for name in names)], rows


def _class_counts(scores: Report) -> str:
    counted = (describe_counts(score['counts']) for score in scores.values() if score and score['counts'])
    return next(counted, '-')


def as_held_out(floor: Report) -> Report:
    """A floor whose counts tell what it judged: held-out images, in the place of generated ones."""
    return {**floor, 'counts': {kind.replace('generated', 'held_out'): n for kind, n in floor['counts'].items()}}


def published_rows(report: Report) -> list[list[str]]:
    """A row for each score that is published as mean and deviation over parts, of each run."""
    return [
        [
            f'{name.replace("_", " ")} ({spread["parts"]} parts), {title}',
            f'{spread["value"]:.5g}',
            f'{spread["deviation"]:.3g}',
        ]
        for title, run in zip(run_names(report), report['runs'], strict=True)
        for name, spread in run['as_published'].items()
        if spread['value'] is not None
    ]


def describe_protocol(report: Report) -> str:
    """What the numbers were measured on."""
    data, extractor = report['data'], report['extractor']
    reference, held_out = data['reference'], data['held_out']
    return (
        f'Reference: split {reference["split"]} of {data["name"]}, {_describe_images(reference)} '
        f'at {data["resolution"]}x{data["resolution"]} pixels; held out: split '
        f'{held_out["split"]}, {_describe_images(held_out)}. '
        f'Extractor: {extractor["name"]} (SHA-256 {extractor["sha256"][:16]}...), images resized '
        f'{extractor["resize"]}. Brackets: 95% intervals, {report["interval"]["method"]}; they do not cover what '
        'training again with another seed would give.'
    )


def _describe_images(split: Mapping[str, Any]) -> str:
    if split['patients'] is None:
        return f'{split["images"]:,} images (patients unknown: each image counts as one)'
    return f'{split["images"]:,} images of {split["patients"]:,} patients'


def print_scores(report: Report) -> None:
    """The table, with what it was measured on and why scores are missing.

    Of two runs the columns of as many images as are held out are on the page only: no screen is that wide.
    """
    at_floor = len(report['runs']) == 1
    _print_table(score_header(report, at_floor=at_floor), score_rows(report, at_floor=at_floor))
    for note in table_notes(report, at_floor=at_floor):
        print(note)
    for reason in missing_reasons(report):
        print(f'Missing: {reason}')
    for run in report['runs']:
        if rows := driver_rows(run):
            print(f'\nWhat sets images of {run["workdir"]} apart from real ones, most first. {DRIVER_CAPTION}')
            _print_table(DRIVER_HEADER, rows)
            print()
        if rows := mask_rows(run):
            print(f'\nMasks of {run["workdir"]}. {MASK_CAPTION}')
            _print_table(MASK_HEADER, rows)
            print()
        if rows := agreement_rows(run):
            print(agreement_caption(run))
            _print_table(AGREEMENT_HEADER, rows)
            print()
    print(describe_protocol(report))


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
