"""What families that translate images have in common: two domains, and patches that are judged."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from foundation.training.state import Params
from gan.families.family import OWN_STEP, Fields, Networks, image_of
from gan.networks import DiscriminatorOutput
from gan.networks.translation import SMALLEST_MAP
from gan.step import StepRecipe
from gan.updates import Given, Metrics

SOURCE, TARGET = 0, 1  # parts of a batch, see `step.reals_of`
# What families between two domains cannot do; losses of pairs, and what changes over time, they can.
ALLOWS: Mapping[str, tuple[Any, ...]] = {
    **{place: values for place, values in OWN_STEP.items() if place not in ('loss.name', 'anneal.images')},
    'loss.input_noise': (0,),
    'augment.operations': ((), []),
    'conditional': (False,),
    'mask_classes': (0,),
}


def inputs_of(networks: Networks) -> dict[str, tuple[Array, ...]]:
    """All networks are called with images."""
    return {name: (image_of(network),) for name, network in networks.items()}


def images_alone(shared: Fields) -> Fields:
    """The shared fields of networks that know no classes."""
    return {name: value for name, value in shared.items() if name != 'num_classes'}


def fits(fields: Fields, least: int = SMALLEST_MAP) -> str:
    """The maps of the discriminator must not have fewer pixels a side."""
    layers, resolution = fields['discriminator']['layers'], fields['resolution']
    if resolution >> layers < least:
        return (
            f'config.discriminator.layers is {layers}, but {resolution} pixels halved so often are fewer than '
            f'{least}, of which the patches are made; set fewer layers.'
        )
    return ''


def translate(recipe: StepRecipe, name: str, params: Params, images: Array, *labels: Array) -> Array:
    """Images by the translator of this name; to these classes where it knows several."""
    return recipe.networks[name].apply({'params': params}, images, *labels)


def judge(recipe: StepRecipe, name: str, params: Params, given: Given, images: Array) -> DiscriminatorOutput:
    """The patches of images by the discriminator of this name."""
    variables = {**given.state.networks[name].variables, 'params': params}
    return recipe.networks[name].apply(variables, images)


def discriminator_loss(
    recipe: StepRecipe,
    name: str,
    params: Params,
    given: Given,
    seen: tuple[Array, Array],
    labels: Array,
    key: PRNGKeyArray,
    *,
    penalised: bool,
) -> tuple[Array, Metrics]:
    """Of real and translated images as one discriminator sees them; the slope is that of the mean over patches.

    The labels are the classes of the real images, for discriminators that name them.
    """
    loss_key, penalty_key = jax.random.split(key)
    judge_images = partial(judge, recipe, name, params, given)
    real, fake = seen
    verdicts = judge_images(real), judge_images(fake)
    total, metrics = recipe.objective.discriminator_loss(*verdicts, labels, loss_key)
    if penalised:

        def critic(images: Array, labels: Array) -> Float[Array, 'batch']:
            del labels
            return judge_images(images).logits.reshape(len(images), -1).mean(axis=1)

        penalty, more = recipe.objective.penalise(critic, real, fake, labels, penalty_key)
        if recipe.annealing is not None:
            penalty *= recipe.annealing.between(1.0, recipe.annealing.penalty, given.controls['images_seen'])
        total, metrics = total + penalty, metrics | more
    return total, metrics


def generator_loss(
    recipe: StepRecipe, name: str, given: Given, real: Array, fake: Array, labels: Array
) -> tuple[Array, Metrics]:
    """Of images translated to these classes before a discriminator, beside real ones for losses of pairs."""
    params = given.state.networks[name].params
    verdict = judge(recipe, name, params, given, fake)
    beside = judge(recipe, name, params, given, real) if recipe.objective.loss.pairs else None
    return recipe.objective.generator_loss(verdict, labels, beside)


def distance(one: Array, other: Array) -> Float[Array, '']:
    """Mean absolute difference of pixels."""
    return jnp.abs(one - other).mean()
