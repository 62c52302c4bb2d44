"""Any number of networks: which move, when, along which gradient, and what follows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from foundation.training.state import NetworkState
from gan import adaptation
from gan.state import GanState
from gan.updates import Found, Given, Update, create_cycle

_RATE = 0.25
_START = {'a': 1.0, 'b': 2.0, 'c': 3.0}


def _create_state() -> GanState:
    """Three networks of one number each."""
    networks = {
        name: NetworkState(jnp.float32(value), {}, optax.sgd(_RATE).init(jnp.float32(value)))
        for name, value in _START.items()
    }
    zero = jnp.zeros((), jnp.int32)
    return GanState(networks, {}, adaptation.start(0.0), zero, zero)


def _product(params, given: Given, shown, *, penalised):
    """The product of all three numbers, and ten times the square of the trained ones where it is penalised."""
    numbers = {name: network.params for name, network in given.state.networks.items()} | params
    value = numbers['a'] * numbers['b'] * numbers['c'] * (1.0 if shown is None else shown)
    if penalised:
        value = value + 10 * sum(number**2 for number in params.values())
    return value, Found({name: {} for name in params}, {'product': value})


def _run(updates, steps=1, batch=None):
    cycle = create_cycle(updates, {name: optax.sgd(_RATE) for name in _START})
    state, metrics = _create_state(), {}
    for number in range(steps):
        step = cycle[number % len(cycle)]
        state, metrics = jax.jit(step)(state, batch or {}, jax.random.key(number), {})
    return {name: float(network.params) for name, network in state.networks.items()}, state, metrics


def _row(*trains, every=1, penalty_every=0, **rest):
    return Update(trains, _product, every, penalty_every, **rest)


def test_networks_that_are_trained_together_move_along_one_gradient():
    numbers, _, metrics = _run([_row('a', 'b')])
    assert numbers == {'a': 1 - _RATE * 2 * 3, 'b': 2 - _RATE * 1 * 3, 'c': 3.0}
    assert float(metrics['a_gradient_norm']) == 6.0
    assert float(metrics['b_gradient_norm']) == 3.0


def test_a_later_update_sees_what_the_one_before_it_moved():
    numbers, _, metrics = _run([_row('a'), _row('c')])
    a = 1 - _RATE * 6
    assert numbers == {'a': a, 'b': 2.0, 'c': 3 - _RATE * a * 2}
    assert float(metrics['product']) == a * 6


def test_updates_are_made_in_the_last_of_their_steps_and_equal_steps_are_one_function():
    updates = [_row('a'), _row('b', every=3)]
    cycle = create_cycle(updates, {name: optax.sgd(_RATE) for name in _START})
    assert len(cycle) == 3
    assert cycle[0] is cycle[1] is not cycle[2]
    assert _run(updates, steps=2)[0]['b'] == 2.0
    assert _run(updates, steps=3)[0]['b'] != 2.0


def test_a_penalty_enters_the_first_of_its_steps_alone():
    numbers = [_run([_row('a', penalty_every=2)], steps=steps)[0]['a'] for steps in (1, 2)]
    first = 1 - _RATE * (6 + 20 * 1)
    assert numbers == [first, first - _RATE * 6]


def test_what_is_shown_is_not_differentiated_and_then_follows():
    def then(given, found):
        del found
        moved = given.state.networks['a'].params
        return dataclasses.replace(given.state, averages={'a': {'params': moved}}), {'followed': moved}

    numbers, state, metrics = _run([_row('a', show=lambda given: given.batch['x'], then=then)], batch={'x': 2.0})
    assert numbers['a'] == 1 - _RATE * 12
    assert float(state.averages['a']['params']) == float(metrics['followed']) == numbers['a']


def test_networks_of_an_update_move_together_or_not_at_all():
    numbers, state, _ = _run([_row('a', 'b'), _row('c')], batch={})
    assert int(state.skipped) == 0
    bad = [_row('a', 'b', show=lambda given: jnp.inf), _row('c')]
    numbers, state, metrics = _run(bad)
    assert numbers == {'a': 1.0, 'b': 2.0, 'c': 3 - _RATE * 2}
    assert (int(state.skipped), int(metrics['skipped_in_a_row'])) == (1, 1)


@pytest.mark.parametrize('name', ['a', 'b', 'c'])
def test_every_update_has_a_key_of_its_own(name):
    seen = []

    def show(given):
        seen.append(given.key)
        return None

    with jax.disable_jit():
        _run([_row(name, show=show), _row(name, show=show)])
    assert not np.array_equal(*(jax.random.key_data(key) for key in seen))
