"""Every loss and penalty makes a finite step; each update moves the right network only."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan import state as states
from gan.layers import power_iteration
from gan.losses import GENERATOR_LOSSES
from gan.step import Averaging, create_cycle
from tests.gan import nets

FROZEN = optax.set_to_zero()


def _same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _step(networks, optimizers=nets.ADAM, objective=None, batch=None, **options):
    state, (step, *_) = nets.create_training(networks, optimizers, objective)
    after, metrics = step(state, batch or nets.create_batch(8), jax.random.key(1), nets.controls(**options))
    return state, after, metrics


@pytest.mark.parametrize('name', sorted(GENERATOR_LOSSES))
@pytest.mark.parametrize('penalty', ['gradient', 'zero_centred', 'none'])
@pytest.mark.parametrize('attention', [0, 8])
def test_every_loss_and_penalty_makes_a_finite_step(name, penalty, attention):
    networks = nets.create_networks(8, attention=attention, chunk=4)
    before, after, metrics = _step(networks, objective=nets.create_objective(name, penalty))
    assert all(np.isfinite(value) for value in metrics.values())
    assert ('penalty' in metrics) == (penalty != 'none')
    assert int(after.skipped) == 0
    assert not _same(before.generator.params, after.generator.params)
    assert not _same(before.discriminator.params, after.discriminator.params)


def test_the_generators_update_leaves_the_discriminator_alone():
    before, after, _ = _step(nets.create_networks(8), (nets.ADAM[0], FROZEN))
    assert _same(before.discriminator.params, after.discriminator.params)
    assert not _same(before.generator.params, after.generator.params)


def test_the_discriminators_update_leaves_the_generator_alone():
    before, after, _ = _step(nets.create_networks(8), (FROZEN, nets.ADAM[1]))
    assert _same(before.generator.params, after.generator.params)
    assert not _same(before.discriminator.params, after.discriminator.params)


def test_power_iteration_moves_once_per_discriminator_update():
    before, after, _ = _step(nets.create_networks(8))
    kernel = before.discriminator.params['8x8_conv0']['kernel']
    u = before.discriminator.model_state['spectral']['8x8_conv0']['u']
    expected = power_iteration(kernel.reshape(-1, kernel.shape[-1]), u)
    moved = after.discriminator.model_state['spectral']['8x8_conv0']['u']
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(moved - u).max() > 1e-6


def test_the_penalty_enters_each_nth_step():
    objective = nets.create_objective(every=3)
    state, cycle = nets.create_training(nets.create_networks(8), objective=objective)
    names = [
        'penalty' in step(state, nets.create_batch(8), jax.random.key(0), nets.controls())[1] for step in cycle
    ]
    assert names == [True, False, False]


def test_a_lazy_penalty_is_as_many_times_stronger():
    networks = nets.create_networks(8)
    norms = []
    for every in (1, 4):
        objective = nets.create_objective('wasserstein', 'zero_centred', every)
        objective = objective.__class__(**{**vars(objective), 'penalty_weight': 40.0 / every})
        norms.append(_step(networks, objective=objective)[2]['discriminator_gradient_norm'])
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-6)


def test_updates_that_are_not_finite_are_skipped_and_counted():
    bad = nets.create_batch(8)
    bad['image'] = bad['image'].at[0].set(np.nan)
    networks = nets.create_networks(8)
    state, (step,) = nets.create_training(networks)
    before = state
    for number in (1, 2):
        state, metrics = step(state, bad, jax.random.key(number), nets.controls())
        assert int(metrics['skipped_in_a_row']) == number
    assert _same(before.discriminator, state.discriminator)
    assert not _same(before.generator.params, state.generator.params)  # its own gradient was finite
    state, _ = step(state, nets.create_batch(8), jax.random.key(9), nets.controls())
    assert (int(state.skipped), int(state.skipped_in_a_row)) == (2, 0)
    assert not _same(before.discriminator.params, state.discriminator.params)


def test_the_running_mean_halves_a_weights_share_in_its_half_life():
    decay = states.ema_decay(25, jnp.float32(10_000), 100.0, 0.0)
    np.testing.assert_allclose(decay**4, 0.5, rtol=1e-5)
    early = states.ema_decay(25, jnp.float32(1_000), 100.0, 0.05)
    np.testing.assert_allclose(early**2, 0.5, rtol=1e-5)
    mean = states.update_ema({'a': jnp.zeros(2)}, {'a': jnp.ones(2)}, 0.75)
    np.testing.assert_allclose(mean['a'], 0.25)


def test_the_step_follows_the_running_mean():
    networks = nets.create_networks(8)
    state = states.create_state(*networks, nets.ADAM, jax.random.key(0))
    (step,) = create_cycle(*networks, nets.ADAM, nets.create_objective(), Averaging(8.0, 0.0))
    after, _ = jax.jit(step)(state, nets.create_batch(8), jax.random.key(0), nets.controls())
    for mean, old, new in zip(
        *(jax.tree.leaves(t) for t in (after.ema_params, state.ema_params, after.generator.params)), strict=True
    ):
        np.testing.assert_allclose(mean, (old + new) / 2, rtol=1e-5, atol=1e-6)


def test_the_same_key_gives_the_same_step_and_another_does_not():
    networks = nets.create_networks(8)
    state, (step,) = nets.create_training(networks)
    runs = [step(state, nets.create_batch(8), jax.random.key(k), nets.controls())[0] for k in (1, 1, 2)]
    assert _same(runs[0], runs[1])
    assert not _same(runs[0].generator.params, runs[2].generator.params)
