"""The private gradient: clipped as a loop over single pairs would, noisy as it should, and blind to all else."""

import dataclasses
import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan.differential_privacy.gradient import PrivateGradient, add_noise, hide_reals, sum_clipped
from gan.step import create_cycle
from gan.updates import Given
from tests.gan import nets

_KEY = np.array([7, 11], np.uint32)
_COUNT = 4


def _create(architecture='dcgan', *, privacy, objective=None, num_classes=2, **networks):
    """A private recipe, its state, and a batch of which the last row is padding."""
    recipe = nets.create_recipe(
        architecture,
        objective=objective or nets.create_objective('non_saturating', 'none'),
        num_classes=num_classes,
        **networks,
    )
    recipe = dataclasses.replace(recipe, privacy=privacy)
    batch = nets.create_batch(8, count=_COUNT, num_classes=num_classes)
    batch |= {'valid': jnp.arange(_COUNT) < _COUNT - 1, 'noise_key': jnp.tile(_KEY, (_COUNT, 1))}
    return recipe, nets.create_start(recipe, jax.random.key(0)), batch


def _judge(recipe, state, batch, *, penalised):
    """The discriminator's loss, its parameters, and what it is given and shown."""
    update = recipe.create_updates(recipe)[0]
    given = Given(state, batch, jax.random.key(3), nets.controls())
    params = {'discriminator': state.networks['discriminator'].params}
    return update, functools.partial(update.loss, penalised=penalised), params, given, update.show(given)


def _norm(tree) -> float:
    return float(np.sqrt(sum(np.square(np.asarray(leaf, np.float64)).sum() for leaf in jax.tree.leaves(tree))))


@pytest.mark.parametrize('clip_norm', [0.05, 1e3])
def test_it_is_what_a_loop_over_pairs_gives(clip_norm):
    """With dropout, classes, drift and a gradient penalty: all that a loss asks of a pair is in its gradient."""
    privacy = PrivateGradient(clip_norm, noise_multiplier=0.0, expected=2.5, mesh=None)
    objective = nets.create_objective('non_saturating', 'gradient')
    recipe, state, batch = _create(
        privacy=privacy, objective=objective, condition='auxiliary', generator={'batch_norm': False}
    )
    update, loss, params, given, shown = _judge(recipe, state, batch, penalised=True)
    found, beside = jax.jit(lambda p: update.differentiate(loss, p, given, shown))(params)

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    total, norms = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params), []
    for row, key in zip(range(_COUNT - 1), jax.random.split(shown.key, _COUNT)[:-1], strict=True):
        own = {name: batch[name][row : row + 1] for name in ('image', 'label')}
        arrays = {name: getattr(shown, name)[row : row + 1] for name in ('real', 'fake', 'latents')}
        one, _ = gradient(params, given._replace(batch=own), shown._replace(**arrays, key=key))
        norms.append(_norm(one))
        scale = min(1.0, clip_norm / norms[-1])
        total = jax.tree.map(lambda whole, part, scale=scale: whole + scale * np.asarray(part), total, one)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b / 2.5, rtol=1e-4, atol=1e-6), found, total)
    assert float(beside.metrics['clipped']) == pytest.approx(np.mean(np.array(norms) > clip_norm))
    assert (min(norms) > clip_norm) == (clip_norm < 1)


def _lose(params, row):
    """A loss whose gradient is the row itself."""
    return (params * row).sum(), None


def test_one_row_moves_the_sum_by_the_clip_norm_at_most():
    rows = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)
    rows[2] *= 1e6
    rows[3] *= 1e-3
    rows[4, 7], rows[5, 9] = np.nan, np.inf
    sum_of = jax.jit(lambda valid: sum_clipped(_lose, jnp.zeros(50), rows, valid, 0.5)[0])
    everyone = np.asarray(sum_of(jnp.ones(6, bool)), np.float64)
    moved = [np.linalg.norm(everyone - np.asarray(sum_of(jnp.arange(6) != row))) for row in range(6)]
    assert np.isfinite(everyone).all()
    np.testing.assert_allclose(moved[:4], [0.5, 0.5, 0.5, np.linalg.norm(rows[3])], rtol=1e-4)
    assert max(moved) <= 0.5 * (1 + 1e-6)
    assert not np.asarray(sum_of(jnp.zeros(6, bool))).any()


def test_noise_has_its_deviation_and_is_a_function_of_the_key():
    zeros = {'a': jnp.zeros((300, 100)), 'b': jnp.zeros((30_000,)), 'c': jnp.zeros(())}
    noise = add_noise(zeros, jnp.asarray(_KEY), 0.25)
    for leaf in (noise['a'].ravel(), noise['b']):
        # Five standard errors of a deviation, and of a mean.
        assert abs(np.std(leaf) / 0.25 - 1) < 5 / np.sqrt(2 * leaf.size)
        assert abs(np.mean(leaf)) < 5 * 0.25 / np.sqrt(leaf.size)
    assert abs(np.corrcoef(noise['a'].ravel(), noise['b'])[0, 1]) < 5 / np.sqrt(30_000)
    again, other = add_noise(zeros, jnp.asarray(_KEY), 0.25), add_noise(zeros, jnp.asarray(_KEY) + 1, 0.25)
    np.testing.assert_array_equal(noise['b'], again['b'])
    assert abs(np.corrcoef(noise['b'], other['b'])[0, 1]) < 5 / np.sqrt(30_000)


