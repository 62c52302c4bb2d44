"""A generator as a program of `jax.export`: StableHLO that JAX alone runs, on CPUs, CUDA and TPUs."""

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


def export_program(trained: TrainedGenerator, batch_size: int) -> bytes:
    """The program of `Sampler.draw_numbered`: `draw(weights, alpha, seed, numbers, labels) -> images`.

    The batch is fixed. With one left open, convolutions that double the height and width are written in other
    operations, and images differ in the last bit from those of `gan.generate`.

    Args:
      trained: whose weights give names, shapes and types alone; they are arguments of the program.
      batch_size: images at once.
    """
    name = trained.recipe.fields['compute_dtype']
    own, others = (trained.network.clone(dtype=dtype_on(name, cpu=cpu)) for cpu in (True, False))

    def draw(
        weights: Arrays,
        alpha: Float[Array, ''],
        seed: UInt32[Array, ''],
        numbers: Int[Array, 'batch'],
        labels: Int[Array, 'batch'],
    ) -> Float[Array, 'batch height width channel']:
        given = weights, alpha, seed, numbers, labels
        return jax.lax.platform_dependent(*given, cpu=partial(_draw, own), default=partial(_draw, others))

    flat = traverse_util.flatten_dict(dict(trained.weights.variables), sep='/')
    weights = {key: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for key, leaf in flat.items()}
    alpha, seed = (jax.ShapeDtypeStruct((), dtype) for dtype in (np.float32, np.uint32))
    row = jax.ShapeDtypeStruct((batch_size,), np.int32)
    program = export.export(jax.jit(draw), platforms=PLATFORMS)(weights, alpha, seed, row, row)
    return bytes(program.serialize())


def _draw(network: Generator, weights: Arrays, alpha: Array, seed: Array, numbers: Array, labels: Array) -> Array:
    variables = traverse_util.unflatten_dict(weights, sep='/')
    return draw_by_number(network, (Weights(variables, alpha), seed), numbers, labels, truncation=math.inf)
