"""What the families compute, against closed forms and independent references."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import mutual_info_score

from gan.families import choose_labelled
from gan.families.aae import known_class_loss
from gan.families.infogan import category_information, continuous_information, traverse
from gan.layers import upsample
from gan.networks.codes import split_codes
from gan.networks.laplacian import build_pyramid, low_passes, rebuild, sides_of
from gan.recipe import create_recipe
from gan.updates import Given
from tests.gan.families import small


def test_the_category_bound_is_the_mutual_information_where_q_is_the_posterior():
    """Of a channel with known counts: rows are categories, equally frequent; columns are what is seen."""
    counts = np.asarray([[6, 2, 0, 4], [1, 7, 4, 0], [3, 3, 3, 3]])
    categories, seen = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    posterior = counts / counts.sum(axis=0)
    with np.errstate(divide='ignore'):
        logits = np.maximum(np.log(posterior), -1e4)[:, seen].T + 5.0  # a constant changes nothing
    bound = category_information(jnp.asarray(logits, jnp.float32), jnp.asarray(categories, jnp.int32))
    np.testing.assert_allclose(bound, mutual_info_score(None, None, contingency=counts), rtol=1e-5)
    worse = category_information(jnp.asarray(0.5 * logits, jnp.float32), jnp.asarray(categories, jnp.int32))
    assert worse < bound


def test_the_continuous_bound_is_its_definition():
    codes = np.linspace(-1, 1, 6).reshape(3, 2)
    means, log_deviations = 0.5 * codes + 0.1, np.asarray([[-1.0, 0.2]] * 3)
    densities = scipy.stats.norm.logpdf(codes, means, np.exp(log_deviations))
    expected = densities.sum(axis=1).mean() + 2 * np.log(2)
    told = continuous_information(*(jnp.asarray(x, jnp.float32) for x in (means, log_deviations, codes)))
    np.testing.assert_allclose(told, expected, rtol=1e-5)


def test_every_category_has_its_share_of_the_latents():
    latents = jax.random.uniform(jax.random.key(0), (6000, 9), minval=-1.0, maxval=1.0)
    codes = split_codes(latents, categories=6, continuous=2)
    assert (codes.noise.shape, codes.continuous.shape) == ((6000, 6), (6000, 2))
    shares = np.bincount(codes.categories, minlength=6)
    assert scipy.stats.chisquare(shares).pvalue > 1e-3
    ends = jnp.asarray([[0.0, -1.0], [0.0, 0.9999999], [0.0, 0.0]], jnp.float32)
    assert split_codes(ends, 4, 0).categories.tolist() == [0, 3, 2]


def test_a_pyramid_rebuilds_its_image():
    images = jax.random.uniform(jax.random.key(0), (2, 64, 64, 3), minval=-1.0, maxval=1.0)
    pyramid = build_pyramid(images, coarsest=8)
    assert [level.shape[1] for level in pyramid] == [8, 16, 32, 64] == list(sides_of(64, 8))
    np.testing.assert_allclose(rebuild(pyramid), images, atol=1e-6)
    np.testing.assert_allclose(pyramid[0], np.asarray(images).reshape(2, 8, 8, 8, 8, 3).mean((2, 4)), atol=1e-6)
    assert not np.allclose(rebuild((pyramid[0], *(0 * level for level in pyramid[1:]))), images, atol=0.1)


@pytest.mark.slow
def test_levels_are_chained_when_they_draw_and_apart_when_they_train():
    _, step, state = small.start(small.small_config('lapgan', side=16))
    generator, params = step.generator, state.networks['generator'].params
    latents = jax.random.normal(jax.random.key(1), (2, generator.latent_size))
    labels = jnp.zeros((2,), jnp.int32)
    assert generator.latent_size == 8 + 8**2 + 16**2
    image = generator.apply({'params': params}, latents, labels)
    # Drawn on what the levels below drew, the levels apart are the chain.
    below = [jnp.zeros((2, side, side, 1)) for side in (4, 8, 16)]
    for level in range(3):
        below[level] = generator.apply({'params': params}, latents, labels, real=tuple(below))[level]
    np.testing.assert_allclose(below[-1], image, atol=1e-6)

    def finest(params):
        real = low_passes(small.create_batch(16, 2)['image'], 4)
        return jnp.square(generator.apply({'params': params}, latents, labels, real=real)[-1]).sum()

    norms = {
        name: sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(own))
        for name, own in jax.grad(finest)(params).items()
    }
    assert norms['4x4'] == norms['8x8'] == 0
    assert norms['16x16'] > 0


def test_a_level_adds_to_the_enlarged_one_below():
    _, step, state = small.start(small.small_config('lapgan'))
    params = state.networks['generator'].params
    silent = {**params, '8x8': jax.tree.map(jnp.zeros_like, params['8x8'])}
    latents, labels = jnp.ones((2, step.generator.latent_size)), jnp.zeros((2,), jnp.int32)
    real = low_passes(small.create_batch(count=2)['image'], 4)
    drawn = step.generator.apply({'params': silent}, latents, labels, real=real)
    np.testing.assert_array_equal(drawn[1], upsample(real[0]))


def test_labels_stay_known_evenly_by_class():
    labels = np.asarray([0] * 50 + [1] * 30 + [2] * 5 + [-1] * 15, np.int32)
    hidden = choose_labelled(labels, 9, seed=4)
    known = hidden >= 0
    np.testing.assert_array_equal(hidden[known], labels[known])
    assert np.bincount(hidden[known]).tolist() == [3, 3, 3]
    more = choose_labelled(labels, 25, seed=4)
    assert np.bincount(more[more >= 0]).tolist() == [10, 10, 5]
    np.testing.assert_array_equal(hidden, choose_labelled(labels, 9, seed=4))
    assert (hidden != choose_labelled(labels, 9, seed=5)).any()


def test_the_class_loss_is_that_of_known_labels():
    logits = np.asarray([[2.0, 0.0], [0.0, 3.0], [5.0, 0.0], [0.0, 1.0]])
    loss, wrong = known_class_loss(jnp.asarray(logits, jnp.float32), jnp.asarray([0, 0, -1, -1], jnp.int32))
    np.testing.assert_allclose(loss, (np.log1p(np.exp(-2)) + np.log1p(np.exp(3))) / 2, rtol=1e-6)
    assert float(wrong) == 0.5
    unknown = known_class_loss(jnp.asarray(logits, jnp.float32), jnp.full((4,), -1, jnp.int32))
    assert [float(value) for value in unknown] == [0, 0]


def _given(state, batch):
    return Given(state, batch, jax.random.key(3), small.controls())


def _silence(state, *names):
    """The state with networks whose weights are all 0."""
    silent = {
        name: dataclasses.replace(
            state.networks[name], params=jax.tree.map(jnp.zeros_like, state.networks[name].params)
        )
        for name in names
    }
    return dataclasses.replace(state, networks={**state.networks, **silent})


@pytest.mark.parametrize(
    ('architecture', 'number', 'expected'), [('bigan', 0, 2), ('bigan', 1, 2), ('lapgan', 0, 4)]
)
def test_undecided_discriminators_cost_log_two_for_each_verdict(architecture, number, expected):
    """Two verdicts a discriminator; two levels in the pyramid of 8 pixels."""
    _, step, state = small.start(small.small_config(architecture))
    update = step.create_updates(step)[number]
    given = _given(_silence(state, 'discriminator'), small.create_batch())
    params = {name: given.state.networks[name].params for name in update.trains}
    loss, _ = jax.jit(lambda params: update.loss(params, given, update.show(given), penalised=False))(params)
    np.testing.assert_allclose(loss, expected * np.log(2), rtol=1e-5)


@pytest.mark.slow
def test_the_phases_of_an_autoencoder_do_what_they_are_for():
    config = small.small_config('aae', optimizer__generator_learning_rate=3e-3, conditional=True)
    _, step, state = small.start(config)
    reconstruct, judge, deceive = small.make_updates(step)
    batch = small.create_batch()

    def repeat(make, state, times):
        told = []
        for number in range(times):
            state, metrics = make(state, batch, jax.random.key(number), small.controls())
            told.append(metrics)
        return state, told

    _, told = repeat(reconstruct, state, 200)
    assert told[-1]['reconstruction'] < 0.8 * told[0]['reconstruction']
    assert told[-1]['real_class_loss'] < 0.5 * told[0]['real_class_loss']
    judged, told = repeat(judge, state, 60)
    assert told[-1]['discriminator_loss'] < told[0]['discriminator_loss']
    _, told = repeat(deceive, judged, 60)
    assert told[-1]['generator_loss'] < told[0]['generator_loss']
    assert told[-1]['class_generator_loss'] < told[0]['class_generator_loss']


def test_a_traversal_changes_one_code_alone():
    config = small.small_config('infogan', family__categories=4, family__continuous=2)
    gan = create_recipe(config)
    generator = gan.generator_at(gan.resolution, gan.image_format(0))
    latents = np.random.default_rng(0).uniform(-1, 1, (2, generator.latent_size)).astype(np.float32)
    rows = traverse(generator, latents)
    assert len(rows) == 2 + 2
    for number in (1, 2):
        codes = split_codes(jnp.asarray(rows[f'categories, noise {number}']), 4, 2)
        assert codes.categories.tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(codes.noise, np.tile(latents[number - 1, :8], (4, 1)))
    codes = split_codes(jnp.asarray(rows['code 2 from -1 to 1']), 4, 2)
    np.testing.assert_allclose(codes.continuous[:, 1], np.linspace(-1, 1, 9), atol=1e-6)
    assert len(set(codes.categories.tolist())) == len(set(codes.continuous[:, 0].tolist())) == 1
