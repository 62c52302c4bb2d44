"""Every variant of the detector's config loads, has the fields of all, and gives a network and a step that fit."""

import inspect

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from backbones.images import batch_shapes
from configs.detect import detector, stack
from configs.detect.schema import DETECTOR, STACK
from configs.schema import fixed_fields
from detect.recipe import create_recipe
from detect.step import make_train_step
from foundation.training.errors import UserError

_KEY = jax.eval_shape(lambda: jax.random.key(0))


def _load(variant='default', changes=None):
    config = detector.get_config(variant).lock()
    config.update_from_flattened_dict({'data.name': 'mixed'} | (changes or {}))
    return config


def _types(config, prefix=''):
    types = {}
    for name, value in config.items():
        nested = isinstance(value, ConfigDict)
        types |= _types(value, f'{prefix}{name}.') if nested else {f'{prefix}{name}': type(value)}
    return types


@pytest.mark.parametrize('variant', detector.VARIANTS)
def test_a_variant_has_the_fields_of_all(variant):
    config = _load(variant)
    types = _types(config)
    assert types == _types(_load('densenet121' if config.architecture == 'densenet' else 'default'))
    shared = {name: kind for name, kind in types.items() if not name.startswith('network.')}
    assert shared.items() <= _types(_load()).items()
    create_recipe(config)


@pytest.mark.parametrize('variant', detector.VARIANTS)
def test_a_run_cannot_go_on_with_another_architecture_other_data_or_another_place_in_them(variant):
    assert fixed_fields(DETECTOR, _load(variant)) == (
        'adversarial', 'architecture', 'attention_heads', 'augment', 'channels', 'data.labels', 'data.modalities',
        'data.patches', 'data.patches_in_training', 'data.sources', 'degrade', 'files', 'inputs',
        'network', 'optimizer', 'resolution', 'schedule', 'seed', 'start_from',
    )  # fmt: skip
    assert fixed_fields(STACK, stack.get_config()) == (
        'data.modalities', 'data.sources', 'optimizer', 'schedule', 'seed', 'stack',
    )  # fmt: skip


def test_variants_differ_are_told_and_the_first_is_the_default():
    texts = [_load(variant).to_json() for variant in detector.VARIANTS]
    assert len(set(texts)) == len(texts)
    assert detector.get_config().to_json() == detector.get_config('default').to_json()
    assert detector.VARIANTS[0] == 'default'
    text = inspect.getdoc(detector)
    assert all(f'`{variant}`' in text for variant in detector.VARIANTS[1:])
    with pytest.raises(ValueError, match=r"variant 'vgg' is unknown; choose one of default, small, "):
        detector.get_config('vgg')


