"""Every config loads, names the fields that all configs have, and gives networks and steps that fit together."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from backbones.images import batch_shapes, sampled_shapes
from configs import schema
from configs.gan import aae, comparison, dcgan_cifar_dog, dcgan_medical
from configs.gan.schema import GAN, SECTIONS
from foundation.training import compute
from foundation.training import workdir as workdirs
from foundation.training.best import ON_COLLAPSE
from foundation.training.errors import UserError
from gan.families import FAMILIES
from gan.latents import DISTRIBUTIONS, draw_latents
from gan.losses import LOSSES
from gan.networks.dcgan import ACTIVATIONS
from gan.networks.heads import CONDITIONS
from gan.objective import PENALTIES
from gan.recipe import create_recipe, recreate_recipe
from gan.step import create_cycle

FOLDER = Path(__file__).resolve().parents[1] / 'configs' / 'gan'
NAMES = sorted({path.stem for path in FOLDER.glob('*.py')} - {'__init__', 'architectures', 'schema'})
VARIANTS = {
    'aae': aae.VARIANTS,
    'comparison': comparison.VARIANTS,
    'conditional': CONDITIONS,
    'dcgan_cifar_dog': dcgan_cifar_dog.VARIANTS,
    'dcgan_medical': dcgan_medical.VARIANTS,
}
# As after the `=` of --config, without the folder.
SPECS = [f'{name}:{variant}'.rstrip(':') for name in NAMES for variant in VARIANTS.get(name, ('',))]
# Configs of one architecture have the networks' fields in common with these.
ORIGINALS = {'progressive': 'pggan', 'residual': 'wgan_gp', 'perceptron': 'vanilla'}  # others by their own name
_KEY = jax.eval_shape(lambda: jax.random.key(0))
_SCALAR = jax.ShapeDtypeStruct((), jnp.float32)
BY_RESOLUTION = 'schedule.batch_size'  # the one field with a part for each stage
_ADAPTIVE = {'augment.adaptive': True, 'augment.operations': ('flip',)}


def _module(spec: str) -> ModuleType:
    return importlib.import_module(f'configs.gan.{spec.partition(":")[0]}')


def _load(spec: str) -> ConfigDict:
    variant = spec.partition(':')[2]
    get_config = _module(spec).get_config
    return (get_config(variant) if variant else get_config()).lock()


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


def _first_and_last_stages() -> Iterator[tuple[str, int]]:
    for spec in SPECS:
        grows = FAMILIES[_load(spec).architecture].grows
        yield from ((spec, number) for number in ((0, -1) if grows else (0,)))


def _without(types: dict[str, type], names: tuple[str, ...]) -> dict[str, type]:
    return {name: kind for name, kind in types.items() if name.split('.')[0] not in names}


@pytest.mark.parametrize('spec', SPECS)
def test_config_has_the_fields_of_all_with_their_types(spec):
    config = _load(spec)
    assert config.is_locked
    types = _types(config)
    assert types == _types(_load(ORIGINALS.get(config.architecture, config.architecture)))
    assert _without(types, SECTIONS) == _without(_types(_load('pggan')), SECTIONS)
    assert {type(value) for value in config[BY_RESOLUTION].values()} == {int}
    create_recipe(config)


@pytest.mark.parametrize('name', NAMES)
def test_config_tells_its_commands(name):
    """One for each variant; the default's may be without its name."""
    text, variants = _module(name).__doc__, VARIANTS.get(name, ())
    command = f'python -m gan.main --config=configs/gan/{name}.py'
    assert all(f'{command}:{variant} --workdir=' in text for variant in variants[1:])
    assert any(
        f'{command}{default} --workdir=' in text for default in ('', *(f':{name}' for name in variants[:1]))
    )
    # No config takes a variant that is not tested.
    assert bool(inspect.signature(_module(name).get_config).parameters) == bool(variants)


@pytest.mark.parametrize('name', sorted(VARIANTS))
def test_variants_differ_and_the_first_is_the_default(name):
    texts = [_load(f'{name}:{variant}').to_json() for variant in VARIANTS[name]]
    assert len(set(texts)) == len(texts)
    assert texts[0] == _load(name).to_json()


