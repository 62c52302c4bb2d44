"""The trainer of classifiers: from phantoms to a restored extractor, whatever stops it, and what it refuses."""

import dataclasses
import json
import logging
import os
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

import input_pipeline
from backbones.classifier import Classifier, restore_best, variables_checksum
from backbones.extractors import restore_classifier
from backbones.recipe import create_recipe
from backbones.splits import count_labels, open_splits
from backbones.train import train_and_evaluate
from configs.backbones import classifier
from foundation.training import loop
from foundation.training.errors import UserError
from input_pipeline import DataError
from tests.foundation.training.in_process import train_here
from tests.foundation.training.runs import logged_metrics, saved_state
from tests.gan.command import Commands

pytestmark = pytest.mark.slow
EPOCH, END = 96, 192  # images, in batches of 16
FLAGS = {
    'network.blocks': (1, 1),
    'network.growth': 4,
    'network.stem_width': 4,
    'resolution': 16,
    'target': 'modality',
    'data.name': 'phantom_small',
    'data.phantom.size': 16,
    'data.phantom.count': 120,
    'optimizer.learning_rate': 1e-2,
    'schedule.batch_size': 16,
    'schedule.epochs': 2,
    'run.log_images': 16,
    'run.checkpoint_images': 16,
    'run.checkpoints_to_keep': 100,
}
CONFIG = 'configs/backbones/classifier.py:densenet_bc'


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    """Where the phantoms are, drawn when first asked for."""
    return tmp_path_factory.mktemp('shared') / 'data'


@pytest.fixture(scope='module')
def create_config(data_dir):
    """Returns `create(changes)`: the config of a tiny classifier."""

    def create(changes=None):
        config = classifier.get_config('densenet_bc').lock()
        config.update_from_flattened_dict(FLAGS | {'data.data_dir': str(data_dir)} | (changes or {}))
        return config

    return create


@pytest.fixture(scope='module')
def trained(create_config, tmp_path_factory):
    """The workdir of a run that was never stopped."""
    workdir = tmp_path_factory.mktemp('trained')
    _train(create_config(), workdir)
    return workdir


def _train(config, workdir):
    train_here(train_and_evaluate, config, workdir)


def _state(folder: Path, images: int) -> dict[str, np.ndarray]:
    return saved_state(folder, images // 16)


def test_a_run_leaves_what_it_promises(trained, create_config):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        'assessment.png',
        'best_checkpoints',
        'classifier.json',
        'config.json',
        'curves.png',
        'data.json',
        'data_folder.json',
    }
    looks = {line['images_seen']: line['log_loss'] for line in logged_metrics(trained) if 'log_loss' in line}
    assert sorted(looks) == [EPOCH, END]
    told = json.loads((trained / 'classifier.json').read_text())
    assert (told['classes'], told['target']) == (['CT', 'DX', 'MR'], 'modality')
    assert told['step'] * 16 == min(looks, key=looks.get)
    test = open_splits(create_recipe(create_config()).images).test
    assert told['test']['images'] == test.num_examples == np.sum(told['test']['confusion'])
    assert told['test']['patients'] == test.num_patients
    np.testing.assert_array_equal(np.sum(told['test']['confusion'], axis=1), count_labels(test))


def test_it_learns(trained):
    """Modalities differ at first sight; chance has a loss of 1.1 nats."""
    losses = [line['loss'] for line in logged_metrics(trained) if 'loss' in line]
    assert losses[-1] < losses[0] - 0.1


