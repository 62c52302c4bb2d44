"""Every network's step is compared, and small faults of one layer are found."""

import dataclasses

import jax
import numpy as np
import pytest

from benchmarks.accelerator import correct


@pytest.fixture(autouse=True)
def _compile_fast():
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


def _scaled(tree, factor: float):
    """The tree with its largest leaf scaled."""
    leaves, form = jax.tree.flatten(tree)
    largest = max(range(len(leaves)), key=lambda number: np.linalg.norm(leaves[number]))
    leaves[largest] = leaves[largest] * np.float32(factor)
    return jax.tree.unflatten(form, leaves)


def _replaced(stepped, **fields):
    """A step whose last network has other fields."""
    state, metrics = stepped
    if not hasattr(state, 'networks'):
        return dataclasses.replace(state, network=dataclasses.replace(state.network, **fields)), metrics
    name = list(state.networks)[-1]
    networks = state.networks | {name: dataclasses.replace(state.networks[name], **fields)}
    return dataclasses.replace(state, networks=networks), metrics


def _fill(shapes, numbers):
    """Arrays of the shapes; floating point numbers are normal."""
    return jax.tree.map(
        lambda leaf: np.asarray(
            numbers.normal(size=leaf.shape) * np.issubdtype(leaf.dtype, np.floating), leaf.dtype
        ),
        shapes,
    )


def _draw_step(subject):
    """A state and what a step might leave: numbers in their shapes, for nothing is compiled."""
    key, numbers = jax.random.key(0), np.random.default_rng(0)
    state = jax.eval_shape(subject.create_state, key)
    batch = jax.eval_shape(subject.create_batch, key)
    after, metrics = jax.eval_shape(subject.whole_step, state, batch, key, correct._arrays(subject.controls))
    return _fill(state, numbers), (_fill(after, numbers), dict.fromkeys(metrics, 0.5))


@pytest.mark.slow
def test_the_same_step_twice_passes():
    subject, cpu = correct.create_subjects(width=8, side=8)['pggan'](), jax.devices('cpu')[0]
    state = subject.draw_state(jax.random.key(0))
    stepped = correct.run_step(subject, state, subject.create_batch(jax.random.key(1)), cpu)
    same = correct.judge_step(state, stepped, stepped)
    assert same == {'losses': 0, 'gradients': 0, 'new parameters': 0, 'passes': True}
    assert min(map(_largest, correct._gradients(stepped[0]))) > 0
    assert min(map(_largest, correct._updates(state, stepped[0]))) > 0


def _largest(tree) -> float:
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize('name', correct.create_subjects())
def test_a_layer_that_is_one_percent_off_is_found(name):
    state, stepped = _draw_step(correct.create_subjects(width=8, side=8)[name]())
    assert correct.judge_step(state, stepped, stepped)['passes']
    for own, gradients in zip(correct._networks(state), correct._gradients(stepped[0]), strict=True):
        assert jax.tree.map(np.shape, gradients) == jax.tree.map(np.shape, own.params)

    network = correct._networks(stepped[0])[-1]
    gradients, *rest = network.opt_state
    wrong = correct.judge_step(state, _replaced(stepped, opt_state=(_scaled(gradients, 1.01), *rest)), stepped)
    assert wrong['gradients'] == pytest.approx(0.01, rel=1e-3)
    assert not wrong['passes']

    (updates,) = correct._updates(state, stepped[0])[-1:]
    moved = jax.tree.map(
        lambda before, update: np.float32(before + update),
        correct._networks(state)[-1].params,
        _scaled(updates, 1.01),
    )
    wrong = correct.judge_step(state, _replaced(stepped, params=moved), stepped)
    assert wrong['new parameters'] == pytest.approx(0.01, rel=0.01)
    assert not wrong['passes']

    metrics = {key: value * 1.01 + 0.01 for key, value in stepped[1].items()}
    assert not correct.judge_step(state, (stepped[0], metrics), stepped)['passes']
