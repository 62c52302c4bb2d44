"""One adversarial update: plain single-device mathematics on a global batch."""

import dataclasses
import functools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gan.adaptation import adapt
from gan.augmentation import Augmentation, augment
from gan.latents import draw_latents
from gan.layers import BATCH_STATS
from gan.networks import Discriminator, Generator, Verdict, fade_reals
from gan.objective import Objective
from gan.state import GanState, ema_decay, update_ema
from training.mapping import create_mapper
from training.state import Variables, count_skips, update_network

Batch = dict[str, Array]
Controls = dict[str, Float[Array, '']]  # alpha, and images_seen before the step
Metrics = dict[str, Float[Array, '']]
TrainStep = Callable[[GanState, Batch, PRNGKeyArray, Controls], tuple[GanState, Metrics]]
Optimizers = tuple[optax.GradientTransformation, optax.GradientTransformation]


@dataclasses.dataclass(frozen=True)
class Averaging:
    """Half-life of the generator's running mean, in images, and its ramp; see `state.ema_decay`."""

    half_life: float
    ramp: float


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """How the probability of augmentation follows the discriminator; see `adaptation.adapt`."""

    target: float
    every: int
    images: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f'augment.{name} is {value}, but must be above 0.')


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a step.

    Attributes:
      generator, discriminator: the networks.
      optimizers: of the generator and of the discriminator.
      objective: what they are trained for.
      averaging: the generator's running mean.
      augmentation: what happens to all images before the discriminator sees them.
      adaptation: how its probability follows the discriminator; None keeps it.
      discriminator_steps: updates of the discriminator for each of the generator.
    """

    generator: Generator
    discriminator: Discriminator
    optimizers: Optimizers
    objective: Objective
    averaging: Averaging
    augmentation: Augmentation
    adaptation: Adaptation | None
    discriminator_steps: int


def make_train_step(recipe: Recipe, *, with_penalty: bool, with_generator: bool) -> TrainStep:
    """Returns `train_step(state, batch, key, controls) -> (state, metrics)`: discriminator first, then generator.

    Batches hold `image`, (batch, height, width, channels) in [-1, 1], and `label`, (batch,). The step is pure;
    all its randomness comes from `key`.

    Args:
      recipe: the networks and how they are trained.
      with_penalty: add the objective's penalty.
      with_generator: update the generator as well.
    """

    def train_step(state: GanState, batch: Batch, key: PRNGKeyArray, controls: Controls):
        keys = jax.random.split(key)
        real = fade_reals(batch['image'], controls['alpha'])
        state, moved, metrics = _update_discriminator(
            recipe, with_penalty, state, real, batch['label'], controls['alpha'], keys[0]
        )
        if with_generator:
            state, generator_moved, more = _update_generator(recipe, state, batch['label'], controls, keys[1])
            moved, metrics = moved & generator_moved, metrics | more
        state = count_skips(state, moved)
        return state, metrics | {'skipped': state.skipped, 'skipped_in_a_row': state.skipped_in_a_row}

    return train_step


def _update_discriminator(
    recipe: Recipe,
    with_penalty: bool,
    state: GanState,
    real: Array,
    labels: Int[Array, 'batch'],
    alpha: Array,
    key: PRNGKeyArray,
) -> tuple[GanState, Array, Metrics]:
    latent_key, *view_keys, loss_key = jax.random.split(key, 4)
    # Statistics that move in this pass are dropped: the generator is not what is trained.
    fake, _ = _draw(recipe, state.generator.params, state.generator.model_state, latent_key, labels, alpha)
    probability = state.augmentation.probability
    views = [_view(recipe, x, k, probability) for x, k in zip((real, fake), view_keys, strict=True)]
    gradient = jax.grad(partial(_discriminator_loss, recipe, with_penalty), has_aux=True)
    gradients, (model_state, logits, metrics) = gradient(
        state.discriminator.params, state.discriminator.model_state, *views, labels, alpha, loss_key
    )
    network, moved = update_network(state.discriminator, gradients, model_state, recipe.optimizers[1])
    metrics['discriminator_gradient_norm'] = optax.tree.norm(gradients)
    augmentation = state.augmentation
    if recipe.adaptation is not None:
        augmentation = adapt(augmentation, logits, **vars(recipe.adaptation))
    if recipe.augmentation.operations:
        metrics['augmentation_probability'] = augmentation.probability
    return dataclasses.replace(state, discriminator=network, augmentation=augmentation), moved, metrics


def _discriminator_loss(
    recipe: Recipe,
    with_penalty: bool,
    params: Any,
    model_state: Variables,
    real: Array,
    fake: Array,
    labels: Int[Array, 'batch'],
    alpha: Array,
    key: PRNGKeyArray,
) -> tuple[Array, tuple[Variables, Array, Metrics]]:
    """The loss; the power-iteration vectors after their one step; the logits of real images; what to log."""
    objective, (loss_key, penalty_key, *dropout_keys) = recipe.objective, jax.random.split(key, 5)

    def judge(model_state: Variables, dropout_key: PRNGKeyArray, images: Array, labels: Array, **options) -> Any:
        variables, rngs = {'params': params, **model_state}, {'dropout': dropout_key}
        return recipe.discriminator.apply(variables, images, labels, alpha, rngs=rngs, **options)

    moving = {'update_stats': True, 'mutable': list(model_state)}
    if objective.joint_batches:
        images, both_labels = jnp.concatenate([real, fake]), jnp.concatenate([labels, labels])
        verdict, model_state = judge(model_state, dropout_keys[0], images, both_labels, **moving)
        real_verdict, fake_verdict = (Verdict(*parts) for parts in zip(*map(_halve, verdict), strict=True))
    else:
        real_verdict, model_state = judge(model_state, dropout_keys[0], real, labels, **moving)
        fake_verdict = judge(model_state, dropout_keys[1], fake, labels)
    total, metrics = objective.discriminator_loss(real_verdict, fake_verdict, labels, loss_key)
    if with_penalty:

        def critic(images: Array) -> Array:
            return judge(model_state, dropout_keys[2], images, labels).logits

        penalty, more = objective.penalise(critic, real, fake, penalty_key)
        total, metrics = total + penalty, metrics | more
    return total, (model_state, real_verdict.logits, metrics)


def _halve(array: Array) -> tuple[Array, Array]:
    """The two halves of a batch."""
    count = array.shape[0] // 2
    return array[:count], array[count:]


def _update_generator(
    recipe: Recipe,
    state: GanState,
    labels: Int[Array, 'batch'],
    controls: Controls,
    key: PRNGKeyArray,
) -> tuple[GanState, Array, Metrics]:
    gradient = jax.grad(partial(_generator_loss, recipe, state), has_aux=True)
    gradients, (model_state, metrics) = gradient(state.generator.params, labels, controls['alpha'], key)
    network, moved = update_network(state.generator, gradients, model_state, recipe.optimizers[0])
    metrics['generator_gradient_norm'] = optax.tree.norm(gradients)
    images, averaging = len(labels) * recipe.discriminator_steps, recipe.averaging
    decay = ema_decay(images, controls['images_seen'] + len(labels), averaging.half_life, averaging.ramp)
    ema = dict(state.ema, params=update_ema(state.ema['params'], network.params, decay))
    if BATCH_STATS in ema:
        # Averaged weights have statistics of their own; an average of the trained ones' takes the contrast away.
        kept = {**network.model_state, BATCH_STATS: ema[BATCH_STATS]}
        ema[BATCH_STATS] = _draw(recipe, ema['params'], kept, key, labels, controls['alpha'])[1][BATCH_STATS]
    return dataclasses.replace(state, generator=network, ema=ema), moved, metrics


def _generator_loss(
    recipe: Recipe,
    state: GanState,
    params: Any,
    labels: Int[Array, 'batch'],
    alpha: Array,
    key: PRNGKeyArray,
) -> tuple[Array, tuple[Variables, Metrics]]:
    """The loss, the generator's statistics (the discriminator's stay as they are), and what to log."""
    latent_key, view_key, dropout_key = jax.random.split(key, 3)
    fake, model_state = _draw(recipe, params, state.generator.model_state, latent_key, labels, alpha)
    view = _view(recipe, fake, view_key, state.augmentation.probability)
    rngs = {'dropout': dropout_key}
    verdict = recipe.discriminator.apply(state.discriminator.variables, view, labels, alpha, rngs=rngs)
    total, metrics = recipe.objective.generator_loss(verdict, labels)
    return total, (model_state, metrics)


def _draw(
    recipe: Recipe, params: Any, model_state: Variables, key: PRNGKeyArray, labels: Array, alpha: Array
) -> tuple[Array, Variables]:
    """One image a label, and the generator's statistics after this batch."""
    generator = recipe.generator
    latents = draw_latents(key, len(labels), generator.latent_size, generator.latent_distribution)
    variables, names = {'params': params, **model_state}, list(model_state)
    return generator.apply(variables, latents, labels, alpha, update_stats=True, mutable=names)


