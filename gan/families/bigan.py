"""BiGAN: an encoder is trained with the generator, against one discriminator of pairs.

Donahue et al. 2017, arXiv:1605.09782; Dumoulin et al. 2017, arXiv:1606.00704.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from foundation.training.state import NetworkState, Params, Variables
from gan.families.family import (
    OWN_STEP,
    Coded,
    Family,
    Fields,
    Networks,
    Sections,
    Side,
    distances_of,
    image_of,
    pair_inputs,
)
from gan.losses import LOSSES
from gan.networks.codes import JointDiscriminator, StridedEncoder
from gan.networks.dcgan import DcganGenerator
from gan.networks.heads import judge
from gan.step import StepRecipe, adapt_probability, average_generator, draw, draw_latents_of, view
from gan.updates import Found, Given, Update

_SIDES: dict[str, Side] = {'generator': 'generator', 'discriminator': 'discriminator', 'encoder': 'generator'}


class Pairs(NamedTuple):
    """Images and codes, of the encoder and of the generator, as the discriminator sees them.

    Attributes:
      real, codes: images of the batch, and what the encoder makes of them.
      fake, latents: what the generator makes of latents.
      statistics: of generator and encoder after this pass, by name.
    """

    real: Array
    codes: Array
    fake: Array
    latents: Array
    statistics: dict[str, Variables]


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """The discriminator's update, then that of generator and encoder together."""
    return (
        Update(
            trains=('discriminator',),
            loss=partial(_discriminator_loss, recipe),
            every=1,
            penalty_every=recipe.objective.penalty_period,
            show=partial(_show, recipe),
            then=partial(adapt_probability, recipe),
        ),
        Update(
            trains=('generator', 'encoder'),
            loss=partial(_pair_loss, recipe),
            every=recipe.discriminator_steps,
            penalty_every=0,
            then=partial(average_generator, recipe),
        ),
    )


def _pairs(recipe: StepRecipe, params: dict[str, Params], given: Given, key: PRNGKeyArray) -> Pairs:
    """Pairs of a generator and an encoder of these parameters."""
    state, labels, images = given.state, given.batch['label'], given.batch['image']
    latent_key, real_key, fake_key = jax.random.split(key, 3)
    own = {name: state.networks[name].model_state for name in ('generator', 'encoder')}
    latents = draw_latents_of(recipe, latent_key, len(labels))
    fake, drawn = draw(recipe, params['generator'], own['generator'], latents, labels, given.controls['alpha'])
    codes, encoded = recipe.networks['encoder'].apply(
        {'params': params['encoder'], **own['encoder']}, images, update_stats=True, mutable=list(own['encoder'])
    )
    probability = state.augmentation.probability
    seen = view(recipe, images, real_key, probability), view(recipe, fake, fake_key, probability)
    return Pairs(seen[0], codes, seen[1], latents, {'generator': drawn, 'encoder': encoded})


def _show(recipe: StepRecipe, given: Given) -> tuple[Pairs, PRNGKeyArray]:
    key, loss_key = jax.random.split(given.key)
    params = {name: given.state.networks[name].params for name in ('generator', 'encoder')}
    return _pairs(recipe, params, given, key), loss_key


def _judge(
    recipe: StepRecipe, params: Params, network: NetworkState, images: Array, codes: Array, given: Given, key: Any
) -> Any:
    variables = {**network.variables, 'params': params}
    labels, alpha = given.batch['label'], given.controls['alpha']
    return recipe.networks['discriminator'].apply(variables, images, codes, labels, alpha, rngs={'dropout': key})


