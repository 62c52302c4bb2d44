"""Adversarial autoencoders: codes of images get a prior's distribution (Makhzani et al. 2016, arXiv:1511.05644).

A step has three phases: reconstruction, the discriminators of codes, and the encoder as their generator. With
classes the code has a class beside it, with a discriminator of its own, and images whose label is known teach it
(section 5). An unknown label is -1.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Int32, PRNGKeyArray

from foundation.training.state import Params, Variables
from gan.families.family import (
    OWN_STEP,
    WITHOUT_MAPS,
    Coded,
    Family,
    Fields,
    Networks,
    Sections,
    Side,
    distances_of,
    image_of,
    latents_of,
)
from gan.networks.autoencoder import CodeDiscriminator, DenseDecoder, DenseEncoder, EncodedImages
from gan.step import StepRecipe, average_generator, draw_latents_of
from gan.updates import Found, Given, Metrics, Update

_SIDES: dict[str, Side] = {
    'generator': 'generator',
    'encoder': 'generator',
    'discriminator': 'discriminator',
    'class_discriminator': 'discriminator',
}


class Parts(NamedTuple):
    """A code in the parts that have a discriminator each, by its name."""

    discriminator: Array
    class_discriminator: Array


def choose_labelled(
    labels: Int32[np.ndarray, ' examples'], count: int, seed: int
) -> Int32[np.ndarray, ' examples']:
    """Labels with -1 for all but `count` of them, the classes as even as can be.

    Args:
      labels: of all examples, -1 where there is none.
      count: of labels that stay known.
      seed: decides which.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[labels[order] >= 0]
    turn = np.zeros(len(order), np.int64)  # of an example among those of its class
    for label in np.unique(labels[order]):
        own = labels[order] == label
        turn[own] = np.arange(own.sum())
    known = order[np.argsort(turn, kind='stable')][:count]
    hidden = np.full_like(labels, -1)
    hidden[known] = labels[known]
    return hidden


def known_class_loss(
    class_logits: Float[Array, 'batch classes'], labels: Int[Array, 'batch']
) -> tuple[Float[Array, ''], Float[Array, '']]:
    """Cross-entropy, and share of wrong answers, over images whose label is known; 0 where none is."""
    known = labels >= 0
    count = jnp.maximum(known.sum(), 1)
    losses = optax.softmax_cross_entropy_with_integer_labels(class_logits, jnp.maximum(labels, 0))
    wrong = class_logits.argmax(axis=1) != labels
    return jnp.where(known, losses, 0).sum() / count, (known & wrong).sum() / count


def create_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """Reconstruction, the discriminators, and the encoder as their generator."""
    judges = tuple(name for name in Parts._fields if name in recipe.networks)
    each_step = partial(Update, every=1, penalty_every=0)
    return (
        each_step(
            trains=('encoder', 'generator'),
            loss=partial(_reconstruction_loss, recipe),
            then=partial(average_generator, recipe),
        ),
        each_step(trains=judges, loss=partial(_discriminator_loss, recipe, judges), show=partial(_show, recipe)),
        each_step(trains=('encoder',), loss=partial(_encoder_loss, recipe, judges)),
    )


def _encode(recipe: StepRecipe, params: Params, given: Given) -> EncodedImages:
    return recipe.networks['encoder'].apply({'params': params}, given.batch['image'])


def _parts(encoded: EncodedImages) -> Parts:
    return Parts(encoded.codes, jax.nn.softmax(encoded.class_logits))


def _reconstruction_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    del shown, penalised
    encoded = _encode(recipe, params['encoder'], given)
    drawn = recipe.generator.apply({'params': params['generator']}, *_parts(encoded), method='decode')
    error = jnp.square(drawn - given.batch['image']).mean()
    total, metrics = recipe.options['reconstruction_weight'] * error, {'reconstruction': error}
    if encoded.class_logits.shape[1]:
        class_loss, wrong = known_class_loss(encoded.class_logits, given.batch['label'])
        total += recipe.objective.class_weight * class_loss
        metrics |= {'real_class_loss': class_loss, 'class_error': wrong}
    return total, Found({'encoder': {}, 'generator': {}}, metrics)


