"""Adversarial training of any number of networks: a step is a row of updates.

Each update moves some networks along the gradient of one loss, which may look at all of them. A generator and a
discriminator are two rows (`step`); encoders, heads that share a discriminator, or two generators with two
discriminators are more rows, or rows that train several networks at once.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from foundation.training.state import NetworkState, Params, Variables, all_finite, count_skips, select
from gan.state import GanState, Optimizers

Batch = dict[str, Array]
Controls = dict[str, Float[Array, '']]  # alpha, and images_seen before the step
Metrics = dict[str, Float[Array, '']]
TrainStep = Callable[[GanState, Batch, PRNGKeyArray, Controls], tuple[GanState, Metrics]]


class Given(NamedTuple):
    """What an update is given.

    Attributes:
      state: all networks, after the updates before it.
      batch: of the whole step.
      key: of this update.
      controls: traced scalars of the step.
    """

    state: GanState
    batch: Batch
    key: PRNGKeyArray
    controls: Controls


class Found(NamedTuple):
    """What a loss finds beside its value.

    Attributes:
      model_states: of the networks that are trained: their other collections after this pass.
      metrics: to log.
      signals: for the update's `then`.
    """

    model_states: dict[str, Variables]
    metrics: Metrics
    signals: Any = None


# `loss(params, given, shown, penalised=...)`: its value, to be differentiated by `params` (those of the trained
# networks, by name), and what it found. `penalised` adds what enters only now and then.
Loss = Callable[..., tuple[Float[Array, ''], Found]]


def _show_nothing(given: Given) -> Any:
    del given


def see_all(given: Given) -> Given:
    """What an update is given where it may look at all of it."""
    return given


def differentiate(
    loss: Loss, params: dict[str, Params], given: Given, shown: Any
) -> tuple[dict[str, Params], Found]:
    """The gradient of `loss(params, given, shown)` in the parameters, and what it found."""
    return jax.grad(loss, has_aux=True)(params, given, shown)


def keep(given: Given, found: Found) -> tuple[GanState, Metrics]:
    """The state as it is."""
    del found
    return given.state, {}


@dataclasses.dataclass(frozen=True)
class Update:
    """A row of a step.

    Attributes:
      trains: names of the networks that move, together.
      loss: `loss(params, given, shown, penalised=...) -> (value, Found)`.
      every: it is made in the last of so many steps.
      penalty_every: the loss is penalised in the first of so many steps; 0 never.
      show: what the loss is given that does not depend on the trained parameters: `show(given) -> shown`.
      then: what follows from it, once the networks have moved: `(given, found) -> (state, metrics)`.
      sees: what of a step it is given: `sees(given) -> given`.
      differentiate: how its loss becomes a gradient, see `differentiate`.
    """

    trains: tuple[str, ...]
    loss: Loss
    every: int
    penalty_every: int
    show: Callable[[Given], Any] = _show_nothing
    then: Callable[[Given, Found], tuple[GanState, Metrics]] = keep
    sees: Callable[[Given], Given] = see_all
    differentiate: Callable[..., tuple[dict[str, Params], Found]] = differentiate

    def turn(self, number: int) -> 'Turn':
        """What of it is due in a step."""
        due = (number + 1) % self.every == 0
        return Turn(due, due and self.penalty_every > 0 and number % self.penalty_every == 0)


class Turn(NamedTuple):
    """Whether an update is made in a step, and whether its loss is penalised there."""

    due: bool
    penalised: bool


def create_cycle(updates: Sequence[Update], optimizers: Optimizers) -> tuple[TrainStep, ...]:
    """The steps that training repeats. Equal steps are one function, so that runs of them become one program."""
    make = functools.cache(functools.partial(make_step, tuple(updates), optimizers))
    length = math.lcm(*(period for update in updates for period in (update.every, update.penalty_every or 1)))
    return tuple(make(tuple(update.turn(number) for update in updates)) for number in range(length))


def make_step(updates: Sequence[Update], optimizers: Optimizers, turns: Sequence[Turn]) -> TrainStep:
    """Returns `step(state, batch, key, controls) -> (state, metrics)`: the updates that are due, in their order.

    Batches hold `image`, (batch, height, width, channels) in [-1, 1], and `label`, (batch,). The step is pure;
    all its randomness comes from `key`.
    """

    def step(state: GanState, batch: Batch, key: PRNGKeyArray, controls: Controls) -> tuple[GanState, Metrics]:
        moved: list[Array] = []
        metrics: Metrics = {}
        for update, turn, own_key in zip(updates, turns, jax.random.split(key, len(updates)), strict=True):
            if turn.due:
                given = Given(state, batch, own_key, controls)
                state, finite, told = _make(update, optimizers, given, penalised=turn.penalised)
                moved.append(finite)
                metrics |= told
        state = count_skips(state, functools.reduce(lambda a, b: a & b, moved))
        return state, metrics | {'skipped': state.skipped, 'skipped_in_a_row': state.skipped_in_a_row}

    return step


def _make(
    update: Update, optimizers: Optimizers, given: Given, *, penalised: bool
) -> tuple[GanState, Bool[Array, ''], Metrics]:
    networks = {name: given.state.networks[name] for name in update.trains}
    params = {name: network.params for name, network in networks.items()}
    given, loss = update.sees(given), functools.partial(update.loss, penalised=penalised)
    gradients, found = update.differentiate(loss, params, given, update.show(given))
    networks, finite = _move(networks, gradients, found.model_states, optimizers)
    norms = {f'{name}_gradient_norm': optax.tree.norm(own) for name, own in gradients.items()}
    state = dataclasses.replace(given.state, networks={**given.state.networks, **networks})
    state, more = update.then(given._replace(state=state), found)
    return state, finite, found.metrics | norms | more


def _move(
    networks: dict[str, NetworkState],
    gradients: dict[str, Params],
    model_states: dict[str, Variables],
    optimizers: Optimizers,
) -> tuple[dict[str, NetworkState], Bool[Array, '']]:
    """One optimiser step of all networks, or of none where something is not finite; and whether it was made."""
    moved = {}
    for name, network in networks.items():
        changes, opt_state = optimizers[name].update(gradients[name], network.opt_state, network.params)
        params = optax.apply_updates(network.params, changes)
        moved[name] = NetworkState(params, model_states[name], opt_state)
    finite = all_finite((gradients, model_states))
    return {name: select(finite, moved[name], networks[name]) for name in networks}, finite
