"""CycleGAN: two translators, there and back, each against a discriminator of patches.

Zhu et al. 2017, arXiv:1703.10593.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from foundation.training.state import Params, Variables
from gan.edges import gradient_correlation
from gan.families import translation
from gan.families.family import Family, Fields, Networks, Sections
from gan.families.translation import SOURCE, TARGET, distance, translate
from gan.networks.translation import PooledPatchDiscriminator, ResidualTranslator
from gan.optimizers import Side
from gan.pool import POOL, exchange
from gan.step import RealBatch, StepRecipe, average_generator, reals_of
from gan.updates import Found, Given, Metrics, Update


class Direction(NamedTuple):
    """A translator, who judges it, and the parts of a batch that it translates from and to."""

    translator: str
    judge: str
    source: int
    target: int
    prefix: str  # of its metrics


THERE = Direction('generator', 'discriminator', SOURCE, TARGET, '')
BACK = Direction('inverse', 'inverse_discriminator', TARGET, SOURCE, 'inverse_')
DIRECTIONS = (THERE, BACK)
_SIDES: dict[str, Side] = {
    'generator': 'generator',
    'inverse': 'generator',
    'discriminator': 'discriminator',
    'inverse_discriminator': 'discriminator',
}


class JudgedPair(NamedTuple):
    """What a discriminator is shown: real and translated images, with its pool afterwards."""

    real: RealBatch
    fake: Array
    model_state: Variables


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """Both discriminators, then both translators."""
    return (
        Update(
            trains=tuple(way.judge for way in DIRECTIONS),
            loss=partial(_discriminators_loss, recipe),
            every=1,
            penalty_every=recipe.objective.penalty_period,
            show=partial(_show, recipe),
        ),
        Update(
            trains=tuple(way.translator for way in DIRECTIONS),
            loss=partial(_translators_loss, recipe),
            every=recipe.discriminator_steps,
            penalty_every=0,
            then=partial(average_generator, recipe),
        ),
    )


def _show(recipe: StepRecipe, given: Given) -> tuple[dict[str, JudgedPair], PRNGKeyArray]:
    *pool_keys, loss_key = jax.random.split(given.key, 1 + len(DIRECTIONS))
    shown = {}
    for way, key in zip(DIRECTIONS, pool_keys, strict=True):
        params = given.state.networks[way.translator].params
        fake = translate(recipe, way.translator, params, reals_of(recipe, given, way.source).images)
        model_state = dict(given.state.networks[way.judge].model_state)
        if POOL in model_state:
            model_state[POOL], fake = exchange(model_state[POOL], fake, key)
        shown[way.judge] = JudgedPair(reals_of(recipe, given, way.target), fake, model_state)
    return shown, loss_key


def _discriminators_loss(
    recipe: StepRecipe,
    params: dict[str, Params],
    given: Given,
    shown: tuple[dict[str, JudgedPair], PRNGKeyArray],
    *,
    penalised: bool,
) -> tuple[Array, Found]:
    images, key = shown
    total, metrics = jnp.zeros(()), Metrics()
    for way, own_key in zip(DIRECTIONS, jax.random.split(key, len(DIRECTIONS)), strict=True):
        (real, labels), fake, _ = images[way.judge]
        loss, told = translation.discriminator_loss(
            recipe, way.judge, params[way.judge], given, (real, fake), labels, own_key, penalised=penalised
        )
        total, metrics = total + loss, metrics | _named(way, told)
    return total, Found({name: own.model_state for name, own in images.items()}, metrics)


def _translators_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    """Adversarial loss, way there and back (equation 2), images of the target stay (section 5.2), and edges."""
    del shown, penalised
    options, total, metrics = recipe.options, jnp.zeros(()), Metrics()
    cycle, identity, edges = jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    for way, other in zip(DIRECTIONS, reversed(DIRECTIONS), strict=True):
        (real, labels), (target, _) = (reals_of(recipe, given, part) for part in (way.source, way.target))
        # Both at once: no image feels the others of its batch.
        both = jnp.concatenate([real, target]) if options['identity_weight'] else real
        drawn = translate(recipe, way.translator, params[way.translator], both)
        fake = drawn[: len(real)]
        if options['identity_weight']:
            identity += distance(drawn[len(real) :], target)
        if options['gradient_weight']:
            edges += 1 - gradient_correlation(fake, real)
        cycle += distance(translate(recipe, other.translator, params[other.translator], fake), real)
        loss, told = translation.generator_loss(recipe, way.judge, given, target, fake, labels)
        total, metrics = total + loss, metrics | _named(way, told)
    total += options['cycle_weight'] * cycle + options['identity_weight'] * identity
    total += options['gradient_weight'] * edges
    metrics |= {'cycle_loss': cycle, 'identity_loss': identity}
    metrics |= {'gradient_loss': edges} if options['gradient_weight'] else {}
    return total, Found({way.translator: {} for way in DIRECTIONS}, metrics)


def _named(way: Direction, told: Metrics) -> Metrics:
    """Metrics of one direction; those of the way back have names of their own."""
    return {f'{way.prefix}{name}': value for name, value in told.items()}


def _create(sections: Sections, shared: Fields) -> Networks:
    fields = translation.images_alone(shared)
    translator = ResidualTranslator(**shared, **sections['generator'])
    judge = PooledPatchDiscriminator(**fields, **sections['discriminator'])
    return {
        THERE.translator: translator,
        THERE.judge: judge,
        BACK.translator: translator.clone(),
        BACK.judge: judge.clone(),
    }


CYCLEGAN = Family(
    create=_create,
    updates=create_updates,
    inputs=translation.inputs_of,
    sides=_SIDES,
    translates='unpaired',
    allows=translation.ALLOWS,
    fits=translation.fits,
    curves={
        'distances of images there and back, and of images that should stay': ('cycle_loss', 'identity_loss'),
        'edges that are not those of the source': ('gradient_loss',),
        'losses of the way back': ('inverse_generator_loss', 'inverse_discriminator_loss', 'inverse_penalty'),
    },
)
