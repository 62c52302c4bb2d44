"""Families that translate images: their networks, the terms of their losses, and what they refuse."""

import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from foundation.training.errors import UserError
from gan.edges import gradient_correlation
from gan.families import FAMILIES
from gan.families.stargan import choose_classes
from gan.networks.translation import ClassPatchDiscriminator, PooledPatchDiscriminator, ResidualTranslator, reflect
from gan.recipe import create_recipe
from gan.step import create_cycle
from gan.updates import Given
from tests.gan.families import small, translators

ROOT = Path(__file__).resolve().parents[3]
NAMES = [name for name, family in FAMILIES.items() if family.translates]


def test_padding_mirrors_as_numpy_does():
    x = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    expected = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode='reflect')
    np.testing.assert_array_equal(reflect(jnp.asarray(x), 3), expected)


@pytest.mark.slow
def test_a_translator_takes_any_multiple_of_four_and_sees_each_image_alone():
    network = ResidualTranslator(8, 2, 0, 4, 1, jnp.float32)
    images = jax.random.uniform(jax.random.key(1), (2, 12, 20, 2), minval=-1)
    variables = jax.jit(network.init)(jax.random.key(0), images)

    def first_of(variables, images):
        drawn = network.apply(variables, images)
        return jnp.square(drawn[0] - images[0]).mean(), drawn

    (error, drawn), gradients = jax.jit(jax.value_and_grad(first_of, argnums=(0, 1), has_aux=True))(
        variables, images
    )
    assert (drawn.shape, drawn.dtype) == (images.shape, jnp.float32)
    assert 0 < float(jnp.abs(drawn).max()) < 1
    assert float(error) > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert all(np.abs(leaf).max() > 0 for name, leaf in gradients[0]['params']['to_image'].items())
    assert float(jnp.abs(gradients[1][0]).max()) > 0
    np.testing.assert_array_equal(gradients[1][1], 0)  # no image feels another


def test_a_discriminator_judges_patches_of_70_pixels():
    """Shapes alone: as many logits as patches at steps of 8 pixels, image by image."""
    network = PooledPatchDiscriminator(128, 3, 3, 64, 512, 0, jnp.float32)
    images = jnp.zeros((2, 128, 128, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images))
    verdict, variables = shapes
    assert verdict.logits.shape == (2 * 14 * 14,)
    widths = [variables['params'][name]['kernel'].shape[-1] for name in ('conv0', 'conv1', 'conv2', 'hidden')]
    assert widths == [64, 128, 256, 512]
    assert 'norm0' not in variables['params']
    field = 1
    for stride in (1, 1, 2, 2, 2):  # backwards from the verdict, kernels of 4
        field = (field - 1) * stride + 4
    assert field == 70


def test_what_an_image_becomes_depends_on_the_class_that_is_asked_for():
    """Also far from the edges, where zeros in the padding would tell the class."""
    network = ResidualTranslator(8, 1, 3, 4, 1, jnp.float32)
    images = jnp.tile(jax.random.uniform(jax.random.key(1), (1, 32, 32, 1), minval=-1), (3, 1, 1, 1))
    labels = jnp.asarray([0, 1, 1], jnp.int32)
    drawn = jax.jit(lambda key: network.init_with_output(key, images, labels)[0])(jax.random.key(0))
    middle = np.asarray(drawn)[:, 12:20, 12:20]
    np.testing.assert_array_equal(middle[1], middle[2])
    assert np.abs(middle[0] - middle[1]).min() > 0
    assert np.abs(middle[0] - middle[1]).max() > 1e-3


def test_a_class_is_named_of_the_whole_image_and_patches_are_judged():
    network = ClassPatchDiscriminator(16, 1, 3, 2, 4, 6, jnp.float32)
    images = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1), minval=-1)
    verdict, variables = network.init_with_output(jax.random.key(0), images)
    assert (verdict.logits.shape, verdict.class_logits.shape) == ((2 * 4 * 4,), (2, 3))
    params = variables['params']
    assert [params[name]['kernel'].shape[-1] for name in ('conv0', 'conv1')] == [4, 6]
    assert params['classes']['kernel'].shape[0] == 4 * 4 * 6
    changed = images.at[0, 0, 0].add(1.0)
    other = network.apply(variables, changed)
    patches = np.asarray(other.logits != verdict.logits).reshape(2, 4, 4)
    assert patches[0, 0, 0]
    assert not patches[0, -1, -1]
    assert not patches[1].any()
    assert (other.class_logits[0] != verdict.class_logits[0]).all()


@pytest.fixture(scope='module')
def batch():
    return small.create_batch(translators.SIDE, 4)


def _apply(recipe, name, variables, images):
    return recipe.networks[name].apply(variables, images)


def _run(architecture, batch, **changes):
    recipe = translators.create_recipe(architecture, **changes)
    state = translators.create_start(recipe, FAMILIES[architecture].inputs)
    results = []
    for make in small.make_updates(recipe):
        results.append(make(state, batch, jax.random.key(1), small.controls()))
    return recipe, state, results


