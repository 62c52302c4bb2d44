"""The smallest networks that translate and judge, and steps of families with them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gan.augmentation import DiscriminatorAugmentation
from gan.families import FAMILIES
from gan.networks import DiscriminatorOutput
from gan.pool import POOL, create_pool
from gan.state import GanState, create_state, draw_networks
from gan.step import Averaging, StepRecipe
from tests.gan.nets import create_objective

SIDE, POOLED = 4, 3
OPTIONS = {'cycle_weight': 10.0, 'identity_weight': 5.0, 'supervised_weight': 100.0}


class TinyTranslator(nn.Module):
    """A gain and an offset."""

    resolution: int = SIDE
    channels: int = 1

    @nn.compact
    def __call__(self, images):
        gain, offset = (self.param(name, nn.initializers.normal(1.0), ()) for name in ('gain', 'offset'))
        return jnp.tanh(gain * images + offset)


class TinyJudge(nn.Module):
    """A logit for each pixel."""

    channels: int
    pool: int
    resolution: int = SIDE

    @nn.compact
    def __call__(self, images):
        if self.pool:
            for name, value in create_pool((self.pool, self.resolution, self.resolution, self.channels)).items():
                self.variable(POOL, name, lambda value=value: value)
        weights = self.param('weights', nn.initializers.normal(1.0), (self.channels,))
        logits = (jnp.tanh(images) @ weights).reshape(-1)
        return DiscriminatorOutput(logits, jnp.zeros((len(logits), 0)))


def create_recipe(architecture: str, loss: str = 'least_squares', penalty: str = 'none') -> StepRecipe:
    """A step of SGD with the networks above."""
    family = FAMILIES[architecture]
    judge = TinyJudge(2, 0) if architecture == 'pix2pix' else TinyJudge(1, POOLED)
    networks = {
        name: TinyTranslator() if side == 'generator' else judge.clone() for name, side in family.sides.items()
    }
    return StepRecipe(
        networks=networks,
        optimizers={name: optax.sgd(0.1) for name in networks},
        objective=create_objective(loss, penalty, drift_weight=0.0),
        averaging=Averaging(1000.0, 0.0),
        augmentation=DiscriminatorAugmentation((), 0),
        adaptation=None,
        reals_per_image=2,
        discriminator_steps=1,
        annealing=None,
        options=OPTIONS,
        create_updates=family.updates,
    )


def create_start(recipe: StepRecipe, inputs) -> GanState:
    """A fresh state of it."""
    drawn = draw_networks(recipe.networks, inputs(recipe.networks), recipe.optimizers, jax.random.key(0))
    return create_state(drawn, averaged=('generator',), augmentation_probability=0.0)