@pytest.mark.parametrize(('spec', 'number'), list(_first_and_last_stages()))
def test_config_makes_a_step(spec, number):
    config = _load(spec)
    gan = create_recipe(config)
    image_format, stage = gan.image_format(num_classes=6), gan.stages(num_examples=100)[number]
    recipe = gan.step_at(stage.resolution, image_format)
    step = create_cycle(recipe)[-1]  # the one with the generator

    def start_and_step(key, batch, alpha):
        state = gan.create_state(recipe, key)
        if gan.family.translates:
            given = (batch['image'][:2], batch['label'][:2])[: 1 + config.conditional]
        else:
            latents = draw_latents(key, 2, recipe.generator.latent_size, config.generator.latent_distribution)
            given = (latents, batch['label'][:2], alpha)
        images = recipe.networks['generator'].apply(state.averaged('generator'), *given)
        inputs = gan.family.inputs(recipe.networks)['discriminator']
        verdict = recipe.networks['discriminator'].apply(state.networks['discriminator'].variables, *inputs)
        after, metrics = step(state, batch, key, {'alpha': alpha, 'images_seen': alpha})
        return images, verdict, metrics, jax.tree.leaves(state), jax.tree.leaves(after)

    rows = stage.batch_size * gan.reals_per_image
    batch = batch_shapes(stage.resolution, rows, image_format.all_channels)
    batch |= {} if gan.privacy is None else sampled_shapes(rows)
    images, verdict, metrics, before, after = jax.eval_shape(start_and_step, _KEY, batch, _SCALAR)
    assert images.shape == (2, *batch['image'].shape[1:])
    assert images.shape[1:] == (stage.resolution, stage.resolution, (config.channels or 1) + config.mask_classes)
    for judged in verdict if isinstance(verdict[0], tuple) else (verdict,):
        assert judged.logits.dtype == jnp.float32
        # Of patches where images are translated, at 128x128.
        patches = {'': 1, 'unpaired': 14 * 14, 'paired': 14 * 14, 'classes': 2 * 2}[gan.family.translates]
        assert judged.logits.shape == (patches,)
    assert after == before
    assert {'generator_loss', 'discriminator_loss'} <= metrics.keys()
    assert all(metric.shape == () for metric in metrics.values())


@pytest.mark.parametrize('spec', SPECS)
def test_the_last_stage_is_the_final_resolution(spec):
    config = _load(spec)
    assert create_recipe(config).stages(num_examples=100)[-1].resolution == config.resolution


def test_epochs_are_passes_over_the_data():
    config = _load('dcgan_cifar_dog')
    (stage,) = create_recipe(config).stages(num_examples=5000)
    assert stage.end == 800 * 5000
    config.schedule.final_images = 64
    assert create_recipe(config).stages(num_examples=5000)[0].end == 800 * 5000 + 64


def test_the_medical_dcgan_has_the_widths_of_its_source():
    recipe = create_recipe(_load('dcgan_medical'))
    state = recipe.abstract_state(recipe.resolution, recipe.image_format(num_classes=6))
    drawing = [
        state.networks['generator'].params[f'{8 << power}x{8 << power}_conv']['kernel'].shape for power in range(5)
    ]
    judging = [state.networks['discriminator'].params[f'conv{number}']['kernel'].shape for number in range(4)]
    assert [shape[-1] for shape in drawing] == [512, 256, 128, 64, 32]
    assert [shape[-1] for shape in judging] == [64, 128, 256, 512]
    assert {shape[:2] for shape in drawing + judging} == {(5, 5)}


@pytest.mark.parametrize('steps', [1, 5, 16])
@pytest.mark.parametrize('every', [1, 4])
def test_a_call_is_a_whole_number_of_cycles(monkeypatch, every, steps):
    monkeypatch.setattr(compute, 'on_cpu', lambda: False)
    config = _load('wgan_gp')
    config.loss.penalty_every, config.optimizer.discriminator_steps = every, steps
    recipe = create_recipe(config)
    step = recipe.step_at(recipe.resolution, recipe.image_format(num_classes=6))
    assert recipe.periods.steps_per_call % len(create_cycle(step)) == 0