@pytest.mark.parametrize(
    'variant',
    [pytest.param(name, marks=[pytest.mark.slow] * name.startswith('densenet')) for name in detector.VARIANTS],
)
def test_a_variant_makes_a_step(variant):
    config = _load(variant, {'schedule.batch_size': 2})
    recipe = create_recipe(config)
    network = recipe.network
    step = make_train_step(
        network,
        recipe.optimizer.create(10),
        recipe.augmentation,
        recipe.degradation,
        eps=recipe.attack.eps,
        attack_steps=recipe.attack.steps,
    )

    def start_and_step(key, batch):
        state = recipe.create_state(10, key)
        detection = network.apply(state.network.variables, batch['image'])
        after, metrics = step(state, batch, key, {})
        return detection, jax.tree.leaves(state), jax.tree.leaves(after), metrics

    batch = batch_shapes(recipe.data.training_side, 2, recipe.channels)
    detection, before, after, metrics = jax.eval_shape(start_and_step, _KEY, batch)
    assert (detection.logits.shape, detection.logits.dtype) == ((2,), jnp.float32)
    assert len(detection.maps) == len(config.inputs)
    parts = 2 if variant == 'patches' else 1  # the overview, and the patches together
    assert detection.pooled.shape == (2, parts * sum(own.shape[-1] for own in detection.maps))
    assert detection.weights.shape == (2, config.data.patches_in_training)
    assert after == before
    assert {'loss', 'accuracy', 'gradient_norm'} <= metrics.keys()
    assert all(metric.shape == () for metric in metrics.values())


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'seed': 2**32}, r'config\.seed is 4294967296, but must be at most'),
        ({'data.name': ''}, r'config\.data\.name is empty; name a data set that detect\.prepare wrote'),
        ({'data.labels': 'false'}, r"config\.data\.labels is 'false'; choose one of \['random', 'true'\]"),
        ({'resolution': 8}, r'config\.resolution is 8, but must be at least 16'),
        ({'channels': 2}, r'config\.channels is 2; choose one of \[1, 3\]'),
        ({'architecture': 'vgg'}, r"config\.architecture is 'vgg'; choose one of \['densenet', 'resnet'\]"),
        ({'network.depth': 34}, r'config\.network\.depth is 34; choose one of'),
        ({'network.num_stages': 5}, r'config\.network\.num_stages is 5, but must be at most 4'),
        ({'inputs': ()}, r'config\.inputs is \(\); name some of residual, pixels, spectrum, cooccurrence'),
        ({'inputs': ('pixel',)}, r"config\.inputs is \('pixel',\); name some of residual"),
        ({'inputs': ('pixels', 'pixels')}, r'each once'),
        ({'attention_heads': -1}, r'config\.attention_heads is -1'),
        ({'degrade.noise': 1.5}, r'config\.degrade\.noise is 1\.5, but must be at most 1'),
        (
            {'degrade.sigma': (2.0, 1.0)},
            r'config\.degrade\.sigma is \(2\.0, 1\.0\); give two ends, rising',
        ),
        ({'degrade.sigma': (1.0,)}, r'config\.degrade\.sigma is \(1\.0,\); give two ends'),
        ({'degrade.factor': (0.0, 1.0)}, r'config\.degrade\.factor is \(0\.0, 1\.0\); give two ends.* from 0\.05'),
        ({'degrade.quality': (0, 100)}, r'config\.degrade\.quality is \(0, 100\)'),
        ({'data.patches': 7}, r'config\.data\.patches is 7; choose one of \[0, 3, 8, 15, 24\]'),
        ({'data.patches': 8}, r'patches_in_training is 0 of 8 config\.data\.patches; take one or more of them'),
        ({'data.patches': 3, 'data.patches_in_training': 8}, r'patches_in_training is 8 of 3'),
        (
            {'data.patches': 8, 'data.patches_in_training': 3},
            r'config\.augment\.shift is 0\.05, but patches lie at places by chance; set it to 0',
        ),
        ({'files.webp': 0.5}, r'config\.files\.webp is 0\.5, which is for patches alone; set it to 0, or give'),
        (
            {'data.patches': 8, 'data.patches_in_training': 3, 'augment.shift': 0.0, 'files.scale': (2.0, 0.5)},
            r'config\.files\.scale is \(2\.0, 0\.5\); give two ends, rising',
        ),
        ({'adversarial.eps': 2.0}, r'config\.adversarial needs eps and steps, or neither'),
        ({'adversarial.steps': 2}, r'config\.adversarial needs eps and steps, or neither'),
        ({'optimizer.learning_rate': float('nan')}, r'learning_rate is nan, which is no number'),
        ({'schedule.epochs': 0}, r'config\.schedule\.epochs is 0'),
        ({'anomaly.coreset': 1}, r'config\.anomaly\.coreset is 1'),
        ({'watch.epochs': 0}, r'config\.watch\.epochs is 0'),
    ],
)
def test_values_that_cannot_be_used_are_named(changes, expected):
    with pytest.raises(UserError, match=expected):
        create_recipe(_load('small', changes))


def test_runs_that_are_older_than_patches_see_whole_images():
    config = _load('small').copy_and_resolve_references().unlock()
    del config['files'], config.data['patches'], config.data['patches_in_training']
    recipe = create_recipe(config.lock())
    assert (recipe.sheet, recipe.network.tile, recipe.resolution) == (None, 0, 64)


def test_the_largest_change_of_adversarial_training_is_in_units_of_images():
    """eps is in 1/255 of a range that is 2 wide in [-1, 1]."""
    assert create_recipe(_load('adversarial')).attack.eps == pytest.approx(2 * 2 / 255)


def test_degradations_and_augmentation_are_those_of_the_config():
    recipe = create_recipe(_load('small', {'degrade.sigma': (0.5, 2.0), 'augment.shift': 0.1}))
    degradation = recipe.degradation
    assert (degradation.sigma, degradation.compression, degradation.quality) == ((0.5, 2.0), 0.3, (60, 100))
    assert recipe.augmentation.shift == 6  # pixels of 64


def test_images_with_too_few_pixels_for_a_dense_network_are_refused():
    create_recipe(_load('densenet121', {'resolution': 32}))
    with pytest.raises(UserError, match=r'config\.resolution is 16, too few pixels for this network'):
        create_recipe(_load('densenet121', {'resolution': 16}))
