"""pix2pix: one translator that is shown pairs, the upper bound of what is learnt without.

Isola et al. 2017, arXiv:1611.07004.
"""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from foundation.training.state import Params
from gan.families import translation
from gan.families.family import Family, Fields, Networks, Sections
from gan.families.translation import SOURCE, TARGET, distance, translate
from gan.networks.translation import PooledPatchDiscriminator, ResidualTranslator
from gan.step import StepRecipe, alternate, reals_of
from gan.updates import Found, Given, Update


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """The discriminator of pairs, then the translator."""
    return alternate(recipe, _show, _discriminator_loss, _translator_loss)


def _pair(recipe: StepRecipe, params: Params, given: Given) -> tuple[Array, Array, Array]:
    """Real pairs and translated ones, each behind the other in channels, and the translated images."""
    source, target = (reals_of(recipe, given, part).images for part in (SOURCE, TARGET))
    fake = translate(recipe, 'generator', params, source)
    return jnp.concatenate([source, target], axis=-1), jnp.concatenate([source, fake], axis=-1), fake


def _show(recipe: StepRecipe, given: Given) -> tuple[tuple[Array, Array], PRNGKeyArray]:
    real, fake, _ = _pair(recipe, given.state.networks['generator'].params, given)
    return (real, fake), given.key


def _discriminator_loss(
    recipe: StepRecipe,
    params: dict[str, Params],
    given: Given,
    shown: tuple[tuple[Array, Array], PRNGKeyArray],
    *,
    penalised: bool,
) -> tuple[Array, Found]:
    seen, key = shown
    labels = reals_of(recipe, given, SOURCE).labels
    total, metrics = translation.discriminator_loss(
        recipe, 'discriminator', params['discriminator'], given, seen, labels, key, penalised=penalised
    )
    return total, Found({'discriminator': {}}, metrics)


def _translator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    """Equation 4."""
    del shown, penalised
    real, pairs, fake = _pair(recipe, params['generator'], given)
    target, labels = reals_of(recipe, given, TARGET)
    total, metrics = translation.generator_loss(recipe, 'discriminator', given, real, pairs, labels)
    error = distance(fake, target)
    total += recipe.options['supervised_weight'] * error
    return total, Found({'generator': {}}, metrics | {'supervised_loss': error})


def _create(sections: Sections, shared: Fields) -> Networks:
    fields = translation.images_alone(shared)
    pairs = {**fields, 'channels': 2 * fields['channels']}
    return {
        'generator': ResidualTranslator(**shared, **sections['generator']),
        'discriminator': PooledPatchDiscriminator(**pairs, **sections['discriminator'], pool=0),
    }


PIX2PIX = Family(
    create=_create,
    updates=create_updates,
    inputs=translation.inputs_of,
    translates='paired',
    allows=translation.ALLOWS,
    fits=translation.fits,
    curves={'distance to the counterpart': ('supervised_loss',)},
)
