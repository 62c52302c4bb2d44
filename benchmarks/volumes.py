"""Times a U-Net of volumes: its convolutions in both forms, a training step, and prediction of one large volume.

    python -m benchmarks.volumes

Convolutions are of 3x3x3 voxels, with all gradients: as XLA has them, and as convolutions of slices whose channels
are those of the slices around each. Memory is what the whole process had at most, before and after the prediction.
"""

import functools
import time
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from benchmarks import machine
from benchmarks.unets import create_unet_config
from foundation.training import parallel
from foundation.training.supervised import SupervisedState
from segment.networks import convolve_slices, convolve_volumes
from segment.recipe import Recipe, create_recipe
from segment.step import make_train_step
from segment.suggestions import plan_levels
from segment.volumes import create_volume_predictor

_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed runs; the median is shown.', 1)
_SLICES = flags.DEFINE_integer('slices', 200, 'Of the large volume.', 1)
_SIDE = flags.DEFINE_integer('side', 512, 'Pixels of its slices.', 64)
_WIDTH = flags.DEFINE_integer('width', 8, 'Features of the network at full resolution.', 1)
_SIZES = ((2, 32, 64, 8, 8), (2, 32, 64, 16, 8), (2, 16, 32, 16, 16), (2, 8, 16, 32, 32))
_PATCH = (40, 64)


def main(_: Sequence[str]) -> None:
    """Prints three tables."""
    logging.set_verbosity(logging.WARNING)
    print(machine.describe('volumes'))
    _print_convolutions()
    recipe = _create_recipe()
    state = recipe.create_state(jax.random.key(0))
    _print_step(recipe, state)
    _print_prediction(recipe, state)


def _print_convolutions() -> None:
    print('| volumes, slices, side, channels | XLA ms | as slices ms | ratio |\n| --- | ---: | ---: | ---: |')
    generator = np.random.default_rng(0)
    for count, slices, side, channels, features in _SIZES:
        x = jnp.asarray(generator.normal(size=(count, slices, side, side, channels)), jnp.float32)
        weights = jnp.asarray(generator.normal(size=(3, 3, 3, channels, features)), jnp.float32)
        seconds = []
        for convolve in (convolve_volumes, convolve_slices):
            gradient = jax.jit(jax.grad(lambda x, w, convolve=convolve: jnp.sum(convolve(x, w) ** 2), (0, 1)))
            seconds.append(machine.median_seconds(functools.partial(gradient, x, weights), _REPEATS.value))
        first, second = seconds
        shape = f'{count}, {slices}, {side}, {channels} to {features}'
        print(f'| {shape} | {first * 1e3:.0f} | {second * 1e3:.0f} | {first / second:.1f} |', flush=True)
    print()


def _create_recipe() -> Recipe:
    slices, side = _PATCH
    config = create_unet_config('small', side)
    config.dimensions, config.schedule.batch_size = 3, 2
    config.network.width, config.network.max_width = _WIDTH.value, 8 * _WIDTH.value
    config.volume.slices, config.volume.distance = slices, -1.0
    config.volume.strides, config.volume.kernels = plan_levels(1.0, slices, config.network.depth)
    return create_recipe(config)


def _print_step(recipe: Recipe, state: SupervisedState) -> None:
    slices, side = _PATCH
    shape = (recipe.batch_size, slices, side, side)
    ids = np.random.default_rng(0).integers(0, recipe.network.num_classes, shape).astype(np.uint8)
    batch = {'image': jnp.zeros((*shape, 1)), 'ids': jnp.asarray(ids)}
    step = jax.jit(make_train_step(recipe))
    seconds = machine.median_seconds(functools.partial(step, state, batch, jax.random.key(1), {}), _REPEATS.value)
    print(f'A step of {recipe.batch_size} patches of {slices} x {side} x {side}: {seconds:.2f} s.', flush=True)


def _print_prediction(recipe: Recipe, state: SupervisedState) -> None:
    count, side, patch = _SLICES.value, _SIDE.value, recipe.volume_patch
    assert patch is not None
    predict = create_volume_predictor(recipe.network, parallel.create_mesh(), shape=patch, batch_size=1, mirror=())

    def slices(number: int, side: int) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        return (generator.uniform(-1, 1, (side, side, 1)).astype(np.float32) for _ in range(number))

    variables = state.network.variables
    assert sum(1 for _ in predict(variables, slices(patch.slices, patch.side), patch.slices)) == patch.slices
    before, start = machine.peak_bytes(), time.perf_counter()
    for _ in predict(variables, slices(count, side), count):
        pass
    seconds = time.perf_counter() - start
    print(
        f'A volume of {count} x {side} x {side}: {seconds:.0f} s ({seconds / count:.2f} s a slice); '
        f'peak {before / 2**30:.2f} GiB before, {machine.peak_bytes() / 2**30:.2f} GiB after.'
    )


if __name__ == '__main__':
    app.run(main)