def _view(recipe: Recipe, images: Array, key: PRNGKeyArray, probability: Array) -> Array:
    """Images as the discriminator sees them."""
    augment_key, noise_key = jax.random.split(key)
    images = augment(recipe.augmentation, images, augment_key, probability)
    if recipe.objective.input_noise:
        images += recipe.objective.input_noise * jax.random.normal(noise_key, images.shape, images.dtype)
    return images


def create_cycle(recipe: Recipe) -> tuple[TrainStep, ...]:
    """The steps that training repeats.

    The penalty enters the first of each `penalty_every`, the generator the last of each `discriminator_steps`.
    Equal steps are one function, so that runs of them become one program.
    """
    make = functools.cache(partial(make_train_step, recipe))
    objective = recipe.objective
    every = 1 if objective.penalty == 'none' else objective.penalty_every
    return tuple(
        make(
            with_penalty=objective.penalty != 'none' and step % every == 0,
            with_generator=(step + 1) % recipe.discriminator_steps == 0,
        )
        for step in range(math.lcm(every, recipe.discriminator_steps))
    )


def create_sampler(
    generator: Generator, mesh: Mesh, batch_size: int
) -> Callable[..., Float[np.ndarray, 'count height width channel']]:
    """Returns `sample((ema_variables, alpha), latents, labels) -> images`; see `create_mapper`."""

    def sample(drawn_from: tuple[Variables, Array], latents: Array, labels: Array) -> Array:
        variables, alpha = drawn_from
        return generator.apply(variables, latents, labels, alpha)

    return create_mapper(sample, mesh, batch_size)
