"""How the networks of a GAN are optimised: Adam or RMSProp, annealed or not, with clipped weights or without."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import optax
from jaxtyping import Array, Float

from gan.annealing import Annealing
from gan.penalties import keep_weights_within
from gan.state import Optimizers

Side = Literal['generator', 'discriminator']


def create_optimizers(
    sides: Mapping[str, Side],
    annealing: Annealing | None,
    batch_size: int,
    *,
    name: str,
    generator_learning_rate: float,
    discriminator_learning_rate: float,
    discriminator_steps: int,
    b1: float,
    b2: float,
    eps: float,
    discriminator_limit: float,
) -> Optimizers:
    """One for each network, with the learning rate of its side.

    Args:
      sides: of each network by name.
      annealing: of the learning rates and of `b2`; None without.
      batch_size: images of a step, by which annealing counts.
      name: `adam` or `rmsprop`, whose decay is `b2`.
      generator_learning_rate, discriminator_learning_rate, b1, b2, eps: of the optimisers.
      discriminator_steps: for each of the generator's.
      discriminator_limit: weight clipping; 0 without.
    """
    rates = {'generator': generator_learning_rate, 'discriminator': discriminator_learning_rate}
    images = {'generator': discriminator_steps * batch_size, 'discriminator': batch_size}
    moments: dict[str, Any] = {'b1': b1, 'b2': b2} if name == 'adam' else {'decay': b2}
    create = optax.adam if name == 'adam' else optax.rmsprop
    made: dict[str, optax.GradientTransformation] = {}
    for network, side in sides.items():
        fields: dict[str, Any] = {'learning_rate': rates[side], **moments, 'eps': eps}
        if annealing is None:
            optimizer = create(**fields)
        else:
            last = 'b2' if name == 'adam' else 'decay'
            fields['learning_rate'] = _follow(
                annealing, images[side], rates[side], rates[side] * annealing.learning_rate
            )
            fields[last] = _follow(annealing, images[side], annealing.b2, b2)
            optimizer = optax.inject_hyperparams(create)(**fields)
        if discriminator_limit and side == 'discriminator':
            optimizer = optax.chain(optimizer, keep_weights_within(discriminator_limit))
        made[network] = optimizer
    return made


def _follow(annealing: Annealing, images: int, start: float, end: float) -> optax.Schedule:
    """From start to end, by the number of an optimiser's steps, each of so many images."""

    def value(start: float, end: float, steps: Array) -> Float[Array, '']:
        return annealing.between(start, end, steps * images)

    return functools.partial(value, start, end)
