"""A generator against a discriminator: the two updates of a step, plain single-device mathematics on a batch."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from foundation.training.state import Params, Variables
from gan.adaptation import adapt
from gan.annealing import Annealing
from gan.augmentation import DiscriminatorAugmentation, augment
from gan.differential_privacy.gradient import PrivateGradient, hide_reals
from gan.latents import draw_latents
from gan.layers import BATCH_STATS
from gan.networks import Discriminator, DiscriminatorOutput, Generator, fade_reals
from gan.objective import Objective
from gan.penalties import orthogonal_penalty
from gan.state import GanState, Optimizers, ema_decay, update_ema
from gan.updates import (
    Found,
    Given,
    Metrics,
    TrainStep,
    Turn,
    Update,
    differentiate,
    keep,
    make_step,
    see_all,
)
from gan.updates import create_cycle as create_cycle_of


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
class StepRecipe:
    """All that decides a step.

    Attributes:
      networks: by name, `generator` and `discriminator` among them.
      optimizers: of each network by name.
      objective: what they are trained for.
      averaging: the generator's running mean.
      augmentation: what happens to all images before the discriminator sees them.
      adaptation: how its probability follows the discriminator; None keeps it.
      reals_per_image: real images that a step takes for each one it counts.
      discriminator_steps: updates of the discriminator for each of the generator.
      annealing: what changes while training goes on; None for nothing.
      options: what the family alone has: the section `family` of its config.
      create_updates: the rows of a step, from this recipe.
      privacy: of the discriminator's gradient, the one that real images enter then; None for none.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Optimizers
    objective: Objective
    averaging: Averaging
    augmentation: DiscriminatorAugmentation
    adaptation: Adaptation | None
    reals_per_image: int
    discriminator_steps: int
    annealing: Annealing | None
    options: Mapping[str, Any]
    create_updates: Callable[['StepRecipe'], tuple[Update, ...]]
    privacy: PrivateGradient | None = None

    @property
    def generator(self) -> Generator:
        """The network that draws images."""
        return cast(Generator, self.networks['generator'])

    @property
    def discriminator(self) -> Discriminator:
        """The network that judges them."""
        return cast(Discriminator, self.networks['discriminator'])

    @property
    def critic(self) -> Discriminator:
        """The discriminator whose slope is penalised: differences of logits ask for float32."""
        exact = self.objective.penalty_slope == 'exact'
        return self.discriminator if exact else self.discriminator.clone(dtype=jnp.dtype(jnp.float32))

    @property
    def shares_logits(self) -> bool:
        """Whether the loss's logits are those that the penalty would find: the same precision, and no dropout."""
        return self.discriminator.dtype == jnp.float32 and not getattr(self.discriminator, 'dropout', 0.0)


def pair_updates(recipe: StepRecipe) -> tuple[Update, ...]:
    """The discriminator's update, then the generator's."""
    then = partial(adapt_probability, recipe)
    return alternate(recipe, _show_pair, _discriminator_loss, _generator_loss, then)


def alternate(
    recipe: StepRecipe, show: Callable, discriminator: Callable, generator: Callable, then: Callable = keep
) -> tuple[Update, ...]:
    """One discriminator, and every so many steps one generator, whose running mean follows.

    Args:
      recipe: first argument of all functions.
      show: what the discriminator is shown, see `Update`.
      discriminator, generator: their losses, see `Update`.
      then: what follows the discriminator's update, see `Update`.
    """
    privacy = recipe.privacy
    return (
        Update(
            trains=('discriminator',),
            loss=partial(discriminator, recipe),
            every=1,
            penalty_every=recipe.objective.penalty_period,
            show=partial(show, recipe),
            then=then,
            differentiate=differentiate if privacy is None else privacy.differentiate,
        ),
        Update(
            trains=('generator',),
            loss=partial(generator, recipe),
            every=recipe.discriminator_steps,
            penalty_every=0,
            then=partial(average_generator, recipe),
            sees=see_all if privacy is None else partial(hide_reals, recipe.generator.num_classes),
        ),
    )


def create_cycle(recipe: StepRecipe) -> tuple[TrainStep, ...]:
    """The steps that training repeats; see `updates.create_cycle`."""
    return create_cycle_of(recipe.create_updates(recipe), recipe.optimizers)


def make_train_step(recipe: StepRecipe, *, with_penalty: bool, with_generator: bool) -> TrainStep:
    """One step of a pair, with or without the penalty and the generator's update; see `updates.make_step`."""
    turns = (Turn(True, with_penalty), Turn(with_generator, False))
    return make_step(recipe.create_updates(recipe), recipe.optimizers, turns)