def test_the_extractor_is_the_network_that_was_trained(trained):
    classifier = Classifier.load(trained)
    told = classifier.facts
    extractor = restore_classifier(trained)
    saved = _state(trained / 'best_checkpoints', 16 * told.step)
    kernel = np.asarray(extractor.variables['params']['head']['kernel'])
    np.testing.assert_array_equal(kernel, saved["['network']['params']['head']['kernel']"])
    images = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 1)).astype(np.float32)
    assert len(told.classes) == 3
    network = classifier.network
    features = jax.jit(network.apply)(extractor.variables, images)
    extracted = jax.jit(extractor.extract)(extractor.variables, images)
    np.testing.assert_allclose(extracted.features, features.pooled, rtol=1e-4, atol=1e-6)
    expected = jax.nn.softmax(features.logits / told.temperature)
    np.testing.assert_allclose(extracted.probabilities, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(extracted.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_the_extractor_resizes_and_refuses_other_channels(trained):
    extractor = restore_classifier(trained)
    assert (extractor.channels, extractor.classes) == ((1,), ('CT', 'DX', 'MR'))
    # Images that do not vary are the same at all sizes.
    shades = np.array([-0.5, 0.5], np.float32)[:, None, None, None]
    small, large = (
        jax.jit(extractor.extract)(extractor.variables, shades + np.zeros((2, side, side, 1), np.float32))
        for side in (16, 24)
    )
    np.testing.assert_allclose(small.probabilities, large.probabilities, rtol=1e-3, atol=1e-5)
    with pytest.raises(UserError, match='takes images of 1 channels, but these have 3'):
        extractor.extract(extractor.variables, jax.numpy.zeros((1, 16, 16, 3)))
    with pytest.raises(UserError, match='takes images of 1 channels, but these have 3'):
        extractor.check_channels(3)


def test_the_checksum_knows_every_weight(trained):
    variables = restore_classifier(trained).variables
    checksum = variables_checksum(variables)
    assert checksum == restore_classifier(trained).checksum
    bias = np.array(variables['batch_stats']['last_norm']['mean'])
    bias[-1] = np.nextafter(bias[-1], 9)
    changed = variables | {'batch_stats': variables['batch_stats'] | {'last_norm': {
        **variables['batch_stats']['last_norm'], 'mean': bias}}}  # fmt: skip
    assert variables_checksum(changed) != checksum


def test_sigterm_changes_nothing(create_config, trained, tmp_path, monkeypatch, capsys):
    """It comes in the second epoch, between two checkpoints; the best of the first epoch is not forgotten."""
    call, stop_at = loop._Runner._call, EPOCH + 32

    def calling(self, *arguments):
        call(self, *arguments)
        if self._position.images_seen == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    seldom = create_config({'run.checkpoint_images': 1000})
    with monkeypatch.context() as patched:
        patched.setattr(loop._Runner, '_call', calling)
        _train(seldom, tmp_path)
    assert 'Stopped by SIGTERM' in capsys.readouterr().out
    with pytest.raises(UserError, match='holds no finished classifier; train one with python'):
        restore_classifier(tmp_path)
    _train(seldom, tmp_path)
    resumed, whole = (_state(folder / 'checkpoints', END) for folder in (tmp_path, trained))
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not np.array_equal(resumed[name], whole[name])]
    assert logged_metrics(tmp_path) == logged_metrics(trained)
    assert (tmp_path / 'classifier.json').read_text() == (trained / 'classifier.json').read_text()


def test_a_finished_run_started_again_changes_nothing(create_config, trained, monkeypatch):
    before = (trained / 'classifier.json').read_text(), logged_metrics(trained)
    monkeypatch.setattr(loop._Runner, '_call', None)  # no step is made
    _train(create_config(), trained)
    assert ((trained / 'classifier.json').read_text(), logged_metrics(trained)) == before


@pytest.mark.parametrize(
    ('damage', 'expected'),
    [
        (lambda text: text[: len(text) // 2], 'classifier.json is damaged'),
        (lambda text: text.replace('temperature', 'heat'), "classifier.json is damaged \\('temperature'\\)"),
        (lambda text: json.dumps(json.loads(text) | {'temperature': float('nan')}), 'at a temperature of nan'),
        (lambda text: json.dumps(json.loads(text) | {'classes': 'CTs'}), "damaged \\(classes 'CTs'"),
        (lambda text: json.dumps(json.loads(text) | {'step': 3}), 'has no checkpoint of step 3, only of'),
    ],
)
def test_a_damaged_description_is_refused(trained, tmp_path, damage, expected):
    workdir = shutil.copytree(trained, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints'))
    path = workdir / 'classifier.json'
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=expected):
        restore_classifier(workdir)


def test_without_a_measured_checkpoint(create_config, tmp_path):
    with pytest.raises(UserError, match='no checkpoint that was measured; train longer'):
        restore_best(create_recipe(create_config()).with_classes(3), tmp_path, step=None)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (
            {'data.modalities': ('MR',)},
            '1 modalities to tell apart, where a classifier needs two; .*data.modalities',
        ),
        ({'target': 'class', 'data.classes': ('MR_lesion',)}, '1 classes to tell apart'),
        ({'target': 'class', 'data.modalities': ('DX', 'MR')}, 'no training image of .*CT_.*only the others in'),
        ({'schedule.batch_size': 1000}, r'batch_size is 1000, but there are \d+ training images; make it smaller'),
        (
            {'optimizer.learning_rate': float('nan')},
            r'config\.optimizer\.learning_rate is nan, which is no number',
        ),
        ({'data.name': 'nowhere'}, 'Prepare it with: python -m input_pipeline.prepare'),
        ({'channels': 2}, 'which cannot become 2'),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(create_config, trained, tmp_path, changes, expected):
    with pytest.raises((UserError, DataError), match=expected):
        train_and_evaluate(create_config(changes), tmp_path / 'run')
    assert list(tmp_path.iterdir()) == []


def test_a_missing_split_is_told_before_training(create_config, trained, tmp_path, monkeypatch):
    """Not after hours, when the test split is opened."""
    opened = []

    def open_dataset(name, data_dir, split, *arguments, **options):
        opened.append(split)
        if split == 'test':
            raise DataError("it has no split 'test'")
        return original(name, data_dir, split, *arguments, **options)

    original = input_pipeline.open_dataset
    monkeypatch.setattr(input_pipeline, 'open_dataset', open_dataset)
    with pytest.raises(DataError, match="no split 'test'"):
        train_and_evaluate(create_config(), tmp_path / 'run')
    assert opened[-1] == 'test'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'network.growth': 8}, 'holds a run with network.growth=4, not 8; use --config.network.growth=4'),
        ({'target': 'class'}, 'holds a run with target=modality, not class'),
        ({'data.name': 'phantom_other', 'data.phantom.seed': 1}, 'holds a run on other data'),
    ],
)
def test_another_run_in_the_workdir(create_config, trained, changes, expected):
    before = {path: path.read_bytes() for path in trained.glob('*.json')}
    with pytest.raises(UserError, match=expected):
        train_and_evaluate(create_config(changes), trained)
    assert {path: path.read_bytes() for path in trained.glob('*.json')} == before


