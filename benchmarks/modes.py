"""Counts the modes that losses leave out where all modes are known, and prints a Markdown table.

    python -m benchmarks.modes --ground=ring
    python -m benchmarks.modes --ground=digits --minutes=5 --seeds=3

`ring`: eight Gaussians on a circle; a mode counts with at least 2% of 10,000 points within three deviations.
`digits`: scikit-learn's 8x8 digits, three at random in the three channels of an image: 1,000 modes, about equally
frequent. A classifier names 26,000 images, and the divergence is of their modes from equal shares
(Metz et al. 2017, arXiv:1611.02163, section 3.3.1, which stacks digits of MNIST). All losses train the same
perceptrons, for the same number of steps or the same time.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jaxtyping import Array, Float, Int, PRNGKeyArray
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from benchmarks.machine import describe
from configs.gan import vanilla
from gan.recipe import GanRecipe, ImageFormat, create_recipe
from gan.state import GanState
from gan.step import StepRecipe, create_cycle

_GROUND = flags.DEFINE_enum('ground', 'ring', ['ring', 'digits'], 'Where modes are known.')
_MINUTES = flags.DEFINE_float('minutes', 0.0, 'Of training, each; 0 trains for --steps.', lower_bound=0)
_STEPS = flags.DEFINE_integer('steps', 10_000, 'Of training, where no --minutes are given.', lower_bound=1)
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Trainings of each loss.', lower_bound=1)
_ONLY = flags.DEFINE_list('only', [], 'Names of losses; all by default.')
_BATCH = flags.DEFINE_integer('batch_size', 256, 'Images of a step.', lower_bound=2)
_STEPS_A_CALL = 50
LOSSES = {
    'minimax': {'name': 'minimax', 'penalty': 'none'},
    'non-saturating': {'name': 'non_saturating', 'penalty': 'none'},
    'non-saturating + R1': {'name': 'non_saturating', 'penalty': 'zero_centred'},
    'relativistic + R1': {'name': 'relativistic', 'penalty': 'zero_centred'},
    'relativistic + R1 + R2': {'name': 'relativistic', 'penalty': 'zero_centred_both'},
}
Points = Float[np.ndarray, 'count height width channel']


@dataclasses.dataclass(frozen=True)
class Ground:
    """Images whose modes are known.

    Attributes:
      resolution, channels: of the images.
      draw: `draw(key, count)`: real images.
      name_modes: the mode of each image; -1 for none.
      modes: how many there are.
      samples: to draw and count.
      share: of the samples that a mode must have to count; 0: one sample.
      width: features of the perceptrons.
      penalty_weight: of R1, and of R2.
    """

    resolution: int
    channels: int
    draw: Callable[[PRNGKeyArray, int], Float[Array, 'count height width channel']]
    name_modes: Callable[[Points], Int[np.ndarray, 'count']]
    modes: int
    samples: int
    share: float
    width: int
    penalty_weight: float

    def measure(self, images: Points) -> tuple[int, float, float]:
        """Modes that are there, the share of images on any, and the divergence from equal shares in nats."""
        named = self.name_modes(images)
        counts = np.bincount(named[named >= 0], minlength=self.modes)
        shares = counts[counts > 0] / max(int(counts.sum()), 1)
        present = int((counts > max(self.share * len(images) - 1, 0)).sum())
        return present, float((named >= 0).mean()), float((shares * np.log(shares * self.modes)).sum())


def create_ring() -> Ground:
    """Eight Gaussians of deviation 0.02 on a circle of radius 0.7, each as an image of equal pixels."""
    angles, deviation = 2 * np.pi * np.arange(8) / 8, 0.02
    centres = 0.7 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    def draw(key: PRNGKeyArray, count: int) -> Array:
        mode_key, noise_key = jax.random.split(key)
        points = jnp.asarray(centres, jnp.float32)[jax.random.randint(mode_key, (count,), 0, 8)]
        points += deviation * jax.random.normal(noise_key, (count, 2))
        return jnp.broadcast_to(points[:, None, None], (count, 2, 2, 2))

    def name_modes(images: Points) -> Int[np.ndarray, 'count']:
        distances = np.linalg.norm(images.mean(axis=(1, 2))[:, None] - centres, axis=-1)
        return np.where(distances.min(axis=1) < 3 * deviation, distances.argmin(axis=1), -1)

    return Ground(2, 2, draw, name_modes, 8, 10_000, 0.02, 128, 0.02)


def create_digits() -> Ground:
    """Three digits, one a channel; the classifier is a support vector machine on the single digits."""
    digits = load_digits()
    rows = digits.images.reshape(-1, 64) / 8 - 1
    classifier = SVC(C=10, gamma='scale').fit(rows, digits.target)
    images = jnp.asarray(rows.reshape(-1, 8, 8), jnp.float32)

    def draw(key: PRNGKeyArray, count: int) -> Array:
        chosen = images[jax.random.randint(key, (count, 3), 0, len(images))]
        return jnp.moveaxis(chosen, 1, -1)

    def name_modes(images: Points) -> Int[np.ndarray, 'count']:
        single = np.moveaxis(images, -1, 1).reshape(-1, 64)
        return classifier.predict(single).reshape(-1, 3) @ np.asarray([100, 10, 1])

    return Ground(8, 3, draw, name_modes, 1000, 26_000, 0.0, 512, 1.0)


GROUNDS = {'ring': create_ring, 'digits': create_digits}


def main(_: Sequence[str]) -> None:
    """Trains with every loss, and prints a row as soon as it is known."""
    ground = GROUNDS[_GROUND.value]()
    print(describe('modes'))
    real = np.asarray(ground.draw(jax.random.key(0), ground.samples))
    print(
        '| loss | seed | modes | share on a mode | KL | steps | s |\n| --- | --- | --- | --- | --- | --- | --- |'
    )
    print(_row('real', 0, ground.measure(real), 0, 0.0), flush=True)
    for name in _ONLY.value or LOSSES:
        for seed in range(_SEEDS.value):
            recipe = configure(ground, LOSSES[name])
            begun = time.perf_counter()
            state, steps = train(ground, recipe, seed)
            seconds = time.perf_counter() - begun
            found = ground.measure(sample(ground, recipe, state))
            print(_row(name, seed, found, steps, seconds), flush=True)


def _row(name: str, seed: int, found: tuple[int, float, float], steps: int, seconds: float) -> str:
    modes, share, divergence = found
    return f'| {name} | {seed} | {modes} | {share:.3f} | {divergence:.3f} | {steps} | {seconds:.0f} |'


def configure(ground: Ground, loss: dict[str, str]) -> GanRecipe:
    """The vanilla config with perceptrons of three layers, Adam 1e-3 without momentum, and one of the losses."""
    config = vanilla.get_config()
    config.channels = 1  # of the config; networks are made of the ground's own
    for network in (config.generator, config.discriminator):
        network.layers, network.width = 3, ground.width
    config.generator.latent_size, config.generator.latent_distribution = 64, 'normal'
    config.discriminator.pieces, config.discriminator.dropout = 2, 0.0
    config.loss.update({**loss, 'penalty_weight': ground.penalty_weight})
    config.optimizer.generator_learning_rate = config.optimizer.discriminator_learning_rate = 1e-3
    config.optimizer.b1, config.optimizer.b2 = 0.0, 0.99
    config.average.half_life, config.average.ramp = 10_000.0, 0.0
    return create_recipe(config)


def _format(ground: Ground) -> ImageFormat:
    return ImageFormat(channels=ground.channels, mask_classes=0, num_classes=0)


def train(ground: Ground, recipe: GanRecipe, seed: int) -> tuple[GanState, int]:
    """A state after so many steps, or so much time, on images that are never seen twice; and the steps."""
    step_recipe = recipe.step_at(ground.resolution, _format(ground))
    (step,) = create_cycle(step_recipe)
    rows = _BATCH.value * step_recipe.objective.reals_per_image

    def one(state: GanState, number: Array) -> tuple[GanState, None]:
        data_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        batch = {'image': ground.draw(data_key, rows), 'label': jnp.zeros((rows,), jnp.int32)}
        controls = {'alpha': jnp.float32(1), 'images_seen': number * jnp.float32(_BATCH.value)}
        return step(state, batch, step_key, controls)[0], None

    @functools.partial(jax.jit, donate_argnums=0)
    def some(state: GanState, first: Array) -> GanState:
        return jax.lax.scan(one, state, first + jnp.arange(_STEPS_A_CALL))[0]

    state = jax.jit(functools.partial(recipe.create_state, step_recipe))(jax.random.key(seed))
    state = jax.block_until_ready(some(state, jnp.int32(0)))  # compiled before the time is taken
    end, done = time.perf_counter() + 60 * _MINUTES.value, _STEPS_A_CALL
    while time.perf_counter() < end if _MINUTES.value else done < _STEPS.value:
        state = jax.block_until_ready(some(state, jnp.int32(done)))
        done += _STEPS_A_CALL
    return state, done


def sample(ground: Ground, recipe: GanRecipe, state: GanState) -> Points:
    """Images of the averaged generator."""
    step_recipe: StepRecipe = recipe.step_at(ground.resolution, _format(ground))
    generator = step_recipe.generator
    latents = jax.random.normal(jax.random.key(7), (ground.samples, generator.latent_size))
    labels = jnp.zeros((ground.samples,), jnp.int32)
    return np.asarray(jax.jit(generator.apply)(state.averaged('generator'), latents, labels))


if __name__ == '__main__':
    app.run(main)
