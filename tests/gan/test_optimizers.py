"""Optimisers: what is annealed follows their steps, each network has its side's learning rate."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan.annealing import Annealing
from gan.optimizers import create_optimizers

SIDES = {'generator': 'generator', 'encoder': 'generator', 'discriminator': 'discriminator'}
FIELDS = {
    'name': 'adam',
    'generator_learning_rate': 0.1,
    'discriminator_learning_rate': 0.2,
    'discriminator_steps': 2,
    'b1': 0.0,
    'b2': 0.5,
    'eps': 1e-12,
    'discriminator_limit': 0.0,
}
ANNEALING = Annealing(100, 0.1, 0.5, 0.0, 1.0, (0.0, 0.0), 'cosine', 0.0)


def _steps(optimizer, count):
    """Lengths of steps under a gradient of 1: the learning rate itself, by Adam."""
    params = jnp.zeros(())
    state, lengths = optimizer.init(params), []
    for _ in range(count):
        step, state = optimizer.update(jnp.ones(()), state, params)
        lengths.append(-float(step))
    return np.asarray(lengths)


def test_every_network_has_the_learning_rate_of_its_side():
    optimizers = create_optimizers(SIDES, None, 10, **FIELDS)
    rates = {name: _steps(optimizer, 3) for name, optimizer in optimizers.items()}
    for name, rate in (('generator', 0.1), ('encoder', 0.1), ('discriminator', 0.2)):
        np.testing.assert_allclose(rates[name], rate, rtol=1e-5)


def test_the_learning_rate_falls_along_half_a_cosine_of_the_images():
    """Ten images a step: the generator, which moves in each second, gets on twice as fast."""
    optimizers = create_optimizers(SIDES, ANNEALING, 10, **FIELDS)
    discriminator, generator = (_steps(optimizers[name], 12) for name in ('discriminator', 'generator'))
    expected = 0.1 + 0.9 * (1 + np.cos(np.pi * np.minimum(np.arange(12) / 10, 1))) / 2
    np.testing.assert_allclose(discriminator / 0.2, expected, rtol=1e-5)
    np.testing.assert_allclose(generator[:6] / 0.1, expected[::2], rtol=1e-5)
    np.testing.assert_allclose(generator[6:] / 0.1, 0.1, rtol=1e-5)


def test_b2_is_annealed():
    """After gradients 1 and 3, with b2 of 0.9 and of 0.7; the correction is that of the last."""
    annealing = Annealing(20, 1.0, 0.9, 0.0, 1.0, (0.0, 0.0), 'cosine', 0.0)
    optimizer = create_optimizers(SIDES, annealing, 10, **FIELDS)['discriminator']
    state = optimizer.init(jnp.zeros(()))
    _, state = optimizer.update(jnp.ones(()), state)
    step, _ = optimizer.update(jnp.full((), 3.0), state)
    half_way = 0.7  # between 0.9 and 0.5
    mean = (half_way * (1 - 0.9) + (1 - half_way) * 9) / (1 - half_way**2)
    np.testing.assert_allclose(-float(step), 0.2 * 3 / np.sqrt(mean), rtol=1e-5)


def test_rmsprop_with_clipped_weights():
    """Its first step is the rate over sqrt(1 - decay); the generator is not clipped."""
    fields = FIELDS | {'name': 'rmsprop', 'b2': 0.99, 'discriminator_limit': 0.5}
    optimizers = create_optimizers(SIDES, None, 10, **fields)
    for name, expected in (('generator', -1.0), ('discriminator', -0.5)):
        params = jnp.zeros(())
        step, _ = optimizers[name].update(jnp.ones(()), optimizers[name].init(params), params)
        np.testing.assert_allclose(optax.apply_updates(params, step), expected, rtol=1e-5)


@pytest.mark.parametrize(('seen', 'expected'), [(0, 4.0), (25, 3.7071068), (50, 3.0), (100, 2.0), (1e9, 2.0)])
def test_between_start_and_end(seen, expected):
    np.testing.assert_allclose(ANNEALING.between(4.0, 2.0, jnp.float32(seen)), expected, rtol=1e-6)
