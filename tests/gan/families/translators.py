"""The smallest networks that translate and judge, and steps of families with them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gan.augmentation import DiscriminatorAugmentation
from gan.families import FAMILIES
from gan.families.family import Networks
from gan.networks import DiscriminatorOutput
from gan.pool import POOL, create_pool
from gan.state import GanState, create_state, draw_networks
from gan.step import Averaging, StepRecipe
from tests.gan.families.small import CLASSES
from tests.gan.nets import create_objective

SIDE, POOLED = 4, 3
OPTIONS = {'cycle_weight': 10.0, 'identity_weight': 5.0, 'gradient_weight': 0.0, 'supervised_weight': 100.0}


class TinyTranslator(nn.Module):
    """A gain and an offset, of each class where there are some."""

    resolution: int = SIDE
    channels: int = 1
    num_classes: int = 0

    @nn.compact
    def __call__(self, images, labels=None):
        shape = (max(self.num_classes, 1), 1, 1, 1)
        gain, offset = (self.param(name, nn.initializers.normal(1.0), shape) for name in ('gain', 'offset'))
        chosen = 0 if labels is None else labels
        return jnp.tanh(gain[chosen] * images + offset[chosen])


class TinyJudge(nn.Module):
    """A logit for each pixel."""

    channels: int
    pool: int
    resolution: int = SIDE
    num_classes: int = 0

    @nn.compact
    def __call__(self, images):
        if self.pool:
            for name, value in create_pool((self.pool, self.resolution, self.resolution, self.channels)).items():
                self.variable(POOL, name, lambda value=value: value)
        weights = self.param('weights', nn.initializers.normal(1.0), (self.channels,))
        logits = (jnp.tanh(images) @ weights).reshape(-1)
        if not self.num_classes:
            return DiscriminatorOutput(logits, jnp.zeros((len(logits), 0)))
        return DiscriminatorOutput(logits, nn.Dense(self.num_classes, use_bias=False)(images.mean(axis=(1, 2))))


def create_networks(architecture: str, side: int = SIDE, pooled: int = POOLED) -> Networks:
    """The networks above, by the names that the family gives them."""
    classes = CLASSES if FAMILIES[architecture].translates == 'classes' else 0
    channels, pool = {'cyclegan': (1, pooled), 'pix2pix': (2, 0), 'stargan': (1, 0)}[architecture]
    return {
        name: TinyTranslator(side, 1, classes) if role == 'generator' else TinyJudge(channels, pool, side, classes)
        for name, role in FAMILIES[architecture].sides.items()
    }


def create_recipe(architecture: str, loss: str = 'least_squares', penalty: str = 'none') -> StepRecipe:
    """A step of SGD with the networks above."""
    family, networks = FAMILIES[architecture], create_networks(architecture)
    objective = create_objective(loss, penalty, drift_weight=0.0)
    return StepRecipe(
        networks=networks,
        optimizers={name: optax.sgd(0.1) for name in networks},
        objective=objective,
        averaging=Averaging(1000.0, 0.0),
        augmentation=DiscriminatorAugmentation((), 0),
        adaptation=None,
        reals_per_image=objective.reals_per_image if family.translates == 'classes' else 2,
        discriminator_steps=1,
        annealing=None,
        options=OPTIONS,
        create_updates=family.updates,
    )


def create_start(recipe: StepRecipe, inputs) -> GanState:
    """A fresh state of it."""
    drawn = draw_networks(recipe.networks, inputs(recipe.networks), recipe.optimizers, jax.random.key(0))
    return create_state(drawn, averaged=('generator',), augmentation_probability=0.0)
