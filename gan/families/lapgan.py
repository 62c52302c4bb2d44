"""LAPGAN: every level of a Laplacian pyramid is a GAN of its own (Denton et al. 2015, arXiv:1506.05751).

Levels share nothing, and each is trained on real images of the level below. So the sum of their losses trains them
all, in two updates, just as if each were trained alone.
"""

import functools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from foundation.training.state import Params
from gan.families.family import OWN_STEP, WITHOUT_MAPS, Family, Fields, Networks, Sections, latents_of
from gan.networks.laplacian import LaplacianDiscriminator, LaplacianGenerator, low_passes, sides_of
from gan.step import StepRecipe, average_generator, draw_latents_of
from gan.updates import Found, Given, Metrics, Update


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """All discriminators, then all generators."""
    return (
        Update(
            trains=('discriminator',),
            loss=partial(_discriminator_loss, recipe),
            every=1,
            penalty_every=0,
            show=partial(_show, recipe),
        ),
        Update(
            trains=('generator',),
            loss=partial(_generator_loss, recipe),
            every=recipe.discriminator_steps,
            penalty_every=0,
            then=partial(average_generator, recipe),
        ),
    )


def _draw(recipe: StepRecipe, params: Params, given: Given, key: Any) -> tuple[Any, Any]:
    """Real images at all levels, and those drawn on them."""
    labels = given.batch['label']
    real = low_passes(given.batch['image'], recipe.networks['generator'].coarsest)
    latents = draw_latents_of(recipe, key, len(labels))
    return real, recipe.generator.apply({'params': params}, latents, labels, real=real)


def _show(recipe: StepRecipe, given: Given) -> tuple[Any, Any, Any]:
    latent_key, key = jax.random.split(given.key)
    return (*_draw(recipe, given.state.networks['generator'].params, given, latent_key), key)


def _discriminator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: tuple[Any, Any, Any], *, penalised: bool
) -> tuple[Array, Found]:
    del penalised
    real, fake, key = shown
    labels, variables = given.batch['label'], {'params': params['discriminator']}
    real_key, fake_key, *loss_keys = jax.random.split(key, 2 + len(real))
    judge = partial(recipe.networks['discriminator'].apply, variables)
    verdicts = zip(
        judge(real, labels, rngs={'dropout': real_key}),
        judge(fake, labels, rngs={'dropout': fake_key}),
        loss_keys,
        strict=True,
    )
    found = [recipe.objective.discriminator_loss(one, other, labels, own) for one, other, own in verdicts]
    total, metrics = _sum(found, [images.shape[1] for images in real], 'discriminator_loss')
    return total, Found({'discriminator': {}}, metrics)


def _generator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    del shown, penalised
    latent_key, key = jax.random.split(given.key)
    labels = given.batch['label']
    _, fake = _draw(recipe, params['generator'], given, latent_key)
    variables = given.state.networks['discriminator'].variables
    verdicts = recipe.networks['discriminator'].apply(variables, fake, labels, rngs={'dropout': key})
    found = [recipe.objective.generator_loss(verdict, labels) for verdict in verdicts]
    total, metrics = _sum(found, [images.shape[1] for images in fake], 'generator_loss')
    return total, Found({'generator': {}}, metrics)


def _sum(found: list[tuple[Array, Metrics]], sides: list[int], loss: str) -> tuple[Array, Metrics]:
    """Sum of all levels' losses; metrics are means over the levels, but the loss is also told of each."""
    totals, metrics = zip(*found, strict=True)
    told = {name: jnp.stack([own[name] for own in metrics]).mean() for name in metrics[0]}
    each = {f'{loss}_{side}x{side}': own[loss] for side, own in zip(sides, metrics, strict=True)}
    return functools.reduce(jnp.add, totals), told | each


def _create(sections: Sections, shared: Fields) -> Networks:
    drawing = dict(sections['generator'])
    coarsest = drawing['coarsest']
    drawing['latent_size'] += sum(side**2 for side in sides_of(shared['resolution'], coarsest)[1:])
    return {
        'generator': LaplacianGenerator(**shared, **drawing),
        'discriminator': LaplacianDiscriminator(**shared, **sections['discriminator'], coarsest=coarsest),
    }


def _inputs(networks: Networks) -> dict[str, tuple[Any, ...]]:
    judge, labels = networks['discriminator'], jnp.zeros((1,), jnp.int32)
    levels = tuple(
        jnp.zeros((1, side, side, judge.channels)) for side in sides_of(judge.resolution, judge.coarsest)
    )
    return {'generator': (latents_of(networks['generator']), labels), 'discriminator': (levels, labels)}


def _fits(fields: Fields) -> str:
    coarsest, resolution = fields['generator']['coarsest'], fields['resolution']
    if coarsest >= resolution:
        return f'config.generator.coarsest is {coarsest}, but must be below config.resolution, {resolution}.'
    return ''


LAPGAN = Family(
    create=_create,
    updates=create_updates,
    inputs=_inputs,
    allows={
        **OWN_STEP,
        **WITHOUT_MAPS,
        'augment.operations': ((), []),
        'loss.penalty': ('none',),
        'loss.input_noise': (0,),
    },
    fits=_fits,
)