@pytest.mark.parametrize(
    ('name', 'changes', 'expected'),
    [
        ('pggan', {'seed': -1}, r'config\.seed is -1, but must be at least 0'),
        ('pggan', {'seed': 2**32}, r'config\.seed is 4294967296, but must be at most'),
        ('pggan', {'samples.columns': 0}, r'config\.samples\.columns is 0'),
        ('pggan', {'generator.latent_size': 0}, r'config\.generator\.latent_size is 0'),
        ('pggan', {'generator.attention_chunk': 1000}, r'config\.generator\.attention_chunk is 1000'),
        ('pggan', {'discriminator.attention_resolution': 100}, r'discriminator\.attention_resolution is 100'),
        ('sagan', {'generator.attention_resolution': 4}, r'config\.generator\.attention_resolution is 4'),
        ('pggan', {'schedule.batch_size.at_8': 6}, r'batch_size\.at_8 is 6, but must be a multiple .* 4'),
        ('pggan', {'run.max_skipped_in_a_row': 0}, r'config\.run\.max_skipped_in_a_row is 0'),
        ('pggan', {'run.steps_per_call': -1}, r'config\.run\.steps_per_call is -1'),
        ('pggan', {'compute_dtype': 'float16'}, r"config\.compute_dtype is 'float16'; choose one of"),
        ('pggan', {'watch.samples': 10_001}, r'config\.watch\.samples is 10001, but must be at most 10000'),
        ('pggan', {'watch.samples': 8}, r'config\.watch\.samples is 8, but must be at least 16'),
        ('dcgan', {'generator.kernel_size': 0}, r'config\.generator\.kernel_size is 0'),
        ('dcgan', {'generator.class_embedding': 0}, r'config\.generator\.class_embedding is 0'),
        ('dcgan', {'optimizer.discriminator_steps': 0}, r'config\.optimizer\.discriminator_steps is 0'),
        ('dcgan', {'schedule.final_epochs': -1}, r'config\.schedule\.final_epochs is -1'),
        # Choices.
        ('pggan', {'architecture': 'no_gan'}, r"config\.architecture is 'no_gan'; choose one of \['aae', "),
        ('pggan', {'generator.latent_distribution': 'beta'}, r"latent_distribution is 'beta'; choose one of"),
        ('dcgan', {'generator.activation': 'elu'}, r"config\.generator\.activation is 'elu'; choose one of"),
        ('sngan', {'discriminator.condition': 'concat'}, r"condition is 'concat'; choose one of \['auxiliary', "),
        ('conditional:both', {}, r"config\.discriminator\.condition is 'both'; choose one of"),
        ('pggan', {'watch.on_collapse': 'panic'}, r"config\.watch\.on_collapse is 'panic'; choose one of"),
        # What the objective asks for.
        ('pggan', {'loss.name': 'cosine'}, r"loss\.name is 'cosine'; choose one of"),
        ('pggan', {'loss.penalty': 'r1'}, r"loss\.penalty is 'r1'; choose one of"),
        ('pggan', {'loss.penalty_target': 0.0}, r'loss\.penalty_target is 0\.0, but must be above 0'),
        ('pggan', {'loss.label_smoothing': 0.1}, r'loss\.label_smoothing is for labels of a cross-entropy'),
        ('dcgan', {'loss.label_noise': 0.5}, r'loss\.label_noise is 0\.5'),
        # Augmentation.
        ('dcgan', {'augment.probability': 0.5}, r'config\.augment\.operations is empty'),
        ('dcgan', {'augment.adaptive': True}, r'config\.augment\.operations is empty'),
        ('dcgan', {'augment.probability': 1.5}, r'config\.augment\.probability is 1\.5, but must be at most 1'),
        ('dcgan', {'augment.probability': -0.5}, r'config\.augment\.probability is -0\.5'),
        ('dcgan', {'augment.operations': ('tilt',)}, r"augment\.operations names 'tilt'"),
        ('dcgan', {'augment.operations': ('flip', 'flip')}, r"augment\.operations names 'flip'.* given twice"),
        ('dcgan', _ADAPTIVE | {'augment.target': 0.0}, r'augment\.target is 0\.0, but must be above 0'),
        ('dcgan', _ADAPTIVE | {'augment.every': 0}, r'augment\.every is 0, but must be above 0'),
        ('dcgan', _ADAPTIVE | {'augment.images': -1}, r'augment\.images is -1, but must be above 0'),
        ('wgan_gp', _ADAPTIVE, r"config\.augment\.adaptive follows the sign .* under config\.loss\.name = 'wass"),
        # Masks.
        ('pggan', {'mask_head': True}, r'config\.mask_head is True, but config\.mask_classes is 0'),
        # Networks that do not grow.
        ('biggan', {'generator.latent_size': 4}, r'latent_size is 4, but is cut into 5 chunks, .*5 or more'),
        ('dcgan', {'schedule.initial_resolution': 4}, r"initial_resolution is 4, but .* 'dcgan' does not grow"),
        ('sngan', {'resolution': 4}, r"config\.resolution is 4; 'residual' needs at least 8"),
        ('dcgan', {'discriminator.layers': 7}, r'layers is 7, but 64 pixels cannot be halved so often'),
        ('dcgan', {'discriminator.dropout': 1.0}, r'config\.discriminator\.dropout is 1\.0'),
        ('dcgan', {'loss.penalty': 'zero_centred'}, r"config\.loss\.penalty is 'zero_centred', a slope at single"),
        ('dcgan', {'schedule.batch_size.at_64': 0}, r'schedule\.batch_size\.at_64 must be at least 1'),
    ],
)
def test_values_that_cannot_be_used_are_named(name, changes, expected):
    config = _load(name)
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=expected):
        create_recipe(config)


