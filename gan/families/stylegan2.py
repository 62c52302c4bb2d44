"""StyleGAN2's own update: paths in the space of styles shall be of one length in the images."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from foundation.training.state import Params
from gan.latents import draw_latents
from gan.networks.stylegan2 import PATH_LENGTH
from gan.networks.styles import STYLES
from gan.penalties import path_lengths
from gan.step import StepRecipe, pair_updates, reals_of
from gan.updates import Found, Given, Update


def style_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """Those of a pair, and before the generator's, now and then, the one of its path lengths."""
    judging, drawing = pair_updates(recipe)
    if not recipe.options['path_weight']:
        return judging, drawing
    path = Update(
        trains=('generator',),
        loss=partial(_path_loss, recipe),
        every=recipe.options['path_every'] * recipe.discriminator_steps,
        penalty_every=0,
    )
    return judging, path, drawing


def _path_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    """E[(|J^T y| - a)^2], a the running mean of the lengths (Karras et al. 2020, arXiv:1912.04958, equation 4).

    As many times stronger as it is rarer than the generator's update.
    """
    del shown, penalised
    options, generator = recipe.options, recipe.generator
    labels, alpha = reals_of(recipe, given, 1).labels, given.controls['alpha']
    labels = labels[:: max(1, round(1 / options['path_share']))]
    latent_key, direction_key = jax.random.split(given.key)
    latents = draw_latents(latent_key, len(labels), generator.latent_size, generator.latent_distribution)
    model_state = given.state.networks['generator'].model_state
    variables = {'params': params['generator'], **model_state}
    styles = generator.apply(variables, latents, labels, method='spread')

    def draw(styles: Array) -> Any:
        return generator.apply(variables, styles, alpha, method='synthesize')

    lengths = path_lengths(draw, styles, direction_key)
    old, found = model_state[STYLES][PATH_LENGTH], jax.lax.stop_gradient(lengths.mean())
    mean = old + options['path_decay'] * (found - old)
    penalty = jnp.square(lengths - mean).mean()
    moved = {**model_state, STYLES: {**model_state[STYLES], PATH_LENGTH: mean}}
    metrics = {'path_length': found, 'path_penalty': penalty}
    return options['path_weight'] * options['path_every'] * penalty, Found({'generator': moved}, metrics)