def _moved(before, after):
    """Names of the networks whose parameters have changed."""
    return {
        name
        for name, network in before.networks.items()
        if any(
            map(np.any, jax.tree.leaves(jax.tree.map(jnp.not_equal, network.params, after.networks[name].params)))
        )
    }


def test_cyclegan_is_trained_for_its_terms(batch):
    recipe, state, ((after, judged), (moved, drawn)) = _run('cyclegan', batch)
    assert _moved(state, after) == {'discriminator', 'inverse_discriminator'}
    assert _moved(state, moved) == {'generator', 'inverse'}
    source, target = batch['image'][0::2], batch['image'][1::2]
    draw = {name: partial(_apply, recipe, name, own.variables) for name, own in state.networks.items()}
    there, back = draw['generator'](source), draw['inverse'](target)
    cycle = jnp.abs(draw['inverse'](there) - source).mean() + jnp.abs(draw['generator'](back) - target).mean()
    identity = (
        jnp.abs(draw['generator'](target) - target).mean() + jnp.abs(draw['inverse'](source) - source).mean()
    )
    np.testing.assert_allclose(drawn['cycle_loss'], cycle, rtol=1e-5)
    np.testing.assert_allclose(drawn['identity_loss'], identity, rtol=1e-5)
    for judge, prefix, real, fake in (
        ('discriminator', '', target, there),
        ('inverse_discriminator', 'inverse_', source, back),
    ):
        real_logits, fake_logits = draw[judge](real).logits, draw[judge](fake).logits
        expected = jnp.square(real_logits - 1).mean() + jnp.square(fake_logits).mean()
        np.testing.assert_allclose(judged[f'{prefix}discriminator_loss'], expected, rtol=1e-5)
        np.testing.assert_allclose(drawn[f'{prefix}generator_loss'], jnp.square(fake_logits - 1).mean(), rtol=1e-5)
        pool = after.networks[judge].model_state['pool']
        assert int(pool['count']) == 2
        np.testing.assert_allclose(pool['images'][:2], fake, rtol=1e-6)