@pytest.mark.parametrize('name', ['dcgan_cifar_dog', 'dcgan_medical'])
def test_an_unknown_variant_names_the_known(name):
    with pytest.raises(ValueError, match=rf"variant 'best' is unknown; choose one of {VARIANTS[name][0]}, "):
        _load(f'{name}:best')


def test_the_schema_has_the_choices_of_the_code():
    choices = {name: set(field.choices) for name, field in schema.walk(GAN, None) if field.choices}
    assert choices['architecture'] == set(FAMILIES)
    assert choices['generator.latent_distribution'] == set(DISTRIBUTIONS)
    assert choices['generator.activation'] == set(ACTIVATIONS)
    assert choices['discriminator.condition'] == set(CONDITIONS)
    assert choices['loss.name'] == set(LOSSES)
    assert choices['loss.penalty'] == set(PENALTIES)
    assert choices['watch.on_collapse'] == set(ON_COLLAPSE)


@pytest.mark.parametrize('spec', SPECS)
def test_what_decides_networks_data_and_the_position_in_them_is_fixed(spec):
    own = [name for name in schema.fixed_fields(GAN, _load(spec)) if name.split('.')[0] not in SECTIONS[2:]]
    assert tuple(own) == (
        'anneal',
        'architecture',
        'channels',
        'conditional',
        'data.classes',
        'data.fit',
        'data.modalities',
        'data.pixel_size',
        'data.pixels',
        'data.split',
        'data.window',
        'data.window_range',
        'discriminator',
        'generator',
        'mask_classes',
        'mask_head',
        'mask_slope',
        'optimizer.discriminator_limit',
        'optimizer.name',
        'privacy.clip_norm',
        'privacy.delta',
        'privacy.fill',
        'privacy.noise_multiplier',
        'privacy.unit',
        'resolution',
        'schedule.batch_size',
        'schedule.fade_images',
        'schedule.initial_resolution',
        'schedule.stable_images',
        'seed',
        'watch.extractor',  # the best by one is not the best by another
    )


def test_a_field_that_nothing_reads_is_refused():
    config = _load('pggan').unlock()
    config.optimizer.b3 = 0.5
    with pytest.raises(UserError, match=r'config\.optimizer\.b3 is a field that no part of this run reads'):
        create_recipe(config)


def test_fields_that_this_version_does_not_know_decide_nothing_and_are_kept():
    fields = _load('tiny').to_dict()
    fields['optimizer']['b3'] = 0.5
    recipe = recreate_recipe(fields)
    assert recipe.fields == fields
    assert recipe.samples == create_recipe(_load('tiny')).samples
    del fields['samples']['rows']
    with pytest.raises(KeyError, match=r'samples\.rows'):
        recreate_recipe(fields)


def _older():
    """A config of the time before spacing was looked at."""
    config = _load('tiny').unlock()
    del config.data.pixels, config.data.pixel_size
    return config.lock()


def test_a_config_that_is_older_than_a_field_means_what_it_meant():
    older = _older()
    fields = older.to_dict()
    for recipe in (create_recipe(older), recreate_recipe(fields)):
        assert recipe.images.preprocessing.pixels == 'as_stored'
        assert 'pixels' not in recipe.fields['data']
    assert create_recipe(_load('tiny')).images.preprocessing.pixels == 'square'
    assert 'pixels' not in older.data
    del older.unlock().data.window
    with pytest.raises(UserError, match=r'config\.data\.window is missing'):
        create_recipe(older)


def test_a_run_goes_on_without_the_fields_that_it_is_older_than(tmp_path, caplog):
    new, older = _load('tiny'), _older()
    assert schema.as_begun(GAN, new, tmp_path) is new
    workdirs.prepare_workdir(tmp_path, schema.run_record(GAN, older).config, fixed=(), write=True)
    with caplog.at_level('INFO'):
        begun = schema.as_begun(GAN, new, tmp_path)
    assert begun.to_dict() == older.to_dict()
    assert caplog.messages == [f"{tmp_path}: its run is older than config.data.pixels; it goes on as 'as_stored'."]
    assert new.data.pixels == 'square'
    record = schema.run_record(GAN, begun)
    workdirs.prepare_workdir(tmp_path, record.config, fixed=record.fixed, write=True)
    other = tmp_path / 'other'
    workdirs.prepare_workdir(other, schema.run_record(GAN, new).config, fixed=(), write=True)
    assert schema.as_begun(GAN, new, other).to_dict() == new.to_dict()


def test_what_is_not_the_default_is_told_in_plain_values():
    config = _load('dcgan')
    changes = schema.changes(GAN, config)
    assert changes['schedule.batch_size'] == {'at_32': 128, 'at_64': 128, 'at_128': 128, 'at_256': 32}
    assert changes['optimizer.b1'] == 0.5
    assert 'seed' not in changes
    assert len(changes) < 20
