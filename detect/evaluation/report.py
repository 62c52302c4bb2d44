"""An evaluation for people: one HTML page, numbers as JSON, figures, and a few lines on the screen."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from detect.evaluation import tables
from detect.evaluation.explaining import PICTURE
from detect.evaluation.measured import Detector, Measured, probabilities_of
from detect.metrics.calibration import bins_of_equal_width, tabulate_reliability
from detect.metrics.ranking import trace_roc
from detect.metrics.samples import weigh_once
from detect.scoring import FUSED
from foundation.training import launch
from foundation.training import workdir as workdirs
from foundation.training.page import Page

REPORT_FILE, PAGE_FILE, CURVES_FILE = 'report.json', 'report.html', 'curves.png'


def write_report(report: Mapping[str, Any], measured: Measured, detector: Detector, folder: Path) -> None:
    """Writes numbers, figures and the page."""
    workdirs.write_json(folder / REPORT_FILE, _without_nan(report))
    _draw_curves(measured, detector, folder / CURVES_FILE)
    page = Page(f'Detector {report["workdir"]}')
    _add_headline(page, report, folder)
    page.section('Generators it has not seen')
    page.table(*tables.transfer_table(report))
    for line in tables.describe_transfer(report):
        page.paragraph(line)
    page.section('Shortcut card')
    page.table(*tables.card_table(report))
    page.section('Robustness')
    page.table(*tables.degradation_table(report))
    if report['attacks'] is not None:
        page.table(*tables.attack_table(report))
    if report['certificates'] is not None:
        page.paragraph(tables.describe_certificates(report['certificates']))
    page.section('Where it looks')
    page.figure(folder / PICTURE, tables.MAPS_CAPTION)
    page.table(*tables.maps_table(report))
    page.paragraph(tables.describe_shuffling(report['maps']))
    page.write(folder / PAGE_FILE)


def _add_headline(page: Page, report: Mapping[str, Any], folder: Path) -> None:
    page.section('Scores')
    if report['shared_splits']:
        page.note(tables.describe_sharing(report['shared_splits']))
    page.table(*tables.score_table(report))
    page.table(*tables.threshold_table(report))
    page.figure(folder / CURVES_FILE, 'ROC of the fused score, and its reliability on the test split')
    for kind in ('modality', 'source', 'kind'):
        page.heading(f'By {kind}')
        page.table(*tables.part_table(report, kind))
    if report['baselines']:
        page.heading('Classical classifiers on the same features')
        page.table(*tables.baseline_table(report))


def print_report(report: Mapping[str, Any], folder: Path) -> None:
    """The scores that matter, what is in doubt, and where the rest is."""
    _, rows, caption = tables.score_table(report)
    print(f'\n{caption}')
    for row in rows:
        print(f'  {row[0]:<14}' + '  '.join(f'{cell:>22}' for cell in row[1:4]))
    for line in tables.describe_transfer(report):
        print(line)
    failed = [entry['name'] for entry in report['shortcuts'] if entry['passed'] is False]
    print(f'Shortcut card: {"not passed: " + ", ".join(failed) if failed else "nothing failed"}.')
    if report['shared_splits']:
        print(tables.describe_sharing(report['shared_splits']))
    print(f'Page: {folder / PAGE_FILE}   numbers: {folder / REPORT_FILE}')
    print(f'Next: {launch.python()} -m detect.predict --workdir={report["workdir"]} IMAGES...')


def _draw_curves(measured: Measured, detector: Detector, path: Path) -> None:
    """The ROC with a logarithmic axis of false positives, and shares against probabilities."""
    figure = Figure(figsize=(11, 5), layout='constrained')
    FigureCanvasAgg(figure)
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
    right.plot([0, 1], [0, 1], color='grey', linestyle=':')
    right.plot([one.probability for one in bins], [one.share for one in bins], marker='o')
    for one in bins:
        right.annotate(
            str(one.images), (one.probability, one.share), (0, 6), textcoords='offset points', fontsize=7
        )
    right.set(xlabel='probability of synthetic (numbers: images)', ylabel='share that is synthetic')
    temporary = path.with_name(f'.{path.name}')
    figure.savefig(temporary, dpi=100, format='png')
    os.replace(temporary, path)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for what is not defined."""
    if isinstance(value, Mapping):
        return {name: _without_nan(own) for name, own in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
