"""InfoGAN: a generator whose codes can be found again in its images (Chen et al. 2016, arXiv:1606.03657).

The head that finds them stands on the discriminator's features, and is trained in both updates: with the
discriminator, whose features then serve it, and with the generator, which learns to show its codes.
"""

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from foundation.training.state import Params, Variables
from gan.families.family import Coded, Family, Fields, Networks, Sections, Side, pair_inputs
from gan.networks.codes import CodeHead, Codes, FoundCodes, InfoGenerator, split_codes
from gan.networks.dcgan import DcganDiscriminator
from gan.networks.heads import judge
from gan.step import ShownPair, StepRecipe, pair_updates, show_drawn
from gan.updates import Found, Given, Loss, Metrics, Update

_STEPS = 9  # of a continuous code
_SIDES: dict[str, Side] = {
    'generator': 'generator',
    'discriminator': 'discriminator',
    'codes': 'discriminator',
}


def category_information(
    logits: Float[Array, 'batch categories'], categories: Int[Array, 'batch']
) -> Float[Array, '']:
    """E[log Q(c|x)] + H(c) of a uniform categorical code, in nats: at most log K (equation 5)."""
    error = optax.softmax_cross_entropy_with_integer_labels(logits, categories).mean()
    return math.log(logits.shape[1]) - error


def continuous_information(
    means: Float[Array, 'batch continuous'],
    log_deviations: Float[Array, 'batch continuous'],
    codes: Float[Array, 'batch continuous'],
) -> Float[Array, '']:
    """The same of codes uniform in [-1, 1), whose entropy is log 2 each, with a Gaussian Q; their sum."""
    scaled = (codes - means) * jnp.exp(-log_deviations)
    densities = -0.5 * jnp.square(scaled) - log_deviations - 0.5 * math.log(2 * math.pi)
    return (math.log(2) + densities).sum(axis=1).mean()


def information(options: Fields, found: FoundCodes, codes: Codes) -> tuple[Float[Array, ''], Metrics]:
    """The weighted bound of the mutual information, to be raised, and its parts."""
    categorical = category_information(found.category_logits, codes.categories)
    continuous = continuous_information(found.means, found.log_deviations, codes.continuous)
    told = {'category_information': categorical, 'continuous_information': continuous}
    return options['category_weight'] * categorical + options['continuous_weight'] * continuous, told


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """The pair's updates, each with the information of what was drawn in it."""
    judging, drawing = pair_updates(recipe)
    return (
        dataclasses.replace(
            judging, trains=('discriminator', 'codes'), loss=partial(_discriminator_loss, recipe, judging.loss)
        ),
        dataclasses.replace(
            drawing, trains=('generator', 'codes'), loss=partial(_generator_loss, recipe, drawing.loss)
        ),
    )


def _discriminator_loss(
    recipe: StepRecipe,
    of_pair: Loss,
    params: dict[str, Params],
    given: Given,
    shown: ShownPair,
    *,
    penalised: bool,
) -> tuple[Array, Found]:
    total, found = of_pair(params, given, shown, penalised=penalised)
    variables = {**given.state.networks['discriminator'].variables, 'params': params['discriminator']}
    return _inform(recipe, params, total, found, _features(recipe, variables, shown.fake, given), shown.latents)


def _generator_loss(
    recipe: StepRecipe, of_pair: Loss, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    total, found = of_pair(params, given, shown, penalised=penalised)
    # The same images as the pair's loss draws from this key, which the compiler draws once.
    seen, latents, *_ = show_drawn(recipe, params['generator'], given)
    variables = given.state.networks['discriminator'].variables
    return _inform(recipe, params, total, found, _features(recipe, variables, seen, given), latents)


def _features(recipe: StepRecipe, variables: Variables, images: Array, given: Given) -> Array:
    labels = jnp.zeros((len(images),), jnp.int32)  # there are no classes
    return judge(recipe.discriminator, variables, images, labels, given.controls['alpha'])[1]


def _inform(
    recipe: StepRecipe, params: dict[str, Params], total: Array, found: Found, features: Array, latents: Array
) -> tuple[Array, Found]:
    options: Any = recipe.options
    codes = split_codes(latents, options['categories'], options['continuous'])
    believed = recipe.networks['codes'].apply({'params': params['codes']}, features)
    gained, told = information(options, believed, codes)
    return total - gained, found._replace(
        model_states={**found.model_states, 'codes': {}}, metrics=found.metrics | told
    )


def traverse(
    generator: InfoGenerator, latents: Float[np.ndarray, 'count latent']
) -> dict[str, Float[np.ndarray, 'step latent']]:
    """For each latent vector all categories in turn; then, of the first, each continuous code from end to end."""
    categories, count = generator.categories, generator.continuous
    place = latents.shape[1] - count - 1
    rows = {}
    middles = (2 * np.arange(categories) + 1) / categories - 1  # of the numbers that mean each category
    for number, row in enumerate(latents, start=1):
        rows[f'categories, noise {number}'] = _vary(row, place, middles)
    for code in range(count):
        rows[f'code {code + 1} from -1 to 1'] = _vary(latents[0], place + 1 + code, np.linspace(-1, 1, _STEPS))
    return rows


def _vary(row: np.ndarray, place: int, values: np.ndarray) -> np.ndarray:
    varied = np.tile(row, (len(values), 1))
    varied[:, place] = values
    return varied


def _encode(networks: Networks, variables: Mapping[str, Variables], images: Array) -> Coded:
    """The means of the continuous codes, and the probabilities of the categories."""
    labels = jnp.zeros((images.shape[0],), jnp.int32)
    _, features = judge(networks['discriminator'], variables['discriminator'], images, labels)
    found = networks['codes'].apply(variables['codes'], features)
    return Coded(found.means, class_probabilities=jax.nn.softmax(found.category_logits))


def _create(sections: Sections, shared: Fields) -> Networks:
    own, drawing = sections['family'], dict(sections['generator'])
    codes = {'categories': own['categories'], 'continuous': own['continuous']}
    drawing['latent_size'] += 1 + own['continuous']
    return {
        'generator': InfoGenerator(**shared, **drawing, **codes, class_embedding=0),
        'discriminator': DcganDiscriminator(**shared, **sections['discriminator'], condition='projection'),
        'codes': CodeHead(**codes, width=own['width'], dtype=shared['dtype']),
    }


def _inputs(networks: Networks) -> dict[str, tuple[Array, ...]]:
    inputs = pair_inputs(networks)
    discriminator = networks['discriminator']

    def features(*images: Array) -> Array:
        variables = discriminator.init(jax.random.key(0), *images)
        return judge(discriminator, variables, *images)[1]

    return inputs | {'codes': (jnp.zeros(jax.eval_shape(features, *inputs['discriminator']).shape),)}


INFOGAN = Family(
    create=_create,
    updates=create_updates,
    inputs=_inputs,
    sides=_SIDES,
    encode=_encode,
    traverse=traverse,
    allows={'conditional': (False,), 'generator.latent_distribution': ('uniform',)},
    curves={'information of the codes (nats)': ('category_information', 'continuous_information')},
)
