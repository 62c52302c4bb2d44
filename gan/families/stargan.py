"""StarGAN: one translator between all classes, against a discriminator of patches that also names the class.

Choi et al. 2018, arXiv:1711.09020.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from foundation.training.state import Params
from gan.families import translation
from gan.families.family import Family, Fields, Networks, Sections, image_of
from gan.families.translation import distance, translate
from gan.networks.translation import ClassPatchDiscriminator, ResidualTranslator
from gan.step import StepRecipe, alternate, reals_of
from gan.updates import Found, Given, Update

LEAST_MAP = 2  # pixels of the maps whose verdict is told


class ShownClasses(NamedTuple):
    """What the discriminator is shown: real images of these classes, translated ones, and the key of its loss."""

    real: Array
    fake: Array
    labels: Int[Array, 'batch']
    key: PRNGKeyArray


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """The discriminator, then the translator."""
    return alternate(recipe, _show, _discriminator_loss, _translator_loss)


def choose_classes(labels: Int[Array, 'batch'], key: PRNGKeyArray) -> Int[Array, 'batch']:
    """What each image shall become: the classes of the batch in a random order, so that all stay as frequent."""
    return jax.random.permutation(key, labels)


def _show(recipe: StepRecipe, given: Given) -> ShownClasses:
    class_key, loss_key = jax.random.split(given.key)
    real, labels = reals_of(recipe, given, 0)
    params = given.state.networks['generator'].params
    fake = translate(recipe, 'generator', params, real, choose_classes(labels, class_key))
    return ShownClasses(real, fake, labels, loss_key)


def _discriminator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: ShownClasses, *, penalised: bool
) -> tuple[Array, Found]:
    """Adversarial loss, and the classes of real images (equations 1, 2 and 5)."""
    real, fake, labels, key = shown
    total, metrics = translation.discriminator_loss(
        recipe, 'discriminator', params['discriminator'], given, (real, fake), labels, key, penalised=penalised
    )
    return total, Found({'discriminator': {}}, metrics)


def _translator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    """Adversarial loss, the classes of translated images, and the way back (equations 3, 4 and 6)."""
    del shown, penalised
    real, labels = reals_of(recipe, given, 1)
    wanted = choose_classes(labels, given.key)
    fake = translate(recipe, 'generator', params['generator'], real, wanted)
    cycle = distance(translate(recipe, 'generator', params['generator'], fake, labels), real)
    total, metrics = translation.generator_loss(recipe, 'discriminator', given, real, fake, wanted)
    total += recipe.options['cycle_weight'] * cycle
    return total, Found({'generator': {}}, metrics | {'cycle_loss': cycle})


def _create(sections: Sections, shared: Fields) -> Networks:
    return {
        'generator': ResidualTranslator(**shared, **sections['generator']),
        'discriminator': ClassPatchDiscriminator(**shared, **sections['discriminator']),
    }


def _inputs(networks: Networks) -> dict[str, tuple[Array, ...]]:
    image = image_of(networks['generator'])
    return {'generator': (image, jnp.zeros((1,), jnp.int32)), 'discriminator': (image,)}


STARGAN = Family(
    create=_create,
    updates=create_updates,
    inputs=_inputs,
    translates='classes',
    allows={**translation.ALLOWS, 'conditional': (True,)},
    fits=partial(translation.fits, least=LEAST_MAP),
    curves={'distance of images there and back': ('cycle_loss',)},
)
