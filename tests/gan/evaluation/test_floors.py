"""Floors, overall and of classes: real images in place of as many generated ones."""

import dataclasses

import numpy as np
import pytest

from foundation.statistics.jackknife import Estimate, Missing
from gan.evaluation import evaluation, scoring, sets, tables
from gan.evaluation.evaluation import evaluate
from gan.evaluation.report import create_report
from gan.scores import patches
from tests.gan.evaluation.drawn import CLASSES, create_extractor, create_protocol, draw_described


@pytest.mark.slow
def test_the_floor_is_computed_the_same_way(measured):
    reals, (first, _), report = measured
    again = scoring.measure_features(reals.held_out, reals.reference, reals.group_count)
    for name in scoring.BY_FEATURES:
        expected, floor = again[name], report['runs'][0]['scores'][name]['floor']
        assert isinstance(expected, Estimate)
        assert floor['value'] == pytest.approx(expected.value)
    few = scoring.measure_features(first.generated.fewer(len(reals.held_out)), reals.reference, reals.group_count)
    for name in scoring.BY_FEATURES:
        expected, at_floor = few[name], report['runs'][0]['scores'][name]['at_floor_count']
        assert isinstance(expected, Estimate)
        assert at_floor['value'] == pytest.approx(expected.value)
        assert at_floor['counts']['generated'] == len(reals.held_out)


def test_the_floor_is_of_no_more_images_than_are_generated(folder, tmp_path, monkeypatch):
    """A distance of few generated images is no worse than one of many real ones for that alone."""
    monkeypatch.setattr(patches, '_DIRECTIONS', 8)
    monkeypatch.setattr(patches, '_REPLICATED', 4)
    monkeypatch.setattr(sets, '_CACHE', tmp_path)
    extractor, protocol = create_extractor(), create_protocol(count=4)
    reals, evaluated = evaluate([folder / 'second'], extractor, protocol)
    assert len(reals.held_out) > 4
    report = create_report(reals, evaluated, extractor, protocol)
    for score in report['runs'][0]['scores'].values():
        judged = score['floor']['counts']
        assert not judged or judged.get('generated', judged.get('first generated')) == 4
    assert report['runs'][0]['scores']['am_score']['floor']['value'] is not None
    assert tables.score_header(report, at_floor=True) == ['score', 'generated, 4', 'generated, 4', 'real, 4']


def test_classes_have_intervals_of_their_own_or_a_reason(measured):
    reals, (first, _), report = measured
    for number, (name, (scores, _, _)) in enumerate(first.by_class.items()):
        owned = np.unique(reals.reference.owners[reals.reference.labels == number])
        for score in scores.values():
            if isinstance(score, Estimate):
                assert len(score.replicates) <= len(owned)
        assert set(report['runs'][0]['by_class'][name]) == set(scoring.BY_FEATURES)
    absent = evaluation._measure_class(99, 'none', first.generated, reals)
    assert set(absent.scores.values()) == {Missing('has no reference image of this class.')}
    lacking = dataclasses.replace(first.generated, labels=np.ones_like(first.generated.labels))
    absent = evaluation._measure_class(0, 'none', lacking, reals)
    assert set(absent.scores.values()) == {Missing('has no generated image of this class.')}


@pytest.fixture(scope='module')
def by_class(measured):
    """Scores of sets of three classes: as many held out as are generated, fewer, and none."""
    reals = dataclasses.replace(measured[0], reference=draw_described(300), group_count=5)
    generated, held_out = draw_described(90, 1), draw_described(90, 2)
    held_out = held_out.select(np.flatnonzero((held_out.labels == 0) | (held_out.labels * np.arange(90) % 4 == 1)))
    reals = dataclasses.replace(reals, held_out=held_out)
    assert np.bincount(held_out.labels).tolist() == [30, 8]
    return {name: evaluation._measure_class(number, name, generated, reals) for number, name in enumerate(CLASSES)}


@pytest.mark.parametrize(('name', 'count'), [('dark', 30), ('bright', 8)])
def test_classes_have_floors_of_as_many_images(by_class, name, count):
    scores, at_floor, floor = (each['kernel_distance'] for each in by_class[name])
    assert scores.counts == {'generated': 30, 'reference': 100}
    assert at_floor.counts == floor.counts == {'generated': count, 'reference': 100}
    assert floor.value != at_floor.value
    assert (at_floor.value == scores.value) == (count == 30)


def test_a_class_that_nobody_held_out_shows_has_no_floor(by_class):
    assert isinstance(by_class['other'].scores['recall'], Estimate)
    assert by_class['other'].at_floor == {}
    assert set(by_class['other'].floor.values()) == {Missing('has no held-out image of this class.')}


def test_classes_that_one_set_lacks_are_named(measured):
    reals, evaluated, _ = measured
    certain = np.eye(3, dtype=np.float32)
    drawn = dataclasses.replace(
        evaluated[0].generated, probabilities=certain[np.zeros(len(evaluated[0].generated), int)]
    )
    real = dataclasses.replace(reals.reference, probabilities=certain[np.arange(len(reals.reference)) % 2 + 1])
    one = [dataclasses.replace(evaluated[0], generated=real)]
    report = create_report(dataclasses.replace(reals, reference=real), one, create_extractor(), create_protocol())
    assert not any('Absent' in note for note in tables.table_notes(report, at_floor=True))
    one = [dataclasses.replace(evaluated[0], generated=drawn)]
    report = create_report(dataclasses.replace(reals, reference=real), one, create_extractor(), create_protocol())
    assert tables.table_notes(report, at_floor=True)[-2:] == [
        'Absent: the extractor takes no generated image, but some reference ones, for bright, other.',
        'Absent: the extractor takes no reference image, but some generated ones, for dark.',
    ]


def test_classes_tell_their_images(measured, by_class):
    reals, (first, _), _ = measured
    one = [dataclasses.replace(first, by_class=by_class)]
    report = create_report(reals, one, create_extractor(), create_protocol())
    header, rows = tables.class_rows(report, report['runs'][0])
    assert header[:2] == ['class', 'images']
    assert [row[:2] for row in rows] == [
        ['dark', '30 generated, 100 reference'],
        ['dark, real', '30 held out, 100 reference'],
        ['bright', '30 generated, 100 reference'],
        ['bright, fewer', '8 generated, 100 reference'],
        ['bright, real', '8 held out, 100 reference'],
        ['other', '30 generated, 100 reference'],
        ['other, real', '-'],
    ]
    assert any(
        'recall, class other, floor' in reason and reason.endswith('has no held-out image of this class.')
        for reason in tables.missing_reasons(report)
    )