class RealBatch(NamedTuple):
    """Real images of a step, as they are, and their labels."""

    images: Array
    labels: Array


def reals_of(recipe: StepRecipe, given: Given, part: int) -> RealBatch:
    """Those of the discriminator (part 0) or of the generator: other ones where its loss looks at real images.

    Of families that translate: those of the source, or of the target.
    """
    parts = recipe.reals_per_image
    images, labels = (given.batch[name][part % parts :: parts] for name in ('image', 'label'))
    return RealBatch(images, labels)


class ShownPair(NamedTuple):
    """Real and generated images as the discriminator sees them, their latents, and the key of its loss."""

    real: Array
    fake: Array
    latents: Array
    key: PRNGKeyArray


def _show_pair(recipe: StepRecipe, given: Given) -> ShownPair:
    state, alpha, (images, labels) = given.state, given.controls['alpha'], reals_of(recipe, given, 0)
    real = fade_reals(images, alpha)
    latent_key, *view_keys, loss_key = jax.random.split(given.key, 4)
    # Statistics that move in this pass are dropped: the generator is not what is trained.
    artist, probability = state.networks['generator'], state.augmentation.probability
    latents = draw_latents_of(recipe, latent_key, len(labels))
    fake, _ = draw(recipe, artist.params, artist.model_state, latents, labels, alpha)
    views = [view(recipe, x, key, probability) for x, key in zip((real, fake), view_keys, strict=True)]
    return ShownPair(views[0], views[1], latents, loss_key)


def _discriminator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: ShownPair, *, penalised: bool
) -> tuple[Array, Found]:
    """The loss, and the power-iteration vectors after their one step; signals are the logits of real images."""
    alpha, labels = given.controls['alpha'], reals_of(recipe, given, 0).labels
    real, fake, _, key = shown
    model_state = given.state.networks['discriminator'].model_state
    objective, (loss_key, penalty_key, *dropout_keys) = recipe.objective, jax.random.split(key, 5)

    def judge(model_state: Variables, dropout_key: PRNGKeyArray, images: Array, labels: Array, **options) -> Any:
        variables, rngs = {'params': params['discriminator'], **model_state}, {'dropout': dropout_key}
        return recipe.discriminator.apply(variables, images, labels, alpha, rngs=rngs, **options)

    def critic(images: Array, labels: Array) -> Array:
        variables, rngs = {'params': params['discriminator'], **model_state}, {'dropout': dropout_keys[2]}
        return recipe.critic.apply(variables, images, labels, alpha, rngs=rngs).logits

    moving = {'update_stats': True, 'mutable': list(model_state)}
    if objective.joint_batches:
        images, both_labels = jnp.concatenate([real, fake]), jnp.concatenate([labels, labels])
        verdict, model_state = judge(model_state, dropout_keys[0], images, both_labels, **moving)
        real_verdict, fake_verdict = (
            DiscriminatorOutput(*parts) for parts in zip(*map(_halve, verdict), strict=True)
        )
    else:
        real_verdict, model_state = judge(model_state, dropout_keys[0], real, labels, **moving)
        fake_verdict = judge(model_state, dropout_keys[1], fake, labels)
    total, metrics = objective.discriminator_loss(real_verdict, fake_verdict, labels, loss_key)
    if penalised:
        logits = (real_verdict.logits, fake_verdict.logits) if recipe.shares_logits else None
        penalty, more = objective.penalise(critic, real, fake, labels, penalty_key, logits)
        if recipe.annealing is not None:
            penalty *= recipe.annealing.between(1.0, recipe.annealing.penalty, given.controls['images_seen'])
        total, metrics = total + penalty, metrics | more
    return total, Found({'discriminator': model_state}, metrics, objective.sureness(real_verdict))


def _halve(array: Array) -> tuple[Array, Array]:
    """The two halves of a batch."""
    count = array.shape[0] // 2
    return array[:count], array[count:]


def adapt_probability(recipe: StepRecipe, given: Given, found: Found) -> tuple[GanState, Metrics]:
    """The probability of augmentation after the discriminator's update."""
    state, annealing = given.state, recipe.annealing
    if annealing is not None:
        probability = annealing.between(*annealing.augmentation, given.controls['images_seen'])
        augmentation = dataclasses.replace(state.augmentation, probability=probability)
        state = dataclasses.replace(state, augmentation=augmentation)
    if recipe.adaptation is not None:
        augmentation = adapt(state.augmentation, found.signals, **vars(recipe.adaptation))
        state = dataclasses.replace(state, augmentation=augmentation)
    told = {'augmentation_probability': state.augmentation.probability} if recipe.augmentation.operations else {}
    return state, told


