"""Evaluation of a tiny detector: what it writes, and that its controls can fail."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from detect.evaluation import report as tables
from detect.evaluation import scores, shortcuts
from detect.evaluation.outputs import measure, read_detector
from detect.evaluation.robustness import attack_grid, certify_some, degradation_grid
from detect.train import train_and_evaluate
from foundation.training.errors import UserError
from tests.foundation.training.in_process import train_here
from tests.gan.command import Commands


@pytest.fixture(scope='module')
def blind(create_config, tmp_path_factory):
    """A detector that was trained on one of the two sources."""
    workdir = tmp_path_factory.mktemp('blind')
    train_here(train_and_evaluate, create_config({'data.sources': ('blocks',), 'schedule.epochs': 2}), workdir)
    return read_detector(workdir, '')


def test_what_is_measured_is_in_stored_order(measured):
    labels = [label != 'real' for label in measured.images.records.labels]
    np.testing.assert_array_equal(measured.labels, labels)
    assert set(measured.scored.scores) == {'network', 'mahalanobis', 'padim', 'patchcore', 'fused'}
    assert scores.auroc_of(measured.scored.scores['network'], measured.labels) > 0.9


def test_scores_from_elsewhere_stand_beside_the_others_without_thresholds(detector, measured):
    given = measured.with_scores({'bigan': measured.labels + np.linspace(0, 0.5, len(measured.labels))})
    report = scores.score_all(detector, given, scores.DetectorProtocol(0.01, 100, 0))
    assert report['bigan']['auroc']['value'] == 1
    assert not any('/' in name for name in report['bigan'])
    assert 'youden/accuracy' in report['network']
    fewer = scores.score_all(detector, measured, scores.DetectorProtocol(0.01, 100, 0))
    assert fewer == {name: own for name, own in report.items() if name != 'bigan'}


@pytest.mark.slow
def test_the_matrix_marks_what_a_run_has_not_seen(detector, blind, measured):
    matrix = scores.transfer([detector, blind], measured)
    seen = {(cell['run'], cell['source']): cell['seen'] for cell in matrix['cells']}
    assert seen == {
        (str(detector.workdir), 'blocks'): True,
        (str(detector.workdir), 'noise'): True,
        (str(blind.workdir), 'blocks'): True,
        (str(blind.workdir), 'noise'): False,
    }
    assert matrix['unseen']['worst']['source'] == 'noise'
    elsewhere = tuple('other' if source == 'noise' else source for source in measured.sources)
    cells = scores.transfer([detector], dataclasses.replace(measured, sources=elsewhere))['cells']
    assert {cell['source']: cell['seen'] for cell in cells} == {'blocks': True, 'other': False}
    header, rows, _ = tables.transfer_table({'transfer': matrix})
    assert header == ['run', 'blocks', 'noise']
    assert rows[1][2].endswith('*')


def test_the_card_names_what_fails(detector, measured):
    card = shortcuts.draw_card(detector, measured, None, seed=0)
    by_name = {entry.name: entry for entry in card}
    assert by_name['random labels'].passed is None
    # Drawn patients tell their spacing, and pictures have none: what a header gives away is found.
    assert by_name['header alone'].value == 1
    assert 'header alone' in shortcuts.failures(card)
    assert 'random labels' not in shortcuts.failures(card)
    assert {entry.name for entry in card if 'JPEG' in entry.name} == {
        f'codec swap: {kind} images as JPEG' for kind in ('synthetic', 'real', 'all')
    }


def test_a_detector_that_goes_by_histograms_is_told(measured):
    own = measured.scored.scores['network']
    assert shortcuts._matched_grey_levels(measured, own).passed
    assert not shortcuts._matched_grey_levels(measured, np.random.default_rng(0).permuted(own)).passed


@pytest.mark.slow
def test_random_labels_are_at_chance_and_a_leak_is_told(detector, measured, create_config, tmp_path):
    config = create_config({'data.labels': 'random', 'schedule.epochs': 2})
    train_here(train_and_evaluate, config, tmp_path)
    control = read_detector(tmp_path, '')
    entry = shortcuts._random_labels(control)
    assert entry.passed
    # A detector that knows the labels of the test patients is caught.
    leaking = dataclasses.replace(detector, recipe=control.recipe)
    images = control.recipe.data.open('test', train=False)
    labels = shortcuts.binary_labels(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortcuts, 'logits_of_split', lambda trained, images: labels.astype(np.float64))
        assert shortcuts._random_labels(leaking).passed is False


@pytest.mark.slow
def test_attacks_are_no_weaker_with_larger_eps(detector, measured):
    grid = attack_grid(detector, measured, images=8, steps=3, seed=0)
    accuracies = [row['accuracy'] for row in grid['rows']]
    assert [row['eps'] for row in grid['rows']] == [0, 1, 2, 4, 8]
    assert accuracies == sorted(accuracies, reverse=True)
    assert grid['rows'][-1]['hounsfield'] == pytest.approx(8 / 255 * 1500)
    table = tables.attack_table({'attacks': grid})
    assert [len(row) for row in table[1]] == [len(table[0])] * 5


def test_degradations_begin_with_the_images_as_they_are(detector, measured):
    rows = degradation_grid(detector, measured)
    assert rows[0]['auroc'] == scores.auroc_of(measured.scored.scores['network'], measured.labels)
    assert len(rows) == 13


def test_certificates(detector, measured):
    assert certify_some(detector, measured, images=0, draws=100, seed=0) is None
    certificates = certify_some(detector, measured, images=2, draws=100, seed=0)
    assert certificates['images'] == 2
    assert 0 <= certificates['certified_right'] <= 2


def test_other_forms_of_data_are_refused(detector, measured):
    other = copy.copy(measured.images)
    other.options = {**other.options, 'form': {**other.options['form'], 'depth': 16}}
    with pytest.raises(UserError, match='prepared otherwise'):
        measure(detector, other)


@pytest.mark.slow
def test_the_command_writes_a_page_and_numbers(detector_workdir, tmp_path):
    flags = [
        '--attacked=4',
        '--attack_steps=1',
        '--certified=1',
        '--draws=100',
        '--explained=4',
        '--resamples=100',
    ]
    commands = Commands(tmp_path / 'shared')
    command = ('detect.evaluate', f'--workdir={detector_workdir}', f'--out={tmp_path}', *flags)
    done = commands.run(*command)
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / 'report.json').read_text())
    assert set(report['baselines']) == {'support_vector_machine', 'random_forest', 'decision_tree'}
    assert report['parts']['source']['cells'].keys() == {'blocks', 'noise'}
    page = (tmp_path / 'report.html').read_text()
    assert 'Shortcut card' in page
    assert 'Next: ' in done.stdout
    refused = commands.run(*command, f'--control={detector_workdir}')
    assert refused.returncode == 1
    assert 'has true labels' in refused.stdout
    assert 'Traceback' not in refused.stdout
