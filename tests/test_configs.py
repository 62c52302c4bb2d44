"""Every config loads, names the fields that all configs have, and gives networks and steps that fit together."""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from gan import data, setup
from gan.state import create_state
from gan.step import create_cycle, draw_latents
from training.errors import UserError

FOLDER = Path(__file__).resolve().parents[1] / 'configs' / 'gan'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py') if path.stem != '__init__')
_KEY = jax.eval_shape(lambda: jax.random.key(0))
_SCALAR = jax.ShapeDtypeStruct((), jnp.float32)
BY_RESOLUTION = 'schedule.batch_size'  # the one field with a part for each stage


def _load(name: str) -> ConfigDict:
    return importlib.import_module(f'configs.gan.{name}').get_config().lock()


def _types(config: ConfigDict, prefix: str = '') -> dict[str, type]:
    """Types of all fields by dotted name."""
    types: dict[str, type] = {}
    for name, value in config.items():
        full = f'{prefix}{name}'
        if isinstance(value, ConfigDict) and full != BY_RESOLUTION:
            types |= _types(value, f'{full}.')
        else:
            types[full] = type(value)
    return types


def _image_format(config: ConfigDict) -> setup.ImageFormat:
    return setup.ImageFormat(config.channels, config.mask_classes, 6 if config.conditional else 0)


@pytest.mark.parametrize('name', NAMES)
def test_config_has_the_fields_of_all_with_their_types(name):
    config = _load(name)
    assert config.is_locked
    assert _types(config) == _types(_load('pggan'))
    assert {type(value) for value in config[BY_RESOLUTION].values()} == {int}
    setup.check_config(config)


@pytest.mark.parametrize('name', NAMES)
def test_config_says_its_command(name):
    text = importlib.import_module(f'configs.gan.{name}').__doc__
    assert f'python -m gan.main --config=configs/gan/{name}.py --workdir=' in text


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('number', [0, -1], ids=['first stage', 'last stage'])
def test_config_makes_a_step(name, number):
    config = _load(name)
    image_format = _image_format(config)
    stage = setup.create_stages_of(config)[number]
    generator, discriminator = setup.create_networks(config, stage.resolution, image_format)
    optimizers = setup.create_optimizers(config)
    step, *_ = create_cycle(
        generator, discriminator, optimizers, setup.create_objective(config), setup.create_averaging(config)
    )

    def start_and_step(key, batch, alpha):
        state = create_state(generator, discriminator, optimizers, key)
        latents = draw_latents(key, 2, config.generator.latent_size)
        images = generator.apply(state.ema_variables, latents, batch['label'][:2], alpha)
        logits = discriminator.apply(state.discriminator.variables, images, batch['label'][:2], alpha)
        after, metrics = step(state, batch, key, {'alpha': alpha, 'images_seen': alpha})
        return images, logits, metrics, jax.tree.leaves(state), jax.tree.leaves(after)

    batch = data.batch_shapes(stage, image_format.all_channels)
    images, logits, metrics, before, after = jax.eval_shape(start_and_step, _KEY, batch, _SCALAR)
    assert images.shape == (2, *batch['image'].shape[1:])
    assert images.shape[1:] == (stage.resolution, stage.resolution, config.channels + config.mask_classes)
    assert (logits.shape, logits.dtype) == ((2,), jnp.float32)
    assert after == before
    assert {'generator_loss', 'discriminator_loss'} <= metrics.keys()
    assert all(metric.shape == () for metric in metrics.values())


def test_the_last_stage_is_the_final_resolution():
    assert all(setup.create_stages_of(config)[-1].resolution == config.resolution for config in map(_load, NAMES))


@pytest.mark.parametrize(
    ('field', 'value', 'expected'),
    [
        ('seed', -1, r'config\.seed is -1, but must be at least 0'),
        ('seed', 2**32, r'config\.seed is 4294967296, but must be below'),
        ('samples.columns', 0, r'config\.samples\.columns is 0'),
        ('generator.latent_size', 0, r'config\.generator\.latent_size is 0'),
        ('generator.attention_chunk', 1000, r'config\.generator\.attention_chunk is 1000'),
        ('discriminator.attention_resolution', 100, r'config\.discriminator\.attention_resolution is 100'),
        ('schedule.batch_size.at_8', 6, r'batch_size\.at_8 is 6, but must be a multiple .* 4'),
        ('loss.penalty_target', 0.0, r'loss\.penalty_target is 0\.0, but must be above 0'),
        ('run.max_skipped_in_a_row', 0, r'config\.run\.max_skipped_in_a_row is 0'),
        ('run.steps_per_call', -1, r'config\.run\.steps_per_call is -1'),
    ],
)
def test_values_that_cannot_be_used_are_named(field, value, expected):
    config = _load('pggan')
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=expected):
        setup.check_config(config)
