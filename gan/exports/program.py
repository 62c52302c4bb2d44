"""A generator as programs of `jax.export`: StableHLO that JAX alone runs, on CPUs, CUDA and TPUs."""

import math
from functools import partial

import jax
import numpy as np
from flax import traverse_util
from jax import export
from jaxtyping import Array, Float, Int, UInt32

from foundation.training.compute import dtype_on
from gan.generator import TrainedGenerator, Weights
from gan.networks import Generator
from gan.sampler import draw_by_number

PLATFORMS = ('cpu', 'cuda', 'tpu')
Arrays = dict[str, Array]  # of all collections, by names like params/4x4_dense/kernel


def export_programs(trained: TrainedGenerator, batch_size: int) -> dict[str, bytes]:
    """The program of `Sampler.draw_numbered` for each platform: `draw(weights, alpha, seed, numbers, labels)`.

    One program for all platforms, or of any batch, would be less to pass on. But then convolutions and random
    numbers are written in other operations, and images differ in the last bits from those of `gan.generate`.

    Args:
      trained: whose weights give names, shapes and types alone; they are arguments of the program.
      batch_size: images at once.
    """
    flat = traverse_util.flatten_dict(dict(trained.weights.variables), sep='/')
    weights = {key: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for key, leaf in flat.items()}
    alpha, seed = (jax.ShapeDtypeStruct((), dtype) for dtype in (np.float32, np.uint32))
    row, programs = jax.ShapeDtypeStruct((batch_size,), np.int32), {}
    for platform in PLATFORMS:
        dtype = dtype_on(trained.recipe.fields['compute_dtype'], cpu=platform == 'cpu')
        draw = jax.jit(partial(_draw, trained.network.clone(dtype=dtype)))
        program = export.export(draw, platforms=(platform,))(weights, alpha, seed, row, row)
        programs[platform] = bytes(program.serialize())
    return programs


def _draw(
    network: Generator,
    weights: Arrays,
    alpha: Float[Array, ''],
    seed: UInt32[Array, ''],
    numbers: Int[Array, 'batch'],
    labels: Int[Array, 'batch'],
) -> Float[Array, 'batch height width channel']:
    variables = traverse_util.unflatten_dict(weights, sep='/')
    return draw_by_number(network, (Weights(variables, alpha), seed), numbers, labels, truncation=math.inf)
