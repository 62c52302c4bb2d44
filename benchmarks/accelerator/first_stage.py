"""The speed of the first stage of a GAN, with the very program that training will use."""

import time

import jax
import numpy as np
from ml_collections import ConfigDict

from foundation.training import parallel
from foundation.training.phases import Compiler, abstract_states
from gan import data as training_data
from gan import setup
from gan.train import create_phase


def measure_first_stage(config: ConfigDict, steps_per_call: int) -> float:
    """Images a second; the program stays in the cache of compiled programs, where training finds it."""
    mesh, images = parallel.create_mesh(), training_data.open_images(config)
    form = training_data.image_format(config, tuple(images.classes))
    stage = setup.create_stages_of(config, images.num_examples)[0]
    phase, seed = create_phase(config, stage, form, images, mesh), np.uint32(0)
    compiler = Compiler([phase], abstract_states([phase], mesh), mesh, steps_per_call)
    try:
        state, call = compiler.enter(0)(None, seed), compiler.call(0, steps_per_call, 0)
    finally:
        compiler.close(wait=True)
    sharding = parallel.batch_sharded(mesh)
    batches = {
        name: parallel.from_global(np.zeros((steps_per_call, *leaf.shape), leaf.dtype), sharding)
        for name, leaf in phase.batch.items()
    }
    rest = {
        name: np.full(steps_per_call, value, np.float32) for name, value in phase.controls(phase.start).items()
    }
    for _ in range(2):  # the first one warms up
        start = time.perf_counter()
        state, metrics = call(state, batches, seed, rest, np.arange(steps_per_call, dtype=np.int32))
        jax.block_until_ready(metrics)
    return steps_per_call * phase.batch_size / (time.perf_counter() - start)