def test_noise_comes_on_the_sum_before_it_is_divided():
    clean, noisy = (PrivateGradient(2.0, multiplier, expected=5.0, mesh=None) for multiplier in (0.0, 3.0))
    found = []
    for privacy in (clean, noisy):
        recipe, state, batch = _create(privacy=privacy, generator={'batch_norm': False})
        update, loss, params, given, shown = _judge(recipe, state, batch, penalised=False)
        found.append(update.differentiate(loss, params, given, shown)[0])
    added = np.concatenate([(b - a).ravel() for a, b in zip(*map(jax.tree.leaves, found), strict=True)])
    assert abs(np.std(added) / (3 * 2 / 5) - 1) < 5 / np.sqrt(2 * added.size)


def test_the_generator_is_given_no_images_and_labels_by_chance():
    batch = {'image': jnp.ones((600, 2, 2, 1)), 'label': jnp.zeros(600, jnp.int32)}
    given = Given(None, batch | {'valid': jnp.ones(600, bool)}, jax.random.key(1), {})
    hidden = hide_reals(3, given).batch
    assert hidden.keys() == {'image', 'label'}
    assert not hidden['image'].any()
    counts = np.bincount(hidden['label'], minlength=3)
    assert len(counts) == 3
    assert abs(counts - 200).max() < 5 * np.sqrt(600 * 2 / 9)
    assert not hide_reals(0, given).batch['label'].any()


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ('architecture', 'classes', 'networks'),
    [
        ('dcgan', 2, {'generator': {'batch_norm': False}}),
        ('dcgan', 0, {}),
        ('progressive', 2, {'discriminator': {'stddev_group': 1}}),
        ('biggan', 0, {}),
    ],
)
def test_a_step_sees_nothing_of_rows_that_are_not_in_the_batch(architecture, classes, networks):
    """The whole state after it is the same, bit for bit, whatever images and labels stand there."""
    privacy = PrivateGradient(1.0, noise_multiplier=0.5, expected=3.0, mesh=None)
    objective = nets.create_objective('non_saturating', 'zero_centred')
    recipe, state, batch = _create(
        architecture, privacy=privacy, objective=objective, num_classes=classes, **networks
    )
    (step,) = create_cycle(recipe)
    step = jax.jit(step)
    other = nets.create_batch(8, count=_COUNT, num_classes=classes, seed=1)
    other['label'] = (other['label'] + 1) % max(classes, 1)
    first = jnp.arange(_COUNT) == 0
    for valid in (jnp.zeros(_COUNT, bool), first):
        there = {name: jnp.where(_as_rows(valid, array), batch[name], array) for name, array in other.items()}
        states = [
            step(state, own | {'valid': valid}, jax.random.key(5), nets.controls())[0]
            for own in (batch, batch | there)
        ]
        assert int(states[0].skipped) == 0
        jax.tree.map(np.testing.assert_array_equal, *states)
        moved = optax.tree.sub(states[0].networks['discriminator'].params, state.networks['discriminator'].params)
        assert _norm(moved) > 0
    seen = step(state, batch | other | {'valid': first}, jax.random.key(5), nets.controls())[0]
    changed = optax.tree.sub(seen.networks['discriminator'].params, states[0].networks['discriminator'].params)
    assert _norm(changed) > 0  # what is in the batch is seen


def _as_rows(valid, array):
    return valid.reshape(-1, *[1] * (array.ndim - 1))


_ON_EIGHT_DEVICES = """
import dataclasses
import jax, numpy as np
from foundation.training import parallel
from gan.differential_privacy.gradient import PrivateGradient
from gan.step import create_cycle
from tests.gan import nets
recipe = nets.create_recipe(objective=nets.create_objective('hinge', 'none'), discriminator={'stddev_group': 1})
def private(mesh):
    privacy = PrivateGradient(1.0, noise_multiplier=2.0, expected=12.0, mesh=mesh)
    return dataclasses.replace(recipe, privacy=privacy)
batch = nets.create_batch(8, count=16) | {
    'valid': np.arange(16) < 13, 'noise_key': np.full((16, 2), 9, np.uint32)
}
mesh = parallel.create_mesh()
(step,), (cut_step,) = (create_cycle(private(own)) for own in (None, mesh))
state = nets.create_start(recipe, jax.random.key(0))
assert mesh.size == 8
shared, cut = parallel.replicated(mesh), parallel.row_sharded(mesh)
arguments = (jax.random.key(1), nets.controls())
alone = jax.jit(step)(state, batch, *arguments)
sharded = {name: jax.device_put(array, cut) for name, array in batch.items()}
together = jax.jit(cut_step, out_shardings=(shared, shared))(jax.device_put(state, shared), sharded, *arguments)
for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-3, atol=2e-5)
print('same')
"""


@pytest.mark.slow
def test_eight_devices_take_the_same_step_with_the_same_noise():
    flags = {'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(
        [sys.executable, '-c', _ON_EIGHT_DEVICES],
        env={**os.environ, **flags, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == 'same\n', done.stderr
