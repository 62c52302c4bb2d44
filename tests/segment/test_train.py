"""The trainer of segmenters: from volumes to scores, whatever stops it, and what it refuses."""

import csv
import dataclasses
import json
import os
import shutil
import signal

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from foundation.training import loop
from foundation.training import workdir as workdirs
from foundation.training.errors import UserError
from foundation.training.supervised import create_state
from input_pipeline import DataError, split_masks
from segment import train as segment_train
from segment.data import open_images
from segment.ensemble import SegmenterEnsemble
from segment.evaluation import measure_cases
from segment.metrics import measure
from segment.recipe import create_recipe
from segment.segmenter import TrainedSegmenter
from segment.step import make_train_step
from segment.train import train_and_evaluate
from segment.validation import measure_dice
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.command import Commands
from tests.input_pipeline.items import write
from tests.segment.conftest import FLAGS, SPLITS, draw, train, volumes

pytestmark = pytest.mark.slow
BATCH, END = 8, 96  # images


@pytest.fixture(scope='module')
def trained(create_config, tmp_path_factory):
    """The workdir of a run that was never stopped."""
    workdir = tmp_path_factory.mktemp('trained')
    train(create_config(), workdir)
    return workdir


@pytest.fixture(scope='module')
def segmenter(trained):
    return SegmenterEnsemble.load([trained], None, best=True, mirror=False, all_parts=True)


def test_one_batch_is_learnt_by_heart(create_config):
    config = create_config({'augment.scale': 0.0, 'context': 0, 'mask_classes': 2, 'data.window': 'auto'})
    images, masks = map(np.stack, zip(*(draw(seed, shape=(16, 16)) for seed in range(4)), strict=True))
    planes = np.concatenate([masks == 1, masks == 2], axis=-1)
    batch = {'image': jnp.asarray(np.concatenate([images / 127.5 - 1, 2.0 * planes - 1], axis=-1), jnp.float32)}
    recipe = dataclasses.replace(create_recipe(config), optimizer=optax.adamw(1e-2))
    network, step = recipe.network, make_train_step(recipe)
    state = create_state(jax.jit(network.init)(jax.random.key(0), batch['image'][..., :1]), recipe.optimizer)
    compiled = jax.jit(lambda state, key: step(state, batch, key, {}))
    for number in range(120):
        state, metrics = compiled(state, jax.random.key(number))
    assert float(metrics['soft_dice']) > 0.9
    logits = jax.jit(network.apply)(state.network.variables, batch['image'][..., :1])[0]
    for class_id in (1, 2):
        predicted, truth = np.asarray(logits.argmax(axis=-1)) == class_id, masks[..., 0] == class_id
        assert 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()) > 0.95