def _show(recipe: StepRecipe, given: Given) -> tuple[Parts, Parts, PRNGKeyArray]:
    """Parts of codes from the prior and from the encoder, and the key of the loss."""
    code_key, class_key, loss_key = jax.random.split(given.key, 3)
    encoded = _encode(recipe, given.state.networks['encoder'].params, given)
    count, classes = encoded.class_logits.shape
    drawn = jax.random.randint(class_key, (count,), 0, max(classes, 1))
    prior = Parts(draw_latents_of(recipe, code_key, count), jax.nn.one_hot(drawn, classes))
    return prior, _parts(encoded), loss_key


def _discriminator_loss(
    recipe: StepRecipe,
    judges: tuple[str, ...],
    params: dict[str, Params],
    given: Given,
    shown: tuple[Parts, Parts, PRNGKeyArray],
    *,
    penalised: bool,
) -> tuple[Array, Found]:
    del penalised
    prior, encoded, key = shown
    total, metrics = jnp.zeros(()), Metrics()
    for name, own_key in zip(judges, jax.random.split(key, len(judges)), strict=True):
        judge = partial(recipe.networks[name].apply, {'params': params[name]})
        verdicts = judge(getattr(prior, name)), judge(getattr(encoded, name))
        loss, told = recipe.objective.discriminator_loss(*verdicts, given.batch['label'], own_key)
        total, metrics = total + loss, metrics | _named(name, told)
    return total, Found({name: {} for name in judges}, metrics)


def _encoder_loss(
    recipe: StepRecipe,
    judges: tuple[str, ...],
    params: dict[str, Params],
    given: Given,
    shown: None,
    *,
    penalised: bool,
) -> tuple[Array, Found]:
    del shown, penalised
    parts = _parts(_encode(recipe, params['encoder'], given))
    total, metrics = jnp.zeros(()), Metrics()
    for name in judges:
        verdict = recipe.networks[name].apply(given.state.networks[name].variables, getattr(parts, name))
        loss, told = recipe.objective.generator_loss(verdict, given.batch['label'])
        total, metrics = total + loss, metrics | _named(name, told)
    return total, Found({'encoder': {}}, metrics)


def _named(judge: str, told: Metrics) -> Metrics:
    """Metrics of one of the discriminators; those of the class's have names of their own."""
    prefix = 'class_' if judge == 'class_discriminator' else ''
    return {f'{prefix}{name}': value for name, value in told.items()}


def _find(networks: Networks, variables: Mapping[str, Variables], images: Array) -> Coded:
    """Codes, the probabilities of classes, and reconstructions."""
    encoded = networks['encoder'].apply(variables['encoder'], images)
    parts = _parts(encoded)
    drawn = networks['generator'].apply(variables['generator'], *parts, method='decode')
    return Coded(
        encoded.codes,
        class_probabilities=parts.class_discriminator if encoded.class_logits.shape[1] else None,
        reconstructions=drawn,
        pixel_distances=distances_of(images, drawn),
    )


def _create(sections: Sections, shared: Fields) -> Networks:
    drawing, width, dtype = sections['generator'], sections['discriminator']['width'], shared['dtype']
    networks = {
        'generator': DenseDecoder(**shared, **drawing),
        'encoder': DenseEncoder(**shared, **sections['encoder'], code_size=drawing['latent_size']),
        'discriminator': CodeDiscriminator(width, dtype),
    }
    return networks | ({'class_discriminator': CodeDiscriminator(width, dtype)} if shared['num_classes'] else {})


def _inputs(networks: Networks) -> dict[str, tuple[Array, ...]]:
    codes = latents_of(networks['generator'])
    inputs = {
        'generator': (codes, jnp.zeros((1,), jnp.int32)),
        'encoder': (image_of(networks['encoder']),),
        'discriminator': (codes,),
        'class_discriminator': (jnp.zeros((1, networks['generator'].num_classes)),),
    }
    return {name: inputs[name] for name in networks}


def _fits(fields: Fields) -> str:
    if fields['family']['labelled'] and not fields['conditional']:
        return 'config.family.labelled is for classes; set config.conditional to True, or labelled to 0.'
    return ''


AAE = Family(
    create=_create,
    updates=create_updates,
    inputs=_inputs,
    sides=_SIDES,
    allows={
        **OWN_STEP,
        **WITHOUT_MAPS,
        'augment.operations': ((), []),
        'loss.penalty': ('none',),
        'loss.input_noise': (0,),
        'optimizer.discriminator_steps': (1,),
    },
    fits=_fits,
    encode=_find,
    curves={
        'error of the reconstruction (mean square)': ('reconstruction',),
        'class of labelled images: share of wrong answers': ('class_error',),
    },
)
