"""A step in closed form: a generator that draws grey, and a discriminator that answers with the mean square."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan.networks import DcganDiscriminator, DiscriminatorOutput
from gan.step import Adaptation, Averaging
from tests.gan import nets

SIDE, OFFSET = 8, 0.01


class _MeanSquare(DcganDiscriminator):
    """Its logit is the mean square of an image, less an offset; white images have 1 - OFFSET."""

    @nn.compact
    def __call__(self, images, labels, alpha=1.0, update_stats=False):
        scale = self.param('scale', nn.initializers.ones, ())
        logits = scale * jnp.square(images).mean(axis=(1, 2, 3)) - OFFSET
        return DiscriminatorOutput(logits, jnp.zeros((len(logits), 0)))


def _make_step(*, probability=0.0, penalty='none', **changes):
    """What a step makes of white images, and what it logs; weights of 0 draw grey, whose mean square is 0."""
    objective = nets.create_objective('wasserstein', penalty, drift_weight=0.0)
    recipe = nets.create_recipe('dcgan', SIDE, objective=objective, **changes)
    fields = {name: getattr(recipe.discriminator, name) for name in DcganDiscriminator.__dataclass_fields__}
    judge = _MeanSquare(**fields | {'parent': None})
    recipe = dataclasses.replace(recipe, networks={**recipe.networks, 'discriminator': judge})
    state, (step,) = nets.create_training(recipe, probability=probability)
    generator = state.networks['generator']
    grey = dataclasses.replace(generator, params=jax.tree.map(jnp.zeros_like, generator.params))
    state = dataclasses.replace(state, networks={**state.networks, 'generator': grey})
    batch = {'image': jnp.ones((1, SIDE, SIDE, 1)), 'label': jnp.zeros((1,), jnp.int32)}
    return step(state, batch, jax.random.key(0), nets.controls())


@pytest.mark.slow
def test_reals_and_fakes_have_brightness_of_their_own():
    """And fakes in the generator's update one of theirs: of white b is the root less 1, of grey the root."""
    _, metrics = _make_step(probability=1.0, operations=('brightness',))
    squares = np.array([metrics['real_logits'], metrics['fake_logits'], -metrics['generator_loss']]) + OFFSET
    offsets = np.abs(np.sqrt(squares) - [1, 0, 0])
    assert np.all((offsets > 1e-3) & (offsets < 0.5))
    assert np.diff(np.sort(offsets)).min() > 1e-3


def test_the_zero_centred_penalty_is_of_reals():
    """The gradient of the mean square of n pixels is 2x / n, its square 4 / n of white, and 0 of grey."""
    _, metrics = _make_step(penalty='zero_centred')
    np.testing.assert_allclose(metrics['penalty'], 4 / SIDE**2 / 2, rtol=1e-5)


@pytest.mark.slow
def test_augmentation_follows_the_logits_of_reals():
    """White is told from grey for certain: the probability rises by images of the batch over images."""
    adaptation = Adaptation(target=0.6, every=1, images=16.0)
    state, metrics = _make_step(probability=0.5, operations=('flip',), adaptation=adaptation)
    assert metrics['real_logits'] > 0 > metrics['fake_logits']
    np.testing.assert_allclose(state.augmentation.probability, 0.5 + 1 / 16)


@pytest.mark.slow
def test_the_mean_in_its_ramp_counts_the_images_of_the_step():
    """8 images are two half-lives of 0.5 times the 8 images seen: a quarter of the mean stays."""
    recipe = nets.create_recipe(
        'dcgan',
        objective=nets.create_objective(penalty='none'),
        optimizers=(optax.sgd(0.1), optax.sgd(0.1)),
        averaging=Averaging(1e9, 0.5),
    )
    before, (step,) = nets.create_training(recipe)
    after, _ = step(before, nets.create_batch(8, count=8), jax.random.key(0), nets.controls(images_seen=0.0))
    leaves = [
        before.averages['generator']['params'],
        after.networks['generator'].params,
        after.averages['generator']['params'],
    ]
    moved = 0.0
    for old, new, mean in zip(*map(jax.tree.leaves, leaves), strict=True):
        np.testing.assert_allclose(mean, old / 4 + 3 * new / 4, rtol=1e-5, atol=1e-6)
        moved = max(moved, float(np.abs(new - old).max()))
    assert moved > 1e-4
