"""From the reports of cells to claims: planted effects are found, absent ones are not claimed."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from configs.segment import study_brain_tumor
from foundation.training.errors import UserError
from segment.studies.analysis import analyse
from segment.studies.audits import Audit, read_audits
from segment.studies.design import create_design
from segment.studies.plan import plan_cells
from segment.studies.presentation import present
from segment.studies.results import Group, Results, read_results

REAL_IMAGES = {0.1: 200, 0.25: 500, 1.0: 2000}
PATIENTS = 40


@pytest.fixture
def design():
    return dataclasses.replace(
        create_design(study_brain_tumor.get_config()), seeds=(0, 1, 2, 3, 4), resamples=2000
    )


def _simulate(design, effects, seed=0):
    """Dice of every cell: patients differ much, seeds a little, arms by a planted effect."""
    generator = np.random.default_rng(seed)
    patients = generator.uniform(0.3, 0.9, PATIENTS)
    level = {0.1: -0.1, 0.25: 0.0, 1.0: 0.1}
    groups = {}
    for cell in plan_cells(design):
        group = Group(cell.arm, cell.fraction, cell.ratio)
        shift = level[cell.fraction] + effects.get(cell.arm, 0.0) + generator.normal(0, 0.004)
        noise = generator.normal(0, 0.02, PATIENTS)
        groups.setdefault(group, []).append(np.clip(patients + shift + noise, 0, 1))
    names = tuple(f'patient {number}' for number in range(PATIENTS))
    return Results(names, {group: np.array(rows) for group, rows in groups.items()})


def _answers(analysis):
    return {(one.first.arm, one.second.arm): one.verdict.answer for one in analysis.compared}


def test_a_planted_uplift_is_claimed(design):
    analysis = analyse(design, _simulate(design, {'enhanced': 0.05}), REAL_IMAGES)
    answers = _answers(analysis)
    assert answers['enhanced', 'real_augmented'] == answers['enhanced', 'pggan'] == 'better'
    assert answers['enhanced', 'shuffled'] == 'better'
    assert answers['pggan', 'real_augmented'] in ('undecided', 'equivalent')
    stated, refused = ([text for text in analysis.claims if word in text] for word in ('is stated', 'is refused'))
    assert len(stated) == 2
    assert all('images of one training of enhanced' in text for text in stated)
    assert len(refused) == 1
    assert 'images of one training of pggan help is refused' in refused[0]
    compared = analysis.compared[0]
    low, high = compared.difference.distribution.interval(0.95)
    assert low < 0.05 < high


def test_nothing_is_claimed_where_there_is_nothing(design):
    """Over many studies without effects, a false claim is as rare as was promised."""
    design = dataclasses.replace(design, resamples=1000, curve=())
    claims = [
        any('is stated' in text for text in analyse(design, _simulate(design, {}, seed), REAL_IMAGES).claims)
        for seed in range(30)
    ]
    assert sum(claims) <= 4  # 1.5 expected at most; more than 4 once in a hundred


def test_harm_is_found(design):
    analysis = analyse(design, _simulate(design, {'enhanced': -0.05}), REAL_IMAGES)
    assert _answers(analysis)['enhanced', 'real_augmented'] == 'worse'
    assert not any('is stated' in text for text in analysis.claims)


def test_a_tiny_difference_is_called_equivalent(design):
    design = dataclasses.replace(design, margin=0.02)
    analysis = analyse(design, _simulate(design, {}), REAL_IMAGES)
    assert _answers(analysis)['duplicated', 'real_augmented'] == 'equivalent'


def test_the_worth_of_a_generated_image(design):
    """0.05 is half of what quadrupling the real images brings: 500 more real ones do as much as 500 generated."""
    analysis = analyse(design, _simulate(design, {'enhanced': 0.05}), REAL_IMAGES)
    worth = analysis.worths[Group('enhanced', 0.25, 1.0)]
    assert worth.real_images == pytest.approx(1.0, abs=0.3)
    assert worth.interval[0] < 1.0 < worth.interval[1]
    assert set(analysis.worths) == {Group('enhanced', 0.25, 1.0), Group('pggan', 0.25, 1.0)}


def test_all_comparisons_are_corrected_together(design):
    analysis = analyse(design, _simulate(design, {'enhanced': 0.004}), REAL_IMAGES)
    raw = [one.difference.distribution.p_value for one in analysis.compared]
    assert len(raw) == len(design.comparisons)
    smallest = int(np.argmin(raw))
    assert analysis.compared[smallest].adjusted_p == pytest.approx(min(1, len(raw) * raw[smallest]))


def test_pairs_that_a_policy_leaves_out_on_one_side_are_told(design):
    """Where there is nothing, an arm that finds something has 0, and one that rightly does not has no value."""
    results = _simulate(design, {})
    for place in range(3):
        results.groups[Group('enhanced', 0.25, 1.0)][:, place] = 0.0
        results.groups[Group('real_augmented', 0.25, 0.0)][:, place] = np.nan
    results.groups[Group('pggan', 0.25, 1.0)][0, 9] = results.groups[Group('enhanced', 0.25, 1.0)][0, 9] = np.nan
    compared = {(one.first.arm, one.second.arm): one for one in analyse(design, results, REAL_IMAGES).compared}
    told = compared['enhanced', 'real_augmented']
    assert told.one_sided == 3 * 5 + 1
    assert 'Left out are 16 pairs of patient and seed' in told.sentence
    assert 'the policy nnunet gives the other no value, ones would.' in told.sentence
    assert compared['enhanced', 'pggan'].one_sided == 0
    assert 'Left out' not in compared['enhanced', 'pggan'].sentence


def test_shares_that_differ_little_have_names_of_their_own():
    labels = {Group('real', share, 0.0).label for share in (0.12, 0.125, 0.1, 1.0)}
    assert labels == {'real 12%', 'real 12.5%', 'real 10%', 'real 100%'}
    assert '12.5% of the patients' in Group('real', 0.125, 0.0).meaning


def _write_reports(folder, results):
    folders, about = [], {'policy': 'nnunet', 'split': 'test'}
    for group, rows in results.groups.items():
        for seed, row in enumerate(rows):
            cell = folder / f'{group.arm}_{group.fraction}_{seed}'
            (cell / 'evaluation').mkdir(parents=True)
            report = [
                {'patient': name, 'class_name': 'tumour', 'dice': None if np.isnan(value) else value}
                for name, value in zip(results.patients, row, strict=True)
            ]
            (cell / 'evaluation' / 'report.json').write_text(json.dumps(about | {'rows': report}))
            folders.append((group, seed, cell))
    return folders


def _cells_and_folders(design, folders):
    places = {(group, seed): folder for group, seed, folder in folders}
    cells = plan_cells(design)
    return cells, [places[Group(cell.arm, cell.fraction, cell.ratio), cell.seed] for cell in cells]


def test_reports_are_read_presented_and_written(design, tmp_path, capsys):
    results = _simulate(design, {'enhanced': 0.05})
    results.groups[Group('pggan', 0.25, 1.0)][2, 5] = np.nan
    read = read_results(*_cells_and_folders(design, _write_reports(tmp_path, results)), 'nnunet')
    assert read.patients == results.patients
    assert list(read.groups) == list(results.groups)
    for group, cells in read.groups.items():
        np.testing.assert_array_equal(cells, results.groups[group])
    audits = [Audit('a generator', {'AuthPct': '93.0 [92.0, 94.0]'})]
    design = dataclasses.replace(design, seeds=(0, 1, 2, 3, 7))
    present(design, tmp_path, read, analyse(design, read, REAL_IMAGES), audits)
    printed = capsys.readouterr().out
    assert 'The claim that images of one training of enhanced help is stated.' in printed
    assert 'one generated image is worth' in printed
    assert 'where each arm has one generator, what another training of it would give is not in them' in printed
    content = json.loads((tmp_path / 'study.json').read_text())
    assert content['differences'][0]['verdict'] == 'better'
    assert content['patients'] == PATIENTS
    with (tmp_path / 'cells.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PATIENTS * len(plan_cells(design))
    assert sum(row['dice'] == '' for row in rows) == 1
    assert {row['seed'] for row in rows} == set('01237')
    assert (tmp_path / 'study.png').stat().st_size > 10_000
    page = (tmp_path / 'study.html').read_text()
    assert 'is stated' in page
    assert '93.0 [92.0, 94.0]' in page
    assert 'data:image/png' in page


def test_no_interval_of_a_dice_leaves_its_range(design, tmp_path):
    design = dataclasses.replace(
        design,
        arms=('real', 'real_augmented'),
        comparisons=(('real_augmented', 'real'),),
        seeds=(0, 1),
    )
    cells = {'real': [[0.0, 0.4], [0.1, 0.0]], 'real_augmented': [[0.9, 1.0], [1.0, 0.8]]}
    results = Results(('a', 'b'), {Group(arm, 0.25, 0.0): np.array(rows) for arm, rows in cells.items()})
    analysis = analyse(design, results, REAL_IMAGES)
    raw = [mean.distribution.interval(0.95) for mean in analysis.means.values()]
    assert raw[0][0] < 0
    assert raw[1][1] > 1
    present(design, tmp_path, results, analysis, [])
    content = json.loads((tmp_path / 'study.json').read_text())
    assert [mean['interval'] for mean in content['means']] == np.clip(raw, 0, 1).tolist()
    inside = np.clip(analysis.compared[0].difference.distribution.interval(0.95), -1, 1)
    assert content['differences'][0]['interval'] == inside.tolist()


def test_means_are_taken_over_cases_then_classes(design, tmp_path):
    rows = [('a', 1.0), ('a', 0.5), ('b', 0.25), ('b', None)]
    folder = tmp_path / 'cell' / 'evaluation'
    folder.mkdir(parents=True)
    report = [{'patient': 'p', 'class_name': name, 'dice': value} for name, value in rows]
    (folder / 'report.json').write_text(json.dumps({'policy': 'ones', 'split': 'test', 'rows': report}))
    read = read_results(plan_cells(design)[:1], [folder.parent], 'ones')
    assert next(iter(read.groups.values())).tolist() == [[0.5]]


def _rename(old, new):
    return lambda path: path.write_text(path.read_text().replace(f'"{old}"', f'"{new}"'))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (
            lambda path: path.unlink(),
            r'report.json is missing; make it anew: .* -m segment.evaluate --workdir=.* --policy=nnunet',
        ),
        (lambda path: path.write_text('{}'), r'is damaged .*; make it anew: '),
        (lambda path: path.write_text('{"policy": "ones", "rows": []}'), 'made with the policy ones, not nnunet'),
        (lambda path: path.write_text('{"policy": "nnunet", "split": "validation"}'), 'of the validation split'),
        (_rename('patient 3', 'somebody'), 'on other patients'),
        (_rename('tumour', 'lung'), r'knows other classes than the cells before it: lung; set .*mask_classes'),
    ],
)
def test_a_damaged_report_is_refused(design, tmp_path, damage, message):
    cells, folders = _cells_and_folders(design, _write_reports(tmp_path, _simulate(design, {})))
    damage(folders[7] / 'evaluation' / 'report.json')
    with pytest.raises(UserError, match=message):
        read_results(cells, folders, 'nnunet')


def test_audits_are_read_from_what_gan_evaluate_writes(tmp_path):
    names = ('frechet_distance', 'recall', 'coverage', 'authentic_percentage', 'copying_score')
    scores = {name: {'value': 0.5, 'interval': [0.25, 0.75], 'reason': None} for name in names}
    scores['copying_score'] = {'value': None, 'interval': None, 'reason': 'too few images.'}
    report = {'meanings': {name: {'title': name} for name in names}, 'runs': [{'scores': scores}]}
    folder = tmp_path / 'evaluation'
    folder.mkdir()
    (folder / 'report.json').write_text(json.dumps(report))
    (audit,) = read_audits({'one': tmp_path})
    assert audit.scores['recall'] == '0.5 [0.25, 0.75]'
    assert audit.scores['copying_score'] == 'none: too few images.'
    (folder / 'report.json').write_text('{"runs": []}')
    with pytest.raises(UserError, match=r'is damaged .*; delete jobs/audit-one.json of the study and start it'):
        read_audits({'one': tmp_path})
    (folder / 'report.json').unlink()
    with pytest.raises(UserError, match=r'is missing; delete jobs/audit-one.json of the study and start it again'):
        read_audits({'one': tmp_path})


@pytest.mark.parametrize('trainings', [1, 5])
def test_one_training_of_a_generator_makes_claims_about_its_images_not_about_a_method(design, trainings):
    seeds = tuple(range(trainings))
    design = dataclasses.replace(design, generators=dataclasses.replace(design.generators, seeds=seeds))
    claims = analyse(design, _simulate(design, {'enhanced': 0.05}), REAL_IMAGES).claims
    owner = 'one training of ' if trainings == 1 else ''
    assert f'The claim that images of {owner}enhanced help is stated.' in ' '.join(claims)
    assert f'help more than those of {owner}pggan' in ' '.join(claims)
    assert ('not about a method' in ' '.join(claims)) == (trainings == 1)
