"""The extractor that a command names, and what is refused."""

import ast
import shlex
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from backbones.contrastive.recipe import create_contrastive_recipe
from configs.backbones import self_supervised
from configs.gan import tiny
from foundation.training.errors import UserError
from gan.evaluation.extractors import create_extractor, suggest_training
from gan.recipe import create_recipe


def test_random_features_take_any_channels_and_tell_no_class():
    extractor = create_extractor('random')
    assert (extractor.classes, extractor.channels, extractor.is_fid) == ((), (), False)
    for channels in (1, 4):
        extractor.check_channels(channels)
        extracted = extractor.extract(extractor.variables, jnp.zeros((2, 8, 8, channels)))
        assert extracted.features.shape == (2, 96)
        assert extracted.probabilities.shape == (2, 0)


@pytest.mark.parametrize(('name', 'count'), [('radiomics', 385), ('frd-score', 398)])
def test_radiomic_features_are_those_of_no_network(name, count):
    extractor = create_extractor(name)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    extracted = extractor.extract(extractor.variables, images)
    assert (extracted.features.shape, extracted.probabilities.shape) == ((2, count), (2, 0))
    assert len(extractor.measures) == count
    with pytest.raises(UserError, match='The gate needs the features of a network, and radiomic features'):
        extractor.check_network('The gate')
    create_extractor('random').check_network('The gate')


def test_what_is_no_extractor_is_refused(tmp_path):
    with pytest.raises(UserError, match='--extractor=vgg=file is no extractor; name a workdir of backbones'):
        create_extractor('vgg=file')
    with pytest.raises(UserError, match='holds no finished classifier; train one with'):
        create_extractor(str(tmp_path))
    with pytest.raises(UserError, match='missing'):
        create_extractor(f'resnet18={tmp_path / "missing.safetensors"}')


def test_the_training_that_is_suggested_is_that_of_the_users_images():
    config = tiny.get_config()
    config.data.name, config.data.modalities = 'heads', ('MR', 'CT')
    config.data.window, config.data.window_range = 'physical', (-100.0, 300.0)
    config.data.pixels, config.data.pixel_size, config.data.fit = 'resampled', 0.5, 'crop'
    command = shlex.split(suggest_training(create_recipe(config).images, Path('runs/a run')))
    assert command[-1] == '--workdir=runs/encoder'
    told = dict(part.removeprefix('--config.').split('=', 1) for part in command if part.startswith('--config.'))
    encoder = self_supervised.get_config().lock()
    parsed = {name: text if '(' not in text else ast.literal_eval(text) for name, text in told.items()}
    encoder.update_from_flattened_dict(parsed | {'resolution': int(told['resolution']), 'data.pixel_size': 0.5})
    theirs, ours = (create(each).images for create, each in (
        (create_recipe, config), (create_contrastive_recipe, encoder)))  # fmt: skip
    for name in ('window', 'fit', 'pixels', 'resolution'):
        assert getattr(theirs.preprocessing, name) == getattr(ours.preprocessing, name)
    assert (ours.name, ours.modalities, ours.classes) == (theirs.name, ('MR', 'CT'), ())
    # What is as usual is not told.
    plain = suggest_training(create_recipe(tiny.get_config()).images, Path('run'))
    assert plain.count('--config.') == 2
    assert '--config.resolution=16 ' in plain


def test_other_and_altered_weights_are_refused(tmp_path):
    path = tmp_path / 'weights.safetensors'
    safetensors.numpy.save_file({'fc.weight': np.zeros((3, 4), np.float32)}, path)
    with pytest.raises(UserError, match='is no resnet18: it lacks'):
        create_extractor(f'resnet18={path}')
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=r'weights\.safetensors'):
        create_extractor(f'resnet18={path}')
