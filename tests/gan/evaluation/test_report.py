"""What people and programs see of an evaluation: report.json, the tables and the page."""

import copy
import dataclasses
import json
import os
from html.parser import HTMLParser

import numpy as np
import pytest

from foundation.statistics.jackknife import Estimate, Missing
from foundation.training.errors import UserError
from gan.evaluation import tables
from gan.evaluation.agreement import Agreement
from gan.evaluation.evaluation import evaluate
from gan.evaluation.page import PICTURES
from gan.evaluation.report import check_folder, create_report, differences, write_evaluation
from gan.evaluation.scoring import MEANINGS
from gan.generation import card
from input_pipeline import DataError
from tests.gan.evaluation.drawn import create_extractor, create_protocol, write_run


class _Page(HTMLParser):
    """How many tables a page has, and what its pictures show."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.pictures = 0, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tables += tag == 'table'
        if tag == 'img':
            self.pictures.append(dict(attributes)['alt'])


def _refuse_constant(name):
    raise AssertionError(f'{name} is no JSON')


@pytest.fixture(scope='module')
def written(measured, tmp_path_factory):
    """A folder with the evaluation."""
    reals, evaluated, report = measured
    out = tmp_path_factory.mktemp('out')
    write_evaluation(out, report, reals, evaluated)
    return out


@pytest.mark.slow
def test_json_holds_every_score_with_its_interval_or_a_reason(written):
    report = json.loads((written / 'report.json').read_text(), parse_constant=_refuse_constant)
    assert [len(run['scores']) for run in report['runs']] == [len(MEANINGS)] * 2
    assert set(report['meanings']) == set(MEANINGS)
    missing = []
    for run in report['runs']:
        for name, score in run['scores'].items():
            if score['value'] is None:
                assert score['interval'] is None
                assert score['reason']
                missing.append(name)
            else:
                low, high = score['interval']
                assert low <= score['value'] <= high
                assert score['counts']
                assert score['reason'] is None
        assert set(run['scales']) == {'swd_16', 'swd_intensity_aware_16'}
        assert set(run['by_class']) == set(report['runs'][0]['by_class'])
        assert len(run['weights_sha256']) == 64
    assert set(missing) == {'copying_score'}  # 40 images make no cell of 20 and held-out ones
    assert report['runs'][0]['weights_sha256'] != report['runs'][1]['weights_sha256']
    assert report['data']['held_out']['split'] == 'test'
    assert report['extractor']['sha256'] == '0' * 64
    assert report['interval']['groups'] == min(report['data']['held_out']['patients'], 20)


def test_differences_are_paired(measured):
    _, (first, second), report = measured
    for name, score in differences(first, second).items():
        one, other = first.scores[name], second.scores[name]
        if isinstance(score, Missing):
            assert isinstance(one, Missing) or isinstance(other, Missing)
            continue
        assert isinstance(one, Estimate)
        assert isinstance(other, Estimate)
        assert score.value == pytest.approx(one.value - other.value)
        np.testing.assert_array_equal(score.replicates, one.replicates - other.replicates)
        assert report['differences'][name]['interval'] == list(score.interval())
    for score in differences(first, first).values():
        assert isinstance(score, Missing) or (score.value, score.standard_error) == (0, 0)


def test_tables_line_up_and_give_reasons(measured, capsys):
    _, _, report = measured
    tables.print_scores(report)
    lines = capsys.readouterr().out.splitlines()
    header, rows = lines[0], lines[1 : 1 + len(MEANINGS)]
    columns = [header.index(title) for title in tables.score_header(report, at_floor=False)]
    for row, cells in zip(rows, tables.score_rows(report, at_floor=False), strict=True):
        for column, cell in zip(columns, cells, strict=True):
            assert row[column:].startswith(cell)
    assert header.split()[0] == 'score'
    assert max(map(len, (header, *rows))) <= 200
    assert any(line.startswith('Missing: C_T (negative: copying): has no cell') for line in lines)
    assert any(line.startswith('A: ') for line in lines)
    assert 'Extractor: quarters (SHA-256 0000000000000000...)' in lines[-1]


def test_scores_of_fewer_images_say_so(measured):
    _, _, report = measured
    assert not any('Of fewer' in note for note in tables.table_notes(report, at_floor=True))
    report = copy.deepcopy(report)
    held_out = report['data']['held_out']['images']
    for run in report['runs']:
        for name in ('swd', 'swd_intensity_aware'):
            run['scores'][name]['counts']['generated'] = 25
            run['scores'][name]['at_floor_count']['counts']['generated'] = 3
        run['scores']['ms_ssim']['counts']['first generated'] = 39
    titles = 'sliced Wasserstein x1000, normalised; sliced Wasserstein x1000, intensity-aware'
    real = f'{held_out} real in place of generated ones.'
    assert tables.table_notes(report, at_floor=True)[1:3] == [
        f'Of fewer images: {titles}: 25 generated, 3 generated beside the floor, {real}',
        f'Of fewer images: {report["meanings"]["ms_ssim"]["title"]}: 39 generated, {held_out} generated beside '
        f'the floor, {real}',
    ]
    assert tables.table_notes(report, at_floor=False)[1] == f'Of fewer images: {titles}: 25 generated, {real}'


def test_a_reason_is_given_once(measured):
    report = copy.deepcopy(measured[2])
    for name in ('inception_score', 'am_score'):
        report['runs'][1]['scores'][name].update(value=None, interval=None, reason='needs classes.')
    assert 'Inception Score; AM Score: needs classes.' in tables.missing_reasons(report)


def test_classes_that_lack_the_same_are_told_of_together(measured):
    _, _, report = measured
    report = copy.deepcopy(report)
    by_class = report['runs'][0]['by_class']
    for number, scores in enumerate(by_class.values()):
        scores['recall'] = {**scores['recall'], 'value': None, 'reason': f'needs 9 images; there are {number}.'}
    first, *_ = by_class
    told = [reason for reason in tables.missing_reasons(report) if 'needs 9 images' in reason]
    assert told == [
        f'recall, class {first} (and {len(by_class) - 1} others likewise): needs 9 images; there are 0.'
    ]


def test_unknown_patients_are_not_counted(measured):
    reals, evaluated, report = measured
    assert report['data']['reference']['patients'] == len(np.unique(reals.reference.owners))
    assert 'patients unknown' not in tables.describe_protocol(report)
    unknown = dataclasses.replace(reals, patients_known=False)
    report = create_report(unknown, evaluated, create_extractor(), create_protocol())
    assert [report['data'][split]['patients'] for split in ('reference', 'held_out')] == [None, None]
    told = tables.describe_protocol(report)
    assert told.count('images (patients unknown: each image counts as one)') == 2
    assert 'groups of real images and of generated images' in told


def test_pictures_of_an_earlier_second_run_go(measured, tmp_path):
    """And those of a segmenter that is not asked any more."""
    reals, evaluated, report = measured
    worst = np.zeros((2, 16, 16, 1), np.float32)
    asked = [dataclasses.replace(each, agreement=Agreement({}, (worst, worst))) for each in evaluated]
    write_evaluation(tmp_path, report, reals, asked)
    (tmp_path / 'notes.png').write_text('of the user')
    assert {path.name for path in tmp_path.glob('*.png')} == {*PICTURES, 'notes.png'}
    single = {name: value for name, value in report.items() if name != 'differences'}
    write_evaluation(tmp_path, single | {'runs': report['runs'][:1]}, reals, evaluated[:1])
    assert {path.name for path in tmp_path.glob('*.png')} == {
        'notes.png', 'reference.png', 'generated1.png', 'nearest1.png', 'distances1.png'
    }  # fmt: skip


def test_the_page_has_all_tables_and_pictures_and_escapes_names(written):
    text = (written / 'report.html').read_text()
    page = _Page(text)
    assert page.tables == 4  # scores, as in the literature, classes of each run
    assert len(page.pictures) == 7  # reference, and of each run: grid, nearest, distances
    assert '<b onload' not in text
    assert '&lt;b onload=x&gt;$ \u4e2d' in text
    pictures = {f'{name}{number}.png' for name in ('generated', 'nearest', 'distances') for number in (1, 2)}
    assert {path.name for path in written.iterdir()} == pictures | {'reference.png', 'report.html', 'report.json'}


def test_a_crash_leaves_the_old_evaluation_whole(measured, written, monkeypatch, tmp_path):
    reals, evaluated, report = measured
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    unwritable = report | {'runs': [*report['runs'], {1, 2}]}
    monkeypatch.setattr('gan.evaluation.report.write_page', lambda *_: None)
    for out in (written, tmp_path / 'new' / 'out'):
        with pytest.raises(TypeError):
            write_evaluation(out, unwritable, reals, evaluated)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before
    assert not (tmp_path / 'new' / 'out').exists()


def test_the_model_card_has_the_scores_of_the_same_weights(measured, tmp_path):
    reals, evaluated, report = measured
    write_evaluation(tmp_path / 'evaluation', report, reals, evaluated)
    text = card.describe_scores(tmp_path, report['runs'][0]['weights_sha256'])
    assert text.count('\n| ') == 2 + len(MEANINGS)  # with the heading
    assert f'{report["runs"][0]["scores"]["precision"]["value"]:.4g}' in text
    assert 'Only another state' in card.describe_scores(tmp_path, '0' * 64)


def test_folders_that_cannot_be_written_are_refused_before_anything_is_measured(tmp_path):
    file = tmp_path / 'file'
    file.touch()
    with pytest.raises(UserError, match='is a file; name a folder'):
        check_folder(file)
    with pytest.raises(UserError, match='is a file; name a folder'):
        check_folder(file / 'below')
    check_folder(tmp_path / 'not' / 'yet')
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(UserError, match='nothing can be written'):
            check_folder(tmp_path / 'new')
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ('fields', 'expected'),
    [
        ({'held_out': 'train'}, '--held_out=train is the split that the run was trained on; name another.'),
        ({'reference': 'test'}, "--reference and --held_out are both 'test'; name two splits."),
        ({'reference': 'nowhere'}, 'nowhere'),
        ({'step': 7}, 'has no checkpoint of step 7, only of'),
    ],
)
def test_protocols_that_cannot_be_followed(folder, fields, expected):
    with pytest.raises((UserError, DataError)) as caught:
        evaluate([folder / 'second'], create_extractor(), create_protocol(**fields))
    assert expected in str(caught.value)
    assert '\n' not in str(caught.value)


def test_runs_that_do_not_compare_are_refused(folder):
    write_run(folder, 'cropped', 0, **{'data.fit': 'crop'})
    with pytest.raises(UserError, match=r'differ in their config\.data\.fit \(pad, crop\); only runs on the same'):
        evaluate([folder / 'second', folder / 'cropped'], create_extractor(), create_protocol())


def test_an_extractor_of_other_channels_is_refused(folder):
    with pytest.raises(UserError, match='takes images of 3 channels, but these have 1'):
        evaluate([folder / 'second'], create_extractor(channels=(3,)), create_protocol())


def test_a_workdir_without_checkpoint_is_refused(folder, tmp_path):
    for name in ('config.json', 'data.json'):
        (tmp_path / name).write_bytes((folder / 'second' / name).read_bytes())
    with pytest.raises(UserError, match='holds no best checkpoint yet; train longer'):
        evaluate([tmp_path], create_extractor(), create_protocol(best=True))
    with pytest.raises(UserError, match=r'holds no config\.json; give the --workdir of a run'):
        evaluate([tmp_path / 'nowhere'], create_extractor(), create_protocol())