def test_a_run_leaves_what_it_promises(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {'best_checkpoints', 'config.json', 'curves.png', 'data.json', 'fingerprint.json', 'samples'}
    assert 'encoder.json' not in names
    looks = [line for line in logged_metrics(trained) if 'dice' in line]
    assert [line['images_seen'] for line in looks] == [32, 64, 96]
    for line in looks:
        assert line['dice'] == pytest.approx(np.mean([line['dice class 1'], line['dice class 2']]))
    assert workdirs.read_config(trained).mask_classes == 2
    assert looks[-1]['dice'] > 0.1  # by chance less than a tenth


def test_the_best_checkpoint_is_restored(trained, segmenter):
    looks = {line['images_seen'] // BATCH: line['dice'] for line in logged_metrics(trained) if 'dice' in line}
    assert segmenter.first.position.step == max(looks, key=looks.get)
    assert TrainedSegmenter.load(trained, None, best=False, mirror=False).position.step == END // BATCH
    assert TrainedSegmenter.load(trained, 3, best=False, mirror=False).position.step == 3
    assert (segmenter.classes, segmenter.first.channels) == (('class 1', 'class 2'), 1)
    with pytest.raises(UserError, match='has no checkpoint of step 99, only of'):
        TrainedSegmenter.load(trained, 99, best=False, mirror=False)


def test_a_case_is_segmented_as_validation_does(segmenter, trained):
    """Context, window and fit are the same; the score of the watch follows from the masks of the cases."""
    images = open_images(segmenter.first.recipe, 'validation', train=False)
    batch = next(images.in_order(16, 64))
    pictures, _ = split_masks(batch['image'], images.channels, 2)
    expected = segmenter.first.predict(segmenter.first.variables, np.ascontiguousarray(pictures)).argmax(axis=-1)
    cases = list(images.cases(1))
    found = np.concatenate([segmenter.segment(case).ids for case in cases])
    assert found.shape == (3 * SPLITS['validation'], 14, 16)
    np.testing.assert_array_equal(found, expected[:, 1:15])
    scores = [line['dice'] for line in logged_metrics(trained) if 'dice' in line]
    dice = measure_dice(segmenter.first.predict, segmenter.first.variables, images, 16, 2)
    assert dice.mean() == pytest.approx(max(scores), abs=1e-6)


def test_a_run_begins_with_the_best_network_of_another(create_config, trained, segmenter, tmp_path):
    config = create_config({'start_from': str(trained), 'seed': 5, 'schedule.steps': 1})
    train(config, tmp_path / 'run')
    first = next(line for line in logged_metrics(tmp_path / 'run') if 'loss' in line)
    train(create_config({'seed': 5, 'schedule.steps': 1}), tmp_path / 'fresh')
    afresh = next(line for line in logged_metrics(tmp_path / 'fresh') if 'loss' in line)
    assert first['loss'] < afresh['loss']  # of the same batch
    recipe = segmenter.first.recipe
    begun = segment_train._start_from(trained, recipe.create_state(jax.random.key(1)))
    jax.tree.map(np.testing.assert_array_equal, begun.network.variables, segmenter.first.variables)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(begun.network.opt_state))  # begins anew
    wider = dataclasses.replace(recipe, network=recipe.network.clone(width=6)).create_state(jax.random.key(1))
    with pytest.raises(UserError, match=r'its network has other layers \(.*: \(4,\) there, \(6,\) here\)'):
        segment_train._start_from(trained, wider)
    with pytest.raises(UserError, match='nowhere'):
        train(create_config({'start_from': str(tmp_path / 'nowhere')}), tmp_path / 'other')


def test_sigterm_changes_nothing(create_config, trained, tmp_path, monkeypatch, capsys):
    """It comes between two checkpoints and two looks at the validation split."""
    call = loop._Runner._call

    def calling(self, *arguments):
        call(self, *arguments)
        if self._position.images_seen == 6 * BATCH:
            os.kill(os.getpid(), signal.SIGTERM)

    seldom = create_config({'run.checkpoint_images': 1000})
    with monkeypatch.context() as patched:
        patched.setattr(loop._Runner, '_call', calling)
        train(seldom, tmp_path)
    assert 'Stopped by SIGTERM' in capsys.readouterr().out
    train(seldom, tmp_path)
    resumed, whole = (saved_state(folder / 'checkpoints', END // BATCH) for folder in (tmp_path, trained))
    assert any('batch_stats' in name for name in whole)
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not np.array_equal(resumed[name], whole[name])]
    assert logged_metrics(tmp_path) == logged_metrics(trained)


def test_cases_are_measured_by_patient_and_class(segmenter):
    images = open_images(segmenter.first.recipe, 'test', train=False)
    rows, worst = measure_cases(segmenter, images, tolerance=1.0, policy='nnunet')
    assert len(rows) == 2 * SPLITS['test']
    cases = {case.patient: case for case in images.cases(1)}
    for row in rows:
        case = cases[row.patient]
        truth = np.stack([record.mask[..., 0] for record in case.records])
        class_id = 1 + ('class 1', 'class 2').index(row.class_name)
        expected = measure(segmenter.segment(case).ids, truth, class_id, (2.0, 0.5, 0.5), 1.0)
        assert row.measured == expected
    assert len(worst) == SPLITS['test']
    assert [shown.rank for shown in worst] == sorted((shown.rank for shown in worst), reverse=True)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'data.name': 'no_masks'}, r'has no mask; prepare the data set with masks'),
        ({'data.name': 'no_foreground'}, r'no_foreground: no mask shows any foreground'),
        (
            {'data.name': 'untrained_class'},
            r'untrained_class: no training image shows class 2 of 2, .*; split the',
        ),
        ({'data.name': 'gap'}, r'gap: no training image shows class 2 of 3'),
        ({'mask_classes': 3}, r'volumes: no training image shows class 3 of 3'),
        ({'mask_classes': 1}, r'volumes has mask classes up to 2, mask_classes is 1'),
        ({'data.name': 'unwatched'}, r'unwatched: no validation image shows any foreground; give that split some'),
        ({'data.name': 'nowhere'}, r'Prepare it with: python -m input_pipeline.prepare'),
        ({'data.class_names': ('one',)}, r"class_names are \('one',\); give each of the 2 classes a name"),
        ({'patch': 32}, r'config.patch is 32, more than config.resolution, 16'),
        ({'network.depth': 4}, r'config.patch is 16, too few pixels to be halved 4 times'),
        ({'resolution': 8, 'patch': 8}, r'16 pixels a side, more than config.resolution, 8; .*data.fit=pad'),
        ({'optimizer.learning_rate': float('nan')}, r'learning_rate is nan, which is no number'),
        ({'network.encoder': 'nowhere'}, r'nowhere holds no finished classifier'),
        ({'data.window': 'lung'}, r"window='lung' is not one of"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(create_config, tmp_path, changes, expected):
    with pytest.raises((UserError, DataError), match=expected):
        train_and_evaluate(create_config(changes), tmp_path / 'run')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'network.width': 8}, r'holds a run with network.width=4, not 8; use --config.network.width=4'),
        ({'context': 0}, r'holds a run with context=1, not 0'),
        ({'loss.boundary': 1.0}, r'holds a run with loss.boundary=0.0, not 1.0'),
        ({'schedule.batch_size': 4}, r'holds a run with schedule.batch_size=8, not 4'),
        ({'data.name': 'no_test'}, r'holds a run on other data'),
    ],
)
def test_another_run_in_the_workdir(create_config, trained, changes, expected):
    before = {path: path.read_bytes() for path in trained.glob('*.json')}
    with pytest.raises(UserError, match=expected):
        train_and_evaluate(create_config(changes), trained)
    assert {path: path.read_bytes() for path in trained.glob('*.json')} == before


