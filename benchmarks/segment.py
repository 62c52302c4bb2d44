"""Times the U-Net: prediction of a slice, training with and without augmentation, and seeds trained together.

    python -m benchmarks.segment

Prediction is of one 512x512 slice in the geometry of its file, the default network, windows included; a mirrored
one costs four times as much. Augmentation is the share of a step that it takes. Seeds together are states stacked
and trained by one program (`jax.vmap` of the step), against one after the other; share is the share of what one
large matrix product reaches in this run in the same type.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from benchmarks import machine
from benchmarks.unets import create_unet_config
from foundation.training import compute, parallel
from segment.inference import create_predictor
from segment.recipe import Recipe, create_recipe
from segment.step import make_train_step

_REPEATS = flags.DEFINE_integer('repeats', 7, 'Timed runs; the median is shown.', 1)
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Seeds trained together.', 2)
_SIDE = flags.DEFINE_integer('side', 512, 'Pixels of the slice.', 16)
_TRAINING_SIDE = flags.DEFINE_integer(
    'training_side', 256, "Patch of the default network's training; 0 leaves it out."
)


def main(_: Sequence[str]) -> None:
    """Prints three tables."""
    logging.set_verbosity(logging.WARNING)
    print(machine.describe('segment'))
    dtype = compute.compute_dtype('auto')
    best = machine.matrix_product_flops(dtype)
    print(f'{dtype}, matrix product {best / 1e9:.0f} GFLOP/s.\n')
    _print_prediction()
    _print_training(best)
    _print_seeds()


def _create_recipe(variant: str, patch: int) -> Recipe:
    return create_recipe(create_unet_config(variant, patch))


def _print_prediction() -> None:
    print('| network | window | ms for a slice | slices/s, 8 at a time |\n| --- | ---: | ---: | ---: |')
    slices = np.random.default_rng(0).uniform(-1, 1, (8, _SIDE.value, _SIDE.value, 1)).astype(np.float32)
    for variant, patch in (('default', _SIDE.value), ('default', _SIDE.value // 2), ('small', 64)):
        recipe, mesh = _create_recipe(variant, patch), parallel.create_mesh()
        variables = recipe.create_state(jax.random.key(0)).network.variables
        batch_size = 1 if compute.on_cpu() else 16
        predict = create_predictor(recipe.network, mesh, patch=patch, batch_size=batch_size, mirror=())
        one = machine.median_seconds(functools.partial(predict, variables, slices[:1]), _REPEATS.value)
        many = machine.median_seconds(functools.partial(predict, variables, slices), _REPEATS.value)
        print(f'| {variant} | {patch} | {one * 1e3:.0f} | {len(slices) / many:.1f} |', flush=True)
    print()


def _make_step(recipe: Recipe, scale: float) -> Callable:
    augmentation = dataclasses.replace(recipe.augmentation, scale=scale)
    return make_train_step(dataclasses.replace(recipe, augmentation=augmentation))


def _draw_batch(recipe: Recipe) -> dict[str, jax.Array]:
    shape = (recipe.batch_size, recipe.patch, recipe.patch)
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (*shape, 1))
    masks = np.where(generator.uniform(size=(*shape, 1)) < 0.1, 1, -1)
    return {'image': jnp.asarray(np.concatenate([images, masks], axis=-1), jnp.float32)}


def _print_training(best: float) -> None:
    print('| network | patch | batch | step ms | images/s | augmentation | model GFLOP/s | share |')
    print('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
    sides = [('small', 64), *[('default', _TRAINING_SIDE.value)] * bool(_TRAINING_SIDE.value)]
    for variant, patch in sides:
        recipe = _create_recipe(variant, patch)
        state, batch = recipe.create_state(jax.random.key(0)), _draw_batch(recipe)
        steps = {scale: jax.jit(_make_step(recipe, scale)) for scale in (1.0, 0.0)}
        seconds = {
            scale: machine.median_seconds(
                functools.partial(step, state, batch, jax.random.key(1), {}), _REPEATS.value
            )
            for scale, step in steps.items()
        }
        flops = steps[0.0].lower(state, batch, jax.random.key(1), {}).compile().cost_analysis()['flops']  # type: ignore[index]
        size, rate = recipe.batch_size, flops / seconds[0.0]
        share = 1 - seconds[0.0] / seconds[1.0]
        times = f'{seconds[1.0] * 1e3:.0f} | {size / seconds[1.0]:.0f} | {share:.0%}'
        print(f'| {variant} | {patch} | {size} | {times} | {rate / 1e9:.0f} | {rate / best:.0%} |', flush=True)
    print()


def _print_seeds() -> None:
    count, recipe = _SEEDS.value, _create_recipe('small', 64)
    step, batch = _make_step(recipe, 1.0), _draw_batch(recipe)
    states = jax.vmap(recipe.create_state)(jax.random.split(jax.random.key(0), count))
    keys = jax.random.split(jax.random.key(1), count)
    batches = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), batch)
    together = jax.jit(jax.vmap(lambda state, batch, key: step(state, batch, key, {})))
    one, alone = jax.tree.map(lambda leaf: leaf[0], states), jax.jit(step)
    seconds_together = machine.median_seconds(lambda: together(states, batches, keys), _REPEATS.value)
    seconds_alone = count * machine.median_seconds(lambda: alone(one, batch, keys[0], {}), _REPEATS.value)
    print(f'| {count} seeds | ms for a step of each |\n| --- | ---: |')
    print(f'| one after the other | {seconds_alone * 1e3:.0f} |')
    print(f'| together (vmap) | {seconds_together * 1e3:.0f} |')
    print(f'| ratio | {seconds_together / seconds_alone:.2f} |')


if __name__ == '__main__':
    app.run(main)
