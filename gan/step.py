"""One adversarial update: plain single-device mathematics on a global batch."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gan import losses
from gan.networks import Discriminator, Generator, fade_reals
from gan.state import GanState, count_skips, ema_decay, update_ema
from training.state import NetworkState, Variables, update_network

Batch = dict[str, Array]
Controls = dict[str, Float[Array, '']]  # alpha, and images_seen before the step
TrainStep = Callable[[GanState, Batch, PRNGKeyArray, Controls], tuple[GanState, dict[str, Array]]]


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the two networks are trained for; see `losses`.

    Attributes:
      name: the adversarial loss.
      penalty: `gradient` (WGAN-GP), `zero_centred` (R1) or `none`.
      penalty_weight: factor of the penalty.
      penalty_target: gradient norm that `gradient` asks for.
      penalty_every: the penalty enters each n-th step, n times as strong.
      drift_weight: factor of `losses.drift`.
    """

    name: losses.LossName
    penalty: str
    penalty_weight: float
    penalty_target: float
    penalty_every: int
    drift_weight: float

    def __post_init__(self) -> None:
        if self.name not in losses.GENERATOR_LOSSES:
            raise ValueError(f'loss.name is {self.name!r}; choose one of {sorted(losses.GENERATOR_LOSSES)}.')
        if self.penalty not in ('gradient', 'zero_centred', 'none'):
            raise ValueError(f"loss.penalty is {self.penalty!r}; choose 'gradient', 'zero_centred' or 'none'.")
        if self.penalty == 'gradient' and self.penalty_target <= 0:
            raise ValueError(f'loss.penalty_target is {self.penalty_target}, but must be above 0.')
        if self.penalty_every < 1:
            raise ValueError(f'loss.penalty_every is {self.penalty_every}, but must be at least 1.')


@dataclasses.dataclass(frozen=True)
class Averaging:
    """Half-life of the generator's running mean, in images, and its ramp; see `state.ema_decay`."""

    half_life: float
    ramp: float


def draw_latents(key: PRNGKeyArray, count: int, size: int) -> Float[Array, 'count size']:
    """Standard normal latents."""
    return jax.random.normal(key, (count, size))


def make_train_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    objective: Objective,
    averaging: Averaging,
    *,
    with_penalty: bool,
) -> TrainStep:
    """Returns `train_step(state, batch, key, controls) -> (state, metrics)`: discriminator first, then generator.

    Batches hold `image`, (batch, height, width, channels) in [-1, 1], and `label`, (batch,). The step is pure;
    all its randomness comes from `key`.
    """

    def train_step(state: GanState, batch: Batch, key: PRNGKeyArray, controls: Controls):
        latent_keys, penalty_key = jax.random.split(key, 2), jax.random.fold_in(key, 2)
        real, labels, alpha = fade_reals(batch['image'], controls['alpha']), batch['label'], controls['alpha']
        batch_size = real.shape[0]

        latents = draw_latents(latent_keys[0], batch_size, generator.latent_size)
        fake = generator.apply(state.generator.variables, latents, labels, alpha)
        gradient = jax.grad(
            partial(_discriminator_loss, discriminator, objective, with_penalty, state.discriminator.model_state),
            has_aux=True,
        )
        gradients, (spectral, metrics) = gradient(
            state.discriminator.params, real, jax.lax.stop_gradient(fake), labels, alpha, penalty_key
        )
        critic, critic_moved = update_network(state.discriminator, gradients, spectral, optimizers[1])
        metrics['discriminator_gradient_norm'] = optax.tree.norm(gradients)

        latents = draw_latents(latent_keys[1], batch_size, generator.latent_size)
        gradient = jax.value_and_grad(
            partial(_generator_loss, generator, discriminator, objective, critic, state.generator.model_state),
            has_aux=True,
        )
        (generator_loss, spectral), gradients = gradient(state.generator.params, latents, labels, alpha)
        artist, artist_moved = update_network(state.generator, gradients, spectral, optimizers[0])
        metrics |= {
            'generator_loss': generator_loss,
            'generator_gradient_norm': optax.tree.norm(gradients),
        }

        decay = ema_decay(batch_size, controls['images_seen'] + batch_size, averaging.half_life, averaging.ramp)
        ema_params = update_ema(state.ema_params, artist.params, decay)
        state = dataclasses.replace(state, generator=artist, discriminator=critic, ema_params=ema_params)
        state = count_skips(state, critic_moved & artist_moved)
        return state, metrics | {'skipped': state.skipped, 'skipped_in_a_row': state.skipped_in_a_row}

    return train_step


def _discriminator_loss(
    discriminator: Discriminator,
    objective: Objective,
    with_penalty: bool,
    model_state: Variables,
    params: Any,
    real: Array,
    fake: Array,
    labels: Int[Array, 'batch'],
    alpha: Array,
    key: PRNGKeyArray,
) -> tuple[Array, tuple[Variables, dict[str, Array]]]:
    """The loss, and the power-iteration vectors after their one step."""
    real_logits, model_state = discriminator.apply(
        {'params': params, **model_state}, real, labels, alpha, update_stats=True, mutable=list(model_state)
    )

    def critic(images: Array) -> Array:
        return discriminator.apply({'params': params, **model_state}, images, labels, alpha)

    fake_logits = critic(fake)
    adversarial = losses.DISCRIMINATOR_LOSSES[objective.name](real_logits, fake_logits)
    total = adversarial + objective.drift_weight * losses.drift(real_logits)
    metrics = {
        'discriminator_loss': adversarial,
        'real_logits': real_logits.mean(),
        'fake_logits': fake_logits.mean(),
    }
    if with_penalty and objective.penalty != 'none':
        penalty = (
            losses.gradient_penalty(critic, real, fake, key, objective.penalty_target)
            if objective.penalty == 'gradient'
            else losses.zero_centred_penalty(critic, real)
        )
        total += objective.penalty_weight * objective.penalty_every * penalty
        metrics['penalty'] = penalty
    return total, (model_state, metrics)


def _generator_loss(
    generator: Generator,
    discriminator: Discriminator,
    objective: Objective,
    critic: NetworkState,
    model_state: Variables,
    params: Any,
    latents: Array,
    labels: Int[Array, 'batch'],
    alpha: Array,
) -> tuple[Array, Variables]:
    """The loss, and the generator's power-iteration vectors; the discriminator's stay as they are."""
    fake, model_state = generator.apply(
        {'params': params, **model_state}, latents, labels, alpha, update_stats=True, mutable=list(model_state)
    )
    logits = discriminator.apply(critic.variables, fake, labels, alpha)
    return losses.GENERATOR_LOSSES[objective.name](logits), model_state


def create_cycle(
    generator: Generator,
    discriminator: Discriminator,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    objective: Objective,
    averaging: Averaging,
) -> tuple[TrainStep, ...]:
    """The steps that training repeats: one with the penalty, then `penalty_every - 1` without."""
    make = partial(make_train_step, generator, discriminator, optimizers, objective, averaging)
    if objective.penalty == 'none':
        return (make(with_penalty=False),)
    plain = make(with_penalty=False)
    return (make(with_penalty=True), *[plain] * (objective.penalty_every - 1))


def create_sampler(
    generator: Generator, sharding: NamedSharding
) -> Callable[..., Float[Array, 'batch height width channel']]:
    """Returns the compiled `sample(ema_variables, latents, labels, alpha) -> images`."""

    def sample(variables: Variables, latents: Array, labels: Array, alpha: Array) -> Array:
        return generator.apply(variables, latents, labels, alpha)

    return jax.jit(sample, out_shardings=sharding)