def average_generator(recipe: StepRecipe, given: Given, found: Found) -> tuple[GanState, Metrics]:
    """The generator's running mean after its update."""
    del found
    state, alpha, (_, labels) = given.state, given.controls['alpha'], reals_of(recipe, given, 0)
    network, averaging = state.networks['generator'], recipe.averaging
    images = len(labels) * recipe.discriminator_steps
    seen = given.controls['images_seen'] + len(labels)
    half_life: Array | float = averaging.half_life
    if recipe.annealing is not None:
        half_life = recipe.annealing.between(recipe.annealing.half_life, averaging.half_life, seen)
    decay = ema_decay(images, seen, half_life, averaging.ramp)
    average = dict(state.averages['generator'])
    average['params'] = update_ema(average['params'], network.params, decay)
    if BATCH_STATS in average:
        # Averaged weights have statistics of their own; an average of the trained ones' takes the contrast away.
        kept = {**network.model_state, BATCH_STATS: average[BATCH_STATS]}
        latents = draw_latents_of(recipe, given.key, len(labels))
        average[BATCH_STATS] = draw(recipe, average['params'], kept, latents, labels, alpha)[1][BATCH_STATS]
    return dataclasses.replace(state, averages={**state.averages, 'generator': average}), {}


def _generator_loss(
    recipe: StepRecipe, params: dict[str, Params], given: Given, shown: None, *, penalised: bool
) -> tuple[Array, Found]:
    """The loss, and the generator's statistics; the discriminator's stay as they are."""
    del shown, penalised
    labels = reals_of(recipe, given, 1).labels
    seen, _, dropout_key, model_state = show_drawn(recipe, params['generator'], given)
    variables, rngs = given.state.networks['discriminator'].variables, {'dropout': dropout_key}
    verdict = recipe.discriminator.apply(variables, seen, labels, given.controls['alpha'], rngs=rngs)
    real = judge_real(recipe, given) if recipe.objective.loss.pairs else None
    total, metrics = recipe.objective.generator_loss(verdict, labels, real)
    if recipe.objective.orthogonal_weight:
        metrics['orthogonal_penalty'] = orthogonal_penalty(params['generator'])
        total += recipe.objective.orthogonal_weight * metrics['orthogonal_penalty']
    return total, Found({'generator': model_state}, metrics)


def show_drawn(recipe: StepRecipe, params: Params, given: Given) -> tuple[Array, Array, PRNGKeyArray, Variables]:
    """Images that these parameters draw, as they are judged; their latents, the key of that, new statistics."""
    state, labels, alpha = given.state, reals_of(recipe, given, 1).labels, given.controls['alpha']
    latent_key, view_key, dropout_key = jax.random.split(given.key, 3)
    model_state = state.networks['generator'].model_state
    latents = draw_latents_of(recipe, latent_key, len(labels))
    fake, model_state = draw(recipe, params, model_state, latents, labels, alpha)
    return view(recipe, fake, view_key, state.augmentation.probability), latents, dropout_key, model_state


def judge_real(recipe: StepRecipe, given: Given) -> Any:
    """What the discriminator says of the generator's own real images, beside which it judges drawn ones."""
    state, alpha, (images, labels) = given.state, given.controls['alpha'], reals_of(recipe, given, 1)
    view_key, dropout_key = jax.random.split(jax.random.fold_in(given.key, 0))
    seen = view(recipe, fade_reals(images, alpha), view_key, state.augmentation.probability)
    variables, rngs = state.networks['discriminator'].variables, {'dropout': dropout_key}
    return recipe.discriminator.apply(variables, seen, labels, alpha, rngs=rngs)


def draw_latents_of(recipe: StepRecipe, key: PRNGKeyArray, count: int) -> Array:
    """Latents as the generator takes them."""
    return draw_latents(key, count, recipe.generator.latent_size, recipe.generator.latent_distribution)


def draw(
    recipe: StepRecipe, params: Any, model_state: Variables, latents: Array, labels: Array, alpha: Array
) -> tuple[Array, Variables]:
    """One image of each latent vector and label, and the generator's statistics after this batch."""
    variables, names = {'params': params, **model_state}, list(model_state)
    return recipe.generator.apply(variables, latents, labels, alpha, update_stats=True, mutable=names)


def view(recipe: StepRecipe, images: Array, key: PRNGKeyArray, probability: Array) -> Array:
    """Images as the discriminator sees them."""
    augment_key, noise_key = jax.random.split(key)
    images = augment(recipe.augmentation, images, augment_key, probability)
    if recipe.objective.input_noise:
        images += recipe.objective.input_noise * jax.random.normal(noise_key, images.shape, images.dtype)
    return images
