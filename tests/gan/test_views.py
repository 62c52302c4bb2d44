"""What the discriminator sees: noise, dropout, and augmentation whose probability follows it."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan.networks import DcganDiscriminator, DiscriminatorOutput
from gan.step import Adaptation, make_train_step
from tests.gan import nets

BATCH = 8


class _Probe(DcganDiscriminator):
    """Answers with the mean square of what it sees, plus what dropout drew."""

    @nn.compact
    def __call__(self, images, labels, alpha=1.0, update_stats=False):
        scale = self.param('scale', nn.initializers.ones, ())
        logits = scale * jnp.square(images).mean(axis=(1, 2, 3))
        if self.has_rng('dropout') and self.dropout:
            logits += jax.random.uniform(self.make_rng('dropout'))
        return DiscriminatorOutput(logits, jnp.zeros((len(logits), 0)))


def _probe(dropout=0.0, **changes):
    """What a step logs of white images, drawn ones, and those drawn for the generator's own update."""
    recipe = nets.create_recipe('dcgan', objective=nets.create_objective(penalty='none', **changes))
    fields = {name: getattr(recipe.discriminator, name) for name in DcganDiscriminator.__dataclass_fields__}
    probe = _Probe(**fields | {'dropout': dropout, 'parent': None})
    recipe = dataclasses.replace(recipe, networks={**recipe.networks, 'discriminator': probe})
    state, (step,) = nets.create_training(recipe)
    batch = nets.create_batch(8, count=256) | {'image': jnp.ones((256, 8, 8, 1))}
    _, metrics = step(state, batch, jax.random.key(0), nets.controls())
    return np.asarray([metrics['real_logits'], metrics['fake_logits'], -metrics['generator_loss']])


@pytest.mark.slow
def test_input_noise_is_on_all_that_the_discriminator_sees():
    clean, noisy = _probe(), _probe(input_noise=2.0)
    np.testing.assert_allclose(clean[0], 1, rtol=1e-6)
    np.testing.assert_allclose(noisy - clean, 4, rtol=0.1)


@pytest.mark.slow
def test_dropout_draws_anew_in_each_pass():
    drawn = _probe(dropout=0.5) - _probe()
    assert np.all((drawn > 0) & (drawn < 1))
    assert np.abs(np.diff(np.sort(drawn))).min() > 1e-3


def _adapt(recipe, draw_batch, steps, probability):
    """The probability before the first step and after each, and the last state."""
    step = jax.jit(make_train_step(recipe, with_penalty=False, with_generator=False))
    state, probabilities = nets.create_start(recipe, jax.random.key(0), probability), [probability]
    for number in range(steps):
        batch = {'image': draw_batch(state, number), 'label': jnp.zeros((BATCH,), jnp.int32)}
        state, metrics = step(state, batch, jax.random.key(number), nets.controls())
        probabilities.append(float(state.augmentation.probability))
        assert ('augmentation_probability' in metrics) == bool(recipe.augmentation.operations)
    return probabilities, state


def _adaptive_recipe(*operations):
    """Only the discriminator learns; the probability can go from 0 to 1 in 100 changes."""
    return nets.create_recipe(
        resolution=4,
        channels=3,
        objective=nets.create_objective('non_saturating', 'none', drift_weight=0.0),
        optimizers=(optax.set_to_zero(), optax.adam(1e-2, 0.0, 0.99)),
        operations=operations,
        adaptation=Adaptation(target=0.6, every=4, images=100 * 4 * BATCH),
        discriminator={'fmap_base': 128, 'fmap_max': 64, 'spectral_norm': False},
    )


@pytest.mark.slow
def test_augmentation_grows_against_a_discriminator_that_memorises_and_falls_otherwise():
    """Both see images by the generator itself, so that only repetition tells them from what is generated."""
    recipe = _adaptive_recipe('brightness')

    @jax.jit
    def draw(state, number):
        latents = jax.random.normal(jax.random.fold_in(jax.random.key(1), number), (BATCH, nets.LATENTS))
        return recipe.generator.apply(
            state.networks['generator'].variables, latents, jnp.zeros((BATCH,), jnp.int32)
        )

    fixed, state = _adapt(recipe, lambda state, number: draw(state, 0), 100, 0.5)
    fresh, _ = _adapt(recipe, draw, 100, 0.5)
    print(f'probability from 0.5: {fixed[-1]:.2f} on 8 images, {fresh[-1]:.2f} on fresh ones')
    assert fixed[-1] > 0.6
    assert fresh[-1] < 0.4
    # Part of the state, so that training that goes on starts from it.
    assert float(state.augmentation.probability) == fixed[-1]


def test_the_probability_decides_what_is_seen():
    seen = [_judged(_adaptive_recipe('brightness'), probability) for probability in (0.0, 1.0)]
    assert abs(seen[0] - seen[1]) > 1e-4


def test_without_operations_the_probability_changes_nothing():
    seen = [_judged(_adaptive_recipe(), probability) for probability in (0.0, 1.0)]
    assert seen[0] == seen[1]


def _judged(recipe, probability):
    """The mean logit of real images in the first step."""
    step = jax.jit(make_train_step(recipe, with_penalty=False, with_generator=False))
    state = nets.create_start(recipe, jax.random.key(0), probability)
    _, metrics = step(state, nets.create_batch(4, channels=3), jax.random.key(1), nets.controls())
    return float(metrics['real_logits'])