@pytest.mark.parametrize(
    ('name', 'change', 'expected'),
    [
        (
            'config.json',
            lambda text: text.replace('mask_classes', 'masks'),
            'holds no segmenter; give the --workdir',
        ),
        ('config.json', lambda text: text.replace('"patch"', '"stage"'), 'holds no segmenter'),  # as a GAN's
        ('config.json', lambda text: text[:100], 'config.json is damaged'),
        ('encoder.json', lambda text: '{"architecture": "resnet"}', 'encoder.json is damaged'),
    ],
)
def test_a_damaged_run_is_refused(trained, tmp_path, name, change, expected):
    workdir = shutil.copytree(trained, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    path = workdir / name
    path.write_text(change(path.read_text() if path.exists() else ''))
    with pytest.raises(UserError, match=expected):
        TrainedSegmenter.load(workdir, None, best=True, mirror=False)


def test_masks_with_unknown_ids_are_not_measured(segmenter):
    images = dataclasses.replace(segmenter.first.recipe.images, name='gap')
    recipe = dataclasses.replace(segmenter.first.recipe, images=images)
    with pytest.raises(DataError, match='gap has mask classes up to 3, mask_classes is 2'):
        open_images(recipe, 'test', train=False)


def _deepen(image):
    return image.astype(np.uint16) * 16


@pytest.mark.parametrize(
    ('facts', 'change', 'told'),
    [
        ({}, lambda image: image, ''),
        ({}, _deepen, '8 bits; it is shown in its own percentiles'),
        ({'dtype': 'uint16', 'stored': 'uint16'}, lambda image: image, 'more than 8 bits; it is shown in its own'),
        ({'dtype': 'uint16', 'stored': 'uint16'}, _deepen, ''),
    ],
)
def test_the_command_answers_images_of_another_depth_and_says_so_once(trained, tmp_path, facts, change, told):
    """Two pictures of 12 or of 8 bits, and a network that knows others."""
    run = shutil.copytree(trained, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    (run / 'data.json').write_text(json.dumps(json.loads((run / 'data.json').read_text()) | facts))
    for number in range(2):
        cv2.imwrite(str(tmp_path / f'{number}.png'), change(draw(number)[0]))
    pictures = [str(tmp_path / f'{number}.png') for number in range(2)]
    out = tmp_path / 'out'
    done = Commands(tmp_path).run('segment.predict', f'--workdir={run}', f'--out={out}', *pictures)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count('Note: Some images have another depth') == bool(told)
    notes = [row['note'] for row in json.loads((out / 'predictions.json').read_text())['answered']]
    assert all(told in note and bool(note) == bool(told) for note in notes)


def test_other_data_of_the_same_name_are_not_measured(trained, create_config, data_dir, tmp_path):
    """Their test patients may be those that the network was trained on."""
    run = shutil.copytree(trained, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    facts = json.loads((run / 'data.json').read_text())
    (run / 'data.json').write_text(json.dumps(facts | {'fingerprint': 'another'}))
    done = Commands(data_dir.parent).run('segment.evaluate', f'--workdir={run}')
    assert done.returncode == 1
    assert 'Error: volumes holds other images, or other splits, than when the run was trained' in done.stdout
    assert not (run / 'evaluation').exists()


def test_patients_of_other_data_who_may_be_known_are_told(trained, data_dir):
    done = Commands(data_dir.parent).run('segment.evaluate', f'--workdir={trained}', '--data=relabelled')
    assert done.returncode == 0, done.stdout
    assert "1 patients are named like training patients of volumes, as 'train00'; if they are the" in done.stdout


def test_the_command(data_dir, tmp_path):
    """Phantoms, from the command line to the report; and refusals, in one sentence."""
    commands = Commands(data_dir.parent)
    changes = FLAGS | {
        'resolution': 0, 'patch': 0, 'context': 0, 'network.depth': 0, 'schedule.steps': 3, 'watch.steps': 3,
        'data.name': 'phantom_small', 'data.phantom.size': 16, 'data.phantom.count': 120, 'data.fit': 'suggested',
    }  # fmt: skip
    flags = [
        '--config=configs/segment/unet.py:small',
        *(f'--config.{name}={value}' for name, value in changes.items()),
    ]
    run = tmp_path / 'run'
    done = commands.run('segment.main', *flags, f'--workdir={run}')
    assert done.returncode == 0, done.stdout
    assert 'Best: validation Dice ' in done.stdout
    assert f'-m segment.evaluate --workdir={run}' in done.stdout
    done = commands.run('segment.evaluate', f'--workdir={run}', '--policy=monai', '--level=0.9')
    assert done.returncode == 0, done.stdout
    report = json.loads((run / 'evaluation' / 'report.json').read_text())
    assert (report['policy'], report['split'], report['scores']['level']) == ('monai', 'test', 0.9)
    dice = report['scores']['overall']['dice']
    assert set(dice) == {'nnunet', 'monai', 'ones'}
    assert all(
        score['interval'][0] <= score['value'] <= score['interval'][1]
        for score in dice.values()
        if score['interval']
    )
    for text in ('Policy: monai', 'Dice under other policies: nnunet', 'worst.png', ' within 2 mm\n'):
        assert text in done.stdout
    with (run / 'evaluation' / 'cases.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report['rows']) == report['scores']['cases'] * len(report['scores']['classes'])
    refused = commands.run('segment.main', *flags, '--config.schedule.step=1', f'--workdir={tmp_path}/other')
    assert refused.returncode == 1
    assert 'Traceback' not in refused.stdout
    assert 'Did you mean "steps"' in refused.stdout.strip().splitlines()[-1]
    assert not (tmp_path / 'other').exists()


def test_data_of_another_depth_are_measured_and_it_is_told(trained, data_dir):
    """16 times the values in 16 bits: what is shown by percentiles differs little from the whole range of 8."""

    def deepen(item):
        def load():
            for record in item.load():
                window = tuple(16 * end for end in record.window)
                yield dataclasses.replace(
                    record, image=_deepen(record.image), intensity=(0.0, 65535.0), window=window
                )

        return dataclasses.replace(item, dtype='uint16', load=load)

    write([deepen(item) for item in volumes()], data_dir, 'deep')
    done = Commands(data_dir.parent).run('segment.evaluate', f'--workdir={trained}', '--data=deep', '--nodraw')
    assert done.returncode == 0, done.stdout
    assert done.stdout.count('Note: Some images have another depth') == 1
    report = json.loads((trained / 'evaluation_deep' / 'report.json').read_text())
    assert report['scores']['cases'] == SPLITS['test']
