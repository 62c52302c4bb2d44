"""The adversarial networks in PyTorch compute what ours compute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='peers are tested in their own environment: the extra `peers`')

from benchmarks.peers import gans  # noqa: E402
from benchmarks.peers.copying import convert_adversarial  # noqa: E402
from benchmarks.peers.forms import Form  # noqa: E402
from gan.step import make_train_step  # noqa: E402

BATCH, RESOLUTION = 8, 16
EAGER = Form('cpu', 'float32', channels_last=True, compiled=False)
NARROW = {'generator.last_width': 8, 'discriminator.first_width': 8}
GROWN = {f'{network}.fmap_{name}': value for network in ('generator', 'discriminator')
         for name, value in (('base', 128), ('max', 16))}  # fmt: skip
GANS = {
    'pggan': gans.Gan('pggan', {**GROWN, 'generator.latent_size': 16}),
    'enhanced_gan': gans.Gan('enhanced_gan', {**GROWN, 'generator.latent_size': 16}),
    'dcgan': gans.Gan('dcgan', {**NARROW, 'discriminator.layers': 2}),
    'sngan': gans.Gan('sngan', NARROW),
}


def _create(name, **changes):
    config = GANS[name].configure(RESOLUTION, 'float32')
    config.update_from_flattened_dict(changes)
    recipe, state = gans.create_recipe(config)
    return recipe, state, gans.create_torch_cycle(config, recipe, state, BATCH, EAGER)


def _to_torch(images, mirrored):
    images = np.asarray(images)[:, ::-1, ::-1] if mirrored else np.asarray(images)
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def _draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _latents(recipe, count=3):
    return [_draw(seed, BATCH, recipe.generator.latent_size) for seed in range(count)]


def _apply(network, state, x, alpha):
    """As in training: batch statistics are those of the batch, spectral vectors move."""
    mutable, labels = list(state.model_state), jnp.zeros(BATCH, jnp.int32)
    apply = jax.jit(lambda x, alpha: network.apply(state.variables, x, labels, alpha, True, mutable=mutable)[0])
    return apply(x, alpha)


@pytest.mark.parametrize('alpha', [0.3, 1.0])
@pytest.mark.parametrize('name', GANS)
def test_generator_draws_the_same_images(name, alpha):
    recipe, state, cycle = _create(name)
    latents = _latents(recipe)[0]
    ours = _apply(recipe.generator, state.networks['generator'], latents, alpha)
    cycle.generator.iterate_power()
    theirs = cycle.generator(torch.from_numpy(latents), torch.tensor(alpha)).detach()
    assert np.std(ours) > 0.01
    np.testing.assert_allclose(theirs, _to_torch(ours, name == 'dcgan'), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('name', GANS)
def test_discriminator_gives_the_same_logits(name):
    recipe, state, cycle = _create(name)
    images = _draw(0, BATCH, RESOLUTION, RESOLUTION, 1)
    ours = _apply(recipe.discriminator, state.networks['discriminator'], images, 0.3).logits
    cycle.discriminator.iterate_power()
    theirs = cycle.discriminator(_to_torch(images, name == 'dcgan'), torch.tensor(0.3)).detach()
    assert np.std(ours) > 1e-3
    np.testing.assert_allclose(theirs, ours, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('name', GANS)
def test_two_steps_change_both_networks_and_the_mean_alike(name, monkeypatch):
    """With Adam's eps so large that rounding of gradients near 0 does not decide the sign of an update."""
    recipe, state, cycle = _create(name, **{'optimizer.eps': 0.1, 'average.half_life': 20.0, 'average.ramp': 0.0})
    latents, mix = _latents(recipe), np.linspace(0, 1, BATCH, dtype=np.float32).reshape(-1, 1, 1, 1)
    with_penalty = recipe.objective.penalty != 'none'
    step = make_train_step(recipe, with_penalty=with_penalty, with_generator=True)
    draws = iter(latents)
    monkeypatch.setattr('gan.step.draw_latents', lambda *_: jnp.asarray(next(draws)))
    monkeypatch.setattr(jax.random, 'uniform', lambda *_, **__: jnp.asarray(mix))
    step = jax.jit(step)
    images = _draw(9, BATCH, RESOLUTION, RESOLUTION, 1).clip(-1, 1)
    batch = {'image': jnp.asarray(images), 'label': jnp.zeros(BATCH, jnp.int32)}
    controls = {'alpha': jnp.ones(()), 'images_seen': jnp.asarray(gans.IMAGES_SEEN)}
    moved, real = state, _to_torch(images, name == 'dcgan')
    first, second = (torch.from_numpy(row) for row in latents[:2])
    for _ in range(2):
        moved, metrics = step(moved, batch, jax.random.key(0), controls)
        cycle.update_discriminator(real, first, torch.from_numpy(mix))
        loss = cycle.update_generator(second)
    np.testing.assert_allclose(loss, metrics['generator_loss'], rtol=1e-3, atol=1e-4)
    assert not metrics['skipped']
    layouts = _layouts(recipe, name)
    _assert_moved_alike(
        state.networks['generator'].params, moved.networks['generator'].params, cycle.generator, layouts[0]
    )
    _assert_moved_alike(
        state.networks['discriminator'].params,
        moved.networks['discriminator'].params,
        cycle.discriminator,
        layouts[1],
    )
    _assert_moved_alike(
        state.averages['generator']['params'], moved.averages['generator']['params'], cycle.averaged, layouts[0]
    )


@pytest.mark.slow
def test_compiled_update_with_penalty_is_the_eager_one():
    config = GANS['pggan'].configure(8, 'float32')
    config.optimizer.eps = 0.1
    recipe, state = gans.create_recipe(config)
    eager, compiled = (
        gans.create_torch_cycle(config, recipe, state, BATCH, dataclasses.replace(EAGER, compiled=compiled))
        for compiled in (False, True)
    )
    real, latents = _to_torch(_draw(9, BATCH, 8, 8, 1), False), torch.from_numpy(_latents(recipe)[0])
    losses = [
        cycle.update_discriminator(real, latents, torch.full((BATCH, 1, 1, 1), 0.3)) for cycle in (eager, compiled)
    ]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-4)
    for ours, theirs in zip(eager.discriminator.parameters(), compiled.discriminator.parameters(), strict=True):
        np.testing.assert_allclose(theirs.detach(), ours.detach(), atol=1e-5)


def _layouts(recipe, name):
    architecture = {'dcgan': 'dcgan', 'sngan': 'residual'}.get(name, 'progressive')
    return [layout for _, layout in gans.CREATE[architecture](recipe.generator, recipe.discriminator)]


def _assert_moved_alike(before, after, network, layout):
    before, after = (convert_adversarial({'params': params}, layout) for params in (before, after))
    parameters = dict(network.named_parameters())
    assert set(parameters) == set(before)
    for name, parameter in parameters.items():
        ours, theirs = after[name] - before[name], parameter.detach() - before[name]
        scale = float(ours.abs().max())
        np.testing.assert_allclose(theirs, ours, atol=2e-3 * scale + 1e-7, err_msg=name)
    assert any(float((after[name] - before[name]).abs().max()) > 1e-6 for name in parameters)
