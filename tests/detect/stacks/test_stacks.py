"""Volumes of altered and untouched slices: what is known of each, training that goes on, and use."""

import copy
import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from detect import main
from detect.judge import describe_judgement, open_judge
from detect.networks import sample_slices
from detect.stacks.data import Stacks, describe_stacks, list_volumes, open_slices, read_slice_detector
from detect.stacks.detector import TrainedStack, open_stack
from detect.stacks.evaluation import POOLINGS, describe, measure, score_slices, score_stacks
from detect.stacks.recipe import create_recipe
from detect.stacks.step import make_train_step
from detect.tampering.stacks import list_stacks, read_stack
from detect.train import train_and_evaluate
from foundation.training.errors import UserError
from foundation.training.supervised import create_state
from input_pipeline.dataset.items import open_splits
from tests.detect.volumes import SHAPE, SPLITS
from tests.foundation.training.in_process import train_here


@pytest.fixture(scope='module')
def detector(slices_workdir):
    return read_slice_detector(slices_workdir)


def _open(create_stack_config, detector, split):
    """A split, as this detector of slices wants it."""
    return open_slices(create_recipe(create_stack_config()).data, detector, split)


def _altered(data_dir, split_name):
    """Which slices of each volume are altered, by its name; from the masks alone."""
    split, found = open_splits('stacks', data_dir)[split_name], {}
    for place in range(len(split.records)):
        record = split.read(place)
        found.setdefault(record.key.rpartition('/')[0], []).append(bool(record.mask.any()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize('split', SPLITS)
def test_volumes_are_whole_and_altered_where_masks_say(detector, create_stack_config, stack_data, split):
    images = _open(create_stack_config, detector, split)
    volumes, labels = list_volumes(images)
    expected = list(_altered(stack_data, split).values())
    assert [len(own) for own in volumes] == [SHAPE[0]] * 2 * SPLITS[split]
    np.testing.assert_array_equal(labels, [any(own) for own in expected])
    assert labels.sum() == SPLITS[split]
    assert sum(map(sum, expected)) < SHAPE[0] * SPLITS[split]  # some slices of altered volumes are as they were


def test_patients_are_on_one_side(detector, create_stack_config):
    patients = [set(_open(create_stack_config, detector, split).records.patients) for split in SPLITS]
    assert [len(own) for own in patients] == list(SPLITS.values())
    assert len(set.union(*patients)) == sum(SPLITS.values())


def test_slices_are_sampled_and_padded(detector, create_stack_config, test_stacks, stack_data):
    images = _open(create_stack_config, detector, 'test')
    whole = describe_stacks(detector, images, 10)
    assert whole.valid.sum(axis=1).tolist() == [SHAPE[0]] * 2 * SPLITS['test']
    places = sample_slices(SHAPE[0], 6)
    for name in ('features', 'log_odds', 'altered'):
        own = getattr(whole, name)
        np.testing.assert_allclose(getattr(test_stacks, name), own[:, places], atol=1e-6)
        assert not own[~whole.valid].any()
    assert whole.altered.tolist() == [[*own, False, False] for own in _altered(stack_data, 'test').values()]
    np.testing.assert_array_equal(whole.labels, test_stacks.labels)
    assert np.bincount(whole.patients).tolist() == [2] * SPLITS['test']


def test_log_odds_are_those_of_the_detector_of_slices(detector, test_stacks):
    kernel, bias = (detector.variables['params']['head'][name] for name in ('kernel', 'bias'))
    logits = test_stacks.features[test_stacks.valid] @ np.asarray(kernel)[:, 0] + np.asarray(bias)
    expected = logits / detector.calibration.temperature
    np.testing.assert_allclose(test_stacks.log_odds[test_stacks.valid], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_padding_does_not_matter(stack_workdir, test_stacks):
    trained = TrainedStack.load(stack_workdir, batch_size=8)
    features, valid = test_stacks.features.copy(), test_stacks.valid.copy()
    valid[:, 4:] = False
    expected = trained.describe(features, valid)
    features[:, 4:] = 1e3
    logits, weights = trained.describe(features, valid)
    np.testing.assert_allclose(logits, expected[0], atol=1e-6)
    np.testing.assert_allclose(weights, expected[1], atol=1e-6)
    np.testing.assert_array_equal(weights[:, 4:], 0)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)


def test_the_report_is_what_the_scores_give(stack_workdir, detector, create_stack_config, test_stacks):
    report = json.loads((stack_workdir / 'stack.json').read_text())
    trained = TrainedStack.load(stack_workdir, batch_size=create_stack_config().schedule.batch_size)
    validation = describe_stacks(detector, _open(create_stack_config, detector, 'validation'), 6)
    assert measure(trained, validation, test_stacks, seed=0) == report
    assert list(report['scores']) == ['attention', *POOLINGS]
    assert report['volumes'] == {'test': 8, 'altered': 4}
    scores, weights = score_stacks(trained, test_stacks)
    fakes, reals = (scores['attention'][test_stacks.labels == label] for label in (1, 0))
    wins = np.mean([(fake > real) + (fake == real) / 2 for fake in fakes for real in reals])
    auroc = report['scores']['attention']['auroc']
    assert auroc['value'] == pytest.approx(wins)
    assert auroc['low'] <= auroc['value'] <= auroc['high']
    altered = test_stacks.altered[test_stacks.labels == 1]
    heaviest = weights[test_stacks.labels == 1].argmax(axis=1)
    assert report['heaviest_slice']['volumes'] == 4
    assert report['heaviest_slice']['altered'] == np.mean(
        [row[place] for row, place in zip(altered, heaviest, strict=True)]
    )
    assert report['heaviest_slice']['by_chance'] == pytest.approx(altered.mean())
    assert f'{auroc["value"]:.3f} ({auroc["low"]:.3f}-{auroc["high"]:.3f})' in describe(report)


def _stacks(log_odds, altered, labels, patients):
    log_odds = np.array(log_odds, np.float32)
    return Stacks(
        features=np.zeros((*log_odds.shape, 3), np.float32),
        log_odds=log_odds,
        valid=np.ones(log_odds.shape, bool),
        altered=np.array(altered, bool),
        labels=np.array(labels, np.int32),
        patients=np.array(patients),
    )


def test_slices_are_compared_with_those_of_the_same_place(stack_workdir, test_stacks):
    """Odds that follow the place alone: good among all slices, chance among the same ones."""
    places = [-1.0, 3.0, 2.0, -2.0]
    odds, altered = [places] * 4, [[0, 1, 1, 0], [0] * 4, [0, 1, 0, 0], [0] * 4]
    slices = score_slices(_stacks(odds, altered, [1, 0, 1, 0], [0, 0, 1, 1]))
    # Of altered odds 3, 2, 3, and 13 others, 3 of which are 3, 3, 2 and 2: counted by hand.
    fakes, reals = [3, 2, 3], [-1, -2] * 4 + [3, 2] + [2] + [3, 2]
    wins = np.mean([(fake > real) + (fake == real) / 2 for fake in fakes for real in reals])
    assert slices['auroc'] == pytest.approx(wins)
    assert slices['auroc_in_the_same_place'] == 0.5
    odds[0] = [-1.0, 4.0, 5.0, -2.0]
    assert score_slices(_stacks(odds, altered, [1, 0, 1, 0], [0, 0, 1, 1]))['auroc_in_the_same_place'] > 0.7
    alone = score_slices(_stacks(odds, altered, [1, 0, 1, 0], [0, 1, 2, 3]))
    assert alone['auroc_in_the_same_place'] is None


@pytest.mark.slow
def test_it_learns(create_stack_config, test_stacks):
    """Features of altered slices are moved: volumes are told apart, and attention is on these slices."""
    config, labels = create_stack_config(), test_stacks.labels
    features = np.random.default_rng(0).normal(size=test_stacks.features.shape).astype(np.float32)
    features[test_stacks.altered, :3] += 6
    arrays = {'features': features, 'valid': test_stacks.valid, 'label': labels}
    batch = {name: jnp.asarray(array) for name, array in arrays.items()}
    network = create_recipe(config).network
    step = jax.jit(make_train_step(network, optax.adamw(3e-2)))
    state = create_state(network.init(jax.random.key(0), batch['features'], batch['valid']), optax.adamw(3e-2))
    for _ in range(40):
        state, metrics = step(state, batch, jax.random.key(0), {})
    assert metrics['loss'] < 0.1
    logits, weights = network.apply(state.network.variables, batch['features'], batch['valid'])
    assert ((np.asarray(logits) > 0) == labels).all()
    heaviest = np.asarray(weights).argmax(axis=1)
    assert test_stacks.altered[np.arange(len(heaviest)), heaviest][labels == 1].mean() >= 0.75


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not_been(stack_workdir, create_stack_config, tmp_path):
    workdir = tmp_path / 'run'
    shutil.copytree(stack_workdir, workdir)
    steps = sorted(int(folder.name) for folder in (workdir / 'checkpoints').iterdir())
    for step in steps[1:]:
        shutil.rmtree(workdir / 'checkpoints' / f'{step:09d}')
    train_here(main.train_and_evaluate, create_stack_config(), workdir)
    reports = [json.loads((folder / 'stack.json').read_text()) for folder in (workdir, stack_workdir)]
    assert len(steps) > 2
    assert reports[0] == reports[1]


def test_what_does_not_fit_is_refused(create_stack_config, stack_workdir, slices_workdir, tmp_path):
    refused = {
        'config.data.name is empty': ({'data.name': ''}, tmp_path / 'a'),
        'config.slices_from is empty': ({'slices_from': ''}, tmp_path / 'b'),
        'holds no config.json': ({'slices_from': str(tmp_path)}, tmp_path / 'c'),
        'holds no detector': ({'slices_from': str(stack_workdir)}, tmp_path / 'c'),
        'was not written by detect.prepare': ({'data.name': 'volumes'}, tmp_path / 'd'),
        'stack.width=4, not 8': ({'stack.width': 8}, stack_workdir),
        'batch_size is 64, but there are 16': ({'schedule.batch_size': 64}, tmp_path / 'e'),
    }
    for expected, (changes, workdir) in refused.items():
        with pytest.raises(UserError, match=expected):
            train_and_evaluate(create_stack_config(changes), workdir)


def test_data_prepared_in_another_way_are_refused(detector, create_stack_config):
    form = dataclasses.replace(detector.calibration.form, depth=16)
    other = dataclasses.replace(detector, calibration=dataclasses.replace(detector.calibration, form=form))
    with pytest.raises(UserError, match=r'prepared with depth=8, and the detector .* on depth=16'):
        _open(create_stack_config, other, 'test')


def test_volumes_of_one_kind_and_single_images_are_refused(detector, create_stack_config):
    images = _open(create_stack_config, detector, 'test')
    reals = images.relabelled(np.zeros_like(images.labels), images.classes)
    with pytest.raises(UserError, match='8 real and 0 altered volumes'):
        list_volumes(reals)
    singles = copy.copy(images)
    singles.records = dataclasses.replace(images.records, keys=tuple(f'{key}.png' for key in images.records.keys))
    with pytest.raises(UserError, match='0 real and 0 altered volumes'):
        list_volumes(singles)


@pytest.fixture(scope='module')
def judges(slices_workdir, stack_workdir):
    options = {'error_level': 0.1, 'prevalence': None, 'batch_size': 8}
    return [open_judge(slices_workdir, stack=stack, **options) for stack in (None, stack_workdir)]


@pytest.fixture(scope='module')
def case(stack_data):
    """A real volume of the test split, as it was before it became part of the mixed set."""
    split = open_splits('volumes', stack_data)['test']
    return read_stack(split, list_stacks(split, 'test')[0]).case


def test_a_volume_gets_its_probability_and_each_slice_its_weight(judges, case, stack_workdir, test_stacks):
    plain, judged = (judge.judge(case) for judge in judges)
    assert plain.stack_probability is None
    assert {one.weight for one in plain.slices} == {None}
    weights = [one.weight for one in judged.slices]
    places = sample_slices(SHAPE[0], 6)
    assert [place for place, weight in enumerate(weights) if weight is not None] == places
    assert sum(weights[place] for place in places) == pytest.approx(1, abs=1e-5)
    scores, _ = score_stacks(TrainedStack.load(stack_workdir, batch_size=8), test_stacks)
    reals = 1 / (1 + np.exp(-scores['attention'] / judges[1].stack.temperature))
    assert np.abs(reals - judged.stack_probability).min() < 1e-3
    assert judged.probability == plain.probability
    told = json.loads(json.dumps(describe_judgement(judged), allow_nan=False))
    assert told['stack_probability'] == judged.stack_probability
    assert [one['weight'] for one in told['slices']] == weights


def test_a_single_picture_has_no_stack(judges, case):
    judged = judges[1].judge(dataclasses.replace(case, records=case.records[3:4]))
    assert judged.stack_probability is None
    assert judged.slices[0].weight is None


def test_a_stack_detector_of_other_slices_is_refused(stack_workdir, slices_workdir, create_stack_config, tmp_path):
    with pytest.raises(UserError, match=r'was trained on slices as .* describes them'):
        open_stack(stack_workdir, '0' * 64)
    with pytest.raises(UserError, match='holds no finished stack detector'):
        open_stack(slices_workdir, '0' * 64)
    unfinished = tmp_path / 'unfinished'
    shutil.copytree(stack_workdir, unfinished)
    content = json.loads((unfinished / 'stack.json').read_text())
    damaged = {'was trained on after it was finished': {'checksum': '0'}, 'is damaged': {'temperature': 'warm'}}
    for expected, change in damaged.items():
        (unfinished / 'stack.json').write_text(json.dumps(content | change))
        with pytest.raises(UserError, match=expected):
            open_stack(unfinished, content['slices_checksum'])
    (unfinished / 'slices.json').write_text('{}')
    with pytest.raises(UserError, match=r'slices\.json is damaged'):
        open_stack(unfinished, content['slices_checksum'])
    facts = json.loads((stack_workdir / 'slices.json').read_text())
    (unfinished / 'slices.json').write_text(json.dumps(facts | {'checksum': '0'}))
    with pytest.raises(UserError, match='on slices as another detector describes them'):
        train_and_evaluate(create_stack_config(), unfinished)