def test_the_step_descends_along_all_terms(batch):
    recipe, state, (_, (after, _)) = _run('cyclegan', batch)

    def total(params):
        networks = {name: partial(_apply, recipe, name, {'params': own}) for name, own in params.items()}
        judges = {name: partial(_apply, recipe, name, own.variables) for name, own in state.networks.items()}
        source, target = batch['image'][0::2], batch['image'][1::2]
        loss = 0.0
        for there, back, judge, x, y in (
            ('generator', 'inverse', 'discriminator', source, target),
            ('inverse', 'generator', 'inverse_discriminator', target, source),
        ):
            fake = networks[there](x)
            loss += jnp.square(judges[judge](fake).logits - 1).mean()
            loss += 10 * jnp.abs(networks[back](fake) - x).mean() + 5 * jnp.abs(networks[there](y) - y).mean()
        return loss

    params = {name: state.networks[name].params for name in ('generator', 'inverse')}
    gradients = jax.grad(total)(params)
    for name, own in gradients.items():
        for field, gradient in own.items():
            moved = after.networks[name].params[field] - params[name][field]
            np.testing.assert_allclose(moved, -0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_edges_of_the_source_can_be_asked_for_in_both_directions(batch):
    recipe = dataclasses.replace(
        translators.create_recipe('cyclegan'), options={**translators.OPTIONS, 'gradient_weight': 3.0}
    )
    state = translators.create_start(recipe, FAMILIES['cyclegan'].inputs)
    _, update = recipe.create_updates(recipe)
    given = Given(state, batch, jax.random.key(1), small.controls())
    params = {name: state.networks[name].params for name in ('generator', 'inverse')}
    with_edges, found = update.loss(params, given, None, penalised=False)
    _, plain = translators.create_recipe('cyclegan').create_updates(translators.create_recipe('cyclegan'))
    without, _ = plain.loss(params, given, None, penalised=False)
    expected = sum(
        1 - gradient_correlation(_apply(recipe, name, {'params': params[name]}, images), images)
        for name, images in (('generator', batch['image'][0::2]), ('inverse', batch['image'][1::2]))
    )
    np.testing.assert_allclose(found.metrics['gradient_loss'], expected, rtol=1e-5)
    np.testing.assert_allclose(with_edges - without, 3 * expected, rtol=1e-4)


def test_pix2pix_judges_pairs_and_is_told_the_truth(batch):
    recipe, state, ((_, judged), (_, drawn)) = _run('pix2pix', batch, loss='non_saturating')
    source, target = batch['image'][0::2], batch['image'][1::2]
    fake = recipe.networks['generator'].apply(state.networks['generator'].variables, source)
    real_logits, fake_logits = (
        _apply(recipe, 'discriminator', state.networks['discriminator'].variables, pair).logits
        for pair in (jnp.concatenate([source, image], axis=-1) for image in (target, fake))
    )
    expected = jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()
    np.testing.assert_allclose(judged['discriminator_loss'], expected, rtol=1e-5)
    np.testing.assert_allclose(drawn['supervised_loss'], jnp.abs(fake - target).mean(), rtol=1e-5)


def test_targets_are_the_classes_of_the_batch_in_another_order():
    labels = jnp.asarray([0, 0, 1, 2, 2, 2], jnp.int32)
    orders = np.stack([choose_classes(labels, jax.random.key(number)) for number in range(200)])
    assert (np.sort(orders, axis=1) == np.asarray(labels)).all()
    shares = (orders == 2).mean(axis=0)  # of half of the labels, at every place
    assert np.abs(shares - 0.5).max() < 0.15


def test_stargan_is_trained_for_its_terms(batch):
    recipe, state, ((after, judged), (moved, drawn)) = _run('stargan', batch, loss='wasserstein')
    assert _moved(state, after) == {'discriminator'}
    assert _moved(state, moved) == {'generator'}
    images, labels = batch['image'], batch['label']
    keys = jax.random.split(jax.random.key(1), 2)  # of the two updates, each made by itself
    discriminator, generator = (state.networks[name] for name in ('discriminator', 'generator'))

    def become(params, seen, classes):
        return recipe.networks['generator'].apply({'params': params}, seen, classes)

    def verdict(params, seen):
        return _apply(recipe, 'discriminator', {'params': params}, seen)

    def entropy(logits, classes):
        return -jax.nn.log_softmax(logits)[jnp.arange(len(classes)), classes].mean()

    shown = choose_classes(labels, jax.random.split(keys[0])[0])
    real, fake = (
        verdict(discriminator.params, seen) for seen in (images, become(generator.params, images, shown))
    )
    np.testing.assert_allclose(
        judged['discriminator_loss'], fake.logits.mean() - real.logits.mean(), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(judged['real_class_loss'], entropy(real.class_logits, labels), rtol=1e-5)
    wanted = choose_classes(labels, keys[1])

    def total(params):
        fake = become(params, images, wanted)
        said = verdict(discriminator.params, fake)
        cycle = jnp.abs(become(params, fake, labels) - images).mean()
        return -said.logits.mean() + entropy(said.class_logits, wanted) + 10 * cycle, cycle

    gradients, cycle = jax.grad(total, has_aux=True)(generator.params)
    np.testing.assert_allclose(drawn['cycle_loss'], cycle, rtol=1e-5)
    for name, gradient in gradients.items():
        step = moved.networks['generator'].params[name] - generator.params[name]
        np.testing.assert_allclose(step, -0.1 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('architecture', NAMES)
def test_pairs_of_logits_and_slopes_can_be_asked_for(architecture, batch):
    recipe = translators.create_recipe(architecture, 'relativistic', 'zero_centred_both')
    state = translators.create_start(recipe, FAMILIES[architecture].inputs)
    step = jax.jit(create_cycle(recipe)[0])
    after, metrics = step(state, batch, jax.random.key(1), small.controls())
    assert float(metrics['penalty']) > 0
    assert int(after.skipped) == 0


@pytest.mark.slow
@pytest.mark.parametrize('architecture', ['cyclegan', 'stargan'])
def test_two_devices_give_what_one_gives(architecture):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
    environment['XLA_FLAGS'] = f'{environment.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count=2'
    done = subprocess.run(
        [sys.executable, '-m', 'tests.gan.families.translated_on_two', architecture],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    devices, difference, moved = done.stdout.split()[-3:]
    assert devices == '2'
    assert float(difference) < 1e-6 < 1e-2 < float(moved)


def test_the_learning_rate_stays_for_half_the_time_and_falls_to_zero_in_a_line():
    config = small.small_config(
        'cyclegan',
        anneal__images=400,
        anneal__shape='linear',
        anneal__constant=0.5,
        anneal__learning_rate=0.0,
        anneal__b2=0.999,
        optimizer__generator_learning_rate=0.01,
        schedule__stable_images=400,
    )
    annealing = create_recipe(config).annealing
    values = [float(annealing.between(0.01, 0.0, seen)) for seen in (0, 100, 200, 300, 400, 500)]
    np.testing.assert_allclose(values, [0.01, 0.01, 0.01, 0.005, 0.0, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'discriminator__layers': 2}, r'config\.discriminator\.layers is 2, but 8 pixels halved so often'),
        ({'augment__operations': ('flip',)}, r"config\.augment\.operations is .* 'cyclegan' works only with"),
        ({'mask_classes': 1}, r"config\.mask_classes is 1, but architecture 'cyclegan' works only with 0"),
        ({'conditional': True}, r'config\.conditional is True'),
        (
            {'architecture': 'stargan', 'conditional': False},
            r'config\.conditional is False',
        ),
        ({'architecture': 'stargan', 'discriminator__layers': 3}, 'halved so often are fewer than 2'),
        (
            {'anneal__images': 40, 'anneal__learning_rate': 0.0, 'schedule__stable_images': 80},
            r'config\.anneal\.learning_rate is 0 from 40 images on .* the schedule has 80',
        ),
    ],
)
def test_what_cannot_be_is_refused(changes, expected):
    with pytest.raises(UserError, match=expected):
        create_recipe(small.small_config(**{'architecture': 'cyclegan', **changes})).stages(num_examples=1)
