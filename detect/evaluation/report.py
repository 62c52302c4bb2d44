"""An evaluation for people: one HTML page, numbers as JSON, figures, and a few lines on the screen."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detect.detector import TrainedDetector
from detect.evaluation.explanations import PICTURE
from detect.evaluation.outputs import SplitOutputs, probabilities_of
from detect.metrics.ranking import trace_roc
from detect.metrics.samples import weigh_once
from detect.scoring import FUSED
from foundation.report.figures import create_figure, write_figure
from foundation.report.page import Page
from foundation.report.reliability import draw_reliability
from foundation.statistics.calibration import bins_of_equal_width, tabulate_reliability
from foundation.training import launch
from foundation.training import workdir as workdirs

Table = tuple[list[str], list[list[str]], str]

MAPS_CAPTION = (
    'Real images, their Grad-CAM (evidence of being synthetic) and anomaly maps; below them the same of synthetic '
    'images. Scales are those of the whole data set, so that dark maps mean that there is little to see'
)
_HEADLINE = {
    'auroc': 'AUROC',
    'average_precision': 'average precision',
    'equal_error_rate': 'equal error rate',
    'tpr_at_fpr_1_percent': 'found at 1% false alarms',
    'tpr_at_fpr_0_1_percent': 'found at 0.1% false alarms',
    'brier': 'Brier',
    'calibration_error_width': 'ECE',
    'calibration_error_mass': 'ECE, equal mass',
}
_DECISIONS = {
    'accuracy': 'accuracy',
    'balanced_accuracy': 'balanced accuracy',
    'precision': 'precision',
    'recall': 'recall',
    'real_accuracy': 'real images right',
    'f1': 'F1',
    'matthews': 'Matthews correlation',
    'predictive_value': 'predictive value',
}
_THRESHOLDS = {
    'youden': 'Youden',
    'equal_error': 'equal error',
    'fpr_1_percent': '1% false alarms',
    'fpr_0_1_percent': '0.1% false alarms',
}
_SHORT = ('auroc', 'equal_error_rate', 'tpr_at_fpr_1_percent', 'youden/balanced_accuracy')


def describe(score: Mapping[str, Any] | None) -> str:
    """A value with its interval, or a dash."""
    if score is None or score['value'] is None:
        return '-'
    interval = '' if score['low'] is None else f' [{score["low"]:.3f}, {score["high"]:.3f}]'
    return f'{score["value"]:.3f}{interval}'


def number(value: float | None) -> str:
    """Three decimals, or a dash."""
    return '-' if value is None or not math.isfinite(value) else f'{value:.3f}'


def score_table(report: Mapping[str, Any]) -> Table:
    """Every score by what does not need a threshold."""
    rows = [
        [name, *(describe(own.get(key)) for key in _HEADLINE)]
        for name, own in _fused_first(report['scores']).items()
    ]
    share = next(iter(report['scores'].values()))['share_of_fakes']['value']
    caption = (
        f'Test split of {report["data"]}, {share:.0%} of it synthetic, with 95% intervals from '
        f'{report["protocol"]["resamples"]:,} resamples of patients.'
    )
    return ['score', *_HEADLINE.values()], rows, caption


def threshold_table(report: Mapping[str, Any]) -> Table:
    """The fused score at the thresholds that validation chose."""
    fused = report['scores']['fused']
    rows = [
        [name, *(describe(fused.get(f'{key}/{decision}')) for decision in _DECISIONS)]
        for key, name in _THRESHOLDS.items()
    ]
    caption = (
        'The fused score at thresholds from validation; predictive value: where '
        f'{report["protocol"]["prevalence"]:.2%} of images are synthetic.'
    )
    return ['threshold', *_DECISIONS.values()], rows, caption


def part_table(report: Mapping[str, Any], kind: str) -> Table:
    """The fused score by modality, source or kind."""
    part = report['parts'][kind]
    rows = []
    for name, cell in part['cells'].items():
        scores = cell['scores'] or {}
        counts = f'{cell["reals"]} ({cell["real_patients"]})', f'{cell["fakes"]} ({cell["fake_patients"]})'
        rows.append([name, *counts, *(describe(scores.get(key)) for key in _SHORT)])
    rows.append(['mean', '', '', *(number(part['macro'].get(key)) for key in _SHORT)])
    rows.append(['worst', '', '', *(part['worst'].get(key) or '-' for key in _SHORT)])
    header = [kind, 'real (patients)', 'synthetic (patients)', *_named(_SHORT)]
    return header, rows, 'Synthetic images against the real ones of the same modalities.'


def baseline_table(report: Mapping[str, Any]) -> Table:
    """Classical classifiers beside the network."""
    everything = {'the network': report['scores']['network'], **report['baselines']}
    rows = [
        [name.replace('_', ' '), *(describe(own.get(key)) for key in _SHORT)] for name, own in everything.items()
    ]
    return ['classifier', *_named(_SHORT)], rows, 'All on the features of the network, fitted on training images.'


def transfer_table(report: Mapping[str, Any]) -> Table:
    """Runs by sources; what a run has not seen is marked."""
    cells = report['transfer']['cells']
    sources = list(dict.fromkeys(cell['source'] for cell in cells))
    rows = []
    for run in dict.fromkeys(cell['run'] for cell in cells):
        own = {cell['source']: cell for cell in cells if cell['run'] == run}
        rows.append([run, *(_describe_cell(own[source]) for source in sources)])
    caption = "AUROC / share of synthetic images found at validation's threshold (network's logit); *: never seen."
    return ['run', *sources], rows, caption


def _describe_cell(cell: Mapping[str, Any]) -> str:
    return f'{number(cell["auroc"])} / {number(cell["fake_accuracy"])}{"" if cell["seen"] else " *"}'


def describe_transfer(report: Mapping[str, Any]) -> list[str]:
    """Means over seen and unseen sources, and the worst."""
    lines = []
    for key, name in (('seen', 'Sources seen in training'), ('unseen', 'Sources never seen')):
        summary = report['transfer'][key]
        if summary is not None:
            worst = summary['worst']
            lines.append(
                f'{name}: mean AUROC {summary["mean_auroc"]:.3f}, mean balanced accuracy '
                f'{summary["mean_balanced_accuracy"]:.3f}; worst AUROC {worst["auroc"]:.3f} ({worst["source"]}, '
                f'{worst["run"]}).'
            )
    if report['transfer']['unseen'] is None:
        lines.append('No run left a source out; name some with --against to learn what unseen generators do.')
    return lines


def card_table(report: Mapping[str, Any]) -> Table:
    """The shortcut card."""
    words = {True: 'passed', False: 'NOT PASSED', None: '-'}
    rows = [
        [entry['name'], number(entry['value']), entry['wanted'], words[entry['passed']], entry['remark']]
        for entry in report['shortcuts']
    ]
    return ['test', 'AUROC or change', 'wanted', 'result', 'what was done'], rows, "Of the network's logit."


def degradation_table(report: Mapping[str, Any]) -> Table:
    """What happens to all images alike."""
    keys = ('auroc', 'fake_accuracy', 'real_accuracy')
    rows = [
        [
            row['degradation'],
            '' if row['strength'] is None else f'{row["strength"]:g}',
            *(number(row[key]) for key in keys),
        ]
        for row in report['degradations']
    ]
    header = ['degradation', 'strength', 'AUROC', 'synthetic found', 'real right']
    return header, rows, "The network's logit; real and synthetic images are degraded alike."


def attack_table(report: Mapping[str, Any]) -> Table:
    """Attacks by eps."""
    attacks = report['attacks']
    keys = ('accuracy', 'fake_accuracy', 'real_accuracy', 'auroc', 'auroc_fake_to_real', 'auroc_real_to_fake')
    rows = [
        [f'{row["eps"]}/255', f'{row["hounsfield"]:.0f}', *(number(row[key]) for key in keys)]
        for row in attacks['rows']
    ]
    header = [
        'eps', f'HU in a window of {attacks["window"]:.0f}', 'accuracy', 'synthetic stay found', 'real stay real',
        'AUROC, all attacked', 'AUROC, synthetic made to look real', 'AUROC, real made to look synthetic',
    ]  # fmt: skip
    caption = (
        f'{attacks["images"]} test images, rounded to grey levels; the worst of PGD and APGD ('
        f'{attacks["steps"]} steps) and Square ({attacks["queries"]} looks), on the network alone.'
    )
    return header, rows, caption


def describe_certificates(certificates: Mapping[str, Any]) -> str:
    """What smoothing guarantees."""
    radius = certificates['median_radius']
    return (
        f'Randomised smoothing (sigma {certificates["sigma"]}, {certificates["draws"]} draws, alpha '
        f'{certificates["alpha"]}): {certificates["certified_right"]} of {certificates["images"]} images are '
        'certified with the right answer'
        + ('.' if radius is None else f', within an L2 distance of {radius:.2f} (median).')
    )


def maps_table(report: Mapping[str, Any]) -> Table:
    """Whether maps name what matters."""
    maps = report['maps']
    rows = [
        [
            name.replace('_', ' '),
            number(own['deletion_area']),
            number(own['pointing_game']),
            number(own['share_of_masks']),
        ]
        for name, own in maps['maps'].items()
    ]
    header = ['map', 'deletion area', 'pointing game', 'what chance points at']
    caption = (
        f'{maps["images"]} synthetic test images, {maps["altered_in_part"]} of them altered in part. Deletion: '
        'the lower, the sooner is the evidence gone; better than random maps means that a map names what matters.'
    )
    return header, rows, caption


def describe_shuffling(maps: Mapping[str, Any]) -> str:
    """The randomisation check."""
    correlation = maps['grad_cam_after_shuffling_weights']
    if correlation is None:
        return 'Grad-CAM is constant once the weights are shuffled: it comes from what was learned.'
    return (
        f'Grad-CAM with the weights and with shuffled ones: rank correlation {correlation:.2f}; near '
        '0, maps come from what was learned, near 1 from the image alone.'
    )


def describe_sharing(splits: Sequence[str]) -> str:
    """What it means that splits share generators."""
    return (
        f'The splits {", ".join(splits)} share generators: their patients are on several sides, and scores of '
        'such splits may be too good.'
    )


def _fused_first(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {'fused': scores['fused'], **{name: own for name, own in scores.items() if name != 'fused'}}


def _named(keys: Sequence[str]) -> list[str]:
    return [_HEADLINE.get(key) or f'{_DECISIONS[key.partition("/")[2]]} (Youden)' for key in keys]


REPORT_FILE, PAGE_FILE, CURVES_FILE = 'report.json', 'report.html', 'curves.png'


def write_report(
    report: Mapping[str, Any], measured: SplitOutputs, detector: TrainedDetector, folder: Path
) -> None:
    """Writes numbers, figures and the page."""
    workdirs.write_json(folder / REPORT_FILE, _without_nan(report))
    _draw_curves(measured, detector, folder / CURVES_FILE)
    page = Page(f'Detector {report["workdir"]}')
    _add_headline(page, report, folder)
    page.section('Generators it has not seen')
    page.table(*transfer_table(report))
    for line in describe_transfer(report):
        page.paragraph(line)
    page.section('Shortcut card')
    page.table(*card_table(report))
    page.section('Robustness')
    page.table(*degradation_table(report))
    if report['attacks'] is not None:
        page.table(*attack_table(report))
    if report['certificates'] is not None:
        page.paragraph(describe_certificates(report['certificates']))
    page.section('Where it looks')
    page.figure(folder / PICTURE, MAPS_CAPTION)
    page.table(*maps_table(report))
    page.paragraph(describe_shuffling(report['maps']))
    page.write(folder / PAGE_FILE)


def _add_headline(page: Page, report: Mapping[str, Any], folder: Path) -> None:
    page.section('Scores')
    if report['shared_splits']:
        page.note(describe_sharing(report['shared_splits']))
    page.table(*score_table(report))
    page.table(*threshold_table(report))
    page.figure(folder / CURVES_FILE, 'ROC of the fused score, and its reliability on the test split')
    for kind in ('modality', 'source', 'kind'):
        page.heading(f'By {kind}')
        page.table(*part_table(report, kind))
    if report['baselines']:
        page.heading('Classical classifiers on the same features')
        page.table(*baseline_table(report))


def print_report(report: Mapping[str, Any], folder: Path) -> None:
    """The scores that matter, what is in doubt, and where the rest is."""
    _, rows, caption = score_table(report)
    print(f'\n{caption}')
    for row in rows:
        print(f'  {row[0]:<14}' + '  '.join(f'{cell:>22}' for cell in row[1:4]))
    for line in describe_transfer(report):
        print(line)
    failed = [entry['name'] for entry in report['shortcuts'] if entry['passed'] is False]
    print(f'Shortcut card: {"not passed: " + ", ".join(failed) if failed else "nothing failed"}.')
    if report['shared_splits']:
        print(describe_sharing(report['shared_splits']))
    print(f'Page: {folder / PAGE_FILE}   numbers: {folder / REPORT_FILE}')
    print(f'Next: {launch.python()} -m detect.predict --workdir={report["workdir"]} IMAGES...')


def _draw_curves(measured: SplitOutputs, detector: TrainedDetector, path: Path) -> None:
    """The ROC with a logarithmic axis of false positives, and shares against probabilities."""
    figure = create_figure(1100, 500, layout='constrained')
    left, right = figure.subplots(1, 2)
    labels = measured.labels
    for name, scores in measured.scored.scores.items():
        roc = trace_roc(scores, labels, weigh_once(len(labels)))
        false, true = roc.reals[0] / roc.reals[0, -1], roc.fakes[0] / roc.fakes[0, -1]
        left.plot(np.maximum(false, 1e-4), true, label=name, linewidth=2 if name == FUSED else 1)
    left.set(xscale='log', xlabel='real images called synthetic', ylabel='synthetic images found', ylim=(0, 1.02))
    left.legend(fontsize=8)
    probabilities = probabilities_of(measured, detector.calibration, FUSED)
    assert probabilities is not None
    bins = tabulate_reliability(probabilities, labels, bins_of_equal_width(probabilities))
    draw_reliability(right, bins)
    right.set(xlabel='probability of synthetic (numbers: images)', ylabel='share that is synthetic')
    write_figure(figure, path)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for what is not defined."""
    if isinstance(value, Mapping):
        return {name: _without_nan(own) for name, own in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