def _discriminator_loss(
    recipe: StepRecipe,
    params: dict[str, Params],
    given: Given,
    shown: tuple[Pairs, PRNGKeyArray],
    *,
    penalised: bool,
) -> tuple[Array, Found]:
    pairs, key = shown
    loss_key, penalty_key, *dropout_keys = jax.random.split(key, 5)
    network = given.state.networks['discriminator']
    judge_pair = partial(_judge, recipe, params['discriminator'], network, given=given)
    real = judge_pair(pairs.real, pairs.codes, key=dropout_keys[0])
    fake = judge_pair(pairs.fake, pairs.latents, key=dropout_keys[1])
    total, metrics = recipe.objective.discriminator_loss(real, fake, given.batch['label'], loss_key)
    if penalised:

        def critic(images: Array, labels: Array) -> Array:
            del labels  # there are no classes
            return judge_pair(images, pairs.codes, key=dropout_keys[2]).logits

        penalty, more = recipe.objective.penalise(
            critic, pairs.real, pairs.fake, given.batch['label'], penalty_key
        )
        total, metrics = total + penalty, metrics | more
    return total, Found({'discriminator': network.model_state}, metrics, recipe.objective.sureness(real))


def _pair_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    """Drawn pairs are to pass for encoded ones, and encoded for drawn ones (equation 3)."""
    del shown, penalised
    key, *dropout_keys = jax.random.split(given.key, 3)
    pairs = _pairs(recipe, params, given, key)
    network = given.state.networks['discriminator']
    judge_pair = partial(_judge, recipe, network.params, network, given=given)
    fake = judge_pair(pairs.fake, pairs.latents, key=dropout_keys[0])
    real = judge_pair(pairs.real, pairs.codes, key=dropout_keys[1])
    total, metrics = recipe.objective.generator_loss(fake, given.batch['label'])
    loss = LOSSES[recipe.objective.name]
    mirrored = loss.exchange(real.logits, jnp.ones_like(real.logits, bool))
    encoder_loss = loss.generator(fake.logits, mirrored)
    return total + encoder_loss, Found(pairs.statistics, metrics | {'encoder_loss': encoder_loss})


def _encode(networks: Networks, variables: Mapping[str, Variables], images: Array) -> Coded:
    """Codes, reconstructions G(E(x)), and the distances of the anomaly score (Zenati et al. 2018)."""
    labels = jnp.zeros((images.shape[0],), jnp.int32)
    codes = networks['encoder'].apply(variables['encoder'], images)
    drawn = networks['generator'].apply(variables['generator'], codes, labels)
    features = [
        judge(networks['discriminator'], variables['discriminator'], seen, codes, labels)[1]
        for seen in (images, drawn)
    ]
    return Coded(
        codes,
        reconstructions=drawn,
        pixel_distances=distances_of(images, drawn),
        feature_distances=distances_of(*features),
    )


def _create(sections: Sections, shared: Fields) -> Networks:
    drawing, judging = sections['generator'], sections['discriminator']
    size = drawing['latent_size']
    plain = {name: value for name, value in shared.items() if name != 'num_classes'}
    return {
        'generator': DcganGenerator(**shared, **drawing, class_embedding=0),
        'discriminator': JointDiscriminator(**shared, **judging, code_size=size, condition='projection'),
        'encoder': StridedEncoder(**plain, **sections['encoder'], code_size=size),
    }


def _inputs(networks: Networks) -> dict[str, tuple[Array, ...]]:
    inputs = pair_inputs(networks)
    images, labels = inputs['discriminator']
    codes = jnp.zeros((1, networks['discriminator'].code_size))
    return inputs | {'discriminator': (images, codes, labels), 'encoder': (image_of(networks['encoder']),)}


def _fits(fields: Fields) -> str:
    layers, resolution = fields['encoder']['layers'], fields['resolution']
    if resolution >> layers < 1:
        return f'config.encoder.layers is {layers}, but {resolution} pixels cannot be halved so often.'
    return ''


BIGAN = Family(
    create=_create,
    updates=create_updates,
    inputs=_inputs,
    sides=_SIDES,
    allows={**OWN_STEP, 'conditional': (False,), 'loss.penalty': ('none', 'zero_centred')},
    fits=_fits,
    encode=_encode,
    curves={'loss of the encoder': ('encoder_loss',)},
)
