"""Training that stops half way and goes on, against training that never stopped."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.accelerator.tasks import Context, Row, Task
from configs.gan import tiny
from foundation.training import compute
from gan.generator import restore_state
from gan.train import train_and_evaluate

_LONGER = 32  # images that are added to the last stage


def create_tasks(rehearse: bool) -> Sequence[Task]:
    """One task, whatever the kernels."""
    del rehearse
    return (Task('stop and resume', 20, _stop_and_resume),)


def _stop_and_resume(context: Context) -> Iterator[Row]:
    folder = Path(context.scratch) / f'resume_{len(list(context.scratch.glob("resume_*")))}'
    whole, halves = folder / 'whole', folder / 'halves'
    train_and_evaluate(_create_config(context, _LONGER), whole)
    train_and_evaluate(_create_config(context, 0), halves)
    train_and_evaluate(_create_config(context, _LONGER), halves)
    states = [jax.tree.leaves(jax.device_get(restore_state(path).state)) for path in (whole, halves)]
    different = sum(not np.array_equal(a, b, equal_nan=True) for a, b in zip(*states, strict=True))
    largest = max(float(np.abs(np.asarray(a, np.float64) - b).max()) for a, b in zip(*states, strict=True))
    yield {
        'network': 'enhanced_gan, tiny',
        'arrays': len(states[0]),
        'not bit for bit': different,
        'largest difference': largest,
        'passes': different == 0,
    }


def _create_config(context: Context, longer: int) -> ConfigDict:
    config = tiny.get_config()
    config.resolution = config.schedule.initial_resolution = 8  # one stage: few programs
    config.schedule.fade_images = config.schedule.stable_images = 16
    config.data.data_dir = str(context.scratch / 'data')
    config.run.steps_per_call = 1 if compute.on_cpu() else 2
    config.run.sample_images = config.run.checkpoint_images = 1_000
    config.watch.images = 0
    config.schedule.final_images = longer
    return config.lock()