def test_images_without_a_class_are_left_out(create_config, trained, monkeypatch, caplog):
    """As if every third record had none."""
    read = input_pipeline.dataset.selection.read_records

    def read_some(folder, split):
        table = read(folder, split)
        labels = tuple('' if number % 3 == 0 else label for number, label in enumerate(table.labels))
        return dataclasses.replace(table, labels=labels)

    monkeypatch.setattr(input_pipeline.dataset.selection, 'read_records', read_some)
    whole = open_splits(create_recipe(create_config()).images)
    with caplog.at_level(logging.WARNING):
        splits = open_splits(create_recipe(create_config({'target': 'class'})).images)
    for name, split in splits._asdict().items():
        total = getattr(whole, name).num_examples
        assert split.num_examples == total - -(-total // 3)
        assert split.labels.min() >= 0
        assert f'{-(-total // 3)} of {total} {name} images have no class and are left out.' in caplog.text
    assert count_labels(splits.train).sum() == splits.train.num_examples


def test_the_command(data_dir, trained, tmp_path):
    """Classes, from the command line to the extractor; and a refusal, in one sentence."""
    commands = Commands(data_dir.parent)
    texts = {name: str(value).replace(' ', '') for name, value in (FLAGS | {'target': 'class'}).items()}
    flags = [f'--config={CONFIG}', *(f'--config.{name}={text}' for name, text in texts.items())]
    done = commands.run('backbones.main', *flags, f'--workdir={tmp_path}/run', '--config.schedule.epochs=1')
    assert done.returncode == 0, done.stdout
    assert 'Test accuracy: ' in done.stdout
    assert f'-m gan.evaluate --workdir=RUN --extractor={tmp_path}/run' in done.stdout
    assert len(restore_classifier(tmp_path / 'run').classes) == 6
    other = f'--workdir={tmp_path}/other'
    refused = commands.run('backbones.main', *flags, '--config.optimizer.learning_rte=1', other)
    assert refused.returncode == 1
    assert 'Traceback' not in refused.stdout
    assert 'Did you mean "learning_rate"' in refused.stdout.strip().splitlines()[-1]
    assert not (tmp_path / 'other').exists()
