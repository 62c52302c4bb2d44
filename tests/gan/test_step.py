"""Every loss and penalty makes a finite step; each update moves the right network only, and when it should."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan import state as states
from gan.annealing import Annealing
from gan.layers import power_iteration
from gan.losses import LOSSES
from gan.objective import PENALTIES
from gan.step import Averaging, create_cycle
from tests.gan import nets

# With the rate in the state, one compiled step serves networks that learn and networks that are frozen.
SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=0.01)
# Networks with all that may stand in the way of a penalty, and with all that may not.
SPECIAL = {
    ('progressive', 'gradient'): {
        'generator': {'attention_resolution': 8, 'attention_chunk': 4},
        'discriminator': {'attention_resolution': 8, 'attention_chunk': 4},
    },
    ('dcgan', 'none'): {'discriminator': {'layers': 2, 'batch_norm': True}},
    ('residual', 'none'): {
        'generator': {'spectral_norm': True, 'attention_resolution': 8},
        'discriminator': {'spectral_norm': True, 'attention_resolution': 8},
        'num_classes': 2,
        'condition': 'auxiliary',
    },
    ('biggan', 'none'): {'generator': {'attention_resolution': 8}, 'num_classes': 2},
}


# Discriminators of other architectures are made of the same layers: each meets what it is trained for.
_MEETING = ('dcgan', 'progressive', 'residual')
_OWN = [
    ('biggan', 'hinge', 'none'),
    ('gran', 'non_saturating', 'none'),
    ('stylegan', 'relativistic', 'zero_centred_fake'),
    ('stylegan2', 'non_saturating', 'zero_centred'),
]


def _meetings():
    """Triples in which every architecture meets every penalty, and every loss two or three of either.

    Penalties see the critic, and losses its logits only: neither knows of architectures.
    """
    names = itertools.cycle(sorted(LOSSES))
    for architecture, penalty in itertools.product(_MEETING, PENALTIES):
        yield architecture, next(names), penalty
    yield from _OWN


def _same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _step(recipe, batch=None, **options):
    state, (step, *_) = nets.create_training(recipe)
    after, metrics = step(state, batch or nets.create_batch(8), jax.random.key(1), nets.controls(**options))
    return state, after, metrics


def _freeze(state, name):
    """The state with a learning rate of 0 for one network."""
    network = state.networks[name]
    opt_state = network.opt_state._replace(hyperparams={'learning_rate': jnp.float32(0)})
    frozen = dataclasses.replace(network, opt_state=opt_state)
    return dataclasses.replace(state, networks={**state.networks, name: frozen})


@pytest.mark.slow
@pytest.mark.parametrize(('architecture', 'loss', 'penalty'), list(_meetings()))
def test_every_loss_and_penalty_makes_a_finite_step_and_moves_the_right_network(architecture, loss, penalty):
    special = SPECIAL.get((architecture, penalty), {})
    recipe = nets.create_recipe(
        architecture, objective=nets.create_objective(loss, penalty), optimizers=(SGD, SGD), **special
    )
    state, (step,) = nets.create_training(recipe)
    batch = nets.create_batch(8, num_classes=recipe.generator.num_classes)

    def moved(before):
        after, metrics = step(before, batch, jax.random.key(1), nets.controls())
        assert all(np.isfinite(value) for value in metrics.values())
        assert int(after.skipped) == 0
        assert ('penalty' in metrics) == (penalty != 'none')
        assert ('real_class_loss' in metrics) == (special.get('condition') == 'auxiliary')
        networks = before.networks
        return {name for name in networks if not _same(networks[name].params, after.networks[name].params)}

    assert moved(state) == {'generator', 'discriminator'}
    assert moved(_freeze(state, 'generator')) == {'discriminator'}
    assert moved(_freeze(state, 'discriminator')) == {'generator'}


def test_power_iteration_moves_once_per_discriminator_update():
    before, after, _ = _step(nets.create_recipe())
    kernel = before.networks['discriminator'].params['8x8_conv0']['kernel']
    u = before.networks['discriminator'].model_state['spectral']['8x8_conv0']['u']
    expected = power_iteration(kernel.reshape(-1, kernel.shape[-1]), u)
    moved = after.networks['discriminator'].model_state['spectral']['8x8_conv0']['u']
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(moved - u).max() > 1e-6


@pytest.mark.parametrize(
    ('every', 'discriminator_steps', 'penalties', 'generators'),
    [
        (1, 1, '1', '1'),
        (3, 1, '100', '111'),
        (1, 3, '111', '001'),
        (2, 3, '101010', '001001'),
    ],
)
def test_the_penalty_enters_and_the_generator_learns_when_they_should(
    every, discriminator_steps, penalties, generators
):
    recipe = nets.create_recipe(
        'dcgan', objective=nets.create_objective(penalty_every=every), discriminator_steps=discriminator_steps
    )
    arguments = (
        nets.create_start(recipe, jax.random.key(0)),
        nets.create_batch(8),
        jax.random.key(0),
        nets.controls(),
    )
    logged = [jax.eval_shape(step, *arguments)[1] for step in create_cycle(recipe)]
    assert ['penalty' in metrics for metrics in logged] == [mark == '1' for mark in penalties]
    assert ['generator_loss' in metrics for metrics in logged] == [mark == '1' for mark in generators]


def test_without_a_penalty_nothing_waits_for_it():
    recipe = nets.create_recipe(objective=nets.create_objective(penalty='none', penalty_every=16))
    assert len(create_cycle(recipe)) == 1


@pytest.mark.slow
def test_a_lazy_penalty_is_as_many_times_stronger():
    norms = []
    for every in (1, 4):
        objective = nets.create_objective(penalty='zero_centred', penalty_every=every, penalty_weight=40.0 / every)
        norms.append(_step(nets.create_recipe('dcgan', objective=objective))[2]['discriminator_gradient_norm'])
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-6)


@pytest.mark.slow
def test_with_three_discriminator_steps_the_generator_and_its_mean_move_in_every_third():
    """The mean with the weight of the images of all three: their half-life here."""
    recipe = nets.create_recipe(
        'dcgan',
        objective=nets.create_objective(penalty='none'),
        discriminator_steps=3,
        averaging=Averaging(3 * 8.0, 0.0),
    )
    state, cycle = nets.create_training(recipe)
    for number in range(6):
        before = state
        state, _ = cycle[number % 3](
            state, nets.create_batch(8, seed=number), jax.random.key(number), nets.controls()
        )
        assert not _same(before.networks['discriminator'].params, state.networks['discriminator'].params)
        due = number % 3 == 2
        # All of it: parameters, batch statistics and the optimiser's moments.
        assert (
            _same((before.networks['generator'], before.averages), (state.networks['generator'], state.averages))
            != due
        )
        if due:
            _assert_mean(
                state.averages['generator']['params'],
                before.averages['generator']['params'],
                state.networks['generator'].params,
            )


def _assert_mean(mean, *parts):
    for middle, *ends in zip(jax.tree.leaves(mean), *map(jax.tree.leaves, parts), strict=True):
        np.testing.assert_allclose(middle, sum(ends) / len(ends), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_running_mean_has_batch_statistics_of_its_own_and_is_evaluated_with_them():
    """A mean that stays where it started, while the generator that is trained moves far away."""
    recipe = nets.create_recipe(
        'residual',
        objective=nets.create_objective('hinge', 'none'),
        optimizers=(optax.adam(0.05), optax.adam(1e-3)),
        averaging=Averaging(1e12, 0.0),
    )
    state, (step,) = nets.create_training(recipe)
    for number in range(80):
        batch = nets.create_batch(8, count=32, seed=number)
        state, _ = step(state, batch, jax.random.key(number), nets.controls())
    latents, labels = jax.random.normal(jax.random.key(0), (512, nets.LATENTS)), jnp.zeros((512,), jnp.int32)
    draw = jax.jit(functools.partial(recipe.generator.apply, alpha=1.0))
    evaluated = draw(state.averaged('generator'), latents, labels)

    # In training mode, by the statistics of this batch.
    options = {'update_stats': True, 'mutable': ['batch_stats']}
    own, _ = recipe.generator.apply(state.averaged('generator'), latents, labels, **options)
    trained = draw(state.averaged('generator') | state.networks['generator'].model_state, latents, labels)
    assert np.abs(evaluated - own).mean() < 0.2 * np.abs(trained - own).mean()

    other = jax.tree.map(lambda leaf: leaf + 1, state.networks['generator'])
    unmoved = dataclasses.replace(state, networks={**state.networks, 'generator': other}).averaged('generator')
    np.testing.assert_array_equal(draw(unmoved, latents, labels), evaluated)


def test_updates_that_are_not_finite_are_skipped_and_counted():
    bad = nets.create_batch(8)
    bad['image'] = bad['image'].at[0].set(np.nan)
    state, (step,) = nets.create_training(nets.create_recipe())
    before = state
    for number in (1, 2):
        state, metrics = step(state, bad, jax.random.key(number), nets.controls())
        assert int(metrics['skipped_in_a_row']) == number
    assert _same(before.networks['discriminator'], state.networks['discriminator'])
    # The generator's own gradient was finite.
    assert not _same(before.networks['generator'].params, state.networks['generator'].params)
    state, _ = step(state, nets.create_batch(8), jax.random.key(9), nets.controls())
    assert (int(state.skipped), int(state.skipped_in_a_row)) == (2, 0)
    assert not _same(before.networks['discriminator'].params, state.networks['discriminator'].params)


def test_the_running_mean_halves_a_weights_share_in_its_half_life():
    decay = states.ema_decay(25, jnp.float32(10_000), 100.0, 0.0)
    np.testing.assert_allclose(decay**4, 0.5, rtol=1e-5)
    early = states.ema_decay(25, jnp.float32(1_000), 100.0, 0.05)
    np.testing.assert_allclose(early**2, 0.5, rtol=1e-5)
    mean = states.update_ema({'a': jnp.zeros(2)}, {'a': jnp.ones(2)}, 0.75)
    np.testing.assert_allclose(mean['a'], 0.25)


def test_the_same_key_gives_the_same_step_and_another_does_not():
    state, (step,) = nets.create_training(nets.create_recipe())
    runs = [step(state, nets.create_batch(8), jax.random.key(k), nets.controls())[0] for k in (1, 1, 2)]
    assert _same(runs[0], runs[1])
    assert not _same(runs[0].networks['generator'].params, runs[2].networks['generator'].params)


@pytest.mark.slow
def test_both_sides_of_a_loss_of_pairs_have_real_images_of_their_own():
    """Of a batch twice as large, the discriminator takes the even rows and the generator the odd ones."""
    objective = nets.create_objective('relativistic', 'zero_centred_both')
    recipe = nets.create_recipe('residual', objective=objective)
    state, (step,) = nets.create_training(recipe)
    batch = nets.create_batch(8, count=16)

    def metrics(rows):
        changed = {**batch, 'image': batch['image'].at[rows].multiply(-0.5)}
        after, told = step(state, changed, jax.random.key(1), nets.controls())
        return float(told['discriminator_loss']), float(told['generator_loss']), after

    as_it_is, odd, even = metrics(jnp.arange(0)), metrics(jnp.arange(1, 16, 2)), metrics(jnp.arange(0, 16, 2))
    assert odd[0] == as_it_is[0]
    assert odd[1] != as_it_is[1]
    assert even[0] != as_it_is[0]
    assert not _same(as_it_is[2].networks['generator'].params, odd[2].networks['generator'].params)
    assert _same(as_it_is[2].networks['discriminator'].params, odd[2].networks['discriminator'].params)


@pytest.mark.slow
def test_penalties_by_differences_are_computed_in_full_precision():
    """In half precision two logits that lie close are often equal, and the slope 0 or far too large."""
    penalties = []
    for dtype in (jnp.float32, jnp.bfloat16):
        objective = nets.create_objective('hinge', 'zero_centred_fake', penalty_slope='differences')
        recipe = nets.create_recipe('residual', objective=objective)
        discriminator = recipe.discriminator.clone(dtype=jnp.dtype(dtype))
        recipe = dataclasses.replace(recipe, networks={**recipe.networks, 'discriminator': discriminator})
        penalties.append(float(_step(recipe)[2]['penalty']))
    np.testing.assert_allclose(*penalties, rtol=1e-5)


@pytest.mark.slow
def test_what_is_annealed_follows_the_images_seen():
    """Half a cosine of 1,000 images: at 500 all is half way between start and end."""
    annealing = Annealing(1000, 1.0, 0.99, 0.0, 0.1, (0.0, 0.4), 'cosine', 0.0)
    objective = nets.create_objective('hinge', 'zero_centred', penalty_weight=1e6, drift_weight=0.0)
    recipe = nets.create_recipe('residual', objective=objective, annealing=annealing)
    whole = _step(recipe)[2]['discriminator_gradient_norm']
    for seen, share in ((0.0, 1.0), (500.0, 0.55), (1000.0, 0.1), (9000.0, 0.1)):
        _, after, metrics = _step(recipe, images_seen=seen)
        np.testing.assert_allclose(metrics['discriminator_gradient_norm'] / whole, share, rtol=1e-3)
        np.testing.assert_allclose(after.augmentation.probability, (1 - share) / 0.9 * 0.4, atol=1e-6)
