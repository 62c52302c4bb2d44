"""Encoders from an in-domain classifier: the same weights, trained on, and kept with the run."""

import contextlib
import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import traverse_util

from backbones.classifier import ClassifierFacts
from backbones.encoders import ENCODER_FILE, Encoder, find_encoder, read_encoder
from backbones.recipe import create_recipe
from configs.backbones import classifier
from foundation.training.best import FOLDER as BEST
from foundation.training.checkpoints import Checkpoints, Position
from foundation.training.errors import UserError
from foundation.training.workdir import write_json
from segment.segmenter import TrainedSegmenter
from tests.segment.conftest import train

CLASSES = ('CT', 'MR')


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """The workdir of a small classifier of grey images, as its training leaves it."""
    workdir = tmp_path_factory.mktemp('classifier')
    config = classifier.get_config('densenet_bc').lock()
    config.update_from_flattened_dict({'network.blocks': (1, 1), 'network.growth': 4, 'network.stem_width': 4})
    recipe, key = create_recipe(config).with_classes(len(CLASSES)), jax.random.key(7)
    state = jax.jit(lambda key: recipe.create_state(1, key))(key)
    moved = jax.tree.map(lambda leaf: leaf + 0.25, state.network.model_state)  # as if it had seen images
    state = state.replace(network=state.network.replace(model_state=moved))
    with contextlib.closing(Checkpoints(workdir / BEST, keep=1)) as checkpoints:
        checkpoints.save(state, Position(1, 1, 'classifier', 0.0))
        checkpoints.wait()
    write_json(workdir / 'config.json', config.to_dict())
    ClassifierFacts(CLASSES, 'modality', 1.0, 1).write(workdir, {})
    return workdir


@pytest.fixture(scope='module')
def flags(source):
    return {
        'network.encoder': str(source),
        'network.normalization': 'instance',
        'context': 0,
        'schedule.steps': 3,
        'watch.steps': 3,
        'run.sample_images': 1000,
    }


@pytest.fixture(scope='module')
def trained(flags, create_config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('encoded')
    train(create_config(flags), workdir)
    return workdir


def _encoder(workdir, step):
    """Parameters and statistics of the encoder in a checkpoint, by path."""
    state = ocp.StandardCheckpointer().restore(workdir / 'checkpoints' / f'{step:09d}' / 'state')
    network = state['network']
    found = {'params': network['params'], **network['model_state']}
    return traverse_util.flatten_dict({kind: values['encoder'] for kind, values in found.items()})


def _differing(one, other):
    return {path for path in one if not np.array_equal(one[path], other[path])}


@pytest.mark.slow
def test_training_begins_with_the_weights_of_the_classifier(trained, source):
    """The first step has a rate of 0: it moves the statistics alone. From then on all is trained."""
    _, variables = find_encoder(str(source), 1)
    given = traverse_util.flatten_dict(jax.tree.map(np.asarray, variables))
    first, last = (_encoder(trained, step) for step in (1, 3))
    assert {path for path in first if path not in given} == {
        ('params', 'head', 'bias'),
        ('params', 'head', 'kernel'),
    }
    statistics = {path for path in given if path[0] == 'batch_stats'}
    assert _differing(given, first) == statistics
    assert _differing(given, last) >= statistics | {('params', 'stem_conv', 'kernel')}


@pytest.mark.slow
def test_a_run_that_died_before_its_first_checkpoint_begins_with_them_again(
    trained, flags, create_config, tmp_path
):
    workdir = shutil.copytree(trained, tmp_path / 'run', ignore=shutil.ignore_patterns('*checkpoints', '*.jsonl'))
    train(create_config(flags), workdir)
    assert not _differing(_encoder(trained, 1), _encoder(workdir, 1))
    assert not _differing(_encoder(trained, 3), _encoder(workdir, 3))


def test_the_run_is_restored_without_the_classifier(trained, source, flags, create_config, tmp_path):
    segmenter = TrainedSegmenter.load(trained, None, best=True, mirror=False)
    moved = source.rename(tmp_path / 'gone')
    try:
        again = TrainedSegmenter.load(trained, None, best=True, mirror=False)
        train(create_config(flags), trained)  # finished before: nothing is left to do
    finally:
        moved.rename(source)
    assert again.checksum == segmenter.checksum
    images = np.zeros((1, 16, 16, 1), np.float32)
    expected = segmenter.predict(segmenter.variables, images)
    np.testing.assert_array_equal(again.predict(again.variables, images), expected)


def test_grey_images_are_repeated_and_normalized_for_an_encoder_of_colour():
    encoder = Encoder('resnet', {}, 3, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), 5)
    seen = np.asarray(encoder.prepare(jnp.full((1, 4, 6, 1), 0.5)))  # 0.75 in [0, 1]
    np.testing.assert_allclose(seen, np.broadcast_to([0.5, 2.0, 0.75], (1, 4, 6, 3)), rtol=1e-6)
    plain = Encoder('densenet', {}, 1, None, None, 3)
    np.testing.assert_array_equal(plain.prepare(jnp.full((1, 4, 6, 1), 0.5)), np.full((1, 4, 6, 1), 0.5))


@pytest.mark.parametrize(('architecture', 'small_stem', 'halvings'), [
    ('resnet', True, 3), ('resnet', False, 5), ('densenet', True, 1), ('densenet', False, 3),
])  # fmt: skip
def test_what_is_kept_of_an_encoder_comes_back(tmp_path, architecture, small_stem, halvings):
    own = {'resnet': {'depth': 18, 'width': 4}, 'densenet': {'growth': 4, 'blocks': (1, 1), 'stem_width': 4}}
    encoder = Encoder(
        architecture, own[architecture] | {'small_stem': small_stem}, 3, (0.1, 0.2, 0.3), None, halvings
    )
    write_json(tmp_path / ENCODER_FILE, dataclasses.asdict(encoder))
    restored = read_encoder(tmp_path)
    assert restored.create(jnp.float32) == encoder.create(jnp.float32)
    assert (restored.mean, restored.std, restored.channels) == ((0.1, 0.2, 0.3), None, 3)
    stages = jax.eval_shape(
        lambda: restored.create(jnp.float32).init_with_output(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))[0]
    ).stages
    assert [64 // stage.shape[1] for stage in stages] == [
        2**level for level in range(small_stem ^ 1, halvings + 1)
    ]


def test_the_number_of_halvings_is_found(source):
    assert find_encoder(str(source), 1)[0].halvings == 1


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'context': 1}, r'sees images of 1 channels, but these have 3; take an encoder trained on such images'),
        ({'channels': 3}, r'sees images of 1 channels, but these have 3'),
        ({'network.encoder': 'resnet50=nowhere.pth'}, r'nowhere\.pth'),
        ({'network.encoder': 'vgg=nowhere.pth'}, r'vgg'),
    ],
)
def test_encoders_that_do_not_suit_are_refused(flags, create_config, tmp_path, changes, expected):
    with pytest.raises(UserError, match=expected) as refused:
        train(create_config(flags | changes), tmp_path / 'run')
    assert '\n' not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
