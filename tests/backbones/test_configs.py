"""Every variant of the classifier's config loads, has the fields of all, and gives a network that fits."""

import inspect

import jax
import pytest
from ml_collections import ConfigDict

from backbones.recipe import create_recipe
from configs.backbones import classifier
from configs.backbones.schema import CLASSIFIER
from configs.schema import fixed_fields
from foundation.training.errors import UserError


def _types(config, prefix=''):
    types = {}
    for name, value in config.items():
        nested = isinstance(value, ConfigDict)
        types |= _types(value, f'{prefix}{name}.') if nested else {f'{prefix}{name}': type(value)}
    return types


def _load(variant='small', changes=None):
    config = classifier.get_config(variant).lock()
    config.update_from_flattened_dict(changes or {})
    return config


@pytest.mark.parametrize('variant', classifier.VARIANTS)
def test_a_variant_has_the_fields_of_all(variant):
    config = _load(variant)
    types = _types(config)
    assert types == _types(_load('densenet_bc' if config.architecture == 'densenet' else 'small'))
    assert _without_network(types) == _without_network(_types(_load()))
    create_recipe(config)


def _without_network(types):
    return {name: kind for name, kind in types.items() if not name.startswith('network.')}


# In colour: torchvision's of 1000 classes; DenseNet-BC of 10: Huang et al. 2017, table 2, round to 0.8 million.
@pytest.mark.parametrize(
    ('variant', 'classes', 'parameters'),
    [
        ('small', 10, 701_466),
        ('resnet18', 1000, 11_689_512),
        ('resnet50', 1000, 25_557_032),
        ('densenet121', 1000, 7_978_856),
        ('densenet_bc', 10, 769_162),
    ],
)
def test_networks_have_as_many_parameters_as_published(variant, classes, parameters):
    config = _load(variant)
    network = create_recipe(config).with_classes(classes).network
    image = jax.ShapeDtypeStruct((1, config.resolution, config.resolution, 3), jax.numpy.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == parameters


def test_variants_are_told_and_unknown_ones_name_them():
    text = inspect.getdoc(classifier)
    assert all(f'classifier.py:{variant} ' in text for variant in classifier.VARIANTS if variant != 'small')
    with pytest.raises(ValueError, match=r"variant 'vgg' is unknown; choose one of small, resnet18, "):
        classifier.get_config('vgg')


@pytest.mark.parametrize('variant', classifier.VARIANTS)
def test_a_run_cannot_go_on_with_another_architecture_other_data_or_another_place_in_them(variant):
    assert fixed_fields(CLASSIFIER, _load(variant)) == (
        'architecture', 'channels', 'data.classes', 'data.fit', 'data.modalities', 'data.pixel_size',
        'data.pixels', 'data.window', 'data.window_range', 'network', 'optimizer',
        'resolution', 'schedule', 'seed', 'target',
    )  # fmt: skip


def test_unknown_fields_name_the_nearest():
    with pytest.raises(AttributeError, match='Did you mean "learning_rate" instead of "learning_rat"'):
        _load().optimizer.learning_rat = 1.0


@pytest.mark.parametrize(
    ('variant', 'changes', 'expected'),
    [
        ('small', {'seed': -1}, r'config\.seed is -1, but must be at least 0'),
        ('small', {'seed': 2**32}, r'config\.seed is 4294967296, but must be at most'),
        ('small', {'architecture': 'vgg'}, r"config\.architecture is 'vgg'; choose one of \['densenet', 'resnet'"),
        ('small', {'target': 'sex'}, r"config\.target is 'sex'; choose one of \['class', 'modality'"),
        ('small', {'resolution': 48}, r'config\.resolution is 48; choose one of \[16, 32'),
        ('small', {'network.depth': 34}, r'config\.network\.depth is 34; choose one of \[18, 50'),
        ('small', {'network.width': 0}, r'config\.network\.width is 0, but must be at least 1'),
        ('small', {'compute_dtype': 'float16'}, r"config\.compute_dtype is 'float16'; choose one of"),
        ('small', {'augment.shift': 0.6}, r'config\.augment\.shift is 0\.6, but must be at most 0\.5'),
        ('small', {'augment.contrast': -0.1}, r'config\.augment\.contrast is -0\.1'),
        (
            'small',
            {'optimizer.learning_rate': float('nan')},
            r'optimizer\.learning_rate is nan, which is no number',
        ),
        ('small', {'optimizer.weight_decay': float('inf')}, r'optimizer\.weight_decay is inf, which is no number'),
        ('small', {'optimizer.label_smoothing': 1.5}, r'label_smoothing is 1\.5, but must be at most 1'),
        ('small', {'schedule.epochs': 0}, r'config\.schedule\.epochs is 0'),
        ('small', {'schedule.batch_size': 0}, r'config\.schedule\.batch_size is 0'),
        ('small', {'watch.epochs': 0}, r'config\.watch\.epochs is 0'),
        ('densenet_bc', {'network.blocks': ()}, r'config\.network\.blocks is \(\); give each block one layer'),
        ('densenet_bc', {'network.blocks': (4, 0)}, r'config\.network\.blocks is \(4, 0\); give each block'),
        ('densenet121', {'resolution': 16}, r'config\.resolution is 16, too few pixels for this network'),
    ],
)
def test_values_that_cannot_be_used_are_named(variant, changes, expected):
    with pytest.raises(UserError, match=expected):
        create_recipe(_load(variant, changes))


def test_the_rate_rises_and_falls_along_a_cosine():
    config = _load('small', {'optimizer.weight_decay': 0.0, 'optimizer.warmup': 0.5})
    optimizer, rates = create_recipe(config).optimizer.create(20), []
    params = jax.numpy.zeros(1)
    state = optimizer.init(params)
    for _ in range(21):
        updates, state = optimizer.update(jax.numpy.ones(1), state, params)  # Adam moves by the rate itself
        rates.append(-float(updates[0]))
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.5e-3, rel=1e-3)
    assert rates[10] == pytest.approx(1e-3, rel=1e-3)
    assert rates[15] == pytest.approx(0.5e-3, rel=1e-3)
    assert rates[20] == pytest.approx(0, abs=1e-9)
