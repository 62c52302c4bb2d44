"""The speed of the first stage of a GAN, with the very program that training will use."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.accelerator.tasks import Row
from foundation.training import parallel
from foundation.training.phases import Compiler, Phase, Step, abstract_states
from gan.recipe import create_recipe
from gan.train import create_phase


def measure_first_stage(
    config: ConfigDict, steps_per_call: int, most: float, tell: Callable[[Row], None]
) -> float | None:
    """Images a second; None where its programs are not ready within `most` seconds.

    The programs stay in the cache of compiled programs, where training finds them.
    """
    mesh, recipe = parallel.create_mesh(), create_recipe(config)
    images = recipe.open_training()
    phase = create_phase(recipe, recipe.stages(images.num_examples)[0], images, mesh)
    compiler = Compiler([phase], abstract_states([phase], mesh), mesh, steps_per_call)
    compiler.ahead(0)
    waiting = ThreadPoolExecutor(1)
    try:
        programs = waiting.submit(lambda: (compiler.enter(0), compiler.call(0, steps_per_call, 0)))
        enter, call = programs.result(timeout=most)
    except TimeoutError:
        return None
    finally:
        compiler.close(wait=False)
        waiting.shutdown(wait=False)
    first, later = _time_two_calls(phase, enter, call, steps_per_call)
    speed = steps_per_call * phase.batch_size / later
    tell(
        {
            'table': 'first stage',
            'stage': phase.name,
            'first call s': first,
            'later call s': later,
            'images/s': speed,
        }
    )
    return speed


def _time_two_calls(phase: Phase, enter: Step, call: Step, steps: int) -> list[float]:
    """Seconds of each."""
    seed, sharding = np.uint32(0), parallel.batch_sharded(parallel.create_mesh())
    state = enter(None, seed)
    batches = {
        name: parallel.from_global(np.zeros((steps, *leaf.shape), leaf.dtype), sharding)
        for name, leaf in phase.batch.items()
    }
    controls = {name: np.full(steps, value, np.float32) for name, value in phase.controls(phase.start).items()}
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        state, metrics = call(state, batches, seed, controls, np.arange(steps, dtype=np.int32))
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - start)
    return seconds
