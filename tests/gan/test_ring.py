"""A GAN of each family covers eight Gaussians on a ring, the standard test for modes that are left out.

Points are encoded as images of one colour, whose two channels are x and y. What is counted is modes that are left
out, not how sharp the others are: after so few steps there are points between them too.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan.networks.heads import CONDITIONS
from gan.state import GanState
from gan.step import Averaging, StepRecipe, create_cycle
from tests.gan import nets

MODES, RADIUS, DEVIATION = 8, 0.7, 0.05
SAMPLES, SHARE = 1000, 0.02
BATCH = 128


_ANGLES = 2 * np.pi * np.arange(MODES) / MODES
CENTRES = RADIUS * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(points)[:, None] - CENTRES, axis=-1)


def _shares(points: np.ndarray) -> np.ndarray:
    """Share of the points within three standard deviations of each mode."""
    return (_distances(points) < 3 * DEVIATION).mean(axis=0)


def _count_modes(points: np.ndarray) -> int:
    """Modes that hold at least 2% of the points."""
    return int((_shares(points) >= SHARE).sum())


def _draw_points(key, count: int) -> tuple[jax.Array, jax.Array]:
    """Points, (count, 2), and the modes that they come from."""
    mode_key, noise_key = jax.random.split(key)
    modes = jax.random.randint(mode_key, (count,), 0, MODES)
    return jnp.asarray(CENTRES, jnp.float32)[modes] + DEVIATION * jax.random.normal(noise_key, (count, 2)), modes


def _create_recipe(family: str, **options) -> StepRecipe:
    """The family's typical loss, narrow networks, and learning rates for a few hundred steps."""
    if family == 'progressive':
        resolution, objective, adam = (
            4,
            nets.create_objective('wasserstein', 'gradient'),
            optax.adam(5e-3, 0.0, 0.99),
        )
        generator, discriminator = {'fmap_max': 32}, {'fmap_max': 32, 'spectral_norm': False}
        optimizers = (adam, adam)
    elif family == 'dcgan':
        objective = nets.create_objective('non_saturating', 'zero_centred', penalty_weight=5.0, drift_weight=0.0)
        resolution, adam = 8, optax.adam(3e-3, 0.0, 0.99)
        generator = {'last_width': 16, 'max_width': 16}
        discriminator = {'layers': 2, 'first_width': 16, 'max_width': 16, 'dropout': 0}
        optimizers = (adam, adam)
    else:
        resolution, objective = 8, nets.create_objective('hinge', 'none', drift_weight=0.0)
        generator = {'last_width': 16, 'max_width': 16}
        discriminator = {'first_width': 16, 'max_width': 16, 'spectral_norm': True}
        optimizers = (optax.adam(3e-3, 0.0, 0.9), optax.adam(6e-3, 0.0, 0.9))
    return nets.create_recipe(
        family,
        resolution,
        channels=2,
        objective=objective,
        optimizers=optimizers,
        averaging=Averaging(2000.0, 0.0),
        generator=generator,
        discriminator=discriminator,
        **options,
    )


def _train(recipe: StepRecipe, steps: int, seed: int) -> GanState:
    """A state after so many steps on fresh points."""
    (step,), resolution = create_cycle(recipe), recipe.generator.resolution

    def draw_and_step(state, key, images_seen):
        data_key, step_key = jax.random.split(key)
        points, modes = _draw_points(data_key, BATCH)
        images = jnp.broadcast_to(points[:, None, None], (BATCH, resolution, resolution, 2))
        labels = modes if recipe.generator.num_classes else jnp.zeros_like(modes)
        controls = {'alpha': jnp.float32(1), 'images_seen': images_seen}
        return step(state, {'image': images, 'label': labels}, step_key, controls)[0]

    # The programs of tests are not optimised, save those that train for real.
    options = {'xla_backend_optimization_level': 3}
    compiled = jax.jit(draw_and_step, donate_argnums=0, compiler_options=options)
    state, key = nets.create_start(recipe, jax.random.key(seed)), jax.random.key(seed + 100)
    for number in range(steps):
        state = compiled(state, jax.random.fold_in(key, number), jnp.float32(number * BATCH))
    return state


def _sample(recipe: StepRecipe, state: GanState, labels: jax.Array) -> np.ndarray:
    """The points, (count, 2), that the averaged generator draws for these labels: the means over the pixels."""
    latents = jax.random.normal(jax.random.key(7), (len(labels), recipe.generator.latent_size))
    images = jax.jit(recipe.generator.apply)(state.averaged('generator'), latents, labels)
    return np.asarray(images.mean(axis=(1, 2)))


def _report(name: str, points: np.ndarray) -> None:
    shares = ', '.join(f'{share:.3f}' for share in _shares(points))
    print(f'{name}: {_count_modes(points)} modes, with shares {shares}')


def test_the_count_knows_the_ring_from_a_collapsed_and_a_uniform_spread():
    real = np.asarray(_draw_points(jax.random.key(0), SAMPLES)[0])
    assert _count_modes(real) == MODES
    assert _shares(real).sum() > 0.97
    nearest = _distances(real).argmin(axis=1)
    assert _count_modes(real[nearest < 1]) == 1
    assert _count_modes(real[nearest < 6]) == 6
    assert _count_modes(np.tile(real.mean(axis=0), (SAMPLES, 1))) == 0
    # Each mode's disc is 1.8% of the square.
    spread = [np.random.default_rng(seed).uniform(-1, 1, (SAMPLES, 2)) for seed in range(20)]
    assert max(map(_count_modes, spread)) < 7


@pytest.mark.slow
@pytest.mark.parametrize(('family', 'steps'), [('progressive', 700), ('dcgan', 500), ('residual', 500)])
def test_a_gan_of_each_family_covers_the_ring(family, steps):
    recipe = _create_recipe(family)
    points = _sample(recipe, _train(recipe, steps, seed=0), jnp.zeros((SAMPLES,), jnp.int32))
    _report(family, points)
    assert _count_modes(points) >= 7


@pytest.mark.slow
@pytest.mark.parametrize('condition', CONDITIONS)
def test_classes_are_drawn_as_asked(condition):
    """A classifier by the nearest mode tells the classes apart; guesses are right in an eighth."""
    recipe = _create_recipe('dcgan', num_classes=MODES, condition=condition)
    labels = jnp.arange(SAMPLES, dtype=jnp.int32) % MODES
    points = _sample(recipe, _train(recipe, 300, seed=0), labels)
    _report(condition, points)
    accuracy = np.mean(_distances(points).argmin(axis=1) == labels)
    print(f'accuracy {accuracy:.3f}')
    assert accuracy >= 0.8
