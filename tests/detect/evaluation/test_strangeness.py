"""Strange images among normal ones: who is asked, what is fitted, and scores that come from elsewhere."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from backbones.classifier import Classifier, ClassifierFacts
from backbones.recipe import create_recipe
from configs.backbones import classifier
from detect.anomaly.codes import read_given, read_scores
from detect.evaluation.strangeness import Question, measure_strangeness
from detect.metrics.ranking import auroc_of
from foundation.training.errors import UserError
from tests.input_pipeline.items import make_item, random_images, write

_MASKS = Question((), (), ('MR',), 100, 0)


def _items():
    """Noise, of which every second patient has a bright square, and a mask of it."""
    split_of = ['train'] * 30 + ['validation'] * 2 + ['test'] * 16
    for number, split in enumerate(split_of):
        image = random_images(1, (16, 16, 1), np.uint8, seed=number)[0] // 2
        mask = np.zeros((16, 16, 1), np.uint8)
        label = 'healthy'
        if number % 2:
            label, mask[3:13, 3:13] = 'lesion', 1
            image = np.where(mask > 0, 255, image).astype(np.uint8)
        yield make_item(f'p{number}', [image], split=split, label=label, masks=[mask], modality='MR')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A classifier with random weights, and the data set."""
    config = classifier.get_config()
    config.resolution, config.channels, config.network.width, config.compute_dtype = 16, 1, 4, 'float32'
    config.data.name, config.data.data_dir = 'strange', str(tmp_path_factory.mktemp('data'))
    write(list(_items()), Path(config.data.data_dir), 'strange')
    recipe = create_recipe(config)
    recipe = dataclasses.replace(recipe, network=recipe.network.clone(num_stages=2))
    variables = jax.jit(lambda: recipe.create_state(1, jax.random.key(0)).network.variables)()
    return Classifier(ClassifierFacts(('a', 'b'), 'class', 1.0, 1), recipe, variables)


def _write(folder, keys, **arrays):
    folder.mkdir()
    np.savez(folder / 'codes.npz', keys=np.asarray(keys), **arrays)
    return folder


@pytest.mark.slow
def test_fitted_and_given_scores_answer_the_same_question(trained, tmp_path):
    request = trained.recipe.images
    test = request.open('test', flip=False, in_memory=False)
    strange = np.asarray([any(ids) for ids in test.records.mask_ids])
    own = strange + np.random.default_rng(0).normal(0, 0.4, len(strange))
    shuffled = np.random.default_rng(1).permutation(len(strange))
    folder = _write(tmp_path / 'codes', np.asarray(test.records.keys)[shuffled], anomaly_scores=own[shuffled])
    report = measure_strangeness(trained, request, _MASKS, {'bigan': folder})
    assert set(report['scores']) == {'bigan', 'mahalanobis', 'padim', 'patchcore'}
    auroc = report['scores']['bigan']['auroc']
    assert auroc['value'] == pytest.approx(auroc_of(own, strange))
    assert 0 < auroc['low'] < auroc['value'] <= auroc['high']
    assert report['images'] == {'normal': (~strange).sum(), 'strange': strange.sum()}
    assert report['scores']['mahalanobis']['auroc']['value'] == 1
    assert report['scores']['patchcore']['auroc']['value'] > 0.85
    assert not any('/' in name for name in report['scores']['padim'])  # no threshold, no decision
    by_classes = dataclasses.replace(_MASKS, normal=('healthy',), strange=('lesion',))
    np.testing.assert_array_equal(by_classes.label(test), test.labels)


def test_a_question_without_an_answer_is_refused(trained):
    images = trained.recipe.images.open('test', flip=False, in_memory=False)
    for normal, strange in ((('healthy',), ()), (('other',), ('lesion',))):
        with pytest.raises(UserError, match='both or neither: healthy, lesion'):
            dataclasses.replace(_MASKS, normal=normal, strange=strange).label(images)
    healthy = dataclasses.replace(trained.recipe.images, classes=('healthy',))
    with pytest.raises(UserError, match='No mask of strange shows anything'):
        _MASKS.label(healthy.open('test', flip=False, in_memory=False))


def test_training_images_may_all_be_normal(trained, tmp_path):
    items = [item for item in _items() if item.split == 'test' or item.label == 'healthy']
    write(items, tmp_path, 'healthy')
    request = dataclasses.replace(trained.recipe.images, name='healthy', data_dir=str(tmp_path))
    report = measure_strangeness(trained, request, _MASKS, {})
    assert report['images'] == {'normal': 8, 'strange': 8}


@pytest.mark.parametrize(
    ('arrays', 'reason'),
    [
        ({}, 'no anomaly scores'),
        ({'anomaly_scores': np.ones(3)}, 'damaged'),
        ({'anomaly_scores': np.asarray([1.0, np.nan])}, 'not finite'),
    ],
)
def test_codes_that_do_not_fit_are_refused(tmp_path, arrays, reason):
    folder = _write(tmp_path / 'codes', ['a', 'b'], **arrays)
    with pytest.raises(UserError, match=reason):
        read_scores({'bigan': folder}, ['b', 'a'])


def test_missing_codes_and_names_are_refused(tmp_path):
    with pytest.raises(UserError, match=r'holds no codes\.npz'):
        read_scores({'bigan': tmp_path}, ['a'])
    folder = _write(tmp_path / 'codes', ['a'], anomaly_scores=np.ones(1))
    with pytest.raises(UserError, match='lacks 1 of 2 images'):
        read_scores({'bigan': folder}, ['a', 'b'])
    assert read_given([f'bigan={folder}'], ['padim']) == {'bigan': folder}
    for text, reason in (('bigan', 'NAME=FOLDER'), ('padim=x', 'is called')):
        with pytest.raises(UserError, match=reason):
            read_given([text], ['padim'])
