"""Exported weights come back as they were, rounded at most, and nothing else passes for them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from foundation.training.errors import UserError
from gan import weights as exported_weights
from gan.generator import TrainedGenerator, Weights
from gan.recipe import create_recipe
from gan.sampler import draw_images
from gan.weights import deal, read_description, read_variables, write_exported
from tests.gan.weights.generators import FACTS, FAMILIES, create_config, draw_variables, write_generator
from tests.gan.weights.rewriting import rewrite


@pytest.mark.parametrize('family', FAMILIES)
def test_float32_comes_back_bit_for_bit(tmp_path, family):
    recipe = create_recipe(create_config(family))
    stage = '16x16' if family == 'progressive' else '32x32'
    variables, position = draw_variables(recipe, stage)
    described = write_exported(
        tmp_path / 'out', recipe, FACTS, position, variables, dtype='float32', beside={}, overwrite=False
    )
    trained = TrainedGenerator.load(tmp_path / 'out')
    assert (trained.facts, trained.position) == (FACTS, position)
    assert trained.network.resolution == int(stage.split('x')[0])
    assert jax.tree.structure(trained.weights.variables) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, trained.weights.variables, variables)
    assert trained.checksum() == described.weights_sha256


def test_bfloat16_rounds_parameters_and_leaves_statistics(tmp_path):
    recipe = create_recipe(create_config('dcgan'))
    variables, position = draw_variables(recipe, '32x32')
    write_exported(
        tmp_path / 'out', recipe, FACTS, position, variables, dtype='bfloat16', beside={}, overwrite=False
    )
    read = TrainedGenerator.load(tmp_path / 'out').weights.variables
    jax.tree.map(np.testing.assert_array_equal, read['batch_stats'], variables['batch_stats'])
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(leaf.dtype), variables['params'])
    jax.tree.map(np.testing.assert_array_equal, read['params'], rounded)


def test_images_differ_by_the_rounding_of_the_weights_alone(tmp_path):
    recipe = create_recipe(create_config('progressive'))
    variables, position = draw_variables(recipe, '8x8')
    described = write_generator(tmp_path / 'out')
    network = described.create_network()
    trained = TrainedGenerator(recipe, FACTS, network, Weights(variables, described.alpha), position)
    assert described.alpha == pytest.approx(8 / 32)
    drawn, exported = (
        next(draw_images(each, np.zeros(4, np.int32), seed=1, batch_size=4))
        for each in (trained, TrainedGenerator.load(tmp_path / 'out'))
    )
    assert drawn.images.std() > 0.1
    np.testing.assert_allclose(exported.images, drawn.images, atol=0.03)
    assert (exported.masks == drawn.masks).mean() > 0.95


def test_shards_are_few_and_even():
    assert deal({'a': 5, 'b': 3}) == [['a', 'b']]
    mib = 2**20
    shards = deal({f'{size}': size * mib for size in (9, 8, 7, 6, 5, 4)})
    assert [sorted(shard) for shard in shards] == [['4', '9'], ['5', '8'], ['6', '7']]
    assert deal({'large': 40 * mib, 'small': mib}) == [['large'], ['small']]


@pytest.fixture
def several(tmp_path, monkeypatch):
    """A generator in more than one file."""
    monkeypatch.setattr(exported_weights, 'LARGEST_SHARD', 1024)
    described = write_generator(tmp_path / 'out')
    assert len(described.shards) == 2
    return tmp_path / 'out'


def test_several_shards_are_read_together(several):
    assert TrainedGenerator.load(several).checksum() == read_description(several).weights_sha256


def test_a_missing_shard_is_named(several):
    shard = sorted(several.glob('*.safetensors'))[1]
    shard.unlink()
    with pytest.raises(UserError, match=f'{shard.name} is missing; get all files'):
        TrainedGenerator.load(several)


def test_a_changed_shard_is_refused(several):
    shard = sorted(several.glob('*.safetensors'))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match=f'{shard.name} was altered or damaged .its SHA-256'):
        TrainedGenerator.load(several)
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match='bytes instead of'):
        TrainedGenerator.load(several)


def test_what_lies_beside_the_weights_is_checked_too(tmp_path):
    write_generator(tmp_path / 'out')
    (tmp_path / 'out' / 'sample.py').write_bytes(b'y')
    with pytest.raises(UserError, match=r'sample.py was altered or damaged .its SHA-256'):
        TrainedGenerator.load(tmp_path / 'out')
    (tmp_path / 'out' / 'sample.py').unlink()
    with pytest.raises(UserError, match=r'sample.py is missing; get all files'):
        TrainedGenerator.load(tmp_path / 'out')


def test_nothing_is_left_of_what_could_not_be_written(tmp_path, monkeypatch):
    def fail(_):
        raise OSError('no space')

    monkeypatch.setattr(safetensors.numpy, 'save', fail)
    with pytest.raises(OSError, match='no space'):
        write_generator(tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


def test_a_newer_generator_replaces_the_one_before(tmp_path):
    write_generator(tmp_path / 'out')
    recipe = create_recipe(create_config('progressive'))
    variables, position = draw_variables(recipe, '16x16')
    write_exported(
        tmp_path / 'out', recipe, FACTS, position, variables, dtype='float32', beside={}, overwrite=True
    )
    assert TrainedGenerator.load(tmp_path / 'out').network.resolution == 16
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def _escape(content):
    content['shards'][0]['name'] = '../generator-1-of-1.safetensors'


def _escape_beside(content):
    content['files'][0]['name'] = '../sample.py'


def _enlarge(content):
    content['config']['generator']['fmap_base'] = content['config']['generator']['fmap_max'] = 10**9


def _lengthen(content):
    content['config']['generator']['latent_size'] = 10**15


def _retype(content):
    content['dtype'] = 'float64'


def _float32(content):
    content['dtype'] = 'float32'


@pytest.mark.parametrize('change', [_escape, _escape_beside, _enlarge, _lengthen, _retype, _float32])
def test_a_hostile_description_is_refused_before_anything_is_read(tmp_path, monkeypatch, change):
    write_generator(tmp_path / 'out')
    rewrite(tmp_path / 'out', change)
    monkeypatch.setattr(exported_weights, 'read_weights', lambda path: pytest.fail('read'))
    with pytest.raises(UserError, match=r'generator.json was altered or damaged \('):
        TrainedGenerator.load(tmp_path / 'out')


def test_shards_of_another_network_are_refused(tmp_path):
    described = write_generator(tmp_path / 'out')
    (shard,) = (tmp_path / 'out').glob('*.safetensors')
    variables = traverse_util.flatten_dict(read_variables(tmp_path / 'out', described), sep='/')
    named = {name: np.asarray(array).astype(jnp.bfloat16) for name, array in variables.items()}
    name = max(named, key=lambda name: named[name].ndim)
    for change in ({f'{name}x': named[name]}, {name: named[name].T}):
        tensors = {other: array for other, array in named.items() if other != name} | change
        shard.write_bytes(safetensors.numpy.save(tensors))
        rewrite(tmp_path / 'out', lambda content: None)
        with pytest.raises(UserError, match=r'alone|not of the shape'):
            TrainedGenerator.load(tmp_path / 'out')


def test_no_folder_of_the_machine_is_exported(tmp_path):
    write_generator(tmp_path / 'out')
    text = (tmp_path / 'out' / 'generator.json').read_text()
    assert '/a/folder' not in text
    assert json.loads(text)['versions']['jax'] == jax.__version__
